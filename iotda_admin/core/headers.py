"""Headers that Django does not set, on every answer: pages, files, errors, redirects."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

# What could watch or reach out. Only names that every browser knows: the others are complained of.
DENIED = (
    "accelerometer", "camera", "display-capture", "fullscreen", "geolocation", "gyroscope", "hid",
    "magnetometer", "microphone", "midi", "payment", "publickey-credentials-get", "serial", "usb",
)  # fmt: skip
HEADERS = {
    "Permissions-Policy": ", ".join(f"{name}=()" for name in DENIED),
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Headers:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response
