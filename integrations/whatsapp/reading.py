"""What one item of a WhatsApp webhook means (channels.md 2.5, 2.6)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from conversations.channels import InboxConfig, UnexpectedPayloadError
from conversations.messages import (
    Card,
    Choice,
    DeliveryStatus,
    DeviceEcho,
    Identifier,
    IdentifierChange,
    Ignored,
    InboundMessage,
    Kind,
    Location,
    Media,
    Reading,
    StatusUpdate,
)
from integrations.whatsapp import errors, identities
from integrations.wire import Fields, parse_json, unexpected, unstorable_text


def read(payload: bytes, inbox: InboxConfig) -> Reading:
    """Read one item. Raises `UnexpectedPayloadError` naming the key."""
    item = Fields.of(parse_json(payload), "item")
    problem = unstorable_text(item.values)
    if problem:
        raise UnexpectedPayloadError(problem, key="item")
    number = item.maybe("metadata").code("phone_number_id")
    if number and number != str(inbox.config.get("phone_number_id", "")):
        return Ignored("phone number of another inbox")
    for name, reader in READERS.items():
        if item.has(name):
            return reader(item)
    return _read_account_event(item)


def _read_message(item: Fields) -> Reading:
    message, contact = item.fields("message"), item.maybe("contact")
    if message.has("group_id"):
        return Ignored("group message; groups are not supported")
    sender = identities.merged(
        identities.named(message, identities.SENDER_KEYS), identities.of_contact(contact)
    )
    if message.text("type", "") == "system":
        return _read_system(item, message, sender)
    return _spoken(item, message, contact, sender)


def _read_echo(item: Fields) -> Reading:
    """Somebody answered from the phone itself: the person addressed is the customer."""
    message, contact = item.fields("echo"), item.maybe("contact")
    if message.has("group_id"):
        return Ignored("group message; groups are not supported")
    customer = identities.merged(
        identities.named(message, identities.ECHO_KEYS), identities.of_contact(contact)
    )
    if not customer:
        raise UnexpectedPayloadError("the echo names no customer", key="echo.to")
    return DeviceEcho(_spoken(item, message, contact, customer))


def _spoken(
    item: Fields, message: Fields, contact: Fields, who: tuple[Identifier, ...]
) -> InboundMessage:
    said = _said(message)
    context = message.maybe("context")
    return InboundMessage(
        external_id=message.text("id"),
        kind=said.kind,
        identifiers=who,
        sent_at=_moment(message),
        text=said.text,
        contact_name=contact.maybe("profile").text("name", "") or _username(who),
        media=said.media,
        choice=said.choice,
        location=said.location,
        cards=said.cards,
        reply_to_external_id=context.text("id", ""),
        target_external_id=said.target,
        forwarded=context.flag("forwarded") or context.flag("frequently_forwarded"),
        referral=dict(message.maybe("referral").values),
        form=said.form,
        raw=_raw(item, message),
    )


def _raw(item: Fields, message: Fields) -> dict[str, Any]:
    """The message as it came, with the errors that stood beside it."""
    beside = {"value_errors": item.items("errors")} if item.has("errors") else {}
    return {**message.values, **beside}


def _username(who: tuple[Identifier, ...]) -> str:
    return next((name.value for name in who if name.kind == identities.USERNAME), "")


def _moment(fields: Fields) -> datetime | None:
    """`timestamp`: Unix seconds as text."""
    value = fields.code("timestamp")
    if not value:
        return None
    try:
        return datetime.fromtimestamp(int(value), UTC)
    except (ValueError, OverflowError, OSError):
        raise unexpected(fields.at("timestamp"), value, "a time in seconds") from None


# --- What was said --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Said:
    """The part of a message that depends on its type."""

    kind: Kind
    text: str = ""
    media: tuple[Media, ...] = ()
    choice: Choice | None = None
    location: Location | None = None
    cards: tuple[Card, ...] = ()
    target: str = ""
    form: dict[str, Any] = field(default_factory=dict)


def _said(message: Fields) -> _Said:
    """A known type by its reader; an unknown one, or one Meta could not fill, is kept as it came."""
    kind = message.text("type", "")
    reader = TYPES.get(kind)
    if reader is None or (message.has("errors") and not message.has(kind)):
        return _unsupported(message)
    return reader(message)


def _text(message: Fields) -> _Said:
    return _Said(Kind.TEXT, text=message.fields("text").text("body"))


def _media(key: str, kind: Kind) -> Callable[[Fields], _Said]:
    def read_media(message: Fields) -> _Said:
        found = message.fields(key)
        reference = found.code("id") or found.text("url", "")
        if not reference:
            raise unexpected(found.at("id"), None, "a media id")
        caption = found.text("caption", "")
        media = Media(
            kind=Kind.VOICE if found.flag("voice") else kind,
            mime=found.text("mime_type", ""),
            filename=found.text("filename", ""),
            caption=caption,
            remote_ref=reference,
            sha256=found.text("sha256", ""),
        )
        return _Said(media.kind, text=caption, media=(media,))

    return read_media


def _location(message: Fields) -> _Said:
    place = message.fields("location")
    location = Location(
        latitude=place.number("latitude"),
        longitude=place.number("longitude"),
        name=place.text("name", ""),
        address=place.text("address", ""),
    )
    return _Said(Kind.LOCATION, location=location)


def _contacts(message: Fields) -> _Said:
    return _Said(Kind.CONTACTS, cards=tuple(_card(card) for card in message.each("contacts")))


def _card(card: Fields) -> Card:
    name = card.maybe("name")
    phones = [phone.text("phone", "") or phone.code("wa_id") for phone in card.each("phones")]
    return Card(
        name=name.text("formatted_name", "") or name.text("first_name", ""),
        phones=tuple(phone for phone in phones if phone),
    )


def _reaction(message: Fields) -> _Said:
    """A removed reaction has an empty emoji or none."""
    reaction = message.fields("reaction")
    return _Said(Kind.REACTION, text=reaction.text("emoji", ""), target=reaction.text("message_id"))


def _interactive(message: Fields) -> _Said:
    if not message.has("interactive"):
        return _unsupported(message)
    interactive = message.fields("interactive")
    reader = INTERACTIVE.get(interactive.text("type", ""))
    return reader(interactive) if reader else _unsupported(message)


def _reply(key: str, kind: Kind) -> Callable[[Fields], _Said]:
    def read_reply(interactive: Fields) -> _Said:
        reply = interactive.fields(key)
        choice = Choice(reply.text("id"), reply.text("title", ""), reply.text("description", ""))
        return _Said(kind, text=choice.title, choice=choice)

    return read_reply


def _form_reply(interactive: Fields) -> _Said:
    """A filled-in flow. An answer that is not an object is kept as the text it is."""
    reply = interactive.fields("nfm_reply")
    answer = reply.text("response_json", "{}")
    try:
        values = parse_json(answer.encode())
    except UnexpectedPayloadError:
        values = None
    if not isinstance(values, dict) or unstorable_text(values):
        values = {"response_json": answer}
    return _Said(Kind.FORM_REPLY, text=reply.text("body", ""), form=values)


def _button(message: Fields) -> _Said:
    """The quick reply of a template."""
    button = message.fields("button")
    title = button.text("text", "")
    return _Said(Kind.BUTTON_REPLY, text=title, choice=Choice(button.text("payload", title), title))


def _order(message: Fields) -> _Said:
    order = message.fields("order")
    products = [dict(product.values) for product in order.each("product_items")]
    form = {"catalog_id": order.code("catalog_id"), "product_items": products}
    return _Said(Kind.ORDER, text=order.text("text", ""), form=form)


def _edit(message: Fields) -> _Said:
    """The new words of an old message; of an edited file, the new caption."""
    edit = message.fields("edit")
    said = _said(edit.fields("message"))
    return replace(said, kind=Kind.EDIT, target=edit.text("original_message_id"), media=())


def _revoke(message: Fields) -> _Said:
    return _Said(Kind.DELETE, target=message.fields("revoke").text("original_message_id"))


def _unsupported(message: Fields) -> _Said:
    """Kept whole in `raw`; the text is Meta's own reason where it gives one."""
    reasons = [errors.text_of(error.values) for error in message.each("errors")]
    return _Said(Kind.UNSUPPORTED, text="; ".join(filter(None, reasons)))


TYPES: dict[str, Callable[[Fields], _Said]] = {
    "text": _text,
    "image": _media("image", Kind.IMAGE),
    "audio": _media("audio", Kind.AUDIO),
    "voice": _media("voice", Kind.VOICE),
    "video": _media("video", Kind.VIDEO),
    "document": _media("document", Kind.DOCUMENT),
    "sticker": _media("sticker", Kind.STICKER),
    "location": _location,
    "contacts": _contacts,
    "reaction": _reaction,
    "interactive": _interactive,
    "button": _button,
    "order": _order,
    "edit": _edit,
    "revoke": _revoke,
    "unsupported": _unsupported,
}
INTERACTIVE: dict[str, Callable[[Fields], _Said]] = {
    "button_reply": _reply("button_reply", Kind.BUTTON_REPLY),
    "list_reply": _reply("list_reply", Kind.LIST_REPLY),
    "nfm_reply": _form_reply,
}


# --- Changes of identity --------------------------------------------------------------------------

NUMBER_CHANGES = frozenset(
    {"user_changed_number", "customer_changed_number", "user_changed_user_id"}
)


def _read_system(item: Fields, message: Fields, sender: tuple[Identifier, ...]) -> Reading:
    """A new number or user id of the customer; other system lines are shown as such."""
    system = message.maybe("system")
    if system.text("type", "") in NUMBER_CHANGES:
        change = _identifier_change(system, sender)
        if change.old and change.new:
            return change
    return InboundMessage(
        external_id=message.text("id"),
        kind=Kind.SYSTEM,
        identifiers=sender,
        sent_at=_moment(message),
        text=system.text("body", ""),
        raw=_raw(item, message),
    )


def _identifier_change(system: Fields, sender: tuple[Identifier, ...]) -> IdentifierChange:
    new = identities.merged(
        identities.named(system, identities.CONTACT_KEYS),
        identities.named(system, (("new_wa_id", identities.PHONE),)),
    )
    former = identities.named(system, (("customer", identities.PHONE),))
    old = tuple(name for name in identities.merged(sender, former) if name not in new)
    return IdentifierChange(old=old, new=new)


# --- Statuses -------------------------------------------------------------------------------------

STATUSES = {
    "sent": DeliveryStatus.SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "read": DeliveryStatus.READ,
    # A voice note was listened to, which nobody does without having seen it.
    "played": DeliveryStatus.READ,
    "failed": DeliveryStatus.FAILED,
}


def _read_status(item: Fields) -> Reading:
    status = item.fields("status")
    word = status.text("status")
    if word not in STATUSES:
        return Ignored(f"status {word[:40]} has no meaning here")
    if status.text("recipient_type", "") == "group":
        return Ignored("status of a group message; groups are not supported")
    update = StatusUpdate(
        external_id=status.text("id"),
        status=STATUSES[word],
        at=_moment(status),
        our_reference=status.text("biz_opaque_callback_data", ""),
        identifiers=identities.merged(
            identities.named(status, identities.STATUS_KEYS),
            identities.of_contact(item.maybe("contact")),
        ),
    )
    return _with_error(update, status) if update.status is DeliveryStatus.FAILED else update


def _with_error(update: StatusUpdate, status: Fields) -> StatusUpdate:
    error = next((error.values for error in status.each("errors")), {})
    code = errors.code_of(error)
    return replace(
        update,
        error_code=code,
        error_text=errors.explain(code, errors.text_of(error)),
        error_class=errors.meaning_of(code).error_class,
    )


# --- Everything else ------------------------------------------------------------------------------


def _read_account_event(item: Fields) -> Reading:
    """Changes without messages: templates, account, preferences, or errors alone."""
    if item.has("errors"):
        problems = [errors.text_of(error.values) for error in item.each("errors")]
        return Ignored(f"WhatsApp reports a problem: {json.dumps(problems)[:300]}")
    event = item.maybe("value").code("event")
    return Ignored(f"nothing to do for {item.text('field')} {event}".strip())


READERS: dict[str, Callable[[Fields], Reading]] = {
    "message": _read_message,
    "status": _read_status,
    "echo": _read_echo,
}
