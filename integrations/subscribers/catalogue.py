"""The events that a subscriber can have, each in a sentence. docs/webhooks.md shows the same table."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# Sent when somebody asks for it; nobody subscribes to it.
TEST = "webhook.test"
# The dialect of these names. In another one a webhook has what that calls things (`Dialect.subscriptions`).
NATIVE = "native"
# Every event, those of later versions too; kept as no choice at all.
ALL = "*"

EVENT_TYPES: Mapping[str, Promise] = {
    "conversation.created": _("A customer wrote for the first time"),
    "conversation.assigned": _("An agent, a person or a team got a conversation"),
    "conversation.unassigned": _("Whoever held a conversation gave it up"),
    "conversation.updated": _("Its labels, attributes, priority or status changed"),
    "conversation.read": _("Somebody of the team has read what the customer wrote"),
    "conversation.resolved": _("A conversation is done"),
    "message.created": _("A message, an answer or a note was written"),
    "message.updated": _("A message was edited, deleted or answered, or its file has arrived"),
    "message.status": _("An answer was sent, delivered, read, or failed"),
    "message.draft_kept": _("An answer came too late and is kept as a draft"),
    "message.draft_discarded": _("A kept draft was used or put away"),
    "contact.updated": _("A customer has a new number"),
    "contact.merged": _("Two customers turned out to be one: `merged` is `into` now"),
    "contact.erased": _("A customer asked to be forgotten: forget what you keep of them"),
}

# Each stands for all events of one kind, those of later versions too.
FAMILIES: Mapping[str, Promise] = {
    "conversation.*": _("Everything about conversations, also what later versions add"),
    "message.*": _("Everything about messages, also what later versions add"),
    "contact.*": _("Everything about customers, also what later versions add"),
}
CHOOSABLE = frozenset({ALL, *FAMILIES, *EVENT_TYPES})


def family_of(event_type: str) -> str:
    """`message.*` of `message.created`."""
    return f"{event_type.partition('.')[0]}.*"


def in_order(event_types: Collection[str]) -> list[str]:
    """What was chosen, each once and in the catalogue's order; nothing that something wider covers."""
    if ALL in event_types:
        return []
    families = [family for family in FAMILIES if family in event_types]
    single = [name for name in EVENT_TYPES if name in event_types]
    return families + [name for name in single if family_of(name) not in families]


def wants(event_types: Collection[str], event_type: str) -> bool:
    """Whether a subscriber of these has the event."""
    return not event_types or event_type in event_types or family_of(event_type) in event_types
