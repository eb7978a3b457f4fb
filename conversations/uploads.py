"""Files to send to a customer: checked by their bytes, then kept for the channel."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from conversations.errors import CannotSendError
from conversations.files import RefusedFileError, check_size, check_upload
from conversations.messages import OutboundMedia
from conversations.services import media


def store(upload: UploadedFile[Any], *, account_id: int) -> OutboundMedia:
    """`keep` for the dashboard: raises `CannotSendError` with the sentence people read."""
    try:
        return keep(upload, account_id=account_id)
    except RefusedFileError as error:
        values = {"name": (upload.name or "")[-60:], "reason": error.message}
        raise CannotSendError(_("“%(name)s” cannot be sent. %(reason)s") % values) from error


def keep(upload: UploadedFile[Any], *, account_id: int) -> OutboundMedia:
    """Check one upload and keep it. Raises `RefusedFileError`."""
    check_size(upload.size or 0)
    name, claimed = upload.name or "", upload.content_type or ""
    checked = check_upload(upload.read(), filename=name, claimed=claimed)
    return OutboundMedia(
        kind=checked.kind,
        mime=checked.mime,
        filename=checked.filename,
        path=media.store(checked.content, account_id=account_id),
        size=len(checked.content),
    )
