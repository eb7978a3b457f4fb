"""The acts of the agents' room: making and running agents, and what comes of an answer."""

from __future__ import annotations

from collections.abc import Mapping

from agents.actions import Answer
from agents.models import Agent
from conversations.models import Conversation, Delivery


def settle(
    delivery: Delivery,
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    late: bool = False,
) -> str:
    """Read the answer to a delivery and do what it asks; returns one line for the attempt.

    Called inside `account_context`, in the transaction that marks the delivery DELIVERED. `late`: the
    answer came after the time limit. Returns `ok`, `no answer`, `stale_epoch`, `late` or
    `unreadable: …`; never raises for what an agent sent.
    """
    raise NotImplementedError


def delivery_failed(delivery: Delivery, *, reason: str) -> None:
    """A delivery is dead: people get the conversation, once.

    `reason` is `agent_unreachable`, `agent_rejected`, `agent_disabled` or `agent_timeout`. Called
    inside `account_context`, in the transaction that marks the delivery DEAD.
    """
    raise NotImplementedError


def apply_answer(conversation: Conversation, agent: Agent, answer: Answer, *, epoch: int) -> None:
    """Do everything of one answer in order, or nothing of it.

    Raises `DeskError` (`NotHolderError` under an old epoch) and `MistakenActionError`.
    """
    raise NotImplementedError
