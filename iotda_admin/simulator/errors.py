"""How IoTDA says no: one exception, and the refusals that more than one call needs."""

from dataclasses import dataclass


@dataclass
class Refusal(Exception):
    status: int
    code: str
    message: str
    retry_after: int | None = None


def invalid(message: str) -> Refusal:
    return Refusal(400, "IOTDA.000006", f"Invalid input. {message}")


def unreadable(message: str) -> Refusal:
    return Refusal(400, "IOTDA.000008", f"The request body cannot be read. {message}")


def no_such_api() -> Refusal:
    return Refusal(
        404,
        "APIGW.0101",
        "The API does not exist or has not been published in the environment.",
    )


def too_large() -> Refusal:
    return Refusal(413, "APIGW.0201", "The request body is too large.")


def throttled(seconds: int) -> Refusal:
    return Refusal(
        429,
        "APIGW.0308",
        "The throttling threshold has been reached.",
        retry_after=seconds,
    )


def no_device() -> Refusal:
    return Refusal(404, "IOTDA.014000", "The device does not exist.")


def no_space() -> Refusal:
    # Terraform's provider relies on this being 403, not 404.
    return Refusal(403, "IOTDA.001000", "The resource space does not exist.")
