"""IoTDA's errors: one exception, and the errors that several endpoints raise."""

from dataclasses import dataclass


@dataclass
class ApiError(Exception):
    status: int
    code: str
    message: str
    retry_after: int | None = None


def invalid_input(message: str) -> ApiError:
    return ApiError(400, "IOTDA.000006", f"Invalid input. {message}")


def unreadable_body(message: str) -> ApiError:
    return ApiError(400, "IOTDA.000008", f"The request body cannot be read. {message}")


def invalid_time(name: str) -> ApiError:
    return ApiError(
        400, "IOTDA.000009", f"Invalid input. {name} must look like 20151212T121212Z."
    )


def unknown_endpoint() -> ApiError:
    return ApiError(
        404,
        "APIGW.0101",
        "The API does not exist or has not been published in the environment.",
    )


def body_too_large() -> ApiError:
    return ApiError(413, "APIGW.0201", "The request body is too large.")


def throttled(seconds: int) -> ApiError:
    return ApiError(
        429,
        "APIGW.0308",
        "The throttling threshold has been reached.",
        retry_after=seconds,
    )


def unknown_device() -> ApiError:
    return ApiError(404, "IOTDA.014000", "The device does not exist.")
