"""Answer health checks and scrapes before anything that can refuse them.

Kubernetes and Prometheus call a machine by its address, without TLS: no host name, no
redirect and no session is needed.
"""

from collections.abc import Iterable
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse

from django.core.handlers.wsgi import WSGIRequest
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import resolve

from iotda_admin.core.middleware import PROBES, Middleware


class Probes(Middleware):
    """Answer probes without the middlewares that follow."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in PROBES:
            return self.get_response(request)
        return answer_probe(request)


def answer_probe(request: HttpRequest) -> HttpResponse:
    request.resolver_match = match = resolve(request.path_info)
    response: HttpResponse = match.func(request)
    response.headers["Cache-Control"] = "no-store"
    return response


def probes_application(
    environ: dict[str, Any], start_response: StartResponse
) -> Iterable[bytes]:
    """Answer only probes, for a process that is not a web server."""
    request = WSGIRequest(environ)
    try:
        known = request.path_info in PROBES
        response = answer_probe(request) if known else HttpResponse(status=404)
    finally:
        close_old_connections()
    status = f"{response.status_code} {response.reason_phrase}"
    start_response(status, list(response.items()))
    return [response.content]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handler(WSGIRequestHandler):
    # Seconds that a silent client may hold a thread.
    timeout = 10

    def address_string(self) -> str:
        return str(self.client_address[0])

    def log_message(self, *_: object) -> None:
        """Scrapes are not worth a line."""


def serve_probes(port: int) -> None:
    """Answer probes on all addresses of this machine, in the background."""
    server = make_server("", port, probes_application, Server, Handler)
    Thread(target=server.serve_forever, name="probes", daemon=True).start()
