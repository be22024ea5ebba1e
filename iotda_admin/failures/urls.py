from django.urls import path

from iotda_admin.failures import views
from iotda_admin.failures.export import failures_csv

app_name = "failures"
urlpatterns = [
    path("", views.failures, name="failures"),
    path("failures.csv", failures_csv, name="failures_csv"),
    path("take/", views.take, name="take"),
    path("give-back/", views.give_back, name="give_back"),
    path("note/", views.note, name="note"),
    path("solve/", views.solve, name="solve"),
    path("reopen/", views.reopen, name="reopen"),
    path("retry/", views.retry, name="retry"),
]
