"""The sandbox channel: anybody with the page's address is the customer; kept out of statistics.

Wire shape (ours): `{"visitor": "<session>", "id": "<client uuid>", "kind": "text", "text": "…"}`, with
`choice {id, title}` for a pressed button and `upload {path, mime, filename, size}` for a file that
the page has already stored. The route token in the hook's address is the whole proof.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from conversations.channels import (
    Capabilities,
    Channel,
    FetchedMedia,
    HookItem,
    HookRequest,
    HttpClient,
    InboxConfig,
    Recipient,
    SendResult,
    UnexpectedPayloadError,
)
from conversations.messages import (
    MEDIA_KINDS,
    Choice,
    Identifier,
    InboundMessage,
    Kind,
    Media,
    OutboundMessage,
    Reading,
)


class SandboxChannel(Channel):
    slug: ClassVar[str] = "sandbox"
    name: ClassVar[str] = "Sandbox phone"
    synthetic: ClassVar[bool] = True
    capabilities: ClassVar[Capabilities] = Capabilities(
        kinds=frozenset(Kind) - {Kind.UNSUPPORTED}, max_buttons=10, typing=False, statuses=True
    )

    def verify(self, request: HookRequest, inbox: InboxConfig) -> None:
        """Nothing to check beyond the secret address."""

    def split(self, body: bytes, inbox: InboxConfig) -> list[HookItem]:
        try:
            item = json.loads(body)
            visitor, identifier = str(item["visitor"]), str(item["id"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            return [HookItem(f"bad:{hash(body)}", "", body, f"not a sandbox message: {error}", True)]
        return [HookItem(f"m:{visitor}:{identifier}", visitor, body)]

    def read(self, payload: bytes, inbox: InboxConfig) -> Reading:
        item: dict[str, Any] = json.loads(payload)
        try:
            kind = Kind(item.get("kind", "text"))
        except ValueError as error:
            raise UnexpectedPayloadError(str(error), key="kind") from error
        choice = item.get("choice")
        return InboundMessage(
            external_id=f"{item['visitor']}:{item['id']}",
            kind=kind,
            identifiers=(Identifier("visitor", item["visitor"]),),
            text=str(item.get("text") or (choice or {}).get("title") or ""),
            contact_name=str(item.get("name", "")),
            media=self._media(kind, item.get("upload")),
            choice=Choice(choice["id"], choice["title"]) if choice else None,
        )

    def _media(self, kind: Kind, upload: dict[str, Any] | None) -> tuple[Media, ...]:
        if kind not in MEDIA_KINDS or not upload:
            return ()
        return (
            Media(
                kind=kind,
                mime=upload.get("mime", ""),
                size=upload.get("size"),
                filename=upload.get("filename", ""),
                remote_ref=upload["path"],
            ),
        )

    async def send(
        self, message: OutboundMessage, to: Recipient, inbox: InboxConfig, http: HttpClient
    ) -> SendResult:
        """The page reads the thread itself, so a stored message has arrived."""
        return SendResult(external_id=f"sandbox:{message.reference}", delivered=True)

    async def fetch_media(self, media: Media, inbox: InboxConfig, http: HttpClient) -> FetchedMedia:
        """The page stored the file already; `remote_ref` is its storage path."""
        import asyncio

        from django.core.files.storage import default_storage

        def read() -> bytes:
            with default_storage.open(media.remote_ref) as file:
                return bytes(file.read())

        return FetchedMedia(await asyncio.to_thread(read), media.mime, media.filename)
