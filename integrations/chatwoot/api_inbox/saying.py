"""What an app says for one of its customers, as it stands on a receipt.

The shape is ours: `contact` (their `source_id`), `id`, and what was said: `text`, `files` that are
in our storage already, or the answer to a message of ours (`answers`, with `choice` or `form`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from conversations.channels import HookItem
from conversations.messages import Choice, Identifier, InboundMessage, Kind, Media, OutboundMedia
from conversations.models import Address
from integrations.chatwoot.signing import uuid_of
from integrations.wire import Fields, parse_json

# How an inbox knows its apps' customers: by what the app calls them.
KIND = "visitor"


@dataclass(frozen=True, slots=True)
class Saying:
    """Something a customer said in an app; `id` tells copies from news."""

    contact: str
    id: str
    kind: str = Kind.TEXT
    text: str = ""
    files: Sequence[dict[str, Any]] = ()
    # The channel's name of the message that is answered.
    answers: str = ""
    choice: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        return json.dumps({key: value for key, value in asdict(self).items() if value}).encode()


def name_of(address: Address, echo_id: str = "") -> str:
    """The id of what is said: always the same for the same `echo_id` of one customer."""
    return uuid_of(f"{address.public_id}:{echo_id}") if echo_id else str(uuid.uuid4())


def file_of(kept: OutboundMedia) -> dict[str, Any]:
    """A checked and stored file, as it stands in `files`."""
    return {
        "kind": str(kept.kind),
        "mime": kept.mime,
        "filename": kept.filename,
        "size": kept.size,
        "path": kept.path,
    }


def split(body: bytes) -> list[HookItem]:
    said = Fields.of(parse_json(body))
    return [HookItem(f"m:{said.text('id')}", said.text("contact"), body)]


def read(payload: bytes) -> InboundMessage:
    said = Fields.of(parse_json(payload))
    picked = said.maybe("choice")
    return InboundMessage(
        external_id=said.text("id"),
        kind=Kind(said.text("kind")),
        identifiers=(Identifier(KIND, said.text("contact")),),
        text=said.text("text", ""),
        media=tuple(_media(file) for file in said.each("files")),
        choice=Choice(picked.text("id"), picked.text("title")) if picked.values else None,
        form=dict(said.maybe("form").values),
        reply_to_external_id=said.text("answers", ""),
    )


def _media(file: Fields) -> Media:
    size = file.values.get("size")
    return Media(
        kind=Kind(file.text("kind")),
        mime=file.text("mime"),
        filename=file.text("filename"),
        size=size if isinstance(size, int) else None,
        path=file.text("path"),
    )
