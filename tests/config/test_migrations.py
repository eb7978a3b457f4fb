"""A new version's schema serves the processes of the version before, and big tables stay open."""

from __future__ import annotations

import psycopg
import pytest
from django.apps import apps
from django.db import connection, migrations
from django.db.migrations.loader import MigrationLoader

from accounts.limits import Limit, take
from accounts.tenancy import account_context
from conversations.models import CallbackToken, Endpoint
from tests.factories import make_account

ROOMS = ("accounts", "agents", "conversations", "integrations")
# Tables with a row for each message, or more: an index is built beside the traffic.
BIG = {
    "attempt", "callbacktoken", "conversation", "delivery", "event", "lane", "message", "receipt",
}  # fmt: skip
# The last of each room that may still lock: nobody had them filled yet.
LOCKING = {"agents": "0003", "conversations": "0006", "integrations": "0003"}
# The last of each room that stays halfway when it is cut off: it was released like that.
STOPPING = {"conversations": "0015"}
LIMIT = Limit("knocks", capacity=5, per_second=0)
REPEATABLE = ("SET ", "RESET ", "DROP INDEX CONCURRENTLY IF EXISTS ", "ALTER TABLE ")


def ours() -> list[migrations.Migration]:
    found = MigrationLoader(None).disk_migrations.items()
    return [one for (room, _name), one in sorted(found) if room in ROOMS]


def added_columns() -> list[tuple[str, str]]:
    """(table, column) of fields that a table did not have from the beginning."""
    added, made = [], set()
    for one in ours():
        for operation in one.operations:
            if isinstance(operation, migrations.CreateModel):
                made.add((one.app_label, one.name, operation.name.lower()))
            elif isinstance(operation, migrations.AddField):
                model = operation.model_name_lower
                if (one.app_label, one.name, model) not in made:
                    added.append((one.app_label, model, operation.name))
    tables = [(apps.get_model(room, model), name) for room, model, name in added]
    return [(model._meta.db_table, model._meta.get_field(name).column) for model, name in tables]


@pytest.mark.django_db
def test_processes_of_an_older_version_can_still_insert_rows() -> None:
    """F-31: in a rolling deploy they name only the columns that they know."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name::text, column_name::text FROM information_schema.columns"
            " WHERE is_nullable = 'NO' AND column_default IS NULL"
        )
        demanding = set(cursor.fetchall())
    added = added_columns()
    assert ("conversations_endpoint", "breaker") in added
    assert [one for one in added if one in demanding] == []


def test_an_endpoint_is_made_by_the_first_columns(db: None) -> None:
    account = make_account()
    with account_context(account), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO conversations_endpoint (account_id, kind, dialect, url, state,"
            " disabled_reason, timeout_s, max_in_flight, event_types, consecutive_failures,"
            " last_error, created_at)"
            " VALUES (%s, 'agent', 'native', 'http://127.0.0.1/', 'enabled', '', 15, 100, '{}', 0,"
            " '', now())",
            [account.pk],
        )
        endpoint = Endpoint.objects.get()
    assert (endpoint.breaker, endpoint.window, endpoint.strict_order) == ("closed", {}, False)


def test_indexes_of_big_tables_are_built_beside_the_traffic() -> None:
    for one in ours():
        if one.name[:4] <= LOCKING.get(one.app_label, "0001"):
            continue
        locking = [
            operation
            for operation in one.operations
            if type(operation) is migrations.AddIndex and operation.model_name_lower in BIG
        ]
        assert locking == [], one


def statements(one: migrations.Migration) -> list[str]:
    """What it does to the database, in order; of an operation that is no SQL, its name."""
    found: list[str] = []
    for operation in one.operations:
        inner = getattr(operation, "database_operations", None) or [operation]
        for step in inner:
            sql = getattr(step, "sql", type(step).__name__)
            found += [sql] if isinstance(sql, str) else sql
    return found


def test_what_is_done_outside_a_transaction_may_be_done_again() -> None:
    """A concurrent index that fails leaves a broken one behind, and everything before it done."""
    for one in ours():
        if one.atomic or one.name[:4] <= STOPPING.get(one.app_label, "0000"):
            continue
        dropped: set[str] = set()
        for statement in statements(one):
            name = statement.partition(" ON ")[0].rsplit(" ", 1)[-1]
            if statement.startswith(REPEATABLE[2]):
                dropped.add(name)
            elif "INDEX CONCURRENTLY" in statement:
                assert name in dropped, (one, statement)
            else:
                assert statement.startswith(REPEATABLE), (one, statement)
                assert "ADD " not in statement, (one, statement)


BROKEN = (
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'contact_identifier_once'::regclass"
)
LINES = """
SELECT pg_get_indexdef(indexrelid), indisvalid FROM pg_index
WHERE indrelid = 'conversations_contact'::regclass
"""


def test_the_indexes_of_contacts_are_built_again_after_a_run_that_was_cut_off(
    clean_database: None, server_url: str
) -> None:
    loader = MigrationLoader(None)
    indexes = loader.disk_migrations["conversations", "0022_contact_indexes"]
    url = psycopg.conninfo.make_conninfo(server_url, dbname=connection.settings_dict["NAME"])
    with psycopg.connect(url, autocommit=True) as owner:
        before = set(owner.execute(LINES))
        owner.execute(BROKEN)
        assert set(owner.execute(LINES)) != before
        for statement in statements(indexes):
            owner.execute(statement.encode())
        assert set(owner.execute(LINES)) == before


def run_patiently(owner: psycopg.Connection, migration: migrations.Migration) -> None:
    with owner.transaction():
        owner.execute("SET LOCAL statement_timeout = '20s'")
        for statement in statements(migration):
            owner.execute(statement.encode())


def test_buckets_are_taken_out_of_the_log_with_what_is_in_them(
    clean_database: None, server_url: str
) -> None:
    """Whoever has a bucket in hand is waited for, but not for long: every call would wait behind."""
    away = MigrationLoader(None).disk_migrations["accounts", "0008_buckets_without_log"]
    url = psycopg.conninfo.make_conninfo(server_url, dbname=connection.settings_dict["NAME"])
    with psycopg.connect(url, autocommit=True) as owner, psycopg.connect(url) as other:
        owner.execute("ALTER TABLE accounts_ratebucket SET LOGGED")
        take(LIMIT, "ana")
        other.execute("UPDATE accounts_ratebucket SET tokens = 3")
        try:
            with pytest.raises(psycopg.errors.LockNotAvailable):
                run_patiently(owner, away)
        finally:
            other.rollback()
            run_patiently(owner, away)
        kind = "SELECT relpersistence FROM pg_class WHERE oid = 'accounts_ratebucket'::regclass"
        assert owner.execute(kind).fetchone() == ("u",)
    assert take(LIMIT, "ana").remaining == 3


def test_a_reply_address_carries_the_indexes_that_somebody_asks(db: None) -> None:
    """One is written with every event that is pushed; found by id, by hash, by its delivery when that is
    sent again, by age when it is over."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = %s", [CallbackToken._meta.db_table]
        )
        names = {row[0] for row in cursor.fetchall()}
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = %s::regclass",
            [CallbackToken._meta.db_table],
        )
        keys = str(cursor.fetchall())
    assert len(names) == 4, names
    assert "callback_over" in names
    assert any("delivery_id" in name for name in names)
    assert "account_id" in keys
    assert "endpoint_id" in keys
    assert "delivery_id" not in keys
    assert "conversation_id" not in keys
