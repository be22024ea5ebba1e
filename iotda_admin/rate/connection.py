"""The one configured connection to IoTDA, shared by the threads of this process."""

import time
from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from requests.auth import AuthBase

from iotda_admin.core import metrics
from iotda_admin.iotda import (
    AkSk,
    CallRecord,
    Client,
    Gate,
    IotdaError,
    PasswordToken,
    StaticToken,
)
from iotda_admin.rate.gate import SharedRate


@cache
def client() -> Client:
    """Made at the first call, so after a server's forks. Raises ImproperlyConfigured."""
    try:
        return Client(
            endpoint=settings.IOTDA_ENDPOINT,
            project_id=settings.IOTDA_PROJECT_ID,
            auth=auth(),
            instance_id=settings.IOTDA_INSTANCE_ID,
            region=settings.IOTDA_REGION,
            connect_timeout=settings.IOTDA_CONNECT_TIMEOUT,
            deadline=settings.IOTDA_DEADLINE,
            pool_size=settings.IOTDA_CONNECTIONS,
            proxy=settings.IOTDA_PROXY,
            observer=count_call,
            gate=CountedGate(SharedRate()),
        )
    except ValueError as error:
        raise ImproperlyConfigured(
            f"IOTDA_ENDPOINT or the credentials that go with it are wrong: {error}."
        ) from error


def auth() -> AuthBase:
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
            )
        case _:
            return AkSk(
                settings.IOTDA_AK,
                settings.IOTDA_SK,
                region=settings.IOTDA_REGION,
                signature=settings.IOTDA_SIGNATURE,  # type: ignore[arg-type]
                security_token=settings.IOTDA_SECURITY_TOKEN,
            )


def unknown_to_iotda(error: IotdaError) -> bool:
    """A gateway's 404 says nothing of a device or a policy: only the platform's own counts."""
    return error.status == 404 and error.code.startswith("IOTDA.")


def status_of(error: IotdaError) -> int:
    """What a page answers that could not read from IoTDA what it is about."""
    if unknown_to_iotda(error):
        return 404
    return 503 if error.retryable else 502


def count_call(record: CallRecord) -> None:
    """The client's observer."""
    metrics.CALLS.labels(record.operation, record.status or "none").inc()
    metrics.CALL_SECONDS.labels(record.operation).observe(record.seconds)


class CountedGate:
    """A gate, and how long one waits before it."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def enter(self, operation: str) -> None:
        started = time.perf_counter()
        try:
            self.gate.enter(operation)
        except Exception:
            metrics.RATE_REFUSED.inc()
            raise
        finally:
            metrics.RATE_SECONDS.inc(time.perf_counter() - started)

    def throttled(self, operation: str, retry_after: float | None) -> None:
        metrics.THROTTLED.inc()
        self.gate.throttled(operation, retry_after)
