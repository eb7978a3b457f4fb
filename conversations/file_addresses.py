"""Signed addresses of files: they end, and tell the account before anything else is known (SX-81)."""

from __future__ import annotations

import time

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.urls import reverse

from accounts import ids
from conversations.models import Attachment

_signer = Signer(salt="media", sep=".")


class BadAddressError(Exception):
    """Not an address of ours: `status` 404, or 403 when it was one until its time was over."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def signed_url(attachment: Attachment, *, absolute: bool = True, hours: float = 24) -> str:
    """An address of the file that works for at least `hours`.

    Its end is rounded up to a quarter of that, so that a page which asks again shortly after gets
    the same address and the browser keeps what it has.
    """
    step = max(int(hours * 900), 1)
    ends = (int(time.time() + hours * 3600) // step + 1) * step
    account = ids.encode("acc", attachment.account_id)
    path = reverse("media", args=[_signer.sign(f"{attachment.public_id}.{account}.{ends:x}")])
    return settings.PUBLIC_URL + path if absolute else path


def read_address(signed: str) -> tuple[int, int]:
    """`(account id, attachment id)` behind an address; raises `BadAddressError`."""
    try:
        attachment, account, ends = _signer.unsign(signed).split(".")
        found = ids.decode("acc", account), ids.decode("att", attachment)
    except (BadSignature, ValueError) as error:
        raise BadAddressError(404) from error
    if int(ends, 16) < time.time():
        raise BadAddressError(403)
    return found
