"""Staff: what was said, and by whom it is held, during a visit to an account."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy

from accounts.redaction import mask
from accounts.staff import ContentAdmin, pretty, table
from conversations.models import (
    AttributeDefinition,
    Contact,
    Conversation,
    Endpoint,
    Inbox,
    Label,
    Message,
    SavedReply,
)

SHOWN = 200


@admin.register(Inbox)
class InboxAdmin(ContentAdmin):
    list_display = ("name", "platform", "state", "fallback_team")
    list_filter = ("platform", "state")
    list_select_related = ("fallback_team",)
    fields = ("name", "platform", "state", "fallback_team", "settings", "condition", "created_at")

    @admin.display(description=gettext_lazy("Settings without secrets"))
    def settings(self, inbox: Inbox) -> SafeString:
        return pretty(inbox.config)

    @admin.display(description=gettext_lazy("Health"))
    def condition(self, inbox: Inbox) -> SafeString:
        return pretty(inbox.health)


def mask_contact(contact: Contact) -> Contact:
    """The contact with phone, e-mail, and numbers in its name masked; never saved."""
    contact.name = mask(contact.name)
    contact.phone = mask(contact.phone)
    contact.email = mask(contact.email)
    contact.identifier = mask(contact.identifier)
    return contact


@admin.register(Contact)
class ContactAdmin(ContentAdmin):
    audited = True
    list_display = ("shown_name", "phone", "language", "blocked", "updated_at")
    search_fields = ("name",)
    list_filter = ("blocked",)
    ordering = ("-updated_at", "-pk")
    fields = (
        "shown_name", "phone", "email", "identifier", "language", "blocked", "known_as", "more",
        "created_at",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("Name"))
    def shown_name(self, contact: Contact) -> str:
        return str(contact)

    @admin.display(description=gettext_lazy("Known as"))
    def known_as(self, contact: Contact) -> str:
        """Kinds of identifiers only: a value may be a phone number or name a person elsewhere."""
        addresses = contact.addresses.select_related("inbox").prefetch_related("identifiers")
        return "; ".join(
            f"{address.inbox}: {', '.join(i.kind for i in address.identifiers.all())}"
            for address in addresses
        )

    @admin.display(description=gettext_lazy("Attributes"))
    def more(self, contact: Contact) -> SafeString:
        return pretty(contact.attributes)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Contact]:
        """Without those who turned out to be somebody else: nothing of them is left."""
        return super().get_queryset(request).filter(merged_into=None)

    def masked(self, row: Contact) -> Contact:
        return mask_contact(row)


@admin.register(Conversation)
class ConversationAdmin(ContentAdmin):
    """A thread to read, newest last, with who held it and why."""

    audited = True
    list_display = ("number", "contact", "inbox", "status", "holder", "last_activity_at")
    list_display_links = ("number", "contact")
    list_filter = ("status", "priority")
    search_fields = ("number", "contact__name")
    list_select_related = ("contact", "inbox", "assignee", "team")
    ordering = ("-last_activity_at", "-pk")
    fields = ("contact", "inbox", "status", "holder", "tags", "thread", "held_by", "created_at")

    @admin.display(description=gettext_lazy("Held by"))
    def holder(self, conversation: Conversation) -> str:
        return str(conversation.assignee or conversation.team or "–")

    @admin.display(description=gettext_lazy("Labels"))
    def tags(self, conversation: Conversation) -> str:
        return ", ".join(conversation.label_names)

    @admin.display(description=gettext_lazy("Thread"))
    def thread(self, conversation: Conversation) -> SafeString:
        newest = (
            Message.objects.filter(conversation=conversation)
            .select_related("author")
            .prefetch_related("attachments")
            .order_by("-pk")[:SHOWN]
        )
        context = {"messages": list(reversed(newest)), "contact": conversation.contact}
        return render_to_string("admin/conversations/thread.html", context)

    @admin.display(description=gettext_lazy("Held by, until now"))
    def held_by(self, conversation: Conversation) -> SafeString:
        rows = conversation.assignments.select_related("member", "team", "by").order_by("-epoch")
        return table(
            ["From", "Who", "Why", "By"],
            [
                [
                    f"{localtime(row.started_at):%d.%m.%Y %H:%M:%S}",
                    row.member or row.team or "–",
                    f"{row.reason} {row.detail}".strip(),
                    row.by or "–",
                ]
                for row in rows[:50]
            ],
        )

    def masked(self, row: Conversation) -> Conversation:
        mask_contact(row.contact)
        return row


@admin.register(Endpoint)
class EndpointAdmin(ContentAdmin):
    """Where events are brought: the addresses of agents and the webhooks of integrators."""

    list_display = ("place", "name", "kind", "state", "last_success_at", "last_failure")
    list_filter = ("kind", "state")
    ordering = ("kind", "name", "pk")
    fields = (
        "place", "name", "kind", "state", "disabled_reason", "disabled_at", "events",
        "strict_order", "timeout_s", "breaker", "consecutive_failures", "last_success_at",
        "last_failure", "created_at",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("URL"))
    def place(self, endpoint: Endpoint) -> str:
        return endpoint.place

    @admin.display(description=gettext_lazy("Events"))
    def events(self, endpoint: Endpoint) -> str:
        return ", ".join(endpoint.event_types) or "all"

    @admin.display(description=gettext_lazy("Last failure"))
    def last_failure(self, endpoint: Endpoint) -> str:
        return f"{endpoint.last_failure_at or '–'} {mask(endpoint.last_error)}"


@admin.register(SavedReply)
class SavedReplyAdmin(ContentAdmin):
    list_display = ("code", "team", "updated_at")
    list_select_related = ("team",)
    search_fields = ("code",)
    ordering = ("code",)
    fields = ("code", "text", "team", "created_at", "updated_at")


@admin.register(Label)
class LabelAdmin(ContentAdmin):
    list_display = ("name", "colour", "description", "in_filters")
    list_filter = ("in_filters",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "colour", "description", "in_filters")


@admin.register(AttributeDefinition)
class AttributeDefinitionAdmin(ContentAdmin):
    list_display = ("name", "key", "of", "kind")
    list_filter = ("of", "kind")
    search_fields = ("name", "key")
    ordering = ("of", "name")
    fields = ("name", "key", "of", "kind", "values", "description", "created_at", "updated_at")
