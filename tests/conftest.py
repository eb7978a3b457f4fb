"""One database per test process, made as its owner and used as the app role, so that wall 3 holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from urllib.parse import urlparse

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.utils import translation
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from psycopg import sql

from accounts.tenancy import account_context

# How fast a machine is that has other work says nothing about what is tested; a new checkout begins with
# a second of making tables of letters.
hypothesis_settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("house")

APP_ROLE, OWNER_ROLE = "switchboard_app", "switchboard_owner"


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Every test begins in English: a page leaves its reader's language to the thread's next request."""
    with translation.override(settings.LANGUAGE_CODE):
        yield


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A superuser's URL of a PostgreSQL server: DATABASE_URL, else our own embedded one."""
    given = os.environ.get("DATABASE_URL")
    if given:
        yield given
        return
    from config.embedded import EmbeddedPostgres

    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False)
    try:
        yield server.start().superuser
    finally:
        server.discard()


@pytest.fixture(scope="session")
def django_db_setup(server_url: str, django_db_blocker: pytest.FixtureRequest) -> Iterator[None]:
    """Create the roles and this process's database, migrate as owner, then become the app role."""
    name = f"sb_test_{os.getpid()}"
    admin = psycopg.connect(server_url, autocommit=True)
    _create_roles(admin)
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    admin.execute(
        sql.SQL("CREATE DATABASE {} OWNER {}").format(
            sql.Identifier(name), sql.Identifier(OWNER_ROLE)
        )
    )
    settings_dict = connections["default"].settings_dict
    url = urlparse(server_url)
    query = dict(part.split("=", 1) for part in url.query.split("&") if "=" in part)
    settings_dict.update(
        NAME=name,
        HOST=query.get("host", url.hostname or ""),
        PORT=str(url.port or query.get("port", "")),
        PASSWORD="",
        USER=OWNER_ROLE,
    )
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        with psycopg.connect(_database_url(server_url, name), autocommit=True) as inside:
            _grant(inside)
        call_command("migrate", verbosity=0, interactive=False)
        connections["default"].close()
        settings_dict["USER"] = APP_ROLE
    yield
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        connections.close_all()
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    admin.close()


def _create_roles(admin: psycopg.Connection) -> None:
    for role, extra in ((OWNER_ROLE, "BYPASSRLS"), (APP_ROLE, "NOBYPASSRLS")):
        try:
            admin.execute(
                sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER " + extra).format(sql.Identifier(role))
            )
        except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            continue  # another test process was faster


def _grant(inside: psycopg.Connection) -> None:
    """What the embedded starter does for a real database: the app role may use, not define."""
    inside.execute(f"ALTER SCHEMA public OWNER TO {OWNER_ROLE}")
    for kind, rights in (
        ("TABLES", "SELECT, INSERT, UPDATE, DELETE"),
        ("SEQUENCES", "USAGE, SELECT"),
    ):
        inside.execute(
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER_ROLE} IN SCHEMA public"
            f" GRANT {rights} ON {kind} TO {APP_ROLE}"
        )


def _database_url(server_url: str, name: str) -> str:
    return urlparse(server_url)._replace(path=f"/{name}").geturl()


@pytest.fixture
def clean_database(
    server_url: str, django_db_setup: None, django_db_blocker: pytest.FixtureRequest
) -> Iterator[None]:
    """For tests that commit and use several connections: everything is emptied afterwards."""
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        yield
        name = connections["default"].settings_dict["NAME"]
        connections.close_all()
        with psycopg.connect(_database_url(server_url, name), autocommit=True) as inside:
            _empty(inside)


def _empty(inside: psycopg.Connection) -> None:
    """Empty every table; a web process may still be reading, so a deadlock is tried again."""
    tables = inside.execute(
        "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables"
        " WHERE schemaname = 'public' AND tablename NOT IN"
        " ('django_migrations', 'django_content_type', 'auth_permission')"
    ).fetchone()
    for tries_left in (4, 3, 2, 1, 0):
        try:
            inside.execute(f"TRUNCATE {tables[0]} RESTART IDENTITY CASCADE")  # type: ignore[index]
        except psycopg.errors.DeadlockDetected:
            if not tries_left:
                raise
        else:
            return


@pytest.fixture
def house(db: None) -> Iterator[SimpleNamespace]:
    """An account with its people, in whose context the test runs, and an outsider's account.

    `account, owner, admin, supervisor, person, team, agent (Member), inbox, outsider`
    """
    from tests import factories

    made = factories.make_house()
    with account_context(made.account):
        yield made


@pytest.fixture
def api(db: None) -> SimpleNamespace:
    """A house, outside its context, with a REST caller for each of its people.

    `house` (see above), `owner, admin, supervisor, person, agent, outsider` (tests.api.Caller)
    """
    from tests import factories
    from tests.api import callers

    made = factories.make_house()
    return SimpleNamespace(house=made, **vars(callers(made)))
