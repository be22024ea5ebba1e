from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.urls import path

from iotda_admin.accounts import permission_overview, views

app_name = "accounts"
urlpatterns = [
    path("login/", login_not_required(views.SignInView.as_view()), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("password/", views.OwnPasswordView.as_view(), name="password"),
    path("rights/", permission_overview.permission_overview, name="rights"),
]
