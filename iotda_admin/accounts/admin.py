"""Users and roles in Django's admin, for superusers only. Every change is audited."""

from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from operator import or_
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.widgets import FilteredSelectMultiple
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import BadRequest
from django.db.models import CharField, ManyToManyField
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from devices.models import Space
from iotda_admin.access.models import EVERY_SPACE, Grant, RoleLimit
from iotda_admin.access.roles import PERMISSIONS, permission_named
from iotda_admin.core.forms import LineField
from iotda_admin.operations.audit_log import audited_transaction

# The lookups that the filters of a list use.
EXACT = ("__exact", "__isnull")
# No name is longer than this.
SEARCH_LENGTH = 150
# The most rows that a form can add; rendering a thousand takes seconds.
INLINE_ROWS = 250


class GrantForm(forms.ModelForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names: dict[str, Any] = {
            "": "---------",
            EVERY_SPACE: _("Every resource space"),
        }
        names |= {each.pk: f"{each} · {each.pk}" for each in Space.objects.all()}
        # The space of this row may no longer exist.
        names.setdefault(self.instance.app_id, self.instance.app_id)
        self.fields["app_id"] = forms.ChoiceField(
            label=_("Resource space"), choices=names
        )


class BoundedInline(admin.TabularInline):  # type: ignore[type-arg]
    """Limit the rows, whatever number of rows the form claims to have."""

    max_num = INLINE_ROWS

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        return super().get_formset(request, obj, absolute_max=INLINE_ROWS, **kwargs)


class GrantInline(BoundedInline):
    model = Grant
    form = GrantForm
    extra = 1


class LimitInline(BoundedInline):
    model = RoleLimit
    verbose_name_plural = _(
        "Most targets of one operation of this role; without a row there is no limit"
    )


# Names of users and roles are one line; the model validates an email address.
NAMES: dict[Any, Any] = {CharField: {"form_class": LineField}}


class SuperuserOnly:
    """Editing users implies privilege escalation, so only superusers may."""

    # Django's action that deletes several roles fails with a server error on a wrong key.
    actions: Any = None

    def allowed(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_active and request.user.is_superuser

    has_view_permission = has_add_permission = has_change_permission = (
        has_delete_permission
    ) = has_module_permission = allowed

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> Any:
        # SQLite rejects a pattern of 50,000 characters, PostgreSQL a NUL.
        return super().get_search_results(  # type: ignore[misc]
            request, queryset, search_term.replace("\0", "")[:SEARCH_LENGTH]
        )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow the filters of the list, whose values Django checks, and no others."""
        fields = {str(name) for name in self.list_filter}  # type: ignore[attr-defined]
        return lookup.partition("__")[0] in fields and lookup.endswith(EXACT)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        try:
            return super().get_changelist_instance(request)  # type: ignore[misc]
        except IncorrectLookupParameters as error:
            raise BadRequest from error

    def changeform_view(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        try:
            with transaction_of_post(request):
                return super().changeform_view(request, *args, **kwargs)  # type: ignore[misc,no-any-return]
        except OverflowError as error:
            # A forged key that is too large for the database.
            raise BadRequest from error


def transaction_of_post(request: HttpRequest) -> AbstractContextManager[None]:
    """Return a transaction for a change; showing its form needs none."""
    return audited_transaction() if request.method == "POST" else nullcontext()


class AccountAdmin(SuperuserOnly, UserAdmin):  # type: ignore[type-arg]
    inlines = (GrantInline,)
    list_display = (
        "username",
        "first_name",
        "last_name",
        "roles",
        "is_active",
        "is_superuser",
        "last_login",
    )
    list_filter = ("is_active", "is_superuser", "groups")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email")}),
        (_("Roles"), {"fields": ("is_active", "groups", "is_staff", "is_superuser")}),
        (_("Times"), {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")
    # Of the links, the page shows only the groups.
    formfield_overrides = NAMES | {
        ManyToManyField: {
            "label": _("Roles"),
            "widget": FilteredSelectMultiple(_("roles"), is_stacked=False),
            "help_text": _("A user has the permissions of all of these roles."),
        }
    }

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description=_("roles"))
    def roles(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all())

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Deny it: the history names accounts. Deactivate them instead."""
        return False

    def user_change_password(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        with transaction_of_post(request):
            return super().user_change_password(request, *args, **kwargs)


class RoleAdmin(SuperuserOnly, GroupAdmin):
    inlines = (LimitInline,)
    formfield_overrides = NAMES

    def formfield_for_manytomany(
        self, db_field: Any, request: Any = None, **kwargs: Any
    ) -> Any:
        """Offer only the permissions that this product uses."""
        if db_field.name == "permissions":
            ours = reduce(or_, map(permission_named, PERMISSIONS))
            rows = Permission.objects.select_related("content_type")
            kwargs["queryset"] = rows.filter(ours)
        return super().formfield_for_manytomany(db_field, request, **kwargs)


admin.site.unregister([User, Group])
admin.site.register(User, AccountAdmin)
admin.site.register(Group, RoleAdmin)
admin.site.site_header = admin.site.site_title = "IoTDA Admin"
admin.site.index_title = _("Users and roles")
