"""Explain why the connection to IoTDA fails, and which setting to change."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from iotda_admin.iotda import BadResponse, IotdaError, Throttled, Unreachable

# The gateway accepts clocks that are at most this far from its own.
SKEW_LIMIT_S = 15 * 60
# The IAM action of each call. IoTDA documents that of products; the others are assumed
# to follow the same pattern.
ACTIONS = {
    "ShowApplications": "iotda:apps:queryList",
    "ListProducts": "iotda:products:queryList",
    "ListDevices": "iotda:devices:queryList",
    "ListDevicePolicies": "iotda:devicepolicy:queryList",
}


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """The settings that an explanation needs; no secrets."""

    host: str
    auth: str
    derived: bool
    region: str

    @property
    def authentication(self) -> str:
        if self.auth != "aksk":
            return {"password": "IAM password", "token": "token"}[self.auth]
        return f"AK/SK with the {'derived' if self.derived else 'ordinary'} signature"

    @property
    def instance_host(self) -> bool:
        return ".iotda-app." in self.host


def connection_settings() -> ConnectionSettings:
    host = urlsplit(settings.IOTDA_ENDPOINT).hostname or ""
    chosen = settings.IOTDA_SIGNATURE
    derived = chosen == "derived" or (chosen == "auto" and ".iotda-app." in host)
    return ConnectionSettings(host, settings.IOTDA_AUTH, derived, settings.IOTDA_REGION)


def explain_error(error: IotdaError, connection: ConnectionSettings) -> str:
    if isinstance(error, Unreachable):
        return _(
            "%(host)s could not be reached (%(why)s). Check IOTDA_ENDPOINT, DNS and the firewall."
        ) % {
            "host": connection.host,
            "why": error.message,
        }
    if isinstance(error, BadResponse):
        return _(
            "%(host)s answered, but not as IoTDA does (%(why)s). Is it a proxy or another service?"
        ) % {
            "host": connection.host,
            "why": error.message,
        }
    if isinstance(error, Throttled):
        return _(
            "IoTDA asks to slow down. The connection itself works: try again in a minute."
        )
    if error.status == 401:
        return explain_unauthorized(error, connection)
    if error.status == 403:
        return explain_forbidden(error, connection)
    if error.status == 404:
        return _(
            "There is no IoTDA at this address. IOTDA_ENDPOINT is the application access "
            "address, without a path."
        )
    if error.status == 400:
        return _(
            "IoTDA does not accept the request. IOTDA_PROJECT_ID is the project's ID, not its name."
        )
    return _("IoTDA has a fault of its own. Try again later.")


def explain_unauthorized(error: IotdaError, connection: ConnectionSettings) -> str:
    skew = error.clock_skew_s or 0.0
    if abs(skew) > SKEW_LIMIT_S:
        return _(
            "The clock of this server is %(minutes)d minutes %(direction)s. IoTDA accepts 15. Set the clock."
        ) % {
            "minutes": round(abs(skew) / 60),
            "direction": _("ahead") if skew > 0 else _("behind"),
        }
    if connection.auth == "token":
        return _(
            "The token is wrong or has expired (they live 24 hours). Set a new IOTDA_TOKEN."
        )
    if connection.auth == "password":
        return _(
            "IAM refuses the login. Check IAM_DOMAIN (the account), IAM_USER (an IAM "
            "user, not a HUAWEI ID) and IAM_PASSWORD."
        )
    if connection.derived and not connection.instance_host:
        return _(
            "This host does not take the derived signature: set IOTDA_SIGNATURE=sdk or use the "
            "instance's own host. Or IOTDA_REGION (%(region)s), AK or SK are wrong."
        ) % {"region": connection.region}
    if not connection.derived and (
        connection.instance_host or error.code == "IOTDA.000002"
    ):
        return _(
            "This host takes the derived signature only: set IOTDA_SIGNATURE=derived (or "
            "auto) and IOTDA_REGION. Or AK or SK are wrong."
        )
    return _(
        "AK or SK are wrong, or IOTDA_REGION (%(region)s) is not the region of this host."
    ) % {"region": connection.region}


def explain_forbidden(error: IotdaError, connection: ConnectionSettings) -> str:
    match error.code:
        case "IOTDA.000021":
            return _(
                "The credentials are good, but not for this place. Check "
                "IOTDA_PROJECT_ID and IOTDA_INSTANCE_ID, and use the instance's own "
                "host: console, Overview, Access Details."
            )
        case "IOTDA.000004":
            return _("The token is not for this project. Check IOTDA_PROJECT_ID.")
        case "IOTDA.001002" | "IOTDA.001006" | "IOTDA.001007":
            return _("The account has no resource space here that it may use.")
    action = ACTIONS.get(error.operation, error.operation)
    return _(
        "The account lacks a permission. Its administrator can grant it, as an action like %(action)s."
    ) % {"action": action}
