"""Looking at what an agent was sent."""

from __future__ import annotations

import json
from typing import Any

from agents.models import Agent
from conversations.models import Conversation, Delivery, Timer


def deliveries(agent: Agent, *, canceled: bool = False) -> list[Delivery]:
    """The agent's deliveries in order of their lanes, without the canceled ones."""
    rows = Delivery.objects.filter(endpoint=agent.endpoint).order_by("lane_id", "sequence")
    return list(rows if canceled else rows.exclude(state=Delivery.State.CANCELED))


def types(agent: Agent) -> list[str]:
    return [delivery.event_type for delivery in deliveries(agent)]


def bodies(agent: Agent) -> list[dict[str, Any]]:
    return [json.loads(delivery.body) for delivery in deliveries(agent)]


def patience_of(conversation: Conversation) -> Timer | None:
    return Timer.objects.filter(kind=Timer.Kind.PATIENCE, conversation=conversation).first()


def sent_on(delivery: Delivery, state: str = Delivery.State.DELIVERED) -> Delivery:
    """What the courier's own update would say."""
    Delivery.objects.filter(pk=delivery.pk).update(state=state, attempts=1)
    delivery.refresh_from_db()
    return delivery
