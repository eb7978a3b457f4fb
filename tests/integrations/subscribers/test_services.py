"""Webhooks as acts and as events: what is kept, what is told, in which order, at which cost."""

from __future__ import annotations

import json
import re
import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry
from accounts.tenancy import account_context
from agents import rules
from conversations import services
from conversations.errors import FieldError, WrongStateError
from conversations.messages import Choice, Content, Kind
from conversations.models import Delivery, Endpoint, EndpointSecret, Message
from conversations.services import events
from conversations.services.locking import lock_many
from integrations.subscribers import services as subscribers
from integrations.subscribers.catalogue import EVENT_TYPES, FAMILIES, TEST, family_of
from integrations.subscribers.services import TooManyTestsError
from tests import factories
from tests.integrations.couriers import wait_for

URL = "https://crm.example.com/hook"


def make(house: SimpleNamespace, **fields: Any) -> Endpoint:
    return subscribers.create_subscriber(
        **{"name": "CRM", "url": URL, "by": house.owner, **fields}
    ).endpoint


def told(webhook: Endpoint) -> list[dict[str, Any]]:
    return [
        json.loads(one.body) for one in Delivery.objects.filter(endpoint=webhook).order_by("id")
    ]


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


# --- Events --------------------------------------------------------------------------------------


def test_the_catalogue_names_every_event_that_is_recorded() -> None:
    """A new kind of event has a line in the catalogue, and so a box in the form and a line in the docs."""
    base = Path(settings.BASE_DIR)
    recorded = set()
    for room in ("conversations", "agents", "integrations"):
        for path in (base / room).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            recorded |= set(
                re.findall(r"(?:(?:Fact|record)\(\s*(?:[\w.]+,\s*)?|yield )\"(\w+\.\w+)\"", source)
            )
    assert recorded == set(EVENT_TYPES)
    guide = (base / "docs" / "webhooks.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in guide for name in (*EVENT_TYPES, TEST))


def test_only_what_was_asked_for_is_told(house: SimpleNamespace) -> None:
    everything = make(house)
    resolved = make(house, event_types=["conversation.resolved"])
    off = make(house)
    subscribers.switch_off(off, by=house.owner)
    services.resolve(factories.make_conversation(house.inbox), by=house.owner)
    assert [body["type"] for body in told(resolved)] == ["conversation.resolved"]
    types = [body["type"] for body in told(everything)]
    assert types[:2] == ["conversation.created", "message.created"]
    assert types[-1] == "conversation.resolved"
    assert [body["sequence"] for body in told(everything)] == list(range(1, len(types) + 1))
    assert told(resolved)[0]["sequence"] == 1
    assert told(off) == []


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (["*"], []),
        (["message.created", "*"], []),
        (["message.*"], ["message.*"]),
        (["contact.erased", "message.created", "message.*"], ["message.*", "contact.erased"]),
    ],
)
def test_families_of_events_can_be_asked_for(
    house: SimpleNamespace, asked: list[str], kept: list[str]
) -> None:
    webhook = make(house, event_types=asked)
    assert webhook.event_types == kept
    services.resolve(factories.make_conversation(house.inbox), by=house.owner)
    types = {body["type"] for body in told(webhook)}
    assert "message.created" in types
    assert ("conversation.resolved" in types) is (not kept)


def test_every_event_has_a_family() -> None:
    assert {family_of(name) for name in EVENT_TYPES} == set(FAMILIES)


def test_the_cause_is_told_before_what_rules_make_of_it(house: SimpleNamespace) -> None:
    """DL-21: the agents' room acts on an event at once; subscribers still hear of the event first."""
    webhook = make(house)
    rules.create_rule(name="done", actions=[{"type": "resolve"}], by=house.owner)
    factories.make_conversation(house.inbox)
    types = [body["type"] for body in told(webhook)]
    assert types.index("message.created") < types.index("conversation.resolved")
    statuses = {body["type"]: body["conversation"]["status"] for body in told(webhook)}
    assert statuses["message.created"] == "open"
    assert statuses["conversation.resolved"] == "resolved"


def test_labels_are_told_as_they_are_at_each_event(house: SimpleNamespace) -> None:
    conversation = factories.make_conversation(house.inbox)
    webhook = make(house)
    services.add_labels(conversation, ["one", "two"], by=house.owner)
    added = [(body["conversation"]["labels"], body["data"]) for body in told(webhook)]
    assert added[-1][0] == ["one", "two"]
    assert added[-1][1]["actor"] == house.owner.public_id


def test_what_a_customer_took_back_is_not_passed_on(house: SimpleNamespace) -> None:
    conversation = factories.make_conversation(house.inbox, "my card is 4111")
    webhook = make(house)
    message = Message.objects.get(conversation=conversation)
    services.receive(
        house.inbox,
        factories.said(
            "", kind="delete", target_external_id=message.external_id,
            visitor=conversation.address.identifiers.get(kind="visitor").value,
        ),
    )  # fmt: skip
    [body] = told(webhook)
    assert body["type"] == "message.updated"
    assert body["message"]["deleted_at"]
    assert "4111" not in json.dumps(body)


def test_what_was_answered_is_told_with_the_message_that_offered_it(house: SimpleNamespace) -> None:
    conversation = factories.make_conversation(house.inbox, visitor="ana")
    buttons = (Choice("r", "Return it"),)
    content = Content(Kind.BUTTONS, text="What now?", buttons=buttons)
    offered = services.post_message(conversation, content=content, author=house.owner)
    webhook = make(house)
    services.receive(house.inbox, factories.said("return it", visitor="ana"))
    created, updated = told(webhook)
    assert (created["type"], updated["type"]) == ("message.created", "message.updated")
    assert created["message"]["content"]["choice"] == {"id": "r", "title": "Return it"}
    submitted = [{"title": "Return it", "value": "r"}]
    assert updated["message"]["id"] == offered.public_id
    assert updated["message"]["content"]["submitted"] == submitted
    assert updated["data"] == {"submitted": submitted, "answer": created["message"]["id"]}


def test_an_account_without_subscribers_pays_one_query_for_many_events(
    house: SimpleNamespace,
) -> None:
    conversations = [factories.make_conversation(house.inbox) for _ in range(5)]

    def record() -> list[str]:
        locked = lock_many([one.pk for one in conversations]).values()
        facts = [events.Fact("conversation.read", one) for one in locked]
        with CaptureQueriesContext(connection) as queries, transaction.atomic():
            events.record_many(facts)
        return [query["sql"] for query in queries.captured_queries]

    ours = [sql for sql in record() if "subscriber" in sql]
    assert len(ours) == 1
    make(house)
    few = len(record())
    conversations += [factories.make_conversation(house.inbox) for _ in range(10)]
    assert len(record()) == few


def test_dl_02_event_and_delivery_go_together_or_not_at_all(house: SimpleNamespace) -> None:
    webhook = make(house)

    def breaks() -> None:
        with transaction.atomic():
            factories.make_conversation(house.inbox)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        breaks()
    assert told(webhook) == []


@pytest.mark.usefixtures("clean_database")
def test_f_33_an_event_that_is_just_being_told_is_canceled_with_the_rest() -> None:
    """Who deletes waits for it; who tells never finds the endpoint gone under its feet."""
    house = factories.make_house()
    webhook = factories.make_webhook(house.account)
    entered, go_on = threading.Event(), threading.Event()

    def tell() -> None:
        with account_context(house.account):
            factories.make_conversation(house.inbox)
            entered.set()
            go_on.wait(10)
        connections.close_all()

    def delete() -> None:
        with account_context(house.account):
            subscribers.delete_subscriber(webhook, by=None)
        connections.close_all()

    teller, deleter = threading.Thread(target=tell), threading.Thread(target=delete)
    teller.start()
    entered.wait(10)
    deleter.start()
    wait_for(lambda: _waiting_for_locks() == 1)
    go_on.set()
    teller.join()
    deleter.join()
    left = Delivery.all_accounts.filter(kind="subscriber")
    assert {(one.state, one.endpoint_id) for one in left} == {(Delivery.State.CANCELED, None)}


def _waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return int(cursor.fetchone()[0])


# --- Acts ----------------------------------------------------------------------------------------


def test_every_act_is_audited_without_secrets(house: SimpleNamespace) -> None:
    made = subscribers.create_subscriber(name="CRM", url=f"{URL}?key=very-secret", by=house.owner)
    webhook = made.endpoint
    subscribers.change_subscriber(webhook, by=house.owner, url=f"{URL}/2?key=very-secret")
    rotated = subscribers.rotate_secret(webhook, by=house.owner)
    shown = subscribers.show_secret(webhook, by=house.owner)
    subscribers.send_test(webhook, by=house.owner)
    subscribers.switch_off(webhook, by=house.owner)
    subscribers.switch_on(webhook, by=house.owner)
    subscribers.delete_subscriber(webhook, by=house.owner)
    assert actions() == [
        "webhook.created", "webhook.updated", "webhook.secret_rotated", "webhook.secret_shown",
        "webhook.tested", "webhook.disabled", "webhook.enabled", "webhook.deleted",
    ]  # fmt: skip
    assert shown == rotated
    log = str(list(AuditEntry.objects.values()))
    for secret in (made.secret, rotated, "very-secret"):
        assert secret not in log
    assert AuditEntry.objects.get(action="webhook.deleted").object_name == "CRM"


def test_dl_72_a_secret_is_random_unique_and_sealed(house: SimpleNamespace) -> None:
    first, second = (
        subscribers.create_subscriber(name="CRM", url=URL, by=house.owner) for _ in range(2)
    )
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", first.secret)
    assert first.secret != second.secret
    sealed = bytes(EndpointSecret.objects.get(endpoint=first.endpoint).sealed)
    assert first.secret.encode() not in sealed


def test_dl_73_at_most_three_secrets_live_and_a_grace_of_nothing_ends_the_old_ones(
    house: SimpleNamespace,
) -> None:
    webhook = make(house)
    for _ in range(4):
        subscribers.rotate_secret(webhook, by=house.owner)
    assert webhook.secrets.count() == 3
    newest = subscribers.rotate_secret(webhook, by=house.owner, grace=timedelta(0))
    assert subscribers.show_secret(webhook, by=house.owner) == newest
    with pytest.raises(FieldError) as refused:
        subscribers.rotate_secret(webhook, by=house.owner, grace=timedelta(days=7, seconds=1))
    assert refused.value.field == "grace"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 121),
        ("name", "two\r\nlines"),
        ("url", "ftp://crm.example.com/"),
        ("url", "https://user:pass@crm.example.com/"),
        ("url", "https://crm.example.com/#part"),
        ("url", "nonsense"),
        ("event_types", ["message.created", "message.exploded"]),
        ("event_types", ["message.created\r\nX-Evil: 1"]),
        ("event_types", ["webhook.test"]),
        ("event_types", ["webhook.*"]),
        ("event_types", ["message.cre*"]),
        ("timeout_s", 4),
        ("timeout_s", 31),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(
    house: SimpleNamespace, field: str, value: Any
) -> None:
    """Bad inputs 47 and 51."""
    with pytest.raises(FieldError) as refused:
        make(house, **{field: value})
    assert refused.value.field == field
    webhook = make(house)
    with pytest.raises(FieldError):
        subscribers.change_subscriber(webhook, by=house.owner, **{field: value})
    assert Endpoint.objects.filter(kind="subscriber").count() == 1


def test_an_account_has_a_limited_number(house: SimpleNamespace) -> None:
    for _ in range(subscribers.AT_MOST):
        factories.make_webhook(house.account)
    with pytest.raises(FieldError):
        make(house)


def test_switching_off_cancels_what_waits_and_switching_on_sends_nothing_old(
    house: SimpleNamespace,
) -> None:
    """DL-68."""
    webhook = make(house)
    conversation = factories.make_conversation(house.inbox)
    subscribers.switch_off(webhook, by=house.owner)
    services.add_note(conversation, text="unheard", author=house.owner)
    subscribers.switch_on(webhook, by=house.owner)
    assert {one.state for one in Delivery.objects.filter(endpoint=webhook)} == {
        Delivery.State.CANCELED
    }
    services.add_note(conversation, text="heard", author=house.owner)
    assert told(webhook)[-1]["message"]["text"] == "heard"
    # Numbers go on; who counts sees that something is missing.
    assert told(webhook)[-1]["sequence"] == 3


def test_bad_input_48_at_most_ten_tests_a_minute_in_the_whole_account(
    house: SimpleNamespace,
) -> None:
    webhooks = [make(house), make(house)]
    for n in range(10):
        subscribers.send_test(webhooks[n % 2], by=house.owner)
    with pytest.raises(TooManyTestsError) as refused:
        subscribers.send_test(webhooks[0], by=house.owner)
    assert 1 <= refused.value.wait <= 6


def test_what_is_switched_off_is_not_tested(house: SimpleNamespace) -> None:
    webhook = make(house)
    subscribers.switch_off(webhook, by=house.owner)
    with pytest.raises(WrongStateError):
        subscribers.send_test(webhook, by=house.owner)
