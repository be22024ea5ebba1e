"""Settings. Each value that a deployment may change is read here, once.

docs/settings.md documents them.
"""

import os
from pathlib import Path

from django.utils.csp import CSP
from django.utils.translation import gettext_lazy as _

from iotda_admin.core import env
from iotda_admin.core.database import pool_options
from iotda_admin.core.dotenv import read_dotenv

# The database holds password hashes and sessions: only this account may read the files.
os.umask(0o077)

BASE_DIR = Path(__file__).resolve().parent.parent
read_dotenv(BASE_DIR / ".env")

DATA_DIR = env.folder("DATA_DIR", BASE_DIR / "var")
SECRET_KEY = env.kept_secret("SECRET_KEY", DATA_DIR / "secret_key")
# Former keys: their sessions stay valid.
SECRET_KEY_FALLBACKS = env.secret("SECRET_KEY_FALLBACKS").split()
DEBUG = env.flag("DEBUG", False)
DEFAULT_EXCEPTION_REPORTER = "iotda_admin.core.error_report.SecretReporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "iotda_admin.core.error_report.SecretFilter"
ALLOWED_HOSTS = env.items(
    "ALLOWED_HOSTS",
    "localhost,127.0.0.1,[::1]",
    pattern=r"\*|\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*|\[[0-9a-f:]+\]",
    means="names such as desk.example.com, separated by commas",
)
HTTPS = env.flag("HTTPS", True)

# --- The platform -------------------------------------------------------------------------------
# The defaults are the simulator's. With IOTDA_ENDPOINT, IOTDA_PROJECT_ID, IOTDA_REGION,
# IOTDA_INSTANCE_ID, IOTDA_AK and IOTDA_SK changed, everything talks to a real IoTDA.
# Other hosts than Huawei Cloud's that the credentials may be sent to.
IOTDA_HOSTS = env.items(
    "IOTDA_HOSTS",
    pattern=r"[a-z0-9-]+(\.[a-z0-9-]+)*",
    means="host names such as iotda.example.com, separated by commas",
)
IOTDA_ENDPOINT = env.url("IOTDA_ENDPOINT", "http://127.0.0.1:8100", hosts=IOTDA_HOSTS)
IOTDA_PROJECT_ID = env.text(
    "IOTDA_PROJECT_ID",
    "5c0ffee05c0ffee05c0ffee05c0ffee0",
    pattern=r"[0-9a-fA-F]{32}",
    means="32 hex digits",
)
IOTDA_REGION = env.text(
    "IOTDA_REGION",
    "cn-north-4",
    pattern=r"[a-z]{2}(-[a-z]+)+-\d+",
    means="a region such as cn-north-4",
)
IOTDA_INSTANCE_ID = env.text(
    "IOTDA_INSTANCE_ID",
    pattern=r"[A-Za-z0-9-]{0,64}",
    means="an instance id (letters, digits, -)",
)
IOTDA_AUTH = env.choice("IOTDA_AUTH", "aksk", ("aksk", "password", "token"))
IOTDA_AK = env.secret("IOTDA_AK", "DEMOAK")
IOTDA_SK = env.secret("IOTDA_SK", "DEMOSK")
IOTDA_SECURITY_TOKEN = env.secret("IOTDA_SECURITY_TOKEN")
IOTDA_SIGNATURE = env.choice("IOTDA_SIGNATURE", "auto", ("auto", "sdk", "derived"))
IOTDA_TOKEN = env.secret("IOTDA_TOKEN")
IAM_ENDPOINT = env.url(
    "IAM_ENDPOINT", f"https://iam.{IOTDA_REGION}.myhuaweicloud.com", hosts=IOTDA_HOSTS
)
IAM_DOMAIN = env.text("IAM_DOMAIN")
IAM_USER = env.text("IAM_USER")
IAM_PASSWORD = env.secret("IAM_PASSWORD")
credentials = {
    "aksk": {"IOTDA_AK": IOTDA_AK, "IOTDA_SK": IOTDA_SK},
    "token": {"IOTDA_TOKEN": IOTDA_TOKEN},
    "password": {
        "IAM_DOMAIN": IAM_DOMAIN,
        "IAM_USER": IAM_USER,
        "IAM_PASSWORD": IAM_PASSWORD,
    },
}
env.require(credentials[IOTDA_AUTH])
IOTDA_PROXY = env.proxy("IOTDA_PROXY")
# CAs to trust in addition to the public ones, for calls to IoTDA and IAM.
IOTDA_CA_BUNDLE = env.certificates("IOTDA_CA_BUNDLE")
IOTDA_CONNECT_TIMEOUT = env.number("IOTDA_CONNECT_TIMEOUT", 5, low=0.1, high=60)
IOTDA_DEADLINE = env.number("IOTDA_DEADLINE", 10, low=0.2, high=120)
# Write requests that one worker has under way at the same time.
IOTDA_IN_FLIGHT = env.integer("IOTDA_IN_FLIGHT", 8, low=1, high=32)
IOTDA_CONNECTIONS = env.integer("IOTDA_CONNECTIONS", 16, low=1, high=64)
# Calls a second that the platform allows this account, and at once. 0: no limit of ours.
IOTDA_RATE = env.number("IOTDA_RATE", 10, low=0, high=10_000)
IOTDA_BURST = env.integer("IOTDA_BURST", 10, low=1, high=100_000)

# --- What this product does ---------------------------------------------------------------------
INVENTORY_REFRESH = env.number("INVENTORY_REFRESH", 300, low=10, high=86_400)
INVENTORY_IN_FLIGHT = env.integer("INVENTORY_IN_FLIGHT", 4, low=1, high=11)
# What IoTDA's data forwarding sends to prove itself. Empty: nothing is received.
IOTDA_PUSH_SECRET = env.token("IOTDA_PUSH_SECRET")
# Seconds between the two reads that must both miss a change before it counts as not applied.
READ_BACK_GAP = env.number("READ_BACK_GAP", 5, low=0, high=600)
# Requested work of which nothing was sent for so many seconds is held: a user continues it. 0: never.
RESUME_WITHIN = env.number("RESUME_WITHIN", 3600, low=0, high=30 * 86400)
# Refused calls in a row with the same answer after which an operation pauses. 0: never.
PAUSE_AFTER_REFUSALS = env.integer("PAUSE_AFTER_REFUSALS", 5, low=0, high=1_000_000)
# More devices than this are frozen by IoTDA's batch task. Up to it each is read first and the rest can still
# be cancelled: that takes less than two minutes at the 10 calls a second of a small instance.
BATCH_TASK_ABOVE = env.integer("BATCH_TASK_ABOVE", 500, low=0, high=1_000_000)
TARGETS_LIMIT = env.integer("TARGETS_LIMIT", 100_000, low=20, high=1_000_000)

# --- The audit trail ----------------------------------------------------------------------------
# With a key, access to the database alone is not enough to forge the trail. Keep it
# elsewhere.
AUDIT_KEY = env.secret("AUDIT_KEY")
# Former keys, to verify the events that were written with them.
AUDIT_OLD_KEYS = env.secret("AUDIT_OLD_KEYS").split()
WORKING_HOURS = env.working_hours("WORKING_HOURS", "Mon-Fri 08:00-18:00")

# What `manage.py worker` does besides sending operations: a function, and the seconds between two runs.
WORKER_JOBS = {
    "iotda_admin.health.workers.record_heartbeat": 5,
    "iotda_admin.operations.execution.reconciliation.recover_stalled": 1,
    "iotda_admin.operations.execution.reconciliation.reconcile_due": 1,
    "iotda_admin.operations.execution.batch_tasks.poll_due_tasks": 1,
    "iotda_admin.inventory.sync.sync_if_due": 1,
    "devices.counts.sum_up_counts": 60,
    "devices.counts.repair_counts": 3600,
    "iotda_admin.failures.auto_resolve.resolve_by_inventory": 5,
    "iotda_admin.audit.denials.record_counted_denials": 10,
    "iotda_admin.audit.head.log_head": 3600,
    "iotda_admin.accounts.sessions.prune_sessions": 3600,
    "iotda_admin.access.kept_forms.prune_kept_forms": 3600,
    "iotda_admin.accounts.login_throttle.prune_attempts": 3600,
}
# What `manage.py worker --metrics-port` starts, with the port.
WORKER_METRICS_SERVER = "iotda_admin.health.probes.serve_probes"

# --- Django -------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "iotda_admin.access",
    "iotda_admin.accounts",
    "iotda_admin.audit",
    "iotda_admin.failures",
    "iotda_admin.health",
    "iotda_admin.inventory",
    "iotda_admin.maintenance",
    "iotda_admin.operations",
    "iotda_admin.rate",
    "devices",
    "policies",
    "django_htmx",
    "iotda_admin.accounts.admin_site.AccountsAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "iotda_admin.core.middleware.RequestId",
    "iotda_admin.core.middleware.AccessLog",
    "iotda_admin.core.middleware.Headers",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "iotda_admin.health.probes.Probes",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # It adds random bytes, so that the length of a page does not give its token away.
    "django.middleware.gzip.GZipMiddleware",
    "iotda_admin.accounts.sessions.Sessions",
    "django.middleware.locale.LocaleMiddleware",
    "iotda_admin.core.middleware.TimeZone",
    "django.middleware.common.CommonMiddleware",
    "iotda_admin.core.middleware.BodyLimit",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "iotda_admin.access.current_request.CurrentRequest",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "iotda_admin.core.middleware.DatabaseErrors",
    "iotda_admin.accounts.sessions.SessionLimits",
    "iotda_admin.accounts.middleware.SignInRequired",
    "iotda_admin.accounts.middleware.RecordDenied",
    "iotda_admin.core.middleware.NoStore",
]

ROOT_URLCONF = "iotda_admin.urls"
WSGI_APPLICATION = "iotda_admin.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    [
                        "iotda_admin.core.template_loader.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                )
            ],
            "builtins": [
                "iotda_admin.core.templatetags.core_tags",
                "iotda_admin.access.templatetags.access_tags",
                "iotda_admin.audit.templatetags.audit_tags",
                "iotda_admin.operations.templatetags.operations_tags",
                "iotda_admin.inventory.templatetags.inventory_tags",
                "iotda_admin.failures.templatetags.failures_tags",
                "iotda_admin.health.templatetags.health_tags",
                "devices.templatetags.devices_tags",
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

database = env.database("DATABASE_URL", DATA_DIR / "iotda-admin.sqlite3")
# Connections of one process to PostgreSQL. 0: one is opened for each request.
DATABASE_POOL = env.integer("DATABASE_POOL", 32, low=0, high=1000)
# Seconds that a request, and the worker, may wait for a lock of the database, and that
# PostgreSQL may take for one of their statements. 0: without a limit.
DATABASE_LOCK_TIMEOUT = env.number("DATABASE_LOCK_TIMEOUT", 5, low=0, high=600)
WORKER_LOCK_TIMEOUT = env.number("WORKER_LOCK_TIMEOUT", 20, low=0, high=600)
DATABASE_STATEMENT_TIMEOUT = env.number(
    "DATABASE_STATEMENT_TIMEOUT", 60, low=0, high=86_400
)
WORKER_STATEMENT_TIMEOUT = env.number(
    "WORKER_STATEMENT_TIMEOUT", 600, low=0, high=86_400
)
if database["ENGINE"] == "django.db.backends.sqlite3":
    database["ENGINE"] = "iotda_admin.core.sqlite3"
    database["OPTIONS"] = {
        # IMMEDIATE: a transaction that will write waits for its turn instead of failing half-way.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # FULL: an intent survives a power cut, not only a crash of the process.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
elif DATABASE_POOL:
    database["OPTIONS"]["pool"] = pool_options(DATABASE_POOL, 10)
DATABASES = {"default": database}

# Empty: `manage.py worker` does the work.
CELERY_BROKER_URL = env.broker("CELERY_BROKER_URL")

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English"))]
# The sentences are written in it: a single language needs no catalogue.
USE_I18N = len(LANGUAGES) > 1
FORMAT_MODULE_PATH = "iotda_admin.core.formats"
# What a page shows until the browser has said which zone the reader is in, and what working hours are in.
TIME_ZONE = env.time_zone("TIME_ZONE", "UTC")

STATIC_URL = "static/"
# Behind the path that the site is served under, SCRIPT_NAME.
WHITENOISE_STATIC_PREFIX = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "iotda_admin.core.static_files.CompressedStorage"},
}

# --- Sessions, passwords, headers ---------------------------------------------------------------
AUTHENTICATION_BACKENDS = ["iotda_admin.accounts.auth_backend.ScopedBackend"]
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "accounts:login"
PASSWORD_HASHERS = ["iotda_admin.accounts.password_checks.LimitedArgon2Hasher"]
# In one process; more sign-ins than may wait are asked to try again.
PASSWORD_HASHES_AT_ONCE = 1
PASSWORD_CHECKS_AT_ONCE = 2
PASSWORD_CHECKS_WAITING = 6
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"{module}.{name}Validator"}
    for module, names in {
        "django.contrib.auth.password_validation": (
            "UserAttributeSimilarity",
            "MinimumLength",
            "CommonPassword",
            "NumericPassword",
        ),
        "iotda_admin.accounts.password_rules": ("VisibleCharacters", "OldPassword"),
    }.items()
    for name in names
]
# Since the user's last action, and since sign-in in any case.
SESSION_IDLE_MINUTES = env.integer("SESSION_IDLE_MINUTES", 30, low=1, high=720)
SESSION_HOURS = env.integer("SESSION_HOURS", 12, low=1, high=24)
SESSION_ENGINE = "iotda_admin.accounts.sessions"
SESSION_COOKIE_AGE = SESSION_HOURS * 3600
# Failed logins for one account from one address, and for how long it is then locked.
LOGIN_TRIES = env.integer("LOGIN_TRIES", 5, low=1, high=100)
LOGIN_MINUTES = env.integer("LOGIN_MINUTES", 15, low=1, high=1440)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
CSRF_COOKIE_HTTPONLY = True
# Names of our own: another application of this host can have Django's. A browser takes a
# cookie named __Host- from this host alone, and only over https.
COOKIE_PREFIX = "__Host-iotda_admin" if HTTPS else "iotda_admin"
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}_session"
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}_csrf"
# Not in a cookie, whose name would be Django's as well.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
# Kubernetes and Prometheus call a machine without TLS.
SECURE_REDIRECT_EXEMPT = [r"(^|/)(healthz|readyz|metrics)$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS and env.flag("HSTS_SUBDOMAINS", True)
# It concerns the whole domain, so its owner decides.
SECURE_HSTS_PRELOAD = HTTPS and env.flag("HSTS_PRELOAD", False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
CSRF_TRUSTED_ORIGINS = env.items(
    "CSRF_TRUSTED_ORIGINS",
    pattern=r"https?://(\*\.)?[A-Za-z0-9.-]+(:\d+)?",
    means="addresses such as https://desk.example.com, separated by commas",
)
BEHIND_PROXY = env.flag("BEHIND_PROXY", False)
if BEHIND_PROXY:
    # Only a proxy that sets this header itself may be trusted with it.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
OWN_SOURCES = ("script-src", "style-src", "img-src", "connect-src", "form-action")
NO_SOURCES = ("default-src", "base-uri", "frame-ancestors")
SECURE_CSP = {
    **dict.fromkeys(NO_SOURCES, CSP.NONE),
    **dict.fromkeys(OWN_SOURCES, CSP.SELF),
}
# What one operation may have as pasted ids of 128 characters, and room for the rest of the form.
DATA_UPLOAD_MAX_MEMORY_SIZE = TARGETS_LIMIT * 130 + 1_000_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = min(TARGETS_LIMIT, 100_000) + 1_000
# A whole request: a file has other columns than the ids. It goes to the disk, not into memory.
BODY_LIMIT = TARGETS_LIMIT * 300 + 2_000_000

DATA_UPLOAD_MAX_NUMBER_FILES = 5

# How the tickets of the organisation are written, and where they are.
TICKET_PATTERN = env.regex("TICKET_PATTERN", r".*")
TICKET_EXAMPLE = env.text(
    "TICKET_EXAMPLE",
    "INC-4711",
    pattern=TICKET_PATTERN,
    means="a ticket that TICKET_PATTERN matches",
)
TICKET_REQUIRED = env.flag("TICKET_REQUIRED", False)
TICKET_URL = env.text(
    "TICKET_URL",
    pattern=r"(https?://[^\s{}]*\{ticket\}[^\s{}]*)?",
    means="an address such as https://desk.example.com/browse/{ticket}",
)

CSRF_FAILURE_VIEW = "iotda_admin.accounts.views.csrf_failure"

# Without it processes do not share their counters, and there is no /metrics.
METRICS_TOKEN = env.token("METRICS_TOKEN")

LOG_LEVEL = env.choice("LOG_LEVEL", "info", ("debug", "info", "warning", "error"))
LOG_FORMAT = env.choice("LOG_FORMAT", "text", ("text", "json"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"()": "iotda_admin.core.logging.Text"},
        "json": {"()": "iotda_admin.core.logging.Json"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    # A rejected request is not an error: without this, each one logs a traceback.
    "loggers": {
        "django.request": {"level": "ERROR"},
        # Its two lines for each message say nothing new.
        "celery": {"level": "WARNING"},
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL.upper()},
}
