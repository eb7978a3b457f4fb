"""The files a Graph server keeps, and the short-lived links under which it hands them out."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import time
from typing import Any

# One pixel, for customers who send pictures.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c494441"
    "54789c63309e990600023501331777c4a10000000049454e44ae426082"
)


@dataclasses.dataclass
class StoredFile:
    content: bytes
    mime: str
    # Files of customers can be fetched, not sent.
    uploaded: bool = True


class Files:
    """`seconds` is how long a link lives; Meta's live five minutes."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # Handed out instead of our own links: a server that was taken over.
        self.foreign_url = ""
        self.kept: dict[str, StoredFile] = {}
        self._links: dict[str, tuple[str, float]] = {}

    def keep(self, file: StoredFile) -> str:
        """Store a file; its media id."""
        media_id = str(secrets.randbelow(9 * 10**14) + 10**14)
        self.kept[media_id] = file
        return media_id

    def uploaded(self) -> set[str]:
        return {media_id for media_id, file in self.kept.items() if file.uploaded}

    def describe(self, media_id: str, base_url: str) -> dict[str, Any]:
        """The answer to a question for a file, with a new link."""
        file = self.kept[media_id]
        link = secrets.token_urlsafe(16)
        self._links[link] = (media_id, time.monotonic() + self.seconds)
        return {
            "messaging_product": "whatsapp",
            "url": self.foreign_url or f"{base_url}/_media/{link}",
            "mime_type": file.mime,
            "sha256": hashlib.sha256(file.content).hexdigest(),
            "file_size": len(file.content),
            "id": media_id,
        }

    def behind(self, link: str) -> StoredFile | None:
        """The file of a link that is still good."""
        media_id, until = self._links.get(link, ("", 0.0))
        return self.kept.get(media_id) if time.monotonic() < until else None

    def keep_named(self, message: dict[str, Any]) -> None:
        """Make the file real that a customer's message names, under the id it has there."""
        file = message.get(message["type"])
        if isinstance(file, dict) and "mime_type" in file and file["id"] not in self.kept:
            content = PIXEL if file["mime_type"].startswith("image/") else b"OggS of the tests"
            self.kept[file["id"]] = StoredFile(content, file["mime_type"], uploaded=False)
