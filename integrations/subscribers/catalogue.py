"""The events that a subscriber can have, each in a sentence. docs/webhooks.md shows the same table."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# Sent when somebody asks for it; nobody subscribes to it.
TEST = "webhook.test"

EVENT_TYPES: Mapping[str, Promise] = {
    "conversation.created": _("A customer wrote for the first time"),
    "conversation.assigned": _("An agent, a person or a team got a conversation"),
    "conversation.unassigned": _("Whoever held a conversation gave it up"),
    "conversation.updated": _("Its labels, attributes, priority or status changed"),
    "conversation.read": _("Somebody of the team has read what the customer wrote"),
    "conversation.resolved": _("A conversation is done"),
    "message.created": _("A message, an answer or a note was written"),
    "message.updated": _("A message was edited or deleted, or its file has arrived"),
    "message.status": _("An answer was sent, delivered, read, or failed"),
    "message.draft_kept": _("An answer came too late and is kept as a draft"),
    "message.draft_discarded": _("A kept draft was used or put away"),
    "contact.updated": _("A customer has a new number"),
    "contact.erased": _("A customer asked to be forgotten: forget what you keep of them"),
}
