"""What the client API shows a customer: the thread that they have, and what they said of themselves."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q
from django.utils.translation import gettext as _

from conversations.messages import DeliveryStatus
from conversations.models import Address, Conversation, Inbox, Message
from integrations.chatwoot.api_inbox.people import knows_contact
from integrations.chatwoot.api_inbox.settings import identity_is_mandatory
from integrations.chatwoot.shapes.attachments import attachments_of
from integrations.chatwoot.shapes.contacts import phone_of, source_of
from integrations.chatwoot.shapes.conversations import status_of
from integrations.chatwoot.shapes.messages import (
    content_attributes,
    content_type,
    message_type,
    sender_of,
    text_of,
)
from integrations.chatwoot.shapes.parts import Json, seconds
from integrations.chatwoot.signing import uuid_of

ARRIVED = (DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.READ)
# Their own words, and what has been sent to them: no note, no draft, no line of the system.
FOR_CUSTOMERS = Q(direction=Message.Direction.INBOUND) | Q(
    direction=Message.Direction.OUTBOUND, status__in=ARRIVED
)


def inbox_json(inbox: Inbox, identifier: str) -> Json:
    return {
        "identifier": identifier,
        "identity_validation_enabled": identity_is_mandatory(inbox),
        "name": inbox.name,
        "timezone": inbox.account.time_zone,
        "working_hours": [],
        "working_hours_enabled": False,
        "csat_survey_enabled": False,
        "greeting_enabled": False,
    }


def contact_json(address: Address) -> Json:
    return {
        "source_id": source_of(address),
        "pubsub_token": uuid_of(address.public_id),
        **_known(address),
    }


def _known(address: Address) -> Json:
    """What customers read of themselves; attributes are the business's own. Of somebody whom they have not
    proven to be, they read nothing."""
    contact = address.contact
    if not knows_contact(address):
        name = _("Visitor %(id)s") % {"id": source_of(address)[:4]}
        return {"id": contact.pk, "name": name, "email": None, "phone_number": None}
    return {
        "id": contact.pk,
        "name": str(contact),
        "email": contact.email or None,
        "phone_number": phone_of(contact),
    }


def conversation_json(
    conversation: Conversation, address: Address, messages: Sequence[Message]
) -> Json:
    return {
        "id": conversation.number,
        "uuid": uuid_of(conversation.public_id),
        "inbox_id": conversation.inbox_id,
        "contact_last_seen_at": 0,
        "status": status_of(conversation),
        "agent_last_seen_at": 0,
        "messages": [message_json(one, conversation) for one in messages],
        "contact": _known(address),
    }


def message_json(message: Message, conversation: Conversation, *, echo_id: str = "") -> Json:
    """What its author's own program keeps with it, is no business of the customer's."""
    kept = message.content.get("attributes", {})
    attributes = content_attributes(message).items()
    shown: Json = {
        "id": message.pk,
        "content": text_of(message),
        "message_type": message_type(message),
        "content_type": content_type(message),
        "content_attributes": {key: value for key, value in attributes if key not in kept},
        "created_at": seconds(message.created_at),
        "conversation_id": conversation.number,
        "attachments": attachments_of(message),
        "sender": _sender(message, conversation),
    }
    return {**shown, "echo_id": echo_id} if echo_id else shown


def _sender(message: Message, conversation: Conversation) -> Json | None:
    if message.direction == Message.Direction.INBOUND:
        return {**_known(conversation.address), "thumbnail": "", "type": "contact"}
    return sender_of(message, conversation)
