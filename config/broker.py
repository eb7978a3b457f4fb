"""PGMQ, the default broker: a message queue in our own PostgreSQL, without its extension.

kombu's transport speaks to the `pgmq` schema. The package ships that schema as plain SQL; the owner
role installs it, and the app role may use it and nothing else (no DDL, SX-04).
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

SCHEMA = "pgmq"
QUEUES = ("celery",)


def in_use() -> bool:
    """Whether jobs travel over our own PostgreSQL (no CELERY_BROKER_URL, or a bare `pgmq://`)."""
    return settings.CELERY_BROKER_URL in ("", "pgmq://")


def transport_options() -> dict[str, Any]:
    """kombu's options for the database of the app role."""
    return {
        # Given whole: left to itself the client reads DATABASE_URL from the environment, which may
        # be another database than the settings say.
        "conn_string": connection_string(settings.DATABASES["default"]),
        "init_extension": False,
        "pool_size": 4,
        "pool_timeout": 5,
        # Asking once a second costs less than a blocking read, which would hold a snapshot open.
        "wait_time_seconds": 0,
        "polling_interval": 1.0,
        "visibility_timeout": 3600,
    }


def connection_string(database: dict[str, Any]) -> str:
    """libpq's `key=value` form of a Django database setting."""
    values = {
        "host": database["HOST"] or "/var/run/postgresql",
        "port": str(database["PORT"] or 5432),
        "dbname": database["NAME"],
        "user": database["USER"],
        "password": database["PASSWORD"] or "unused",
    }
    # The client takes the string apart and puts it together again without quotes: quote twice.
    return " ".join(f"{key}={_quote(_quote(value))}" for key, value in values.items())


def _quote(value: str) -> str:
    if value and not set(value) & set(" '\\"):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def install(using: BaseDatabaseWrapper | Any = connection) -> bool:
    """Install the schema and its queues as the current (owner) role; False when it was there.

    The queue tables are made here, and `pgmq.create` runs as the owner for the app role, which
    declares its queues at each start and may not create anything itself.
    """
    from pgmq.install import get_embedded_install_sql

    with using.cursor() as cursor:
        cursor.execute("SELECT to_regclass('pgmq.meta') IS NOT NULL")
        present = bool(cursor.fetchone()[0])
        if not present:
            cursor.execute(get_embedded_install_sql())
        for queue in QUEUES:
            cursor.execute("SELECT pgmq.create(%s)", [queue])
        cursor.execute(
            "ALTER FUNCTION pgmq.create(text) SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
        )
    return not present


def grant(role: str, using: BaseDatabaseWrapper | Any = connection) -> None:
    """Let `role` send, read and delete messages, in queues there are and queues to come."""
    name = using.ops.quote_name(role)
    with using.cursor() as cursor:
        cursor.execute(
            f"GRANT USAGE ON SCHEMA pgmq TO {name};"
            f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA pgmq TO {name};"
            f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA pgmq TO {name};"
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA pgmq GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLES TO {name};"
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA pgmq GRANT USAGE, SELECT ON SEQUENCES TO {name};"
        )
