from django.urls import path

from iotda_admin.audit import export, views

app_name = "audit"
urlpatterns = [
    path("", views.event_list, name="events"),
    path("<int:seq>/", views.event_detail, name="event"),
    path("codes/", views.frequent_codes, name="codes"),
    path(
        "export.csv", views.event_export, {"export": export.export_csv}, name="export"
    ),
    path(
        "export.jsonl",
        views.event_export,
        {"export": export.export_json_lines},
        name="export_lines",
    ),
]
