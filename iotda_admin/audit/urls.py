from django.urls import path

from iotda_admin.audit import views

app_name = "audit"
urlpatterns = [
    path("", views.events, name="events"),
    path("<int:seq>/", views.event, name="event"),
    path("codes/", views.codes, name="codes"),
    path("export.csv", views.as_csv, name="export"),
    path("export.jsonl", views.as_json, name="export_lines"),
]
