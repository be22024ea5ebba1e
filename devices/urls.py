from django.urls import path

from devices import views

app_name = "devices"
urlpatterns = [
    path("", views.devices, name="devices"),
    # No id has a dot, so these can never be meant as a device.
    path("selection.freeze/", views.freeze_many, name="freeze_many"),
    path("selection.unfreeze/", views.unfreeze_many, name="unfreeze_many"),
    path("selection.paste/", views.paste, name="paste"),
    path("<id:device_id>/", views.device, name="device"),
    path("<id:device_id>/freeze/", views.freeze, name="freeze"),
    path("<id:device_id>/unfreeze/", views.unfreeze, name="unfreeze"),
]
