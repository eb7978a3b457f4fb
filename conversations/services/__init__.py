"""The acts of the desk. Every door – dashboard, REST, compat, courier, rules – calls these.

Each runs in one transaction inside `account_context`, locks the conversation first, records events,
and returns the object it changed.
"""

from conversations.services.attributes import (
    define_attribute,
    delete_definition,
    replace_attributes,
    set_attributes,
    update_definition,
)
from conversations.services.contact_notes import (
    add_contact_note,
    change_contact_note,
    delete_contact_note,
)
from conversations.services.contacts import create_contact, update_contact
from conversations.services.erasing import erase_contact
from conversations.services.holding import (
    assign,
    assign_many,
    give_back,
    hand_off,
    reopen,
    resolve,
    snooze,
    take_over,
    unassign,
)
from conversations.services.inbound import receive, receive_messages
from conversations.services.labels import (
    add_contact_labels,
    add_labels,
    create_label,
    delete_label,
    remove_contact_labels,
    remove_labels,
    set_contact_labels,
    set_labels,
    update_label,
)
from conversations.services.merging import merge_contacts
from conversations.services.moving import Reason
from conversations.services.outbound import (
    Saying,
    add_note,
    keep_draft,
    post_message,
    post_messages,
    say_in,
    take_back,
    use_draft,
)
from conversations.services.participants import (
    change_participants,
    participants_of,
    set_participants,
)
from conversations.services.saved_replies import (
    create_saved_reply,
    delete_saved_reply,
    update_saved_reply,
)
from conversations.services.statuses import receive_statuses
from conversations.services.unsent import discard_unsent, keep_unsent, unsent_text
from conversations.services.updates import (
    mark_read,
    mark_unread,
    set_priority,
)

__all__ = [
    "Reason",
    "Saying",
    "add_contact_labels",
    "add_contact_note",
    "add_labels",
    "add_note",
    "assign",
    "assign_many",
    "change_contact_note",
    "change_participants",
    "create_contact",
    "create_label",
    "create_saved_reply",
    "define_attribute",
    "delete_contact_note",
    "delete_definition",
    "delete_label",
    "delete_saved_reply",
    "discard_unsent",
    "erase_contact",
    "give_back",
    "hand_off",
    "keep_draft",
    "keep_unsent",
    "mark_read",
    "mark_unread",
    "merge_contacts",
    "participants_of",
    "post_message",
    "post_messages",
    "receive",
    "receive_messages",
    "receive_statuses",
    "remove_contact_labels",
    "remove_labels",
    "reopen",
    "replace_attributes",
    "resolve",
    "say_in",
    "set_attributes",
    "set_contact_labels",
    "set_labels",
    "set_participants",
    "set_priority",
    "snooze",
    "take_back",
    "take_over",
    "unassign",
    "unsent_text",
    "update_contact",
    "update_definition",
    "update_label",
    "update_saved_reply",
    "use_draft",
]
