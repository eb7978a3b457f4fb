"""What agents are told that follow their inboxes, whatever their dialect."""

from __future__ import annotations

from agents.models import AgentInbox
from conversations import services
from conversations.models import Delivery, Endpoint, Event
from conversations.services.outbox import cancel_for_agent
from tests.agents.lane import deliveries, sent_on
from tests.factories import make_conversation


def test_one_that_follows_is_told_once_and_lastingly_that_a_customer_was_erased(house):
    Endpoint.objects.filter(pk=house.agent.endpoint_id).update(follows=True)
    AgentInbox.objects.create(agent=house.agent, inbox=house.inbox)
    conversation = make_conversation(house.inbox, "Hello")
    for row in deliveries(house.agent):
        sent_on(row)
    services.erase_contact(conversation.contact, by=house.owner)
    rows = Delivery.objects.filter(
        endpoint=house.agent.endpoint,
        event_id__in=Event.objects.filter(type="contact.erased").values("id"),
    )
    assert [row.schedule for row in rows] == ["durable"]


def test_what_is_canceled_is_counted_by_its_own_class(house, django_capture_on_commit_callbacks):
    Endpoint.objects.filter(pk=house.agent.endpoint_id).update(follows=True)
    AgentInbox.objects.create(agent=house.agent, inbox=house.inbox)
    conversation = make_conversation(house.inbox, "Hello")
    services.assign(conversation, to=house.agent.member, by=None)
    waiting = Delivery.objects.filter(endpoint=house.agent.endpoint, state="pending")
    classes = {str(row.schedule) for row in waiting}
    with django_capture_on_commit_callbacks() as callbacks:
        cancel_for_agent(conversation, endpoint_id=house.agent.endpoint_id, reason="test")
    assert len(classes) == 2
    assert {one.keywords["class_"] for one in callbacks} == classes
