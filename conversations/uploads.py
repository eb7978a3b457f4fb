"""Files that people send from the dashboard: checked like any other, then kept for the channel."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from conversations.errors import CannotSendError
from conversations.files import RefusedFileError, check_upload
from conversations.messages import OutboundMedia
from conversations.services import media


def store(upload: UploadedFile[Any], *, account_id: int) -> OutboundMedia:
    """Check one upload and keep it. Raises `CannotSendError` with the sentence people read."""
    name = upload.name or ""
    try:
        checked = check_upload(upload.read(), filename=name, claimed=upload.content_type or "")
    except RefusedFileError as error:
        values = {"name": name[-60:], "reason": error.message}
        raise CannotSendError(_("“%(name)s” cannot be sent. %(reason)s") % values) from error
    return OutboundMedia(
        kind=checked.kind,
        mime=checked.mime,
        filename=checked.filename,
        path=media.store(checked.content, account_id=account_id),
        size=len(checked.content),
    )
