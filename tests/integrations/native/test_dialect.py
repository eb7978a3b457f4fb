"""What an agent of our own protocol is sent: golden bodies, one for each type of event."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agents import dialects
from conversations import services
from conversations.messages import Content, Kind, Media, StatusUpdate
from conversations.models import Contact, Delivery
from tests.agents.lane import deliveries
from tests.factories import make_agent, make_conversation, make_inbox, said

FIXTURES = Path(__file__).parent / "fixtures"
TYPES = sorted(dialects.get("native").event_types)
NUMBER = re.compile(r"\b(evt_[0-9a-z]{26}-[0-9a-z]{13}(-\d+)?|[a-z]{3}_[0-9a-z]{13})")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+(/[a-z]+/)[^\"]+")


def normal(body: bytes) -> Any:
    """The body with ids, times and signed addresses, which are new each time, shown as their kind."""
    text = NUMBER.sub(lambda found: found[0].partition("_")[0] + "_…", body.decode())
    return json.loads(ADDRESS.sub(r"\1…", TIME.sub("<time>", text)))


@pytest.fixture
def told(house: SimpleNamespace) -> dict[str, Delivery]:
    """A short life of a conversation; the last delivery of each type."""
    agent = make_agent(house.account, name="Lumi")
    inbox = make_inbox(house.account, name="Sandbox")
    conversation = make_conversation(
        inbox, "Do you ship to Cluj?", visitor="same", contact_name="Ioana"
    )
    Contact.objects.filter(pk=conversation.contact_id).update(
        phone="+40712345678", language="ro", attributes={"tier": "gold"}
    )
    services.post_message(conversation, content=Content(text="Yes."), author=house.person)
    asked = services.receive(
        inbox,
        said(
            "This one?",
            kind=Kind.IMAGE,
            visitor="same",
            media=(Media(Kind.IMAGE, "image/jpeg", filename="lamp.jpg", remote_ref="x"),),
        ),
    )
    assert asked.startswith("message")
    conversation = services.assign(
        conversation,
        to=agent.member,
        by=house.person,
        detail="asks about lamps",
        summary="Wants a lamp sent to Cluj.",
    )
    message = services.post_message(
        conversation, content=Content(text="No, that is a chair."), author=agent.member
    )
    failed = StatusUpdate(
        "", "failed", our_reference=f"{message.public_id}-0", error_code="131026",  # type: ignore[arg-type]
        error_text="The number cannot receive this message.",
    )  # fmt: skip
    services.receive(inbox, failed)
    services.add_labels(conversation, ["lamps"], by=house.person)
    Delivery.objects.filter(endpoint=agent.endpoint).update(state="delivered", attempts=1)
    services.take_over(conversation, by=house.person)
    services.give_back(conversation, by=house.person)
    Delivery.objects.filter(endpoint=agent.endpoint, state="pending").update(attempts=1)
    services.resolve(conversation, by=house.person, detail="all said")
    found: dict[str, Delivery] = {}
    for delivery in deliveries(agent, canceled=True):
        found.setdefault(delivery.event_type, delivery)
    services.erase_contact(conversation.contact, by=house.owner)
    found["contact.erased"] = next(
        one for one in deliveries(agent, canceled=True) if one.event_type == "contact.erased"
    )
    return found


@pytest.mark.parametrize("event_type", TYPES)
def test_every_event_has_its_golden_body(told: dict[str, Delivery], event_type: str) -> None:
    """Write the files anew with GOLDEN=1, and read the difference."""
    path = FIXTURES / f"push_{event_type}.json"
    body = normal(told[event_type].body)
    if os.environ.get("GOLDEN"):
        golden = {"source": "our own protocol (docs/agents.md)", "body": body}
        path.write_text(json.dumps(golden, ensure_ascii=False, indent=2) + "\n")
    assert body == json.loads(path.read_text())["body"]


def test_the_body_names_the_id_that_its_header_will_carry(told: dict[str, Delivery]) -> None:
    for delivery in told.values():
        assert json.loads(delivery.body)["id"] == delivery.wire_id
        assert json.loads(delivery.body)["sequence"] == delivery.sequence


def test_a_body_says_nothing_that_the_customer_did_not_hear(told: dict[str, Delivery]) -> None:
    raw = b"".join(delivery.body for delivery in told.values())
    assert b"whsec_" not in raw
    assert b"remote_ref" not in raw
