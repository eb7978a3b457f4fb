"""What was said, who has it, and what still has to travel."""

from conversations.models.attribute import AttributeDefinition
from conversations.models.contact import (
    Address,
    AddressIdentifier,
    Contact,
    ContactLabel,
    ContactNote,
)
from conversations.models.conversation import (
    Assignment,
    Conversation,
    ConversationLabel,
    Participant,
    in_sight,
    sees_all,
)
from conversations.models.event import Event
from conversations.models.inbox import Inbox, InboxRoute
from conversations.models.label import Label
from conversations.models.message import Attachment, Message, UnsentText
from conversations.models.outbox import (
    Attempt,
    CallbackToken,
    Courier,
    Delivery,
    Endpoint,
    EndpointSecret,
    Lane,
    Replay,
    Timer,
)
from conversations.models.saved_reply import SavedReply
from conversations.models.tally import ConversationTally

__all__ = [
    "Address",
    "AddressIdentifier",
    "Assignment",
    "Attachment",
    "Attempt",
    "AttributeDefinition",
    "CallbackToken",
    "Contact",
    "ContactLabel",
    "ContactNote",
    "Conversation",
    "ConversationLabel",
    "ConversationTally",
    "Courier",
    "Delivery",
    "Endpoint",
    "EndpointSecret",
    "Event",
    "Inbox",
    "InboxRoute",
    "Label",
    "Lane",
    "Message",
    "Participant",
    "Replay",
    "SavedReply",
    "Timer",
    "UnsentText",
    "in_sight",
    "sees_all",
]
