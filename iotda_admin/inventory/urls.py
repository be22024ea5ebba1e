from django.urls import path

from iotda_admin.inventory import views

app_name = "inventory"
urlpatterns = [
    path("", views.freshness, name="freshness"),
    path("refresh/", views.refresh, name="refresh"),
]
