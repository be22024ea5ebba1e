from django.urls import path

from iotda_admin.operations import views

app_name = "operations"
urlpatterns = [
    path("", views.operations, name="operations"),
    path("<int:number>/", views.operation, name="operation"),
    path("<int:number>/targets/", views.targets, name="targets"),
    path("<int:number>/check/", views.check, name="check"),
]
