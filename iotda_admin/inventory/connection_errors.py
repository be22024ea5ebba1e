"""Explain why the connection to IoTDA fails, and which setting to change."""

from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from iotda_admin.iotda import (
    UNTRUSTED,
    BadResponse,
    IotdaError,
    ProxyFailed,
    Throttled,
    Unreachable,
)
from iotda_admin.operations.error_codes import explain_code

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


def endpoint_host() -> str:
    return urlsplit(settings.IOTDA_ENDPOINT).hostname or ""


def uses_instance_host() -> bool:
    return ".iotda-app." in endpoint_host()


def uses_derived_signature() -> bool:
    chosen = settings.IOTDA_SIGNATURE
    return chosen == "derived" or (chosen == "auto" and uses_instance_host())


def authentication() -> str:
    """Name the way to authenticate that the settings choose."""
    signature = "derived" if uses_derived_signature() else "ordinary"
    ways = {
        "aksk": f"AK/SK with the {signature} signature",
        "password": "IAM password",
        "token": "token",
    }
    return ways[settings.IOTDA_AUTH]


def explain_error(error: IotdaError) -> str:
    skew = error.clock_skew_s or 0
    # A token comes from IAM, not from IoTDA.
    setting = "IAM_ENDPOINT" if error.operation == "CreateToken" else "IOTDA_ENDPOINT"
    facts = {
        "host": urlsplit(getattr(settings, setting)).hostname or "",
        "setting": setting,
        "region": settings.IOTDA_REGION,
        "why": error.message,
        "meaning": explain_code(error.code, error.status).meaning,
        "action": ACTIONS.get(error.operation, error.operation),
        "minutes": round(abs(skew) / 60),
        "direction": _("ahead") if skew > 0 else _("behind"),
    }
    return explanation(error) % facts


def explanation(error: IotdaError) -> str:
    match error:
        case ProxyFailed(status=407):
            return _(
                "IoTDA cannot be reached: %(why)s. Write them into IOTDA_PROXY, as "
                "http://user:password@host:port."
            )
        case ProxyFailed():
            return _("IoTDA cannot be reached: %(why)s. Check IOTDA_PROXY.")
        case Unreachable() if error.message == UNTRUSTED:
            return _(
                "The TLS certificate of %(host)s is not trusted. If your own CA has signed it, "
                "set IOTDA_CA_BUNDLE to its file."
            )
        case Unreachable():
            return _(
                "%(host)s could not be reached (%(why)s). Check %(setting)s, DNS and the firewall."
            )
        case BadResponse():
            return _(
                "%(host)s answered, but not as IoTDA does (%(why)s). Is it a proxy or another service?"
            )
        case Throttled():
            return _(
                "IoTDA asks to slow down. The connection itself works: try again in a minute."
            )
        case IotdaError(status=401):
            return explain_unauthorized(error)
        case IotdaError(status=403):
            return explain_forbidden(error)
        case IotdaError(status=404, code="" | "APIGW.0101" | "APIG.0101"):
            return _(
                "There is no IoTDA at this address. IOTDA_ENDPOINT is the application access "
                "address, without a path."
            )
        case IotdaError(status=400, code="IOTDA.000006"):
            return _(
                "IoTDA does not accept the request. IOTDA_PROJECT_ID is the project's ID, not its name."
            )
        case IotdaError(status=status) if status and status >= 500:
            return _("IoTDA has a fault of its own. Try again later.")
    return explain_refusal(error)


def explain_unauthorized(error: IotdaError) -> str:
    if abs(error.clock_skew_s or 0) > SKEW_LIMIT_S:
        return _(
            "The clock of this server is %(minutes)d minutes %(direction)s. IoTDA accepts 15. Set the clock."
        )
    if settings.IOTDA_AUTH == "token":
        return _(
            "The token is wrong or has expired (they live 24 hours). Set a new IOTDA_TOKEN."
        )
    if settings.IOTDA_AUTH == "password":
        return _(
            "IAM refuses the login. Check IAM_DOMAIN (the account), IAM_USER (an IAM "
            "user, not a HUAWEI ID) and IAM_PASSWORD."
        )
    derived, instance = uses_derived_signature(), uses_instance_host()
    if derived and not instance:
        return _(
            "This host does not take the derived signature: set IOTDA_SIGNATURE=sdk or use the "
            "instance's own host. Or IOTDA_REGION (%(region)s), AK or SK are wrong."
        )
    if not derived and (instance or error.code == "IOTDA.000002"):
        return _(
            "This host takes the derived signature only: set IOTDA_SIGNATURE=derived (or "
            "auto) and IOTDA_REGION. Or AK or SK are wrong."
        )
    return _(
        "AK or SK are wrong, or IOTDA_REGION (%(region)s) is not the region of this host."
    )


def explain_forbidden(error: IotdaError) -> str:
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
        case "IOTDA.000022" | "APIGW.0302" | "APIG.0302":
            return _(
                "The account lacks a permission. Its administrator can grant it, "
                "as an action like %(action)s."
            )
    return explain_refusal(error)


def explain_refusal(error: IotdaError) -> str:
    """Show IoTDA's own words, and what its code means if it is known."""
    return _("%(host)s refuses this call: “%(why)s”. %(meaning)s")
