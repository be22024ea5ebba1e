from django.urls import path

from policies import views
from policies.export import policies_csv
from policies.replacement_views import replace_policy

app_name = "policies"
urlpatterns = [
    path("", views.policies, name="policies"),
    # No id has a dot, so these can never be meant as a policy.
    path("policies.csv", policies_csv, name="policies_csv"),
    path("selection.bind/", views.bind, name="bind_selection"),
    path("of.device/<id:device_id>/", views.of_device, name="of_device"),
    path("of.target/<id:target_id>/", views.of_target, name="of_target"),
    path(
        "replace.for/<int:number>/<id:target_id>/",
        replace_policy,
        name="replace",
    ),
    path("<id:policy_id>/", views.policy, name="policy"),
    path("<id:policy_id>/bind/", views.bind, name="bind"),
    path("<id:policy_id>/unbind/", views.unbind, name="unbind"),
]
