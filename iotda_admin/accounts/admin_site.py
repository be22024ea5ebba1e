"""Django's admin with the sign-in and the permission checks of this product."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect


class AccountsAdminConfig(AdminConfig):
    default_site = "iotda_admin.accounts.admin_site.AccountsAdminSite"


class AccountsAdminSite(AdminSite):
    def has_permission(self, request: HttpRequest) -> bool:
        """Deny with an exception, which is audited with its URL.

        Django would send the user, who is already signed in, to a login page.
        """
        if not super().has_permission(request):
            raise PermissionDenied
        return True

    def get_urls(self) -> list[Any]:
        """Leave out the address that redirects to the page of any object.

        For an object of another resource space, its answer says whether it exists.
        """
        urls = super().get_urls()
        return [url for url in urls if getattr(url, "name", "") != "view_on_site"]

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: Any = None
    ) -> HttpResponse:
        """Use the product's own page, so that one throttle counts all wrong passwords."""
        return redirect("accounts:password")
