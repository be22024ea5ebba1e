"""The product's URLs plus four faulty ones, each of which the fuzz has to find."""

import time
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import path

from iotda_admin import urls

handler400, handler403, handler404 = urls.handler400, urls.handler403, urls.handler404
handler500 = urls.handler500


def number(request: HttpRequest) -> HttpResponse:
    return HttpResponse(int(request.GET["after"]) if "after" in request.GET else "")


def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"<p>{request.GET.get('q', '')}</p>")


def away(request: HttpRequest) -> HttpResponse:
    return HttpResponse(
        status=302, headers={"Location": quiet(request.GET.get("next", "/"))}
    )


def slow(request: HttpRequest) -> HttpResponse:
    if request.method == "DELETE":
        time.sleep(1.1)
    return HttpResponse("")


def quiet(text: str) -> str:
    return text.encode("ascii", "ignore").decode().replace("\r", "").replace("\n", "")


def planted(address: str, view: Any) -> Any:
    return path(address, login_not_required(view), name=address)


PLANTED = [
    planted("planted/number", number),
    planted("planted/echo", echo),
    planted("planted/away", away),
    planted("slow/", slow),
]
urlpatterns = [*PLANTED, *urls.urlpatterns]
