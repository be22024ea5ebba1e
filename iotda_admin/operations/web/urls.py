from django.urls import path

from iotda_admin.operations.web import followup_views, views

app_name = "operations"
urlpatterns = [
    path("", views.operations, name="operations"),
    path("<int:number>/", views.operation, name="operation"),
    path("<int:number>/targets/", views.targets, name="targets"),
    path("<int:number>/failures.csv", views.failures, name="failures"),
    path("<int:number>/check/", views.check, name="check"),
    path("<int:number>/cancel/", followup_views.cancel, name="cancel"),
    path("<int:number>/retry/", followup_views.retry, name="retry"),
    path("<int:number>/undo/", followup_views.undo, name="undo"),
]
