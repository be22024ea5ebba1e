"""Django's admin, behind our doors."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect


class Admin(AdminConfig):
    default_site = "iotda_admin.accounts.site.Site"


class Site(AdminSite):
    def has_permission(self, request: HttpRequest) -> bool:
        """Refused right here, and so recorded with what was asked for. Django would lead somebody to a login
        who is signed in; who is not never comes as far as this."""
        if not super().has_permission(request):
            raise PermissionDenied
        return True

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: Any = None
    ) -> HttpResponse:
        """There shall be one place where a password can be guessed at, with one lock."""
        return redirect("accounts:password")
