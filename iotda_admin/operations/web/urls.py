from django.urls import path

from iotda_admin.operations.followups.retry import RetryPlan
from iotda_admin.operations.followups.undo import UndoPlan
from iotda_admin.operations.web import views
from iotda_admin.operations.web.followup_views import cancel, follow_up, proceed

app_name = "operations"
urlpatterns = [
    path("", views.operations, name="operations"),
    path("operations.csv", views.operations_csv, name="operations_csv"),
    path("<int:number>/", views.operation, name="operation"),
    path("<int:number>/targets/", views.targets, name="targets"),
    path("<int:number>/failures.csv", views.failures, name="failures"),
    path("<int:number>/check/", views.check, name="check"),
    path("<int:number>/cancel/", cancel, name="cancel"),
    path("<int:number>/continue/", proceed, name="continue"),
    path("<int:number>/retry/", follow_up, {"plan_of": RetryPlan}, name="retry"),
    path("<int:number>/undo/", follow_up, {"plan_of": UndoPlan}, name="undo"),
]
