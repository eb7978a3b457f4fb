"""Files, places and contact cards of a message, which are all attachments in Chatwoot."""

from __future__ import annotations

from collections.abc import Mapping

from conversations.file_addresses import signed_url
from conversations.messages import Kind
from conversations.models import Attachment, Message
from integrations.chatwoot.shapes.parts import Json

FILE_TYPES: Mapping[str, str] = {
    Kind.IMAGE: "image",
    Kind.STICKER: "image",
    Kind.AUDIO: "audio",
    Kind.VOICE: "audio",
    Kind.VIDEO: "video",
    Kind.DOCUMENT: "file",
}


def attachments_of(message: Message) -> list[Json]:
    """Its files; a place and contact cards are attachments over there, too. Of what was taken back, none."""
    if message.deleted_at is not None:
        return []
    found = [file_json(file, message) for file in message.files]
    if place := message.content.get("location"):
        found.append(
            {
                **_attachment(message.pk, "location", message),
                "coordinates_lat": place["latitude"],
                "coordinates_long": place["longitude"],
                "fallback_title": place.get("name") or place.get("address") or "",
                "data_url": None,
            }
        )
    for number, card in enumerate(message.content.get("cards", ())):
        first, _space, rest = card["name"].partition(" ")
        found.append(
            {
                **_attachment(message.pk + number, "contact", message),
                "fallback_title": next(iter(card.get("phones", ())), ""),
                "meta": {"firstName": first, "lastName": rest},
            }
        )
    return found


def file_json(file: Attachment, message: Message) -> Json:
    """A file of a message. `data_url` needs no key and works for a day."""
    kind = FILE_TYPES.get(file.kind, "file")
    url = signed_url(file)
    shown = {
        **_attachment(file.pk, kind, message),
        "extension": file.filename.rpartition(".")[2] if "." in file.filename else None,
        "content_type": file.mime or None,
        "data_url": url,
        "thumb_url": url if kind == "image" else "",
        "file_size": file.size or 0,
        "width": None,
        "height": None,
    }
    return {**shown, "transcribed_text": ""} if kind == "audio" else shown


def _attachment(pk: int, file_type: str, message: Message) -> Json:
    return {
        "id": pk,
        "message_id": message.pk,
        "file_type": file_type,
        "account_id": message.account_id,
    }
