from django.urls import path

from devices import views
from devices.matching import devices_csv
from devices.status_push import receive_status
from devices.verbs import DeviceVerb
from iotda_admin.operations.verbs import all_verbs

app_name = "devices"
# No ID has a dot, so these are never taken for a device.
urlpatterns = [
    path("", views.devices, name="devices"),
    path("devices.csv", devices_csv, name="devices_csv"),
    path("selection.paste/", views.paste, name="paste"),
    path("status.push/", receive_status, name="status_push"),
    path("<id:device_id>/", views.device, name="device"),
]
for verb in all_verbs():
    if isinstance(verb, DeviceVerb):
        name, about = verb.command, {"verb": verb}
        urlpatterns += [
            path(f"selection.{name}/", views.change_devices, about, f"{name}_many"),
            path(f"<id:device_id>/{name}/", views.change_device, about, name),
        ]
