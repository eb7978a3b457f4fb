"""Views that say what reached them; the urlconf of the router's tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def echo(request: HttpRequest) -> JsonResponse:
    multipart = (request.content_type or "").startswith("multipart/")
    uploads: dict[str, Any] = request.FILES.dict()
    files = {name: file.read().decode() for name, file in uploads.items()}
    return JsonResponse(
        {
            "fields": request.POST.dict(),
            "files": files,
            "size": 0 if multipart else len(request.body),
            "body": "" if multipart else request.body[:200].decode(),
            "length": request.META.get("CONTENT_LENGTH"),
            "query": request.META["QUERY_STRING"],
            "headers": {k: v for k, v in request.META.items() if k.startswith("HTTP_")},
        }
    )


# Whether the client has said that it has the first piece.
has_first = threading.Event()


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """A second piece that is made when the first has arrived."""

    def pieces() -> Iterator[bytes]:
        yield b"first "
        yield b"second" if has_first.wait(5) else b"never"

    return StreamingHttpResponse(pieces())


urlpatterns = [path("echo", echo), path("stream", stream)]
