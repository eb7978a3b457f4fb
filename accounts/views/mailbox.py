"""The local mailbox: letters of a machine without a mail server, for whoever sits at it."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import LocalLetter
from accounts.origin import client_ip

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


def _admit(request: HttpRequest) -> None:
    """Letters hold codes and links: only this machine reads them, and only without EMAIL_URL."""
    if not settings.LOCAL_MAILBOX or not _is_local(request):
        raise Http404


def _is_local(request: HttpRequest) -> bool:
    """Asked on this machine itself. A tunnel or proxy on it is a loopback peer too, so the host that
    was asked for must be this machine's own, and nobody may have handed the request on."""
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    host, _, port = request.get_host().rpartition(":")
    if (host if port.isdecimal() else request.get_host()) not in LOCAL_HOSTS:
        return False
    try:
        return ipaddress.ip_address(client_ip(request)).is_loopback
    except ValueError:
        return False


@require_safe
@never_cache
def letters(request: HttpRequest) -> HttpResponse:
    _admit(request)
    rows = LocalLetter.objects.order_by("-pk")[:50]
    return render(request, "accounts/mailbox.html", {"letters": rows})


@require_safe
@never_cache
def letter(request: HttpRequest, number: int) -> HttpResponse:
    _admit(request)
    row = get_object_or_404(LocalLetter, pk=number)
    return render(request, "accounts/letter.html", {"letter": row})
