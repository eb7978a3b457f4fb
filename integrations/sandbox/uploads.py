"""Files of the sandbox phone: stored at once, then named by a signed slip in the message.

The slip keeps a visitor from naming any file but the one that was just let in.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from django.core import signing

from conversations.channels import UnexpectedPayloadError
from conversations.files import CheckedFile
from conversations.messages import Kind, Media
from conversations.services import media as storage

_SALT = "sandbox.upload"


@dataclass(frozen=True, slots=True)
class Upload:
    """A stored file, as it stands in a slip."""

    inbox: int
    path: str
    kind: str
    mime: str
    size: int
    filename: str


def keep(checked: CheckedFile, *, account_id: int, inbox_id: int, voice: bool) -> str:
    """Store a file that was let in; returns its slip. `voice`: it was recorded on the phone."""
    kind = Kind.VOICE if voice and checked.kind == Kind.AUDIO else checked.kind
    upload = Upload(
        inbox=inbox_id,
        path=storage.store(checked.content, account_id=account_id),
        kind=kind,
        mime=checked.mime,
        size=len(checked.content),
        filename="" if kind == Kind.VOICE else checked.filename,
    )
    return signing.dumps(asdict(upload), salt=_SALT)


def read_slip(slip: str, *, inbox_id: int) -> Media:
    """The file behind a slip of this inbox; raises `UnexpectedPayloadError`."""
    try:
        upload = Upload(**signing.loads(slip, salt=_SALT))
    except signing.BadSignature as error:
        raise UnexpectedPayloadError("this upload is not one of ours", key="upload") from error
    if upload.inbox != inbox_id:
        raise UnexpectedPayloadError("this upload belongs to another inbox", key="upload")
    return Media(
        kind=Kind(upload.kind),
        mime=upload.mime,
        size=upload.size,
        filename=upload.filename,
        path=upload.path,
    )
