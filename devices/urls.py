from django.urls import path

from devices import views
from devices.verbs import DeviceVerb
from iotda_admin.operations.verbs import all_verbs

VERBS = [verb for verb in all_verbs() if isinstance(verb, DeviceVerb)]

app_name = "devices"
urlpatterns = [
    path("", views.devices, name="devices"),
    # No ID has a dot, so these are never taken for a device.
    path("selection.paste/", views.paste, name="paste"),
    *(
        path(
            f"selection.{verb.command}/",
            views.change_devices,
            {"verb": verb},
            name=f"{verb.command}_many",
        )
        for verb in VERBS
    ),
    path("<id:device_id>/", views.device, name="device"),
    *(
        path(
            f"<id:device_id>/{verb.command}/",
            views.change_device,
            {"verb": verb},
            name=verb.command,
        )
        for verb in VERBS
    ),
]
