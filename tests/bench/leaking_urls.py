"""The product's URLs, with an overview that keeps a part of each request."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from iotda_admin.overview import overview

KEPT: list[bytes] = []


def leaking(request: HttpRequest) -> HttpResponse:
    KEPT.append(b"x" * 200_000)
    return overview(request)


urlpatterns = [path("", leaking), path("", include("iotda_admin.urls"))]
