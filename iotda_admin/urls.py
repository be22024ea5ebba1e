from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path, register_converter

from iotda_admin.accounts.views import admin_sign_in
from iotda_admin.core.ids import IdConverter
from iotda_admin.health import views as health
from iotda_admin.overview import overview

# Before the urls of the apps are included, which use it.
register_converter(IdConverter, "id")

urlpatterns = [
    path("", overview, name="overview"),
    path("devices/", include("devices.urls")),
    path("policies/", include("policies.urls")),
    path("operations/", include("iotda_admin.operations.web.urls")),
    path("failures/", include("iotda_admin.failures.urls")),
    path("audit/", include("iotda_admin.audit.urls")),
    path("inventory/", include("iotda_admin.inventory.urls")),
    path("accounts/", include("iotda_admin.accounts.urls")),
    path("admin/login/", login_not_required(admin_sign_in), name="admin-login"),
    path("admin/", admin.site.urls),
    path("platform/", login_not_required(health.platform), name="platform"),
    path("healthz", login_not_required(health.healthz), name="healthz"),
    path("readyz", login_not_required(health.readyz), name="readyz"),
    path("metrics", login_not_required(health.prometheus), name="metrics"),
]

handler400 = "iotda_admin.core.error_views.bad_request"
handler403 = "iotda_admin.core.error_views.permission_denied"
handler404 = "iotda_admin.core.error_views.not_found"
handler500 = "iotda_admin.core.error_views.server_error"
