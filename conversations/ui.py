"""`/ui/`: every part in every state, for development, tests and staff."""

from __future__ import annotations

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from conversations import samples


def page(request: HttpRequest) -> HttpResponse:
    """The catalogue of parts. It shows no account's data and asks no database."""
    if not (settings.DEBUG or settings.TESTING or request.user.is_staff):
        raise Http404
    return render(request, "ui/index.html", samples.context())
