"""Shapes of the desk's resources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts import ids
from accounts.models import Member, Team
from accounts.rest.fields import AttributesField, PublicIdField, RefField, StrictSerializer
from conversations.file_addresses import signed_url
from conversations.messages import (
    MEDIA_KINDS,
    Article,
    Card,
    Choice,
    Content,
    FieldType,
    Input,
    Kind,
    Location,
    OutboundMedia,
    Section,
)
from conversations.models import (
    Attachment,
    Attempt,
    Contact,
    ContactNote,
    Conversation,
    Delivery,
    Endpoint,
    Event,
    Inbox,
    Message,
)
from conversations.rich_serializers import (
    ArticleSerializer,
    CarouselCardSerializer,
    FormFieldSerializer,
    InputSerializer,
    carousel_card_of,
    check_source,
    form_field_of,
)
from conversations.services.contact_notes import MAX_TEXT as MAX_NOTE

_DATE_TIME = serializers.DateTimeField()

MAX_TEXT = 10_000
MAX_FILES = 10


# --- Reading -------------------------------------------------------------------------------------


class MemberBriefSerializer(serializers.ModelSerializer[Member]):
    id = PublicIdField()

    class Meta:
        model = Member
        fields = ["id", "kind", "name"]
        read_only_fields = fields


class ContactBriefSerializer(serializers.ModelSerializer[Contact]):
    id = PublicIdField()

    class Meta:
        model = Contact
        fields = ["id", "name", "phone", "email", "language"]
        read_only_fields = fields


class ContactSerializer(serializers.ModelSerializer[Contact]):
    id = PublicIdField()
    attributes = AttributesField(read_only=True)
    labels = serializers.ListField(
        source="label_names", child=serializers.CharField(), read_only=True
    )

    class Meta:
        model = Contact
        fields = [
            "id", "name", "phone", "email", "identifier", "language", "attributes", "labels",
            "blocked", "erased_at", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields


class ConversationSerializer(serializers.ModelSerializer[Conversation]):
    id = PublicIdField()
    inbox = RefField(Inbox, read_only=True)
    contact = ContactBriefSerializer(read_only=True)
    assignee = MemberBriefSerializer(read_only=True, allow_null=True)
    team = RefField(Team, read_only=True, allow_null=True)
    labels = serializers.ListField(
        source="label_names", child=serializers.CharField(), read_only=True
    )
    attributes = AttributesField(read_only=True)
    window_closes_at = serializers.SerializerMethodField()

    class Meta:
        model = Conversation
        fields = [
            "id", "number", "status", "inbox", "contact", "assignee", "team", "assignment_epoch",
            "priority", "labels", "attributes", "language", "snoozed_until", "waiting_since",
            "unread_count", "preview", "preview_kind", "preview_direction", "last_inbound_at",
            "last_activity_at", "window_closes_at", "synthetic", "resolved_at", "created_at",
            "updated_at",
        ]  # fmt: skip
        read_only_fields = fields

    def to_representation(self, instance: Conversation) -> dict[str, Any]:
        """What the fields say, written out: asking each of them takes three times as long, and this is the
        row of the longest lists."""
        return {
            "id": instance.public_id,
            "number": instance.number,
            "status": instance.status,
            "inbox": ids.encode("inb", instance.inbox_id),
            "contact": _brief_contact(instance.contact),
            "assignee": _brief_member(instance.assignee) if instance.assignee else None,
            "team": ids.encode("tem", instance.team_id) if instance.team_id else None,
            "assignment_epoch": instance.assignment_epoch,
            "priority": instance.priority,
            "labels": instance.label_names,
            "attributes": instance.attributes,
            "language": instance.language,
            "snoozed_until": _moment(instance.snoozed_until),
            "waiting_since": _moment(instance.waiting_since),
            "unread_count": instance.unread_count,
            "preview": instance.preview,
            "preview_kind": instance.preview_kind,
            "preview_direction": instance.preview_direction,
            "last_inbound_at": _moment(instance.last_inbound_at),
            "last_activity_at": _moment(instance.last_activity_at),
            "window_closes_at": self.get_window_closes_at(instance),
            "synthetic": instance.synthetic,
            "resolved_at": _moment(instance.resolved_at),
            "created_at": _moment(instance.created_at),
            "updated_at": _moment(instance.updated_at),
        }

    @extend_schema_field({"type": ["string", "null"], "format": "date-time"})
    def get_window_closes_at(self, conversation: Conversation) -> str | None:
        """When free text stops being allowed; null when the channel has no window."""
        conversation.address.inbox = conversation.inbox
        return _moment(conversation.address.window_closes_at())


def _brief_contact(contact: Contact) -> dict[str, Any]:
    return {
        "id": contact.public_id,
        "name": contact.name,
        "phone": contact.phone,
        "email": contact.email,
        "language": contact.language,
    }


def _brief_member(member: Member) -> dict[str, Any]:
    return {"id": member.public_id, "kind": member.kind, "name": member.name}


def _moment(value: datetime | None) -> str | None:
    return None if value is None else str(_DATE_TIME.to_representation(value))


class AttachmentSerializer(serializers.ModelSerializer[Attachment]):
    id = PublicIdField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = Attachment
        fields = ["id", "kind", "mime", "size", "filename", "state", "error", "url"]
        read_only_fields = fields

    @extend_schema_field({"type": ["string", "null"], "format": "uri"})
    def get_url(self, attachment: Attachment) -> str | None:
        """A signed address that works for a day."""
        ready = attachment.state == Attachment.State.READY
        return signed_url(attachment) if ready else None


class MessageSerializer(serializers.ModelSerializer[Message]):
    """`content` holds what a kind has beyond text: buttons, list, carousel, fields, input, articles,
    choice, form, location, cards; `submitted` is what was answered to it."""

    id = PublicIdField()
    conversation = RefField(Conversation, read_only=True)
    author = MemberBriefSerializer(read_only=True, allow_null=True)
    reply_to = RefField(Message, read_only=True, allow_null=True)
    content = serializers.DictField(read_only=True)
    attachments = AttachmentSerializer(many=True, read_only=True)

    class Meta:
        model = Message
        fields = [
            "id", "conversation", "direction", "kind", "text", "content", "author", "reply_to",
            "attachments", "status", "error_code", "error_text", "possible_duplicate", "client_id",
            "draft_reason", "sent_at", "created_at", "edited_at", "deleted_at",
        ]  # fmt: skip
        read_only_fields = fields


class EventSerializer(serializers.ModelSerializer[Event]):
    conversation = RefField(Conversation, read_only=True)
    data = serializers.DictField(read_only=True)  # type: ignore[assignment]  # the wire name

    class Meta:
        model = Event
        fields = ["id", "type", "conversation", "sequence", "epoch", "occurred_at", "data"]
        read_only_fields = fields


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    request_headers = serializers.DictField(read_only=True)
    response_headers = serializers.DictField(read_only=True)

    class Meta:
        model = Attempt
        fields = [
            "n", "started_at", "ended_at", "outcome", "status", "latency_ms", "request_headers",
            "response_headers", "response_body", "error", "next_due_at",
        ]  # fmt: skip
        read_only_fields = fields


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    id = PublicIdField()
    endpoint = RefField(Endpoint, read_only=True, allow_null=True)
    conversation = RefField(Conversation, read_only=True, allow_null=True)
    message = RefField(Message, read_only=True, allow_null=True)
    replay_of = RefField(Delivery, read_only=True, allow_null=True)
    waiting_because = serializers.SerializerMethodField()

    class Meta:
        model = Delivery
        fields = [
            "id", "kind", "state", "event_type", "event_id", "wire_id", "endpoint", "conversation",
            "message", "part", "sequence", "epoch", "replay_of", "attempts", "due_at", "deadline_at",
            "waiting_because", "parked", "possible_duplicate", "provider_message_id", "dead_reason",
            "created_at", "finished_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_waiting_because(self, delivery: Delivery) -> str:
        """Why it is not under way now; empty when it is, or is finished."""
        if delivery.state not in (*WAITING, Delivery.State.PENDING):
            return ""
        if delivery.lane.blocked_reason:
            return str(delivery.lane.blocked_reason)
        if getattr(delivery, "is_behind", False):
            return "earlier_delivery"
        return WAITING.get(str(delivery.state), "due")


WAITING: dict[str, str] = {
    Delivery.State.RETRY_WAIT: "retry",
    Delivery.State.UNCERTAIN: "uncertain",
    Delivery.State.HELD: "held_for_a_person",
}


class DeliveryDetailSerializer(DeliverySerializer):
    """With its attempts; the request's body for those who may send it again."""

    attempt_log = AttemptSerializer(many=True, read_only=True)
    request_body = serializers.CharField(read_only=True, allow_null=True)

    class Meta(DeliverySerializer.Meta):
        fields = [*DeliverySerializer.Meta.fields, "attempt_log", "request_body"]
        read_only_fields = fields


# --- Changing ------------------------------------------------------------------------------------


class ContactChangeSerializer(StrictSerializer):
    name = serializers.CharField(max_length=250, allow_blank=True, required=False)
    phone = serializers.RegexField(r"^(\+[0-9]{6,15})?$", required=False, allow_blank=True)
    email = serializers.EmailField(max_length=254, allow_blank=True, required=False)
    identifier = serializers.CharField(
        max_length=250,
        allow_blank=True,
        required=False,
        help_text="What the business itself calls them; no two contacts have the same.",
    )
    language = serializers.RegexField(
        "^([a-z]{2,3}(-[A-Za-z0-9]{2,8})?)?$", max_length=10, allow_blank=True, required=False
    )
    attributes = AttributesField(required=False, help_text="Merged; null removes.")
    blocked = serializers.BooleanField(required=False)


class ContactNoteSerializer(serializers.ModelSerializer[ContactNote]):
    id = PublicIdField()
    contact = RefField(Contact, read_only=True)
    author = MemberBriefSerializer(read_only=True, allow_null=True)

    class Meta:
        model = ContactNote
        fields = ["id", "contact", "text", "author", "created_at", "updated_at"]
        read_only_fields = fields


class ContactNoteChangeSerializer(StrictSerializer):
    text = serializers.CharField(max_length=MAX_NOTE, trim_whitespace=False)


class MergeSerializer(StrictSerializer):
    contact = RefField(Contact, help_text="Who turned out to be the same customer.")


class ConversationChangeSerializer(StrictSerializer):
    priority = serializers.ChoiceField(choices=Conversation.Priority.choices, required=False)
    attributes = AttributesField(required=False, help_text="Merged; null removes.")


class AssignSerializer(StrictSerializer):
    """One of `assignee` and `team`; `assignee: null` puts it into the unassigned queue."""

    assignee = RefField(Member, required=False, allow_null=True)
    team = RefField(Team, required=False)
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    expected_epoch = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("assignee" in attrs) == ("team" in attrs):
            raise serializers.ValidationError(_("Name an assignee or a team, and only one."))
        return attrs


class HandOffSerializer(StrictSerializer):
    """To people: a team, a person, or the inbox's fallback when neither is named."""

    team = RefField(Team, required=False)
    member = RefField(Member, required=False)
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    summary = serializers.CharField(max_length=4000, required=False, default="", allow_blank=True)
    expected_epoch = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "team" in attrs and "member" in attrs:
            raise serializers.ValidationError(_("Name a team or a member, and only one."))
        return attrs


class ReasonSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class NothingSerializer(StrictSerializer):
    """An act without arguments."""


class SnoozeSerializer(StrictSerializer):
    until = serializers.DateTimeField()


class LabelsSerializer(StrictSerializer):
    """Some to `add` and to `remove`, or with `set` the whole list."""

    add = serializers.ListField(
        child=serializers.CharField(max_length=60), max_length=20, default=list
    )
    remove = serializers.ListField(
        child=serializers.CharField(max_length=60), max_length=20, default=list
    )
    set = serializers.ListField(
        child=serializers.CharField(max_length=60), max_length=100, required=False
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "set" in attrs and (attrs["add"] or attrs["remove"]):
            raise serializers.ValidationError(_("Set them all, or add and remove some."))
        return attrs


class AttributesSerializer(StrictSerializer):
    values = AttributesField()
    on = serializers.ChoiceField(choices=["contact", "conversation"], default="contact")
    replace = serializers.BooleanField(
        default=False, help_text="These and no others, instead of merging."
    )


class PrioritySerializer(StrictSerializer):
    priority = serializers.ChoiceField(choices=Conversation.Priority.choices)


# --- Messages to send ----------------------------------------------------------------------------


class ButtonSerializer(StrictSerializer):
    id = serializers.CharField(max_length=250)
    title = serializers.CharField(max_length=250)


class RowSerializer(ButtonSerializer):
    description = serializers.CharField(max_length=500, default="", allow_blank=True)


class SectionSerializer(StrictSerializer):
    title = serializers.CharField(max_length=250, default="", allow_blank=True)
    rows = RowSerializer(many=True, allow_empty=False, max_length=100)  # type: ignore[call-arg]  # of the list


class MenuSerializer(StrictSerializer):
    button = serializers.CharField(max_length=250)
    sections = SectionSerializer(many=True, allow_empty=False, max_length=20)  # type: ignore[call-arg]  # of the list


class PlaceSerializer(StrictSerializer):
    latitude = serializers.FloatField(min_value=-90, max_value=90)
    longitude = serializers.FloatField(min_value=-180, max_value=180)
    name = serializers.CharField(max_length=250, default="", allow_blank=True)
    address = serializers.CharField(max_length=500, default="", allow_blank=True)


class CardSerializer(StrictSerializer):
    name = serializers.CharField(max_length=250)
    phones = serializers.ListField(
        child=serializers.CharField(max_length=32), max_length=10, default=list
    )


class LinkedFileSerializer(StrictSerializer):
    """A file by its address; we fetch it, under the same guard as every outgoing request."""

    url = serializers.URLField(max_length=2000)
    kind = serializers.ChoiceField(choices=sorted(kind.value for kind in MEDIA_KINDS))
    mime = serializers.CharField(max_length=120, default="", allow_blank=True)
    filename = serializers.CharField(max_length=250, default="", allow_blank=True)

    def validate_url(self, value: str) -> str:
        return check_source(value)


# What stands beside `text`, one at a time, and the kind it makes the message.
PARTS = {
    "buttons": Kind.BUTTONS,
    "list": Kind.LIST,
    "carousel": Kind.CAROUSEL,
    "fields": Kind.FORM,
    "input": Kind.INPUT,
    "articles": Kind.ARTICLES,
    "location": Kind.LOCATION,
    "contacts": Kind.CONTACTS,
    "media": None,
    "files": None,
}
NEED_TEXT = ("buttons", "list", "input")


class NewMessageSerializer(StrictSerializer):
    """What to say: text, or one of buttons, list, carousel, fields (a form), input, articles, media,
    location, contacts, with text where it fits.

    With `multipart/form-data`: `text` and up to ten `files`. `note: true` is for colleagues only.
    """

    text = serializers.CharField(
        max_length=MAX_TEXT, default="", allow_blank=True, trim_whitespace=False
    )
    note = serializers.BooleanField(default=False)
    buttons = ButtonSerializer(many=True, required=False, allow_empty=False, max_length=20)  # type: ignore[call-arg]  # of the list
    list = MenuSerializer(required=False)
    carousel = CarouselCardSerializer(many=True, required=False, allow_empty=False, max_length=10)  # type: ignore[call-arg]  # of the list
    fields = FormFieldSerializer(many=True, required=False, allow_empty=False, max_length=50)  # type: ignore[assignment, call-arg]  # the wire name; of the list
    input = InputSerializer(required=False)
    articles = ArticleSerializer(many=True, required=False, allow_empty=False, max_length=10)  # type: ignore[call-arg]  # of the list
    media = LinkedFileSerializer(many=True, required=False, allow_empty=False, max_length=MAX_FILES)  # type: ignore[call-arg]  # of the list
    location = PlaceSerializer(required=False)
    contacts = CardSerializer(many=True, required=False, allow_empty=False, max_length=20)  # type: ignore[call-arg]  # of the list
    files = serializers.ListField(
        child=serializers.FileField(max_length=4096), required=False, max_length=MAX_FILES
    )
    header = serializers.CharField(max_length=250, default="", allow_blank=True)
    footer = serializers.CharField(max_length=250, default="", allow_blank=True)
    reply_to = serializers.CharField(max_length=40, required=False)
    client_id = serializers.CharField(max_length=120, default="", allow_blank=True)
    epoch = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        parts = [name for name in PARTS if attrs.get(name)]
        if len(parts) > 1:
            raise serializers.ValidationError(_("One of these at a time: ") + ", ".join(parts))
        if attrs["note"] and parts:
            raise serializers.ValidationError({parts[0]: _("Notes carry text only.")})
        needs_text = not parts or parts[0] in NEED_TEXT
        if needs_text and not attrs["text"].strip():
            raise serializers.ValidationError({"text": _("Write something.")})
        return attrs

    def validate_fields(self, value: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        if len({field["name"] for field in value}) != len(value):
            raise serializers.ValidationError(_("Each field needs a name of its own."))
        return value


def content_of(attrs: dict[str, Any], files: tuple[OutboundMedia, ...] = ()) -> Content:
    """The canonical content of a validated message."""
    menu, place = attrs.get("list"), attrs.get("location")
    linked = tuple(
        OutboundMedia(Kind(item["kind"]), item["mime"], filename=item["filename"], url=item["url"])
        for item in attrs.get("media", ())
    )
    media = files or linked
    kinds = [kind for name, kind in PARTS.items() if kind and attrs.get(name)]
    asked = attrs.get("input")
    return Content(
        kind=media[0].kind if media else next(iter(kinds), Kind.TEXT),
        text=attrs["text"],
        media=media,
        buttons=_choices(attrs.get("buttons", ())),
        sections=_sections(menu),
        list_button=menu["button"] if menu else "",
        header=attrs["header"],
        footer=attrs["footer"],
        location=Location(**place) if place else None,
        cards=tuple(
            Card(card["name"], tuple(card["phones"])) for card in attrs.get("contacts", ())
        ),
        carousel=tuple(carousel_card_of(card) for card in attrs.get("carousel", ())),
        fields=tuple(form_field_of(field) for field in attrs.get("fields", ())),
        input=Input(FieldType(asked["type"]), asked["placeholder"]) if asked else None,
        articles=tuple(Article(**article) for article in attrs.get("articles", ())),
    )


def _choices(items: Iterable[dict[str, str]]) -> tuple[Choice, ...]:
    return tuple(Choice(item["id"], item["title"], item.get("description", "")) for item in items)


def _sections(menu: dict[str, Any] | None) -> tuple[Section, ...]:
    return tuple(
        Section(section["title"], _choices(section["rows"]))
        for section in (menu or {}).get("sections", ())
    )
