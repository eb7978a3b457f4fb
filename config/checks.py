"""System checks: unsafe combinations do not start (ids and hints; security.md SX-04, SX-52).

Those that look at secrets are deploy checks, so that tooling (`makemigrations`, mypy) runs without
secrets; `refuse_to_boot` runs all of them, and web and worker call it before they serve.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.http.request import validate_host

from accounts import sealing
from accounts.origin import read_network

BROKERS = ("amqp", "amqps", "redis", "rediss", "sentinel", "pgmq", "memory")
MINIMUM_POSTGRES = 150_000
MINIMUM_TOKEN = 20


class UnsafeSettingsError(ImproperlyConfigured):
    """The system checks found an error; the text lists each with its hint."""


def register_all() -> None:
    for check in (check_secrets, check_addresses, check_outbound):
        register(check, Tags.security, deploy=True)
    register(check_admin_networks, Tags.security)
    register(check_metrics_token, Tags.security)
    register(check_broker)
    register(check_database_role, Tags.database)


def refuse_to_boot() -> None:
    """Raise `UnsafeSettingsError` when any check, deploy and database ones too, finds an error."""
    if settings.TESTING:
        return
    found = run_checks(include_deployment_checks=True, databases=["default"])
    errors = [message for message in found if message.is_serious() and not message.is_silenced()]
    if errors:
        raise UnsafeSettingsError("\n".join(str(message) for message in errors))


def check_secrets(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.SECRET_KEY == settings.INSECURE_SECRET_KEY or len(settings.SECRET_KEY) < 40:
        found.append(
            Error(
                "SECRET_KEY is the placeholder or shorter than 40 characters.",
                hint="Set SECRET_KEY to a long random string: "
                "python3 -c 'import secrets; print(secrets.token_urlsafe(50))'",
                id="config.E001",
            )
        )
    if settings.INSECURE_FIELD_KEY in settings.FIELD_KEYS or not _opens(settings.FIELD_KEYS):
        found.append(
            Error(
                "FIELD_KEYS is the placeholder or not a list of <key id>:<base64 of 32 bytes>.",
                hint="Set FIELD_KEYS, apart from SECRET_KEY: python3 -c 'import base64, os; "
                'print("k1:" + base64.b64encode(os.urandom(32)).decode())\'',
                id="config.E002",
            )
        )
    if settings.GENERATED_KEYS and not settings.EMBEDDED and not _is_local(settings.PUBLIC_URL):
        found.append(
            Error(
                "Generated keys from the data directory serve a public address on an own database.",
                hint="Set SECRET_KEY and FIELD_KEYS in the environment, where you keep secrets.",
                id="config.E003",
            )
        )
    return found


def _opens(keys: Sequence[str]) -> bool:
    try:
        return bool(keys) and all(sealing._parse(key) for key in keys)
    except ImproperlyConfigured:
        return False


def check_addresses(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    parts = urlsplit(settings.PUBLIC_URL)
    host, local = parts.hostname or "", _is_local(settings.PUBLIC_URL)
    found: list[CheckMessage] = []
    if parts.scheme not in ("http", "https") or not host:
        return [
            Error(
                f"PUBLIC_URL is not an address: {settings.PUBLIC_URL!r}.",
                hint="For example PUBLIC_URL=https://desk.example.com",
                id="config.E004",
            )
        ]
    if parts.scheme == "http" and not local:
        found.append(
            Error(
                f"PUBLIC_URL sends passwords and sessions in clear: {settings.PUBLIC_URL}.",
                hint="Put a proxy with TLS in front and use https://.",
                id="config.E005",
            )
        )
    if settings.DEBUG and not local:
        found.append(
            Error("DEBUG is on at a public address.", hint="Remove DEBUG.", id="config.E006")
        )
    if not validate_host(host, settings.ALLOWED_HOSTS):
        found.append(
            Error(
                f"ALLOWED_HOSTS does not allow {host}, the host of PUBLIC_URL.",
                hint=f"Set ALLOWED_HOSTS={host}",
                id="config.E007",
            )
        )
    if "*" in settings.ALLOWED_HOSTS and not local:
        found.append(
            Error(
                "ALLOWED_HOSTS=* lets a forged Host header into links in mails.",
                hint=f"Set ALLOWED_HOSTS={host}",
                id="config.E008",
            )
        )
    if parts.scheme == "https" and not settings.TRUSTED_PROXIES:
        found.append(
            checks.Warning(
                "PUBLIC_URL is https, so a proxy stands in front, but TRUSTED_PROXIES is 0: every "
                "caller looks like that proxy, and they share one another's limits.",
                hint="Set TRUSTED_PROXIES to the number of proxies in front, usually 1.",
                id="config.W002",
            )
        )
    return found


def check_outbound(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    open_doors = [
        f"{name}={value}"
        for name, value in (
            ("OUTBOUND_ALLOW", ",".join(settings.OUTBOUND_ALLOW)),
            ("ALLOW_HTTP_TARGETS", "1" if settings.ALLOW_HTTP_TARGETS else ""),
        )
        if value
    ]
    if not open_doors or _is_local(settings.PUBLIC_URL):
        return []
    return [
        checks.Warning(
            f"Agents and webhooks may reach private addresses: {' '.join(open_doors)}.",
            hint="Right for trying out on one machine; remove both where strangers have accounts.",
            id="config.W001",
        )
    ]


def check_admin_networks(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A value that cannot be read holds nobody, so a misspelt list would shut everybody out."""
    unreadable = [text for text in settings.ADMIN_ALLOW if read_network(text) is None]
    if not unreadable:
        return []
    return [
        Error(
            f"ADMIN_ALLOW has values that are no networks: {', '.join(map(repr, unreadable))}.",
            hint="Write addresses or CIDRs with commas between them: 10.1.0.0/16,203.0.113.7",
            id="config.E013",
        )
    ]


def check_metrics_token(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if not settings.METRICS_TOKEN or len(settings.METRICS_TOKEN) >= MINIMUM_TOKEN:
        return []
    return [
        Error(
            f"METRICS_TOKEN is shorter than {MINIMUM_TOKEN} characters.",
            hint="python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
            id="config.E014",
        )
    ]


def check_broker(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    scheme = settings.CELERY_BROKER_URL.partition("://")[0]
    if not settings.CELERY_BROKER_URL or scheme in BROKERS:
        return []
    return [
        Error(
            f"CELERY_BROKER_URL names an unknown broker: {scheme}://",
            hint="Leave it empty (PostgreSQL), or use redis:// or amqp://.",
            id="config.E009",
        )
    ]


def check_database_role(
    app_configs: Any, databases: Iterable[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for alias in databases or ():
        try:
            with connections[alias].cursor() as cursor:
                cursor.execute(
                    "SELECT current_user, rolsuper, rolbypassrls,"
                    " current_setting('server_version_num')::int"
                    " FROM pg_roles WHERE rolname = current_user"
                )
                role, superuser, bypasses, version = cursor.fetchone()
        except DatabaseError as error:
            hint = "Is it running, and is DATABASE_URL right?"
            message = f"The database does not answer: {str(error).strip()}"
            found.append(Error(message, hint=hint, id="config.E010"))
            continue
        if version < MINIMUM_POSTGRES:
            message = f"PostgreSQL 15 or newer is needed; this server is {version // 10_000}."
            found.append(Error(message, hint="Upgrade the server.", id="config.E011"))
        if (superuser or bypasses) and not settings.ALLOW_RLS_BYPASS:
            found.append(_bypass_error(role, superuser))
    return found


def _bypass_error(role: str, superuser: bool) -> Error:
    power = "a superuser" if superuser else "a role with BYPASSRLS"
    return Error(
        f"The database role {role} is {power}: row level security would not hold it.",
        hint="Let DATABASE_URL name a plain role and DATABASE_OWNER_URL the owner; "
        "`manage.py create_database <superuser url>` makes both and prints their addresses.",
        id="config.E012",
    )


def _is_local(url: str) -> bool:
    """Whether `url` points at this machine or at a private network."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith((".localhost", ".local")):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private
