"""The configured client of IoTDA, one per process and shared by its threads."""

from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from requests.auth import AuthBase

from iotda_admin.core import metrics
from iotda_admin.iotda import (
    AkSk,
    CallRecord,
    Client,
    IotdaError,
    PasswordToken,
    StaticToken,
)
from iotda_admin.rate.hook import SharedRateLimiter
from iotda_admin.rate.platform_state import observe_state


@cache
def client() -> Client:
    """Return the process's client; create it at the first call.

    The web server creates it before its processes are forked, which is harmless: it has
    neither connections nor threads before its first call.

    Raises ImproperlyConfigured for a wrong endpoint or wrong credentials.
    """
    try:
        return Client(
            endpoint=settings.IOTDA_ENDPOINT,
            project_id=settings.IOTDA_PROJECT_ID,
            auth=credentials(),
            instance_id=settings.IOTDA_INSTANCE_ID,
            connect_timeout=settings.IOTDA_CONNECT_TIMEOUT,
            deadline=settings.IOTDA_DEADLINE,
            pool_size=settings.IOTDA_CONNECTIONS,
            proxy=settings.IOTDA_PROXY,
            ca_bundle=settings.IOTDA_CA_BUNDLE,
            observer=observe_call,
            rate_limiter=SharedRateLimiter(),
        )
    except ValueError as error:
        raise ImproperlyConfigured(
            f"IOTDA_ENDPOINT or the credentials that go with it are wrong: {error}."
        ) from error


def credentials() -> AuthBase:
    """Return the credentials that IOTDA_AUTH selects."""
    match settings.IOTDA_AUTH:
        case "token":
            return StaticToken(settings.IOTDA_TOKEN)
        case "password":
            return PasswordToken(
                iam_endpoint=settings.IAM_ENDPOINT,
                domain=settings.IAM_DOMAIN,
                user=settings.IAM_USER,
                password=settings.IAM_PASSWORD,
                project_id=settings.IOTDA_PROJECT_ID,
                connect_timeout=settings.IOTDA_CONNECT_TIMEOUT,
                deadline=settings.IOTDA_DEADLINE,
                proxy=settings.IOTDA_PROXY,
                ca_bundle=settings.IOTDA_CA_BUNDLE,
            )
        case _:
            return AkSk(
                settings.IOTDA_AK,
                settings.IOTDA_SK,
                region=settings.IOTDA_REGION,
                signature=settings.IOTDA_SIGNATURE,  # type: ignore[arg-type]
                security_token=settings.IOTDA_SECURITY_TOKEN,
            )


def page_status(error: IotdaError) -> int:
    """Return the HTTP status of a page whose read from IoTDA failed."""
    if error.not_found:
        return 404
    return 503 if error.retryable else 502


def observe_call(record: CallRecord) -> None:
    """Count a finished call, and share how IoTDA answers. The client's observer."""
    metrics.CALLS.labels(record.operation, record.status or "none").inc()
    metrics.CALL_SECONDS.labels(record.operation).observe(record.seconds)
    observe_state(record)
