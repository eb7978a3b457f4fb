"""What an event of a Chatwoot account means (contract, 2 and 8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from conversations.channels import InboxConfig, UnexpectedPayloadError
from conversations.messages import (
    Card,
    Choice,
    DeliveryStatus,
    DeviceEcho,
    Ignored,
    InboundMessage,
    Kind,
    Location,
    Media,
    Reading,
    Stage,
    StageChange,
    StatusUpdate,
)
from integrations.chatwoot.channel import updates
from integrations.chatwoot.channel.acting import people_are_theirs
from integrations.chatwoot.channel.naming import (
    digest,
    external_id,
    identifiers_of,
    is_number,
    number_of,
)
from integrations.wire import Fields, parse_json, unexpected, unstorable_text

# While it is there, people over there have it; a bot speaks in pending ones (contract, 2.2).
THEIRS = frozenset({"open", "snoozed"})
FILES: Mapping[str, Kind] = {
    "image": Kind.IMAGE,
    "audio": Kind.AUDIO,
    "video": Kind.VIDEO,
    "file": Kind.DOCUMENT,
    "ig_reel": Kind.VIDEO,
    "story_mention": Kind.IMAGE,
    "ig_story": Kind.IMAGE,
    "share": Kind.IMAGE,
}
NOTE = Ignored("an internal note of Chatwoot's people")
WITH_PEOPLE = Ignored("the conversation is with Chatwoot's people")
AUTOMATIC = Ignored("an automatic message of Chatwoot")


def read(payload: bytes, inbox: InboxConfig) -> Reading:
    """Read one event. Raises `UnexpectedPayloadError` naming the key."""
    event = Fields.of(parse_json(payload))
    if problem := unstorable_text(event.values):
        raise UnexpectedPayloadError(problem, key="body")
    account = event.maybe("account").code("id")
    if account and account != str(inbox.config.get("account_number", "")).strip():
        return Ignored("event of another account")
    name = event.text("event")
    reader = EVENTS.get(name)
    return reader(event, inbox) if reader else Ignored(f"event {name[:60]}")


def _created(event: Fields, inbox: InboxConfig) -> Reading:
    if event.flag("private"):
        return NOTE
    match updates.message_type(event):
        case "incoming":
            return WITH_PEOPLE if _is_theirs(event) else _said(event)
        case "outgoing":
            return _answered(event, inbox)
    return AUTOMATIC


def _answered(event: Fields, inbox: InboxConfig) -> Reading:
    """Something that was said to the customer: only what a person said is news to us."""
    if reference := updates.reference_of(event, inbox):
        return StatusUpdate(_external_id(event), DeliveryStatus.SENT, our_reference=reference)
    kind = event.maybe("sender").text("type", "")
    if kind == "user":
        return DeviceEcho(_said(event), takes_over=True)
    if kind == "agent_bot":
        ours = updates.is_ours(event, inbox)
        return Ignored("our own message" if ours else "a message of another bot")
    return AUTOMATIC


def _updated(event: Fields, inbox: InboxConfig) -> Reading:
    if event.flag("private"):
        return NOTE
    external = _external_id(event)
    if updates.is_deleted(event):
        return _about(event, external, Kind.DELETE)
    if values := updates.submitted(event):
        return WITH_PEOPLE if _is_theirs(event) else _submitted(event, external, values)
    status = updates.status_of(event, inbox)
    if status in list(DeliveryStatus):
        return StatusUpdate(
            external,
            DeliveryStatus(status),
            error_text=event.maybe("content_attributes").text("external_error", ""),
        )
    return Ignored("an update that changes nothing here")


def _stage(stage: Stage) -> Callable[[Fields, InboxConfig], Reading]:
    def read_stage(event: Fields, inbox: InboxConfig) -> Reading:
        return StageChange(identifiers_of(event), stage)

    return read_stage


def _status_changed(event: Fields, inbox: InboxConfig) -> Reading:
    """Opened and resolved it is told of by events of their own."""
    if event.text("status", "") == "pending" and people_are_theirs(inbox.config):
        return StageChange(identifiers_of(event), Stage.WITH_AGENT)
    return Ignored("a change of status that changes nothing here")


# What is not here is kept on its receipt, and ignored.
EVENTS: Mapping[str, Callable[[Fields, InboxConfig], Reading]] = {
    "message_created": _created,
    "message_updated": _updated,
    "conversation_opened": _stage(Stage.WITH_PEOPLE),
    "conversation_resolved": _stage(Stage.RESOLVED),
    "conversation_status_changed": _status_changed,
}


def _is_theirs(event: Fields) -> bool:
    return event.fields("conversation").text("status", "") in THEIRS


def _external_id(event: Fields) -> str:
    return external_id(number_of(event.fields("conversation")), number_of(event))


def _said(event: Fields) -> InboundMessage:
    conversation, attributes = event.fields("conversation"), event.maybe("content_attributes")
    files = list(event.each("attachments"))
    media = tuple(file for one in files if (file := _media(one)))
    if media and event.text("content_type", "") == "sticker":
        media = (Media(Kind.STICKER, remote_ref=media[0].remote_ref, mime=media[0].mime),)
    location = next((_location(one) for one in files if _is(one, "location")), None)
    cards = tuple(_card(one) for one in files if _is(one, "contact"))
    text = _text(event, files)
    quoted = attributes.code("in_reply_to")
    return InboundMessage(
        external_id=_external_id(event),
        kind=_kind(event, media, location, cards, text),
        identifiers=identifiers_of(conversation),
        sent_at=_moment(event),
        text=text,
        contact_name=_name(conversation),
        media=media,
        location=location,
        cards=cards,
        reply_to_external_id=(
            external_id(number_of(conversation), quoted) if is_number(quoted) else ""
        ),
        raw=_raw(event),
    )


def _kind(
    event: Fields,
    media: tuple[Media, ...],
    location: Location | None,
    cards: tuple[Card, ...],
    text: str,
) -> Kind:
    if media:
        return media[0].kind
    if location:
        return Kind.LOCATION
    if cards:
        return Kind.CONTACTS
    unsupported = event.maybe("content_attributes").flag("is_unsupported")
    return Kind.TEXT if text.strip() and not unsupported else Kind.UNSUPPORTED


def _submitted(event: Fields, external: str, values: list[Any]) -> InboundMessage:
    """A visitor of the website tapped or filled in what we asked; it stands in our own message."""
    answers = [Fields.of(value, f"submitted_values[{n}]") for n, value in enumerate(values)]
    said = _about(event, f"{external}/{digest(values)}", Kind.TEXT)
    form, choice, text = {}, None, ""
    match event.text("content_type", ""):
        case "form":
            kind = Kind.FORM_REPLY
            form = {_label(one, "name"): one.code("value") for one in answers}
        case "input_select" | "cards":
            kind = Kind.BUTTON_REPLY
            choice = Choice(answers[0].code("value"), _label(answers[0], "title"))
            text = choice.title
        case _:
            kind, text = Kind.TEXT, "\n".join(one.code("value") for one in answers)
    return InboundMessage(
        external_id=said.external_id,
        kind=kind,
        identifiers=said.identifiers,
        text=text,
        contact_name=said.contact_name,
        choice=choice,
        form=form,
        reply_to_external_id=external,
        raw=said.raw,
    )


def _about(event: Fields, external: str, kind: Kind) -> InboundMessage:
    """Something that happened to a message that we know."""
    conversation = event.fields("conversation")
    return InboundMessage(
        external_id=f"{external}/deleted" if kind is Kind.DELETE else external,
        kind=kind,
        identifiers=identifiers_of(conversation),
        contact_name=_name(conversation),
        target_external_id=external if kind is Kind.DELETE else "",
        raw=_raw(event),
    )


def _label(answer: Fields, key: str) -> str:
    return answer.code(key) or answer.code("title") or answer.code("value")


def _name(conversation: Fields) -> str:
    return conversation.maybe("meta").maybe("sender").text("name", "")


def _text(event: Fields, files: list[Fields]) -> str:
    """The words, and the links that are attachments over there."""
    links = [
        one.text("data_url", "") or one.text("fallback_title", "")
        for one in files
        if _is(one, "fallback") or _is(one, "embed") or _is(one, "ig_post")
    ]
    return "\n".join([text for text in (event.text("content", ""), *links) if text])


def _media(file: Fields) -> Media | None:
    kind, url = FILES.get(file.text("file_type", "")), file.text("data_url", "")
    if kind is None or not url:
        return None
    size = file.code("file_size")
    return Media(
        kind,
        mime=file.text("content_type", ""),
        size=int(size) if is_number(size) and int(size) else None,
        filename=url.partition("?")[0].rpartition("/")[2][:250] if kind is Kind.DOCUMENT else "",
        remote_ref=url,
    )


def _location(file: Fields) -> Location:
    return Location(
        file.number("coordinates_lat"),
        file.number("coordinates_long"),
        name=file.text("fallback_title", ""),
    )


def _card(file: Fields) -> Card:
    meta, phone = file.maybe("meta"), file.text("fallback_title", "")
    names = [meta.text("firstName", ""), meta.text("lastName", "")]
    return Card(" ".join(filter(None, names)) or phone, phones=(phone,) if phone else ())


def _is(file: Fields, kind: str) -> bool:
    return file.text("file_type", "") == kind


def _moment(event: Fields) -> datetime | None:
    """ISO 8601, or Unix seconds as some senders write it."""
    value = event.code("created_at")
    if not value:
        return None
    try:
        if is_number(value):
            return datetime.fromtimestamp(int(value), UTC)
        moment = datetime.fromisoformat(value)
    except (ValueError, OverflowError, OSError):
        raise unexpected(event.at("created_at"), value, "a time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _raw(event: Fields) -> dict[str, Any]:
    """What we have no word for, without the conversation's whole state."""
    conversation = event.fields("conversation")
    return {
        "conversation": conversation.code("id"),
        "channel": conversation.text("channel", ""),
        "inbox": dict(event.maybe("inbox").values),
        "content_type": event.text("content_type", ""),
        "content_attributes": dict(event.maybe("content_attributes").values),
    }
