"""`/v1/`: the desk."""

from __future__ import annotations

from django.urls import include, path, re_path

from accounts.rest.routes import Router
from conversations.api.contact_notes import ContactNoteViewSet
from conversations.api.contacts import ContactViewSet
from conversations.api.conversations import ConversationViewSet
from conversations.api.messages import MessageViewSet
from conversations.api.outbox import DeliveryViewSet, EventViewSet
from conversations.api.participants import ParticipantViewSet
from conversations.api.reports import ReportViewSet
from conversations.api.setup import AttributeDefinitionViewSet, LabelViewSet, SavedReplyViewSet
from conversations.api.unsent import UnsentTextViewSet

CONVERSATION = r"conversations/(?P<conversation_id>[A-Za-z0-9_]{1,80})"

router = Router()
router.register("conversations", ConversationViewSet, "api-conversations")
router.register(f"{CONVERSATION}/messages", MessageViewSet, "api-messages")
router.register("contacts", ContactViewSet, "api-contacts")
router.register(
    r"contacts/(?P<contact_id>[A-Za-z0-9_]{1,80})/notes",
    ContactNoteViewSet,
    "api-contact-notes",
)
router.register("labels", LabelViewSet, "api-labels")
router.register("attribute_definitions", AttributeDefinitionViewSet, "api-definitions")
router.register("saved_replies", SavedReplyViewSet, "api-saved-replies")
router.register("events", EventViewSet, "api-events")
router.register("deliveries", DeliveryViewSet, "api-deliveries")

urlpatterns = [
    *[
        re_path(f"^v1/reports/{of}/?$", ReportViewSet.as_view({"get": of}), name=f"api-{of}")
        for of in ("summary", "series", "now")
    ],
    re_path(
        f"^v1/{CONVERSATION}/participants/?$",
        ParticipantViewSet.as_view({"get": "participants", "post": "change_participants"}),
        name="api-participants",
    ),
    re_path(
        f"^v1/{CONVERSATION}/unsent/?$",
        UnsentTextViewSet.as_view(
            {"get": "unsent", "put": "keep_unsent", "delete": "discard_unsent"}
        ),
        name="api-unsent",
    ),
    path("v1/", include(router.urls)),
]
