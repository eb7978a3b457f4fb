"""Files that people send from the dashboard: typed by content, stored under random names (SX-80, SX-81)."""

from __future__ import annotations

from typing import Any

import puremagic
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from conversations.errors import CannotSendError
from conversations.messages import Kind, OutboundMedia
from conversations.services import media

# What a browser may show in place; everything else is a download (SX-81).
INLINE = frozenset(
    {
        "image/png", "image/jpeg", "image/webp", "image/gif", "audio/mpeg", "audio/ogg",
        "audio/mp4", "audio/aac", "audio/amr", "video/mp4", "video/3gpp", "application/pdf",
    }
)  # fmt: skip
REFUSED = frozenset(
    {
        "image/svg+xml", "text/html", "application/xhtml+xml", "text/xml", "application/xml",
        "application/javascript", "text/javascript", "application/x-msdownload",
        "application/x-executable", "application/x-dosexec", "application/x-sh",
    }
)  # fmt: skip


def store(upload: UploadedFile[Any], *, account_id: int) -> OutboundMedia:
    """Check one upload and keep it. Raises `CannotSendError` with the sentence people read."""
    name = (upload.name or "")[-250:]
    if (upload.size or 0) > settings.MAX_UPLOAD_BYTES:
        megabytes = settings.MAX_UPLOAD_BYTES // 1024 // 1024
        raise CannotSendError(
            _("“%(name)s” is larger than %(size)d MB.") % {"name": name, "size": megabytes}
        )
    content = upload.read()
    mime = sniff(content, claimed=upload.content_type or "", name=name)
    if mime in REFUSED:
        raise CannotSendError(_("Files like “%(name)s” cannot be sent.") % {"name": name})
    return OutboundMedia(
        kind=kind_of(mime),
        mime=mime,
        filename=name,
        path=media.store(content, account_id=account_id),
        size=len(content),
    )


def sniff(content: bytes, *, claimed: str, name: str) -> str:
    """The type by content; what has no signature (plain text) keeps the claimed one."""
    if not content:
        raise CannotSendError(_("“%(name)s” is empty.") % {"name": name})
    try:
        found = puremagic.from_string(content, mime=True, filename=name)
    except (puremagic.PureError, ValueError):
        found = ""
    return found or claimed.partition(";")[0].strip().lower() or "application/octet-stream"


def kind_of(mime: str) -> Kind:
    family = mime.partition("/")[0]
    return {"image": Kind.IMAGE, "audio": Kind.AUDIO, "video": Kind.VIDEO}.get(
        family, Kind.DOCUMENT
    )
