"""Paper, a channel for tests: `{"items": [{id, from, text, …}]}`, signed by a shared secret.

It sends with `POST {api}/send`, reads the answer's `class` as the error class, and fetches files
with `GET {api}/files/<ref>`.
"""

from __future__ import annotations

import json
from datetime import timedelta

from accounts.limits import Limit
from conversations.channels import (
    Capabilities,
    Channel,
    ErrorClass,
    FetchedMedia,
    HookAnswer,
    HookItem,
    Pace,
    Scope,
    SendError,
    SendResult,
    UnexpectedPayloadError,
    UnverifiedRequestError,
)
from conversations.messages import (
    DeliveryStatus,
    Identifier,
    InboundMessage,
    Kind,
    Media,
    StatusUpdate,
)


class PaperChannel(Channel):
    slug = "paper"
    name = "Paper"
    capabilities = Capabilities(
        kinds=frozenset(Kind), typing=True, read_receipts=True, statuses=True
    )

    def challenge(self, request, inbox):
        if request.query.get("token") != inbox.credentials["secret"]:
            return HookAnswer(403)
        return HookAnswer(200, request.query["challenge"].encode())

    def verify(self, request, inbox):
        if request.headers.get("x-paper-secret") != inbox.credentials["secret"]:
            raise UnverifiedRequestError("wrong secret")

    def split(self, body, inbox):
        return [
            HookItem(
                f"m:{item['id']}",
                item["from"],
                json.dumps(item).encode(),
                item.get("error", ""),
                item.get("weak", False),
                status="status" in item,
            )
            for item in json.loads(body)["items"]
        ]

    def read(self, payload, inbox):
        item = json.loads(payload)
        if "status" in item:
            return StatusUpdate(
                item.get("about", ""),
                DeliveryStatus(item["status"]),
                our_reference=item.get("reference", ""),
            )
        if item["text"] == "unreadable":
            raise UnexpectedPayloadError("no text", key="text")
        if item["text"] == "poison":
            raise RuntimeError("a bug of ours")
        media = (Media(Kind.IMAGE, remote_ref=item["file"]),) if "file" in item else ()
        return InboundMessage(
            external_id=item["id"],
            kind=Kind.IMAGE if media else Kind.TEXT,
            identifiers=(Identifier("paper", item["from"]),),
            text=item["text"],
            media=media,
        )

    def prepare(self, message):
        """Texts are cut at `|`."""
        from dataclasses import replace

        return tuple(replace(message, text=part) for part in message.text.split("|"))

    def pace(self, inbox):
        """As the inbox says: `pace` and `contact_pace` are (at once, per second)."""
        limits = {
            name: Limit(f"paper.{name}", *inbox.config[name])
            for name in ("pace", "contact_pace")
            if name in inbox.config
        }
        return Pace(limits.get("pace"), limits.get("contact_pace"))

    async def send(self, message, to, inbox, http):
        answer = await http.request(
            "POST",
            f"{inbox.config['api']}/send",
            json={"to": to.get("paper"), "text": message.text, "reference": message.reference},
            timeout=inbox.config.get("timeout", 2.0),
        )
        said = json.loads(answer.body)
        if "class" in said:
            raise SendError(
                said["text"],
                error_class=ErrorClass(said["class"]),
                code=said.get("code", ""),
                retry_after=said.get("retry_after"),
                status=answer.status,
                scope=Scope(said.get("scope", "inbox")),
            )
        return SendResult(said["id"], (Identifier("paper_id", said["id"]),), answer.status)

    async def mark_read(self, external_id, inbox, http, *, typing=False):
        await http.request(
            "POST", f"{inbox.config['api']}/read", json={"id": external_id, "typing": typing}
        )

    async def fetch_media(self, media, inbox, http):
        answer = await http.request("GET", f"{inbox.config['api']}/files/{media.remote_ref}")
        if answer.status != 200:
            raise SendError("no such file", error_class=ErrorClass.PERMANENT)
        return FetchedMedia(answer.body, "image/png", "a.png")


class DayPaperChannel(PaperChannel):
    """The same with a reply window of a day."""

    slug = "daypaper"
    capabilities = Capabilities(kinds=frozenset(Kind), window=timedelta(hours=24))
