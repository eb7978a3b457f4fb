"""The client API's addresses, from the root."""

from __future__ import annotations

from django.urls import URLPattern, re_path

from integrations.chatwoot.api_inbox import contacts, conversations, messages
from integrations.chatwoot.api_inbox.view import ClientView
from integrations.chatwoot.compat.base import END, Nowhere

PREFIX = r"^public/api/v1/inboxes/(?P<identifier>[^/]+)"
# No text with a NUL was ever kept, and no database can be asked for one.
CONTACT = r"/contacts/(?P<source_id>[^/\x00]+)"
CONVERSATION = rf"{CONTACT}/conversations/(?P<number>\d{{1,18}})"


def at(path: str, view: type[ClientView]) -> URLPattern:
    return re_path(rf"{PREFIX}{path}{END}", view.as_view())


urlpatterns = [
    at("", contacts.InboxView),
    at("/contacts", contacts.Contacts),
    at(CONTACT, contacts.OneContact),
    at(f"{CONTACT}/conversations", conversations.Conversations),
    at(CONVERSATION, conversations.OneConversation),
    at(f"{CONVERSATION}/toggle_status", conversations.ToggleStatus),
    at(f"{CONVERSATION}/toggle_typing", conversations.ToggleTyping),
    at(f"{CONVERSATION}/update_last_seen", conversations.UpdateLastSeen),
    at(f"{CONVERSATION}/messages", messages.Messages),
    at(rf"{CONVERSATION}/messages/(?P<message_id>\d{{1,18}})", messages.OneMessage),
    # What is not above is not there, in their words.
    re_path(r"^public/api/v1/inboxes(?:/.*)?$", Nowhere.as_view()),
]
