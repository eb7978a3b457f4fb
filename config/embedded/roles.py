"""The two roles and the database (SX-04): the owner migrates, the app cannot see past its account."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

DATABASE = "switchboard"
OWNER = "switchboard_owner"
APP = "switchboard_app"
_POWERS = {
    # Data migrations look at every account's rows; nothing but migrations runs as this role.
    OWNER: "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION BYPASSRLS",
    APP: "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
}


def ensure_roles(
    connection: psycopg.Connection[tuple[object, ...]], passwords: Mapping[str, str] | None = None
) -> None:
    """Make both roles (or put their powers right); a superuser's connection in autocommit."""
    for role, powers in _POWERS.items():
        known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
        verb = "ALTER" if known else "CREATE"
        password = (passwords or {}).get(role)
        secret = sql.SQL(" PASSWORD {}").format(sql.Literal(password)) if password else sql.SQL("")
        connection.execute(
            sql.SQL("{} ROLE {} {}{}").format(
                sql.SQL(verb), sql.Identifier(role), sql.SQL(powers), secret
            )
        )


def ensure_database(
    connection: psycopg.Connection[tuple[object, ...]], name: str = DATABASE
) -> None:
    """Make the owner's database when there is none."""
    found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
    if not found:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'").format(
                sql.Identifier(name), sql.Identifier(OWNER)
            )
        )


def grant(connection: psycopg.Connection[tuple[object, ...]], name: str = DATABASE) -> None:
    """Inside the database: the app role reads and writes rows there are and will be, and no DDL."""
    database, owner, app = sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(APP)
    future = "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public"
    for statement in (
        "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {database} TO {app}",
        "ALTER SCHEMA public OWNER TO {owner}",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "GRANT USAGE ON SCHEMA public TO {app}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {app}",
        "GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO {app}",
        f"{future} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {{app}}",
        f"{future} GRANT USAGE, SELECT, UPDATE ON SEQUENCES TO {{app}}",
    ):
        connection.execute(sql.SQL(statement).format(database=database, owner=owner, app=app))
