"""A file as an answer: whole or the asked-for part, with headers that let nothing in it run (SX-81)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _

from conversations.files import served_as
from conversations.models import Attachment

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z")
CHUNK = 64 * 1024
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Accept-Ranges": "bytes",
}


def answer_with(request: HttpRequest, attachment: Attachment | None) -> HttpResponseBase:
    """The file; 404 when there is none, 503 while it is still being fetched."""
    if attachment is None or attachment.state == Attachment.State.FAILED:
        return sentence(404, _("There is no such file."))
    if attachment.state == Attachment.State.PENDING:
        response = sentence(503, _("The file is still being fetched. Try again in a moment."))
        response["Retry-After"] = "2"
        return response
    try:
        file = default_storage.open(attachment.path)
    except FileNotFoundError:
        return sentence(404, _("The file is no longer there."))
    return _stream(request, attachment, file)


def sentence(status: int, text: str) -> HttpResponse:
    """A refusal in words, with the same headers as a file."""
    response = HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")
    response["Cache-Control"] = "no-store"
    _with_headers(response)
    return response


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """`(start, stop)` of the one range asked for; everything when none is, None beyond the end."""
    found = _RANGE.match(header.strip())
    if found is None or found[0] == "bytes=-":
        return 0, size  # several ranges, or another unit: the whole file is a right answer
    if not found[1]:
        return (max(size - int(found[2]), 0), size) if int(found[2]) else None
    start = int(found[1])
    stop = min(int(found[2]) + 1, size) if found[2] else size
    return (start, stop) if start < stop else None


def _chunks(file: IO[bytes], start: int, stop: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        left = stop - start
        while left > 0 and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk


def _stream(request: HttpRequest, attachment: Attachment, file: IO[bytes]) -> HttpResponseBase:
    size = file.seek(0, 2)
    wanted = byte_range(request.headers.get("Range", ""), size)
    mime, inline = served_as(attachment.mime)
    if wanted is None:
        file.close()
        refusal = sentence(416, _("There is no such part of the file."))
        refusal["Content-Range"] = f"bytes */{size}"
        return refusal
    start, stop = wanted
    partial = "Range" in request.headers and (start, stop) != (0, size)
    response = StreamingHttpResponse(
        _chunks(file, start, stop), status=206 if partial else 200, content_type=mime
    )
    response["Content-Length"] = str(stop - start)
    if partial:
        response["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    disposition = content_disposition_header(not inline, attachment.filename or "file")
    response["Content-Disposition"] = disposition or "attachment"
    response["Cache-Control"] = "private, max-age=3600"
    return _with_headers(response)


def _with_headers(response: HttpResponseBase) -> HttpResponseBase:
    for name, value in HEADERS.items():
        response[name] = value
    return response
