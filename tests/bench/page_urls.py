"""The product's addresses, and the device list of Django's admin as a peer."""

from django.contrib import admin
from django.urls import include, path

from devices.models import Device


class PeerAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "device_id", "status", "product_name", "app_name")
    list_per_page = 50
    list_filter = ("status",)
    search_fields = ("device_id", "node_id", "name")


site = admin.AdminSite("peer")
site.register(Device, PeerAdmin)
urlpatterns = [path("peer/", site.urls), path("", include("iotda_admin.urls"))]
