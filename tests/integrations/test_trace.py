"""One search for everything that happened because of one thing (delivery.md 15)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from accounts.ids import encode
from accounts.models import AuditEntry, RateBucket
from accounts.tenancy import account_context
from agents import rules
from agents.models import Decision
from conversations import services
from conversations.messages import (
    Content,
    DeliveryStatus,
    Identifier,
    InboundMessage,
    Kind,
    StatusUpdate,
)
from conversations.models import Conversation, Delivery, Event, InboxRoute, Lane, Message
from integrations.door import Door
from integrations.models import Receipt
from integrations.tracing import trace
from tests.accounts.test_admin import enter, staff_client
from tests.accounts.test_entry import logged_in
from tests.factories import make_conversation, make_inbox, make_person, make_team, said
from tests.integrations.couriers import Reply, Server, courier, make_house, says, takes, wait_for
from tests.integrations.test_door import call, paper_body

# --- The whole chain ------------------------------------------------------------------------------


def bring(inbox: Any, *items: dict[str, str]) -> None:
    """What the platform posts at the hook door."""

    async def run() -> Any:
        door = Door()
        try:
            path = f"/hooks/paper/{inbox.credentials['token']}"
            return await call(door, path, paper_body(*items))
        finally:
            await door.close()

    assert asyncio.run(run())[0] == 200


@pytest.mark.usefixtures("clean_database")
def test_one_webhook_id_tells_the_whole_story_in_order() -> None:
    """Ingest, rules, assignment, deliveries, answer and sends; from whichever end one begins."""

    def answer_messages(request: Any) -> Reply:
        asked = request.headers["X-Switchboard-Event"] == "message.created"
        return Reply(body=says("Yes, we do") if asked else b"")

    with Server(answer_messages) as agent, Server(takes) as channel:
        house = make_house(agent.url, channel.url)
        with house.inside():
            house.inbox.credentials = {"secret": "s3cret", "token": InboxRoute.new_token()}
            house.inbox.save()
            InboxRoute.objects.create(
                account=house.account, inbox_id=house.inbox.pk, platform="paper",
                token_sha256=InboxRoute.digest(house.inbox.credentials["token"]),
            )  # fmt: skip
            rules.create_default_rules(house.account, house.agent, by=None)
        with courier():
            bring(house.inbox, {"id": "ext-7", "from": "ana", "text": "Do you ship to Cluj?"})

            def sent() -> Delivery | None:
                with house.inside():
                    return Delivery.objects.filter(kind="send", state="delivered").first()

            send = wait_for(sent)
            reference = {"id": "status-1", "from": "ana", "status": "read", "text": ""}
            bring(house.inbox, {**reference, "reference": send.wire_id})
            wait_for(lambda: not _waiting(house))
    wire_id = agent.requests[-1].headers["webhook-id"]
    with house.inside():
        asked, answer = Message.objects.filter(direction__in=("inbound", "outbound")).order_by("pk")
        told = Delivery.objects.get(wire_id=wire_id)
        receipt = Receipt.objects.get(dedupe_key="m:ext-7")
        names = [
            wire_id, told.event_id, told.public_id, asked.public_id, "ext-7", receipt.public_id,
            answer.public_id, answer.external_id, send.wire_id, Decision.objects.get().public_id,
        ]  # fmt: skip
        traces = [trace(name, None) for name in names]
    first = traces[0]
    assert first is not None
    kinds = [line.kind for line in first.lines]
    for earlier, later in (
        ("receipt", "message"), ("message", "rules"), ("rules", "assignment"),
        ("assignment", "delivery"), ("delivery", "attempt"),
    ):  # fmt: skip
        assert kinds.index(earlier) < kinds.index(later), (earlier, later)
    titles = [line.title for line in first.lines]
    agent_name = house.agent.name
    assert titles[0] == "Received from Paper"
    assert f"Assigned to {agent_name}" in titles
    assert titles.index(f"{agent_name} answered") < titles.index("Send to the customer, part 1")
    assert [line.outcome for line in first.lines if line.code == "message.status"][-1] == "read"
    assert [line.at for line in first.lines] == sorted(line.at for line in first.lines)
    assert "Cluj" not in repr(first)
    for name, found in zip(names, traces, strict=True):
        assert found is not None, name
        assert [line.title for line in found.lines] == titles, name
        assert any(line.marked for line in found.lines), name


def _waiting(house: Any) -> bool:
    with house.inside():
        return Receipt.objects.filter(state="new").exists()


# --- What can be searched -------------------------------------------------------------------------


@pytest.fixture
def thread(house: SimpleNamespace) -> Conversation:
    """A conversation that the agent holds by a rule and has answered."""
    rules.create_default_rules(house.account, house.agent, by=house.owner)
    conversation = make_conversation(house.inbox, "Do you ship to Cluj?", external_id="wamid.A1")
    services.post_message(conversation, content=Content(text="Yes"), author=house.agent.member)
    conversation.refresh_from_db()
    return conversation


def on_phone(house: SimpleNamespace, inbox: Any, phone: str, text: str = "Hi") -> Conversation:
    """A conversation of somebody who is known by a phone number."""
    key = f"{inbox.pk}{phone}"
    names = (Identifier("phone", phone),)
    services.receive(
        inbox, InboundMessage(external_id=key, kind=Kind.TEXT, identifiers=names, text=text)
    )
    return Message.objects.get(external_id=key).conversation


@pytest.mark.parametrize(
    "written",
    ["+40722123456", "0040722123456", "40722123456", "+40 722 123 456", "(0040) 722-123.456",
     "0722123456", "0722 123 456", "tel:+40722123456", "whatsapp:+40722123456", "+40\u00a0722 123456"],
)  # fmt: skip
def test_a_phone_number_is_found_in_any_way_of_writing_it(
    house: SimpleNamespace, written: str
) -> None:
    conversation = on_phone(house, house.inbox, "+40722123456")
    on_phone(house, house.inbox, "+40722123457")
    found = trace(written, house.owner)
    assert found is not None
    assert (found.kind, found.conversation) == ("conversation", conversation)


def test_a_phone_number_with_several_conversations_asks_which(house: SimpleNamespace) -> None:
    other = make_inbox(house.account, name="Sales number")
    threads = [on_phone(house, inbox, "+40722123456") for inbox in (house.inbox, other)]
    found = trace("+40722123456", house.owner)
    assert found is not None
    assert found.kind == "choices"
    assert set(found.choices) == set(threads)
    page = logged_in(house.owner).get(reverse("trace"), {"q": "0722 123 456"}).content.decode()
    assert "Which conversation?" in page
    for one in threads:
        assert f"?q={one.public_id}" in page


def test_a_conversation_is_found_by_number_and_by_id(
    house: SimpleNamespace, thread: Conversation
) -> None:
    for text in (f"#{thread.number}", f" {thread.number} ", thread.public_id):
        found = trace(text, house.owner)
        assert found is not None
        assert (found.kind, found.conversation) == ("conversation", thread)
        times = [line.at for line in found.lines]
        assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    "text",
    ["", "   ", "\x00", "msg_", "msg_0000000000000", "evt_nothing", "dlv_1", "#", "#99999", "٣",
     "99999999999999999999", "+40 700 000 000", "wamid.unknown", "evt_x-y", "no such thing", "%", "_-_",
     "cnv_" + "z" * 13, "x" * 5000],
)  # fmt: skip
def test_what_is_not_there_gets_help_and_no_error(
    house: SimpleNamespace, thread: Conversation, text: str
) -> None:
    assert trace(text, house.owner) is None
    answer = logged_in(house.owner).get(reverse("trace"), {"q": text})
    assert answer.status_code == 200
    assert "What can be searched" in answer.content.decode()


def test_a_receipt_that_became_nothing_is_told_alone(house: SimpleNamespace) -> None:
    """F-24: the one item that could not be read is found by the platform's id."""
    receipt = Receipt.objects.create(
        inbox=house.inbox, lane_id=1, dedupe_key="m:wamid.BAD", state="failed",
        result="not readable: text is missing",
    )  # fmt: skip
    for text in ("wamid.BAD", receipt.public_id):
        found = trace(text, house.owner)
        assert found is not None
        [line] = found.lines
        assert (line.outcome, line.detail) == ("failed", "not readable: text is missing")
        assert line.marked
        page = logged_in(house.owner).get(reverse("trace"), {"q": text}).content.decode()
        assert "It belongs to no conversation" in page


def test_a_turn_ends_where_the_customer_speaks_again(
    house: SimpleNamespace, thread: Conversation
) -> None:
    first = Message.objects.get(external_id="wamid.A1")
    visitor = thread.address.identifiers.get().value
    services.receive(house.inbox, said("And to Iasi?", visitor=visitor, external_id="wamid.A2"))
    answer = Message.objects.filter(direction="outbound").first()
    assert answer is not None
    services.receive(
        house.inbox, StatusUpdate("", DeliveryStatus.READ, our_reference=f"{answer.public_id}-0")
    )
    one, two = trace("wamid.A1", house.owner), trace("wamid.A2", house.owner)
    assert one is not None
    assert two is not None
    assert [line.ids[1] for line in one.lines if line.kind == "message"] == [
        first.public_id, answer.public_id,
    ]  # fmt: skip
    assert "message.status" in {
        line.code for line in one.lines
    }  # it came after the second question
    assert [line.kind for line in two.lines if line.kind == "message"] == ["message"]


@pytest.mark.parametrize("hours", [-24, 24])
def test_a_message_that_was_set_in_time_is_still_found(
    house: SimpleNamespace, thread: Conversation, hours: int
) -> None:
    """Where to look is guessed by its time; what is not there is looked for everywhere."""
    Message.objects.update(created_at=timezone.now() + timedelta(hours=hours))
    found = trace("wamid.A1", house.owner)
    assert found is not None
    assert [line.marked for line in found.lines if line.kind == "message"] == [True, False]


def test_a_long_conversation_is_read_page_by_page_at_the_same_price(
    house: SimpleNamespace, thread: Conversation
) -> None:
    """Like P9: by key, with as many queries at the end as at the beginning."""
    for n in range(40):
        services.add_labels(thread, [f"label {n}"], by=house.owner)
    seen: list[str] = []
    prices, before = [], 0
    while True:
        with CaptureQueriesContext(connection) as asked:
            found = trace(f"#{thread.number}", house.owner, before=before)
        assert found is not None
        prices.append(len(asked))
        seen += [line.ids[0] for line in found.lines if line.kind in ("event", "message")]
        before = found.older
        if not before:
            break
    assert len(prices) > 1
    assert max(prices) <= 11
    assert len(seen) == len(set(seen))
    told = Event.objects.filter(conversation=thread).exclude(
        type__startswith="conversation.assigned"
    )
    assert set(seen) == set(told.values_list("pk", flat=True))


def test_a_turn_costs_the_same_however_much_happened_in_it(
    house: SimpleNamespace, thread: Conversation
) -> None:
    def price() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert trace("wamid.A1", house.owner) is not None
        return len(asked)

    before = price()
    for n in range(6):
        services.add_labels(thread, [f"label {n}"], by=house.owner)
        services.post_message(thread, content=Content(text="More"), author=house.agent.member)
    assert price() == before
    assert before <= 16


# --- Who may see it -------------------------------------------------------------------------------


def names_of(thread: Conversation) -> list[str]:
    """Everything by which the conversation can be traced."""
    told = Delivery.objects.filter(conversation=thread, kind=Lane.Kind.AGENT).first()
    message = Message.objects.filter(conversation=thread, direction="inbound").first()
    receipt = Receipt.objects.create(
        inbox=thread.inbox, lane_id=1, dedupe_key="m:wamid.A1", state="done",
        result=f"message {message.public_id if message else ''}",
    )  # fmt: skip
    assert told is not None
    assert message is not None
    return [
        thread.public_id, f"#{thread.number}", message.public_id, message.external_id, told.public_id,
        told.wire_id, told.event_id, receipt.public_id, Decision.objects.all()[0].public_id,
        thread.address.identifiers.get().value,
    ]  # fmt: skip


def test_another_account_finds_nothing(house: SimpleNamespace, thread: Conversation) -> None:
    """SX-08: by whatever id."""
    names = names_of(thread)
    assert all(trace(name, house.owner) for name in names)
    client = logged_in(house.outsider)
    with account_context(house.outsider_account):
        assert [name for name in names if trace(name, house.outsider)] == []
        for name in names:
            page = client.get(reverse("trace"), {"q": name}).content.decode()
            assert "Nothing found" in page
            assert house.agent.name not in page


def test_a_conversation_out_of_sight_is_not_there(
    house: SimpleNamespace, thread: Conversation
) -> None:
    """SX-21: a supervisor of an account that shows people their teams' conversations only."""
    house.account.people_see = "teams"
    house.account.save()
    mate = make_person(house.account, "supervisor", "Mona")
    make_team(house.account, members=(house.supervisor,))
    house.supervisor.account = mate.account = house.account
    services.assign(thread, to=mate, by=house.owner)
    names = names_of(thread)
    assert [name for name in names if trace(name, house.supervisor)] == []
    assert [name for name in names if not trace(name, mate)] == []


def test_people_without_the_delivery_log_are_refused(house: SimpleNamespace) -> None:
    assert logged_in(house.person).get(reverse("trace")).status_code == 403
    assert logged_in(house.supervisor).get(reverse("trace")).status_code == 200


# --- The page, and the ways to it -----------------------------------------------------------------


def test_the_page_leads_to_delivery_rule_why_and_conversation(
    house: SimpleNamespace, thread: Conversation
) -> None:
    told = Delivery.objects.filter(kind=Lane.Kind.AGENT).first()
    assert told is not None
    page = logged_in(house.admin).get(reverse("trace"), {"q": told.wire_id}).content.decode()
    conversation = reverse("conversation", args=[thread.public_id])
    rule = Decision.objects.all()[0].trace[-1]["rule"]
    for address in (
        reverse("delivery", args=[told.public_id]), conversation, f"{conversation}#details-why",
        reverse("rule", args=[rule]), f"?q=%23{thread.number}",
    ):  # fmt: skip
        assert f'href="{address}"' in page, address
    assert page.count('aria-current="true"') == 1
    assert "Do you ship" not in page


def test_the_names_of_rules_stand_in_the_reader_s_quotation_marks(
    house: SimpleNamespace, thread: Conversation
) -> None:
    decision = Decision.objects.all()[0]
    name = decision.trace[-1]["name"]
    with translation.override("ro"):
        found = trace(decision.public_id, house.owner)
    assert found is not None
    assert f"„{name}”" in next(line.outcome for line in found.lines if line.kind == "rules")


def test_delivery_conversation_and_decision_lead_to_the_trace(
    house: SimpleNamespace, thread: Conversation
) -> None:
    told = Delivery.objects.filter(kind=Lane.Kind.AGENT).first()
    assert told is not None
    search = reverse("trace")
    page = logged_in(house.admin).get(reverse("delivery", args=[told.public_id])).content.decode()
    assert f'href="{search}?q={told.wire_id}"' in page
    desk = reverse("conversation", args=[thread.public_id])
    page = logged_in(house.admin).get(desk).content.decode()
    assert f'href="{search}?q={thread.public_id}"' in page
    assert f'href="{search}?q={Decision.objects.order_by("-pk")[0].event_id}"' in page
    assert search not in logged_in(house.person).get(desk).content.decode()


# --- REST -----------------------------------------------------------------------------------------


def test_rest_tells_the_same_lines(api: SimpleNamespace) -> None:
    house = api.house
    with account_context(house.account):
        rules.create_default_rules(house.account, house.agent, by=house.owner)
        thread = make_conversation(house.inbox, "Hello", external_id="wamid.R1")
        found = trace("wamid.R1", house.owner)
        assert found is not None
    body = api.owner.get("/v1/trace/", q="wamid.R1").json()
    assert (body["kind"], body["conversation"]) == ("message", thread.public_id)
    assert [line["title"] for line in body["lines"]] == [line.title for line in found.lines]
    assert [line["ids"] for line in body["lines"] if line["marked"]] == [
        list(line.ids) for line in found.lines if line.marked
    ]
    nothing = api.outsider.get("/v1/trace/", q="wamid.R1").json()
    assert nothing == {
        "kind": None, "conversation": None, "choices": [], "lines": [], "older": None,
    }  # fmt: skip
    RateBucket.objects.all().delete()
    assert api.owner.get("/v1/trace/").status_code == 400
    assert api.owner.get("/v1/trace/", q="#1", before="x").status_code == 400
    assert api.person.get("/v1/trace/", q="#1").status_code == 403


# --- Support staff --------------------------------------------------------------------------------


def test_staff_trace_inside_a_visit_without_words_and_numbers(
    house: SimpleNamespace, thread: Conversation
) -> None:
    """SX-10, SX-90: kinds, ids and states, the number masked, and the account's log says so."""
    on_phone(house, house.inbox, "+40722123456", "My secret")
    services.hand_off(thread, by=house.agent.member, detail="she said: my secret")
    path = reverse("admin:trace")
    staff = staff_client()
    assert staff.get(path, {"q": "wamid.A1"}).status_code == 403
    enter(staff, house.account)
    page = staff.get(path, {"q": "wamid.A1"}).content.decode()
    assert "Rules looked at it" in page
    assert f"Assigned to {house.agent.name}" in page
    assert "Do you ship" not in page
    assert "my secret" not in page
    told = Delivery.objects.filter(kind=Lane.Kind.AGENT).first()
    assert told is not None
    assert reverse("admin:conversations_delivery_change", args=[told.pk]) in page
    page = staff.get(path, {"q": "+40722123456"}).content.decode()
    assert "…456" in page
    assert "722123456" not in page.replace('value="+40722123456"', "")
    assert "My secret" not in page
    viewed = AuditEntry.objects.filter(action="support.viewed").order_by("pk")
    assert viewed[0].object_id == thread.public_id
    assert "What can be searched" in staff.get(path).content.decode()


def test_a_visit_traces_one_account_only(house: SimpleNamespace, thread: Conversation) -> None:
    staff = staff_client()
    enter(staff, house.outsider_account)
    page = staff.get(reverse("admin:trace"), {"q": thread.public_id}).content.decode()
    assert house.agent.name not in page
    assert encode("cnv", thread.pk) not in page.replace(f'value="{thread.public_id}"', "")
