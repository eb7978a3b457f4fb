"""What somebody has to look at, with what mends it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from accounts.tenancy import account_context
from agents import services as agents
from conversations import services
from conversations.models import Conversation, Delivery, Endpoint, Inbox, Lane
from integrations import attention
from integrations.models import Dismissal, Receipt
from integrations.services import note_health
from integrations.subscribers import services as webhooks
from tests.accounts.test_entry import logged_in
from tests.factories import make_conversation, make_inbox, make_webhook


def kinds() -> list[str]:
    return [thing.kind for thing in attention.things()]


def page(house: SimpleNamespace) -> str:
    return logged_in(house.owner).get(reverse("attention")).content.decode()


def badge(house: SimpleNamespace, member: Any = None) -> int | None:
    """The number on the rail of an ordinary page."""
    html = logged_in(member or house.owner).get(reverse("team")).content.decode()
    rail = html[html.index('class="rail"') : html.index("</header>")]
    found = re.search(r'class="count">(\d+)<', rail)
    return int(found[1]) if found else None


def died(
    endpoint: Endpoint | None, *, ago: timedelta = timedelta(0), state: str = "dead"
) -> Delivery:
    lane = Lane.objects.create(kind="agent", destination_id=1, key=f"{Lane.objects.count()}")
    return Delivery.objects.create(
        lane=lane, kind="agent", schedule="live", wire_id="w", sequence=1, due_at=timezone.now(),
        endpoint=endpoint, state=state, finished_at=timezone.now() - ago,
    )  # fmt: skip


def failed(inbox: Inbox) -> Receipt:
    return Receipt.objects.create(
        inbox=inbox,
        lane_id=1,
        dedupe_key=f"m:{Receipt.objects.count()}",
        state="failed",
        result="bad",
    )


def test_nothing_needs_you_when_all_is_well(house: SimpleNamespace) -> None:
    make_conversation(house.inbox)
    assert kinds() == []
    assert "Nothing needs you." in page(house)
    assert badge(house) is None


# Each way in which something can be wrong: how it comes about, and what the page offers.


def _dead_letter(house: SimpleNamespace) -> None:
    died(house.agent.endpoint)


def _switched_off(house: SimpleNamespace) -> None:
    Endpoint.objects.update(
        state="disabled", disabled_at=timezone.now(), disabled_reason="answered 410 Gone"
    )


def _breaker(house: SimpleNamespace) -> None:
    Endpoint.objects.update(breaker="open", breaker_opened_at=timezone.now(), last_error="HTTP 500")


def _subscriber(house: SimpleNamespace) -> None:
    Endpoint.objects.create(
        kind="subscriber", dialect="native", name="Warehouse", url="https://x.test/?key=hush",
        consecutive_failures=2, failing_since=timezone.now(), last_error="HTTP 500",
    )  # fmt: skip


def _subscriber_off(house: SimpleNamespace) -> None:
    webhooks.switch_off(make_webhook(house.account, name="Warehouse"), by=house.owner)


def _subscriber_gone(house: SimpleNamespace) -> None:
    warehouse = make_webhook(house.account, name="Warehouse")
    webhooks.switch_off(warehouse, by=None, reason="its endpoint answered 410 Gone")


def _reauth(house: SimpleNamespace) -> None:
    Inbox.objects.update(state=Inbox.State.NEEDS_REAUTH)


def _inbox_off(house: SimpleNamespace) -> None:
    Inbox.objects.update(state=Inbox.State.DISABLED)


def _refused(house: SimpleNamespace) -> None:
    note_health(house.inbox, "hooks", {"refused_in_a_row": 3})


def _test_failed(house: SimpleNamespace) -> None:
    note_health(house.inbox, "check", {"state": "failed", "steps": []})


def _poison(house: SimpleNamespace) -> None:
    failed(house.inbox)


def _held(house: SimpleNamespace) -> None:
    died(None, state="held")


def _alone(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox)
    Conversation.objects.filter(pk=conversation.pk).update(
        waiting_since=timezone.now() - timedelta(minutes=3)
    )


CASES: list[tuple[str, Callable[[SimpleNamespace], None], str, str]] = [
    ("dead_letters", _dead_letter, "1 event for {agent} was given up", "?endpoint={endpoint}&amp;state=dead"),
    ("endpoint_off", _switched_off, "{agent} is switched off", "/agents/{id}/enable/"),
    ("endpoint_off", _subscriber_gone, "Warehouse is switched off", "/switch/"),
    ("endpoint_rests", _subscriber_off, "Warehouse is switched off", "/switch/"),
    ("breaker", _breaker, "{agent} fails again and again", "/agents/{id}/"),
    ("failing", _subscriber, "Warehouse did not take the latest events", "/deliveries/?endpoint=end_"),
    ("inbox_reauth", _reauth, "Sandbox needs new credentials", "/inboxes/{inbox}/change/"),
    ("inbox_off", _inbox_off, "Sandbox is switched off", "/inboxes/{inbox}/switch/"),
    ("inbox_refused", _refused, "Sandbox refuses what the channel sends", "/inboxes/{inbox}/change/"),
    ("inbox_test", _test_failed, "The connection test of Sandbox failed", "/inboxes/{inbox}/"),
    ("failed_receipts", _poison, "1 item of Sandbox could not be read", "?receipts=failed"),
    ("held", _held, "1 message may or may not have arrived", "/deliveries/?state=held"),
    ("waiting", _alone, "1 customer waits and nobody has the conversation", "/?tab=unassigned"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "make", "title", "way"), CASES, ids=[case[0] for case in CASES])
def test_each_thing_says_what_it_is_and_offers_what_mends_it(
    house: SimpleNamespace, kind: str, make: Any, title: str, way: str
) -> None:
    """DL-67, DL-83, DL-18 (F-24), DL-42 (F-35): one thing on the page, one on the badge."""
    make(house)
    assert kinds() == [kind]
    html = page(house)
    words = {
        "agent": house.agent.name, "id": house.agent.public_id, "inbox": house.inbox.public_id,
        "endpoint": house.agent.endpoint.public_id,
    }  # fmt: skip
    assert title.format(**words) in html
    assert way.format(**words) in html
    assert "hush" not in html
    assert badge(house) == (None if kind in attention.QUIET else 1)
    assert kind not in attention.QUIET or "urgent" not in html


def test_an_inbox_and_an_address_with_the_same_number_are_told_apart(
    house: SimpleNamespace,
) -> None:
    Endpoint.objects.create(
        pk=house.inbox.pk + 1000, kind="subscriber", dialect="native", name="Warehouse",
        consecutive_failures=1,
    )  # fmt: skip
    inbox = make_inbox(house.account, pk=house.inbox.pk + 1000, state=Inbox.State.DISABLED)
    titles = [item.title for item in attention.items()]
    assert titles == ["Warehouse did not take the latest events", f"{inbox.name} is switched off"]


def test_the_buttons_do_what_they_say(house: SimpleNamespace) -> None:
    _switched_off(house)
    _inbox_off(house)
    client = logged_in(house.owner)
    html = page(house)
    for action in (
        reverse("enable_agent", args=[house.agent.public_id]),
        reverse("switch_inbox", args=[house.inbox.public_id]),
    ):
        assert f'action="{action}"' in html
        client.post(action, {"on": "1"})
    assert kinds() == []


@pytest.mark.parametrize("off", [_subscriber_off, _subscriber_gone])
def test_dl_67_a_webhook_is_switched_on_where_it_is_shown_to_be_off(
    house: SimpleNamespace, off: Any
) -> None:
    off(house)
    webhook = Endpoint.objects.get(kind="subscriber")
    action = reverse("switch_webhook", args=[webhook.public_id])
    assert f'action="{action}"' in page(house)
    logged_in(house.owner).post(action, {"on": "1"})
    assert kinds() == []


def test_what_is_past_is_put_away_until_it_happens_again(house: SimpleNamespace) -> None:
    died(house.agent.endpoint)
    failed(house.inbox)
    client = logged_in(house.admin)
    client.post(
        reverse("dismiss_attention"),
        {"kind": "dead_letters", "subject": house.agent.endpoint.public_id},
    )
    assert kinds() == ["failed_receipts"]
    client.post(
        reverse("dismiss_attention"), {"kind": "failed_receipts", "subject": house.inbox.public_id}
    )
    assert kinds() == []
    assert AuditEntry.objects.filter(action="attention.dismissed").count() == 2
    died(house.agent.endpoint, ago=timedelta(seconds=-1))
    assert [(thing.kind, thing.number) for thing in attention.things()] == [("dead_letters", 1)]


def test_what_still_is_so_cannot_be_put_away(house: SimpleNamespace) -> None:
    client, path = logged_in(house.owner), reverse("dismiss_attention")
    for given in (
        {"kind": "breaker", "subject": house.agent.endpoint.public_id},
        {"kind": "dead_letters", "subject": "end_0000000000000"},
        {"kind": "dead_letters", "subject": house.inbox.public_id},
        {},
    ):
        assert client.post(path, given).status_code == 404
    assert not Dismissal.objects.exists()


def test_a_dead_letter_that_was_sent_again_or_is_old_needs_nobody(house: SimpleNamespace) -> None:
    first = died(house.agent.endpoint)
    died(house.agent.endpoint, ago=timedelta(days=31))
    again = died(house.agent.endpoint, state="pending")
    Delivery.objects.filter(pk=again.pk).update(replay_of=first)
    assert kinds() == []


def test_a_deleted_agent_leaves_nothing_to_look_at(house: SimpleNamespace) -> None:
    died(house.agent.endpoint)
    agents.delete_agent(house.agent, by=house.owner)
    assert kinds() == []


def test_who_waits_with_a_team_or_not_for_long_is_no_alarm(house: SimpleNamespace) -> None:
    """F-35"""
    _alone(house)
    client = logged_in(house.owner)
    assert "Open the queue" not in client.get(reverse("team")).content.decode()
    Conversation.objects.update(waiting_since=timezone.now() - timedelta(minutes=11))
    assert "Open the queue" in client.get(reverse("team")).content.decode()
    assert "Open the queue" not in logged_in(house.person).get(reverse("team")).content.decode()
    services.assign(Conversation.objects.get(), to=house.team, by=house.owner)
    Conversation.objects.update(waiting_since=timezone.now() - timedelta(minutes=11))
    assert kinds() == []


def test_dl_67_every_page_says_that_an_address_was_switched_off_by_its_failures(
    house: SimpleNamespace,
) -> None:
    client, page_of_it = logged_in(house.owner), reverse("agent", args=[house.agent.public_id])
    banner = f'<a href="{page_of_it}">See why</a>'
    its = Endpoint.objects.filter(pk=house.agent.endpoint_id)
    its.update(state="disabled", disabled_at=timezone.now())
    assert banner not in client.get(reverse("team")).content.decode()  # somebody's wish
    its.update(disabled_reason="its endpoint answered 410 Gone")
    html = client.get(reverse("team")).content.decode()
    assert banner in html
    assert f"{house.agent.name} is switched off." in html
    assert banner not in logged_in(house.person).get(reverse("team")).content.decode()
    _subscriber_gone(house)
    other_page = webhooks.page_of_webhook(Endpoint.objects.get(kind="subscriber"))
    assert f'<a href="{other_page}">See why</a>' in client.get(reverse("team")).content.decode()
    Endpoint.objects.filter(kind="subscriber").delete()
    agents.enable_endpoint(house.agent, by=house.owner)
    assert banner not in client.get(reverse("team")).content.decode()


def test_owners_and_admins_only_and_nothing_of_another_account(house: SimpleNamespace) -> None:
    """SX-08, SX-20"""
    died(house.agent.endpoint)
    failed(house.inbox)
    _alone(house)
    assert badge(house, house.admin) == 3
    for member in (house.supervisor, house.person):
        assert badge(house, member) is None
        assert logged_in(member).get(reverse("attention")).status_code == 403
    outsider = logged_in(house.outsider)
    with account_context(house.outsider_account):
        assert kinds() == []
        given = {"kind": "dead_letters", "subject": house.agent.endpoint.public_id}
        assert outsider.post(reverse("dismiss_attention"), given).status_code == 404


def test_the_badge_costs_one_query_however_much_is_wrong(house: SimpleNamespace) -> None:
    for _n in range(3):
        died(house.agent.endpoint)
        failed(house.inbox)
    with CaptureQueriesContext(connection) as asked:
        assert attention.calling(attention.things()) == 2
    assert len(asked) == 1
    with CaptureQueriesContext(connection) as asked:
        attention.items()
    assert len(asked) == 3
    client = logged_in(house.owner)
    client.get(reverse("team"))
    with CaptureQueriesContext(connection) as asked:
        client.get(reverse("team"))
    assert sum("failed_receipts" in query["sql"] for query in asked.captured_queries) == 1


def test_dead_letters_are_found_by_an_index_of_their_own(house: SimpleNamespace) -> None:
    """The log may hold millions of delivered ones."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {attention._THINGS}", {"account": house.account.pk, "many": 100})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert plan.count("delivery_attention") >= 2
    assert "receipt_failed" in plan
