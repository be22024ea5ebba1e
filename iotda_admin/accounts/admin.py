"""Users and roles in Django's admin, for superusers alone. What is changed here stands in the audit trail."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import FilteredSelectMultiple
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import BadRequest
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django_tasks_db import admin as _of_the_queue  # noqa: F401  so that it is there to be taken away
from django_tasks_db.models import DBTaskResult

from devices.models import Space
from iotda_admin.access.models import EVERY_SPACE, Grant, RoleLimit
from iotda_admin.access.roles import PERMISSIONS
from iotda_admin.audit.record import deferred_events

# No name is longer.
SEARCHED = 150
# More resource spaces one would not name one by one.
MOST_ROWS = 250


class GrantForm(forms.ModelForm):  # type: ignore[type-arg]
    app_id = forms.ChoiceField(label=_("Resource space"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field, own = self.fields["app_id"], self.instance.app_id
        assert isinstance(field, forms.ChoiceField)
        spaces = [(space.pk, f"{space} · {space.pk}") for space in Space.objects.all()]
        known = {EVERY_SPACE, *(pk for pk, _name in spaces)}
        gone = [(own, own)] if own and own not in known else []
        field.choices = [
            ("", "---------"),
            (EVERY_SPACE, _("Every resource space")),
            *spaces,
            *gone,
        ]

    class Meta:
        model = Grant
        fields = ("app_id",)


class Rows(admin.TabularInline):  # type: ignore[type-arg]
    """However many rows somebody says that they send: of a thousand, the page would take seconds."""

    max_num = MOST_ROWS

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        return super().get_formset(request, obj, absolute_max=MOST_ROWS, **kwargs)


class GrantInline(Rows):
    model = Grant
    form = GrantForm
    extra = 1


class LimitInline(Rows):
    model = RoleLimit
    verbose_name_plural = _(
        "How much one operation of this role may change; no row: no limit of its own"
    )


class ForSuperusers:
    """Whoever may edit users could make themselves anything: no permission less than all of them will do."""

    # Roles are deleted one by one. Django's action for several answers a wrong key with a fault.
    actions: Any = None

    def allowed(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_active and request.user.is_superuser

    has_view_permission = has_add_permission = has_change_permission = (
        has_delete_permission
    ) = allowed
    has_module_permission = allowed

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> Any:
        # SQLite takes no pattern of 50,000 signs.
        return super().get_search_results(request, queryset, search_term[:SEARCHED])  # type: ignore[misc]

    def changeform_view(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        try:
            with transaction.atomic(), deferred_events():
                return super().changeform_view(request, *args, **kwargs)  # type: ignore[misc,no-any-return]
        except OverflowError as error:
            # A key that no database has, in a field that no browser lets one change.
            raise BadRequest from error


class Users(ForSuperusers, UserAdmin):  # type: ignore[type-arg]
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
    filter_horizontal = ("groups",)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email")}),
        (_("Roles"), {"fields": ("is_active", "groups", "is_staff", "is_superuser")}),
        (_("Times"), {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups")

    def formfield_for_manytomany(
        self, db_field: Any, request: Any = None, **kwargs: Any
    ) -> Any:
        if db_field.name == "groups":
            kwargs |= {
                "label": _("Roles"),
                "widget": FilteredSelectMultiple(_("roles"), is_stacked=False),
            }
            kwargs["help_text"] = _("A user may do what any of these roles may.")
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    @admin.display(description=_("roles"))
    def roles(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all())

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who has acted stays known: an account is deactivated."""
        return False

    def user_change_password(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        with transaction.atomic(), deferred_events():
            return super().user_change_password(request, *args, **kwargs)


class Roles(ForSuperusers, GroupAdmin):
    inlines = (LimitInline,)

    def formfield_for_manytomany(
        self, db_field: Any, request: Any = None, **kwargs: Any
    ) -> Any:
        """Only permissions that something here asks for."""
        if db_field.name == "permissions":
            kwargs["queryset"] = our_permissions()
        return super().formfield_for_manytomany(db_field, request, **kwargs)


def our_permissions() -> Any:
    ours = Q(pk__in=[])
    for label in PERMISSIONS:
        app, _dot, codename = label.partition(".")
        ours |= Q(content_type__app_label=app, codename=codename)
    return Permission.objects.filter(ours).select_related("content_type")


# What the queue keeps is nothing to look up: the operations and the trail tell what was done.
admin.site.unregister([User, Group, DBTaskResult])
admin.site.register(User, Users)
admin.site.register(Group, Roles)
admin.site.site_header = admin.site.site_title = "IoTDA Admin"
admin.site.index_title = _("Users and roles")
