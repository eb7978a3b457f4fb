"""All settings, from the environment. A bad value raises; nothing is guessed.

Embedded mode (no `DATABASE_URL` in the environment): `make run` keeps its generated secrets and the
address of its own PostgreSQL in `<data directory>/switchboard.env` (0600), read here. With a
`DATABASE_URL` only the two keys are taken from that file, and only where the environment has none.
"""

import os
from datetime import timedelta
from pathlib import Path

import django_stubs_ext
import environ
from django.templatetags.static import static
from django.urls import reverse_lazy

from config.environment import KEY_NAMES, read_env_file, with_host

# Forms and admin classes may name their model in brackets at run time too.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "var"))).resolve()
EMBEDDED = not os.environ.get("DATABASE_URL")
EMBEDDED_ENV_FILE = DATA_DIR / "switchboard.env"
# pytest names itself in the environment of everything it starts.
TESTING = env.bool("SWITCHBOARD_TESTING", default="PYTEST_VERSION" in os.environ)
_stored = {} if TESTING else read_env_file(EMBEDDED_ENV_FILE)
if not EMBEDDED:
    _stored = {name: _stored[name] for name in KEY_NAMES if name in _stored}
# Beside the environment, not in it: a child process decides for itself whether it is embedded.
_given = {name: value for name, value in os.environ.items() if value}
env.ENVIRON = {**_stored, **_given}
GENERATED_KEYS = any(name in _stored and name not in _given for name in KEY_NAMES)

VERSION = "0.1.0"
DEBUG = env.bool("DEBUG", default=False)

# --- Secrets -------------------------------------------------------------------------------------
# Placeholders are refused by the system checks (config/checks.py) outside tests and tooling.
INSECURE_SECRET_KEY = "insecure-only-for-tools-and-tests"  # noqa: S105 - refused by a check
INSECURE_FIELD_KEY = "tools:" + "A" * 43 + "="
SECRET_KEY = env.str("SECRET_KEY", default=INSECURE_SECRET_KEY)
FIELD_KEYS: list[str] = env.list("FIELD_KEYS", default=[INSECURE_FIELD_KEY])

# --- Addresses -----------------------------------------------------------------------------------
PORT = env.int("PORT", default=8000)
# Where `make run` starts the demo agent (examples/agents).
AGENT_PORT = env.int("AGENT_PORT", default=PORT + 1)
HOST: str = env.str("HOST", default="127.0.0.1")
PUBLIC_URL: str = env.str("PUBLIC_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")
HTTPS = PUBLIC_URL.startswith("https://")
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
USE_X_FORWARDED_HOST = False
if TRUSTED_PROXIES and HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- Applications --------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "accounts.staff_config.StaffConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "rest_framework",
    "dj_rest_auth",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "heroicons",
    "accounts",
    "conversations",
    "integrations.subscribers",  # hears of events before `agents` does (its apps.py says why)
    "agents",
    "integrations",
    "integrations.chatwoot",
    "integrations.native",
    "integrations.sandbox",
    "integrations.whatsapp",
    "config",
]

MIDDLEWARE = [
    "config.middleware.RequestIdMiddleware",
    "config.middleware.SecurityHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.MemberMiddleware",
    "config.middleware.StaffNetworkMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
# Foreign APIs answer with and without a trailing slash; a redirect would lose a POST's body.
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["heroicons.templatetags.heroicons"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.context_processors.member",
            ],
        },
    }
]

# --- Database ------------------------------------------------------------------------------------
# `default` is the app role (row level security holds it); migrations run as the owner role, given in
# DATABASE_OWNER_URL. The owner's URL is used by `manage.py migrate` alone (config/management).
DATABASES = {
    "default": {
        **with_host(
            env.db_url(
                "DATABASE_URL", default="postgres://switchboard_app@127.0.0.1:5432/switchboard"
            )
        ),
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": env.int("CONN_MAX_AGE", default=600),
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
    }
}
DATABASES["default"]["OPTIONS"].setdefault("connect_timeout", 5)
# Statements that come again are prepared: planning was half of PostgreSQL's work for a message.
DATABASES["default"]["OPTIONS"].setdefault("server_side_binding", True)
DATABASES["default"]["OPTIONS"].setdefault("prepare_threshold", 3)
DATABASE_OWNER_URL: str = env.str("DATABASE_OWNER_URL", default="")
ALLOW_RLS_BYPASS = env.bool("ALLOW_RLS_BYPASS", default=False)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- People --------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
if TESTING:  # every test makes people; a hash that is slow on purpose would be most of its time
    PASSWORD_HASHERS.insert(0, "django.contrib.auth.hashers.MD5PasswordHasher")
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_RESET_TIMEOUT = int(timedelta(hours=1).total_seconds())
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_ADAPTER = "accounts.mfa.EncryptedMFAAdapter"

SESSION_COOKIE_NAME = "__Host-sb_session" if HTTPS else "sb_session"
SESSION_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = int(timedelta(days=14).total_seconds())
CSRF_COOKIE_NAME = "__Host-sb_csrf" if HTTPS else "sb_csrf"
CSRF_COOKIE_SECURE = HTTPS
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_SSL_REDIRECT = False  # the proxy in front redirects; health checks speak plain http
X_FRAME_OPTIONS = "DENY"

# --- REST ----------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.auth.TokenAuthentication",
        "accounts.auth.DashboardSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.auth.DeclaredPermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["accounts.rest.parsing.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "accounts.rest.schema.Schema",
    "DEFAULT_FILTER_BACKENDS": ["accounts.rest.filters.FilterSetBackend"],
    "EXCEPTION_HANDLER": "config.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Switchboard API",
    "DESCRIPTION": "Conversations, agents, rules and deliveries of one account.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/v1/",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    # Without the hook that names enums: it calls every second one "StateA90Enum".
    "POSTPROCESSING_HOOKS": ["accounts.rest.schema.add_problems"],
}
REST_AUTH = {"TOKEN_MODEL": None, "USE_JWT": False, "SESSION_LOGIN": True}

# --- Jobs ----------------------------------------------------------------------------------------
# Celery carries jobs nobody waits for; lanes and timers are the courier's (integrations/courier).
# Empty or a bare `pgmq://`: PGMQ on our own PostgreSQL (config/broker.py).
CELERY_BROKER_URL: str = env.str("CELERY_BROKER_URL", default="memory://" if TESTING else "")
WORKER_THREADS = env.int("WORKER_THREADS", default=8)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# --- Delivery ------------------------------------------------------------------------------------
COURIER_HTTP_SLOTS = env.int("COURIER_HTTP_SLOTS", default=2000)
COURIER_THREADS = env.int("COURIER_THREADS", default=2)
# Deliveries that may wait in one account before REST takes no more messages for it.
OPEN_DELIVERIES = env.int("OPEN_DELIVERIES", default=50_000)
# Messages one account may send in a second over all of its inboxes; 0: only the channels' limits hold.
SENDS_PER_SECOND = env.int("SENDS_PER_SECOND", default=0)
ALLOW_HTTP_TARGETS = env.bool("ALLOW_HTTP_TARGETS", default=False)
OUTBOUND_ALLOW: list[str] = env.list("OUTBOUND_ALLOW", default=[])
WHATSAPP_API_BASE: str = env.str("WHATSAPP_API_BASE", default="https://graph.facebook.com").rstrip(
    "/"
)
WHATSAPP_API_VERSION: str = env.str("WHATSAPP_API_VERSION", default="v26.0")

# --- Files and mail ------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(DATA_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
MEDIA_ROOT = Path(env.str("MEDIA_ROOT", default=str(DATA_DIR / "media")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if TESTING or DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
# Tests and development serve the sources, so that nothing needs collecting first.
WHITENOISE_AUTOREFRESH = WHITENOISE_USE_FINDERS = TESTING or DEBUG
MAX_UPLOAD_BYTES = 25 * 1024 * 1024
MAX_JSON_BYTES = 1024 * 1024
# How often one reply address may be used (DL-100).
CALLBACK_MAX_USES = env.int("CALLBACK_MAX_USES", default=20)
MAX_HOOK_BYTES = 4 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_HOOK_BYTES

EMAIL_URL: str = env.str("EMAIL_URL", default="")
# Without EMAIL_URL letters go to the local mailbox page (/mailbox/), so that codes and invitations
# can be read on a machine that has no mail server.
LOCAL_MAILBOX = not EMAIL_URL
if EMAIL_URL:
    vars().update(env.email_url("EMAIL_URL"))
else:
    EMAIL_BACKEND = "accounts.mailbox.LocalMailboxBackend"
# A mail server that hangs holds nobody up for long; letters of jobs are tried again.
EMAIL_TIMEOUT = env.float("EMAIL_TIMEOUT", default=20.0)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Switchboard <desk@localhost>")

# --- Language and time ---------------------------------------------------------------------------
LANGUAGE_CODE = "en-gb"
LANGUAGES = [("en-gb", "English"), ("ro", "Română")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- Staff admin ---------------------------------------------------------------------------------
# Networks that the admin exists for, as CIDR; empty: everybody (SX-25).
ADMIN_ALLOW: list[str] = env.list("ADMIN_ALLOW", default=[])
_CONTENT = "accounts.support.is_inside"
_SUPER = "accounts.support.is_super"


def _staff_page(
    title: str, icon: str, page: str, permission: str | None = None
) -> dict[str, object]:
    link = reverse_lazy(f"admin:{page}_changelist")
    item: dict[str, object] = {"title": title, "icon": icon, "link": link}
    return item | ({"permission": permission} if permission else {})


UNFOLD = {
    "SITE_TITLE": "Switchboard staff",
    "SITE_HEADER": "Switchboard staff",
    "SITE_SYMBOL": "support_agent",
    "SITE_URL": "/",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": None,
    # The accent of static/css/tokens.css, as unfold wants it.
    "COLORS": {
        "primary": {
            "50": "#f5f4fe",
            "100": "#edecfd",
            "200": "#cfcbf8",
            "300": "#a49bff",
            "400": "#857af0",
            "500": "#8b80f8",
            "600": "#4b3fd6",
            "700": "#3f34bd",
            "800": "#3b30b8",
            "900": "#24224a",
            "950": "#15112f",
        }
    },
    "STYLES": [lambda request: static("css/staff.css")],
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "Operator",
                "items": [
                    _staff_page("Accounts", "apartment", "accounts_account"),
                    _staff_page("Plans", "sell", "accounts_plan"),
                    _staff_page("System agents", "smart_toy", "agents_systemagent"),
                    _staff_page("Users", "group", "accounts_user", _SUPER),
                    _staff_page("Support visits", "badge", "accounts_supportsession", _SUPER),
                ],
            },
            {
                "title": "Inside the account",
                "separator": True,
                "items": [
                    _staff_page("Conversations", "forum", "conversations_conversation", _CONTENT),
                    _staff_page("Contacts", "contacts", "conversations_contact", _CONTENT),
                    _staff_page("Inboxes", "inbox", "conversations_inbox", _CONTENT),
                    _staff_page("Agents", "smart_toy", "agents_agent", _CONTENT),
                    _staff_page("Rules", "rule", "agents_assignmentrule", _CONTENT),
                    _staff_page("Decisions", "account_tree", "agents_decision", _CONTENT),
                    _staff_page("Deliveries", "local_shipping", "conversations_delivery", _CONTENT),
                    _staff_page("Endpoints", "webhook", "conversations_endpoint", _CONTENT),
                    _staff_page("Receipts", "receipt_long", "integrations_receipt", _CONTENT),
                    {
                        "title": "Trace",
                        "icon": "timeline",
                        "link": reverse_lazy("admin:trace"),
                        "permission": _CONTENT,
                    },
                    _staff_page("Members", "person", "accounts_member", _CONTENT),
                    _staff_page("Teams", "groups", "accounts_team", _CONTENT),
                    _staff_page("Audit log", "history", "accounts_auditentry", _CONTENT),
                ],
            },
        ],
    },
}

# --- Measures ------------------------------------------------------------------------------------
# Who may read /metrics: whoever has this token; without one, callers on this machine.
METRICS_TOKEN: str = env.str("METRICS_TOKEN", default="")
METRICS_PER_TENANT = env.bool("METRICS_PER_TENANT", default=False)

# --- Logs ----------------------------------------------------------------------------------------
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
# `line` for people, `json` for machines: one object per line.
LOG_FORMAT = env.str("LOG_FORMAT", default="line")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "config.logs.RedactFilter"}},
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s request=%(request_id)s %(message)s"},
        "json": {"()": "config.logs.JsonFormatter"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
            "filters": ["redact"],
        }
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {"django.server": {"handlers": ["console"], "propagate": False}},
}
