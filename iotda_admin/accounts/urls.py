from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.urls import path

from iotda_admin.accounts import permission_overview, views
from iotda_admin.core.concurrency import limit_concurrency

app_name = "accounts"
checks_password = limit_concurrency("password checks")
sign_in = checks_password(login_not_required(views.SignInView.as_view()))
own_password = checks_password(views.OwnPasswordView.as_view())
urlpatterns = [
    path("login/", sign_in, name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("password/", own_password, name="password"),
    path("rights/", permission_overview.permission_overview, name="rights"),
]
