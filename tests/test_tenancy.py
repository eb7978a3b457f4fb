"""The walls between accounts: every table, every unique constraint, every route (SX-01 to SX-09).

Nothing here is a list of what to test: models come from the app registry, routes from the resolver.
What is listed are the exceptions, so that a new one is a decision.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.admindocs.views import simplify_regex
from django.db import ProgrammingError, connection, models, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from accounts.ids import encode
from accounts.models import Account, ApiToken, AuditEntry, Invitation, Member, SupportSession
from accounts.tenancy import AccountModel, NoAccountError, account_context, current_account_id
from accounts.tokens import create_token
from conversations import services
from conversations.messages import Content
from conversations.models import (
    Attachment,
    CallbackToken,
    Delivery,
    InboxRoute,
    Message,
    Replay,
)
from integrations import routes
from integrations.chatwoot.models import PlatformBot
from tests import factories

CANARY = "kanarienvogel"
OUR_APPS = (
    "accounts",
    "conversations",
    "agents",
    "integrations",
    "sandbox",
    "whatsapp",
    "native",
    "chatwoot",
)
# Needed before the account is known, or claimed over all accounts by the courier (SX-05). They hold
# ids, hashes and sealed bodies.
WITHOUT_ROW_SECURITY = {
    "accounts_member",
    "accounts_apitoken",
    "accounts_invitation",
    "accounts_supportsession",
    "conversations_inboxroute",
    "conversations_callbacktoken",
    "conversations_lane",
    "conversations_delivery",
    "conversations_attempt",
    "conversations_timer",
    "chatwoot_platformbot",
}
# Of those, the ones that are found before the account is known have a plain manager.
BEFORE_THE_ACCOUNT = {
    Member, ApiToken, Invitation, SupportSession, InboxRoute, CallbackToken, PlatformBot,
}  # fmt: skip
# Who may look past wall 1, and why it must.
CALLERS_OF_ALL_ACCOUNTS = {
    "accounts/rest/views.py",  # the schema of an empty queryset
    "accounts/tenancy.py",  # defines it
}


# --- Tables ------------------------------------------------------------------------------------------


def account_models() -> list[type[models.Model]]:
    """Every model of ours with a foreign key to the account."""
    return [
        model
        for model in apps.get_models()
        if model._meta.app_label in OUR_APPS
        and any(
            isinstance(field, models.ForeignKey)
            and field.name == "account"
            and field.related_model is Account
            for field in model._meta.fields
        )
    ]


def walled_models() -> list[type[models.Model]]:
    return [m for m in account_models() if m._meta.db_table not in WITHOUT_ROW_SECURITY]


def named(model: type[models.Model]) -> str:
    return model._meta.label


@pytest.fixture
def full_house(house: SimpleNamespace) -> SimpleNamespace:
    """The house with at least one row in every account table."""
    for model in account_models():
        with account_context(house.account):
            existing(model, house.account)
    return house


_numbers = itertools.count(1)


def existing(model: type[models.Model], account: Account) -> models.Model:
    """A row of `model` in the account: the first one, or a new one with invented values."""
    rows = model._base_manager.all()
    found = (rows.filter(account=account) if model in account_models() else rows).first()
    if found is not None:
        return found
    row = model()
    for field in model._meta.concrete_fields:
        if not isinstance(field, models.AutoField):
            fill(row, field, account)
    row.save(force_insert=True)
    return row


def fill(row: models.Model, field: models.Field, account: Account) -> None:
    if isinstance(field, models.ForeignKey):
        if field.name == "account":
            setattr(row, field.attname, account.pk)
        elif not field.null:
            target = existing(field.related_model, account)
            setattr(row, field.name, target)
        return
    if field.null or (field.has_default() and not field.unique):
        return
    for kind, value in (
        (models.BinaryField, b"x" * 32),
        (models.DateTimeField, timezone.now()),
        (models.JSONField, {}),
        (models.BooleanField, False),
        (models.UUIDField, uuid.uuid4()),
        (models.IntegerField, next(_numbers)),
        (models.CharField, f"{CANARY}{next(_numbers)}"[: getattr(field, "max_length", None) or 40]),
    ):
        if isinstance(field, kind):
            setattr(row, field.attname, value)
            return


def test_every_account_table_is_either_walled_or_listed(db: None) -> None:
    """SX-03, SX-05."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relrowsecurity"
            " AND relforcerowsecurity"
        )
        walled = {row[0] for row in cursor.fetchall()}
    tables = {model._meta.db_table for model in account_models()}
    assert tables - walled == WITHOUT_ROW_SECURITY
    assert not walled & WITHOUT_ROW_SECURITY


def test_every_policy_says_the_same_for_reading_and_writing(db: None) -> None:
    """SX-03: one policy per table, for every command, in both directions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename, cmd, roles, permissive, qual, with_check FROM pg_policies"
            " WHERE schemaname = 'public'"
        )
        policies = cursor.fetchall()
    assert {row[0] for row in policies} == {m._meta.db_table for m in walled_models()}
    for table, command, roles, permissive, reading, writing in policies:
        assert (command, permissive) == ("ALL", "PERMISSIVE"), table
        assert "public" in str(roles), table
        assert reading == writing, table
        assert "current_setting('app.account'" in reading, table


def test_the_app_role_cannot_pass_the_walls(db: None) -> None:
    """SX-04."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole FROM pg_roles"
            " WHERE rolname = current_user"
        )
        assert cursor.fetchone() == (False, False, False, False)
        with pytest.raises(ProgrammingError), transaction.atomic():
            cursor.execute("ALTER TABLE conversations_message DISABLE ROW LEVEL SECURITY")


@pytest.mark.parametrize("model", account_models(), ids=named)
def test_without_an_account_in_context_code_gets_an_error(model: type[models.Model]) -> None:
    """SX-01: wall 1 raises; nothing is asked of the database."""
    if model in BEFORE_THE_ACCOUNT:
        assert not issubclass(model, AccountModel)
        return
    assert issubclass(model, AccountModel)
    for ask in (model.objects.all, model.objects.count, lambda: model.objects.filter(pk=1)):
        with pytest.raises(NoAccountError):
            ask()
    with pytest.raises(NoAccountError):
        model()  # a new row must belong to somebody


def test_every_wall_holds_against_raw_sql(full_house: SimpleNamespace) -> None:
    """SX-03, bad input 9: without wall 1, the database still shows and takes nothing."""
    ours, theirs = full_house.account, full_house.outsider_account
    problems = []
    for model in walled_models():
        table = model._meta.db_table
        with account_context(ours):
            assert count(table) > 0, f"{table} has no row to protect"
        for context in (theirs, None):
            with context_of(context):
                if count(table):
                    problems.append(f"{table} shows rows to {context}")
                if change(f'UPDATE "{table}" SET account_id = account_id'):  # noqa: S608
                    problems.append(f"{table} can be changed by {context}")
                if change(f'DELETE FROM "{table}"'):  # noqa: S608
                    problems.append(f"{table} can be emptied by {context}")
        with account_context(ours):
            problems += [f"{table}: {p}" for p in takes_for(model, theirs)]
    assert not problems


def context_of(account: Account | None) -> Any:
    """An account's context, or a transaction in none."""
    if account is not None:
        return account_context(account)
    return _nobody()


class _nobody:  # noqa: N801 - a context manager
    def __enter__(self) -> None:
        self.previous = current_account_id()
        set_variable("")

    def __exit__(self, *_: object) -> None:
        set_variable(str(self.previous))


def set_variable(value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.account', %s, true)", [value])


def count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT count(*) FROM "{table}"')  # noqa: S608 - our own table names
        return int(cursor.fetchone()[0])


def change(statement: str) -> int:
    """How many rows a statement touched, undone again."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
            touched = cursor.rowcount
            transaction.set_rollback(True)
    except ProgrammingError:
        return 0
    return int(touched)


def takes_for(model: type[models.Model], other: Account) -> Iterator[str]:
    """Ways in which one account's context could write a row of another."""
    table = model._meta.db_table
    columns = [field.column for field in model._meta.concrete_fields]
    quoted = ", ".join(f'"{column}"' for column in columns)
    moved = ", ".join(str(other.pk) if c == "account_id" else f'"{c}"' for c in columns)
    insert = f'INSERT INTO "{table}" ({quoted}) SELECT {moved} FROM "{table}" LIMIT 1'  # noqa: S608
    if not refuses(insert):
        yield "an insert for another account passed"
    if model is not AuditEntry and not refuses(  # its trigger refuses every change anyway
        f'UPDATE "{table}" SET account_id = {other.pk}'  # noqa: S608
    ):
        yield "a row could be moved to another account"


def refuses(statement: str) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
            transaction.set_rollback(True)
    except ProgrammingError as error:
        return "row-level security" in str(error)
    return False


def test_the_audit_log_can_only_grow(house: SimpleNamespace) -> None:
    """Security contract, section 10."""
    services.resolve(factories.make_conversation(house.inbox), by=house.person)
    existing(AuditEntry, house.account)
    for statement in (
        "UPDATE accounts_auditentry SET action = 'x'",
        "DELETE FROM accounts_auditentry",
    ):
        with (
            pytest.raises(Exception, match="append-only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)


def test_the_account_of_a_block_does_not_outlive_it(house: SimpleNamespace) -> None:
    """SX-03: the variable is transaction-local, and an inner block puts the outer one back."""
    ours, theirs = house.account, house.outsider_account
    with account_context(theirs):
        assert current_account_id() == theirs.pk
        assert count("accounts_team") == 0
    assert current_account_id() == ours.pk
    assert count("accounts_team") == 1


@pytest.mark.parametrize("model", walled_models(), ids=named)
def test_unique_constraints_begin_with_the_account(model: type[models.Model]) -> None:
    """SX-06: a unique index is checked across accounts even under row level security.

    A one-to-one link may stand alone: the row it points to belongs to one account already.
    """
    for constraint in model._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint):
            assert constraint.fields[0] == "account", constraint.name
    for fields in model._meta.unique_together:
        assert fields[0] == "account", fields
    for field in model._meta.concrete_fields:
        if field.unique and not field.primary_key:
            assert isinstance(field, models.OneToOneField), field.name


def test_only_listed_places_look_past_wall_1() -> None:
    """SX-01: `all_accounts` is for the courier's claim and the staff's picker."""
    rooms = ("accounts", "agents", "config", "conversations", "integrations")
    base = Path(settings.BASE_DIR)
    found = {
        str(path.relative_to(base))
        for room in rooms
        for path in (base / room).rglob("*.py")
        if "/migrations/" not in str(path)
        and re.search(r"\.?all_accounts\b|_base_manager", path.read_text(encoding="utf-8"))
    }
    assert found == CALLERS_OF_ALL_ACCOUNTS


# --- Routes ------------------------------------------------------------------------------------------

# A word of the path → what its parameter names. A route with an unknown word gets every id of ours.
KINDS = {
    "agents": "agent",
    "assignments": "conversation",
    "attribute_definitions": "definition",
    "attributes": "definition",
    "contacts": "contact",
    "conversations": "conversation",
    "deliveries": "delivery",
    "drafts": "message",
    "endpoints": "endpoint",
    "files": "attachment",
    "inbox": "conversation",
    "inboxes": "inbox",
    "invitations": "invitation",
    "labels": "label",
    "media": "attachment",
    "members": "member",
    "messages": "message",
    "people": "member",
    "replays": "replay",
    "replies": "saved_reply",
    "rules": "rule",
    "saved_replies": "saved_reply",
    "teams": "team",
    "tokens": "token",
    "webhooks": "webhook",
}
METHODS = ("get", "post", "patch", "put", "delete")
REFUSED = {302, 400, 401, 403, 404, 405, 409, 410, 415, 422, 429}


def all_routes() -> list[str]:
    """Every path of the resolver, with `<name>` for its parameters."""
    return sorted(set(_walk(get_resolver(), "")))


def _walk(resolver: URLResolver, prefix: str) -> Iterator[str]:
    for entry in resolver.url_patterns:
        pattern = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _walk(entry, pattern)
        elif isinstance(entry, URLPattern):
            path = re.sub(r"<[a-z]+:", "<", simplify_regex(pattern))
            yield re.sub(r"/+", "/", path)


@pytest.fixture
def treasure(house: SimpleNamespace) -> SimpleNamespace:
    """Rows of our account with a canary in every name and text; `ids` by kind, `intruder` clients."""
    Account.objects.filter(pk=house.account.pk).update(name=f"{CANARY} account")
    Member.objects.filter(account=house.account).update(name=f"{CANARY} member")
    house.inbox.name = f"{CANARY} inbox"
    house.inbox.save()
    routes.create_route(house.inbox)
    conversation = factories.make_conversation(
        house.inbox, f"{CANARY} said", contact_name=f"{CANARY} contact"
    )
    services.add_labels(conversation, [f"{CANARY} label"], by=None)
    services.add_note(conversation, text=f"{CANARY} note", author=house.person)
    draft = services.keep_draft(
        conversation,
        content=Content(text=f"{CANARY} draft"),
        author=house.agent.member,
        reason="late",
    )
    message = Message.objects.get(conversation=conversation, direction="inbound")
    attachment = Attachment.objects.create(
        message=message, kind="document", mime="text/plain", filename=f"{CANARY}.txt",
        path="nowhere", state="ready",
    )  # fmt: skip
    services.post_message(conversation, content=Content(text=f"{CANARY} reply"), author=house.owner)
    rule = apps.get_model("agents", "AssignmentRule").objects.create(name=f"{CANARY} rule")
    token, _clear = create_token(house.owner, kind="pat", name=f"{CANARY} token")
    invitation = Invitation.objects.create(
        account=house.account, email=f"{CANARY}@example.test", invited_by=house.owner,
        token_sha256=b"x" * 32, expires_at=timezone.now(),
    )  # fmt: skip
    webhook = factories.make_webhook(house.account, name=f"{CANARY} webhook")
    definition = services.define_attribute(
        of="contact", key=CANARY, name=f"{CANARY} attribute", by=house.owner
    )
    reply = services.create_saved_reply(code=CANARY, text=f"{CANARY} reply", by=house.owner)
    house.team.name = f"{CANARY} team"
    house.team.save()
    house.ids = {
        "account": house.account.public_id,
        "agent": house.agent.public_id,
        "attachment": attachment.public_id,
        "contact": conversation.contact.public_id,
        "conversation": conversation.public_id,
        "endpoint": house.agent.endpoint.public_id,
        "replay": Replay.objects.create(endpoint=house.agent.endpoint).public_id,
        "definition": definition.public_id,
        "delivery": Delivery.objects.filter(conversation=conversation)[0].public_id,
        "draft": draft.public_id,
        "inbox": house.inbox.public_id,
        "invitation": invitation.public_id,
        "label": conversation.labels.get().public_id,
        "member": house.person.public_id,
        "message": message.public_id,
        "rule": rule.public_id,
        "saved_reply": reply.public_id,
        "team": house.team.public_id,
        "token": token.public_id,
        "webhook": webhook.public_id,
    }
    return house


def intruders(house: SimpleNamespace, clear_token: str) -> list[Callable[..., Any]]:
    """The owner of another account, with a fresh session and with a token."""
    session = Client()
    session.force_login(house.outsider.user)
    return [session.generic, Client(headers={"Authorization": f"Bearer {clear_token}"}).generic]


def filled(route: str, ids: dict[str, str]) -> list[str]:
    """The route with ids of ours in it; several when it is not clear which belong there."""
    words = route.split("/")
    unclear = ["1"] if route.startswith("/admin/") else ["1", *ids.values()]
    kinds = {
        number: KINDS.get(words[number - 1])
        for number, word in enumerate(words)
        if word.startswith("<")
    }
    if "drafts" in words:
        kinds = {n: "draft" if kind == "message" else kind for n, kind in kinds.items()}
    guesses = unclear if None in kinds.values() else [""]
    return [
        "/".join(
            word if number not in kinds else ids[kind] if (kind := kinds[number]) else guess
            for number, word in enumerate(words)
        )
        for guess in guesses
    ]


def fingerprint(account: Account) -> dict[str, Any]:
    """Every row of the account, as the database has it."""
    state = {}
    with account_context(account), connection.cursor() as cursor:
        for model in account_models():
            if model is AuditEntry:
                continue
            table = model._meta.db_table
            cursor.execute(
                f'SELECT md5(string_agg(row::text, chr(10) ORDER BY row::text)) FROM "{table}" row'  # noqa: S608
                " WHERE account_id = %s",
                [account.pk],
            )
            state[table] = cursor.fetchone()[0]
    return state


PARTS = 4


@pytest.fixture
def quiet() -> Iterator[None]:
    """A thousand refusals are not worth a thousand lines when a test fails."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("part", range(PARTS))
def test_the_outsider_gets_nothing_and_changes_nothing(
    part: int, treasure: SimpleNamespace, settings: Any, tmp_path: Path
) -> None:
    """SX-08, SX-09: ids of ours in every place of every route, by the owner of another account."""
    settings.MEDIA_ROOT = tmp_path
    _token, clear_token = create_token(treasure.outsider, kind="pat", name="theirs")
    before = fingerprint(treasure.account)
    problems: list[str] = []
    for route in all_routes()[part::PARTS]:
        with transaction.atomic():  # each route meets the same house
            problems += leaks(route, treasure, clear_token)
            if fingerprint(treasure.account) != before:
                problems.append(f"{route} changed something")
            transaction.set_rollback(True)
    assert not problems


def leaks(route: str, treasure: SimpleNamespace, clear_token: str) -> Iterator[str]:
    """What the route tells an intruder, or how it breaks."""
    body = json_of(treasure.ids)
    paths = filled(route, treasure.ids)
    for path, method, ask in itertools.product(paths, METHODS, intruders(treasure, clear_token)):
        response = ask(method, path, body, content_type="application/json")
        if CANARY in answer_of(response):
            yield f"{method} {path} tells"
        if "<" in route and response.status_code not in REFUSED:
            yield f"{method} {path} answers {response.status_code}"
        if response.status_code >= 500 and response.status_code != 503:
            yield f"{method} {path} breaks"


def json_of(ids: dict[str, str]) -> bytes:
    """A body that names our rows wherever an endpoint may look for one (bad inputs 2, 3, 5, 6)."""
    body: dict[str, Any] = {f"{kind}_id": value for kind, value in ids.items()}
    body |= {**ids, "assignee": ids["member"], "ids": list(ids.values()), "name": "x", "text": "x"}
    return json.dumps(body).encode()


def answer_of(response: Any) -> str:
    body = (
        b"".join(response.streaming_content) if response.streaming else response.content
    ).decode(errors="replace")
    return body + "".join(f"{name}: {value}\n" for name, value in response.items())


def test_the_walk_finds_the_routes_it_is_meant_to_find() -> None:
    """A walk over nothing would pass too."""
    found = all_routes()
    assert len(found) > 100
    for known in ("/v1/conversations/<id>/", "/inbox/<public_id>/", "/sandbox/<token>/"):
        assert known in found


def test_the_owner_does_get_what_the_outsider_is_refused(treasure: SimpleNamespace) -> None:
    """The other half of the proof: these ids are right, and open for the account itself."""
    client = Client()
    client.force_login(treasure.owner.user)
    for path in (
        f"/v1/conversations/{treasure.ids['conversation']}/",
        f"/inbox/{treasure.ids['conversation']}/",
        f"/agents/{treasure.ids['agent']}/",
        f"/inboxes/{treasure.ids['inbox']}/",
        f"/deliveries/{treasure.ids['delivery']}/",
        f"/settings/webhooks/{treasure.ids['webhook']}/",
        f"/settings/replies/{treasure.ids['saved_reply']}/",
        f"/v1/saved_replies/{treasure.ids['saved_reply']}/",
        f"/v1/webhooks/{treasure.ids['webhook']}/",
    ):
        response = client.get(path)
        assert response.status_code == 200, path
        assert CANARY in response.content.decode(), path


@pytest.mark.usefixtures("quiet")
def test_a_foreign_id_and_a_random_one_get_the_same_answer(treasure: SimpleNamespace) -> None:
    """SX-08, bad input 1: nobody learns that something exists elsewhere."""
    client = Client()
    client.force_login(treasure.outsider.user)
    invented = {
        kind: encode(public_id.partition("_")[0], 4_000_000_000)
        for kind, public_id in treasure.ids.items()
    }
    asked = 0
    for route in all_routes():
        if "<" not in route or route.startswith("/admin/"):
            continue
        for foreign, random in zip(
            filled(route, treasure.ids), filled(route, invented), strict=True
        ):
            answers = [client.get(path) for path in (foreign, random)]
            assert answers[0].status_code == answers[1].status_code, route
            assert bare(answers[0], foreign) == bare(answers[1], random), route
            asked += 1
    assert asked > 50


def bare(response: Any, path: str) -> str:
    """The body without what is new in every answer, or repeats what was asked."""
    body = response.content.decode()
    body = re.sub(r"req_[0-9a-f]+|csrfmiddlewaretoken.*?>|ticket=[^\"]+", "", body)
    for part in path.split("/"):
        body = body.replace(part, "") if len(part) > 8 else body
    return body
