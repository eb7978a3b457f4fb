"""The page of a trace, for whoever may read the delivery log."""

from __future__ import annotations

from typing import NamedTuple

from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.auth import MemberRequest, can, member_required
from accounts.pages import show
from accounts.permissions import Permission
from integrations.tracing import Line, Link, trace
from integrations.tracing.lines import headline


class Way(NamedTuple):
    """A link of a line, as the page shows it."""

    url: str
    word: str


@member_required(Permission.DELIVERIES_READ)
@require_safe
def search(request: MemberRequest) -> HttpResponse:
    """The search alone, or with what it found."""
    query = request.GET.get("q", "").replace("\x00", "").strip()[:250]
    found = trace(query, request.member, before=place_in(request.GET.get("before", "")))
    context = {
        "query": query,
        "found": found,
        "headline": headline(found.conversation) if found and found.conversation else "",
        "whole": f"#{found.conversation.number}" if found and found.conversation else "",
        "lines": [(line, _ways(request, line)) for line in found.lines] if found else [],
    }
    return show(request, "integrations/trace.html", context)


def place_in(text: str) -> int:
    """Where a page begins; 0, the newest, for what is no number."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def _ways(request: MemberRequest, line: Line) -> list[Way]:
    return [way for link in line.links if (way := _way(request, link))]


def _way(request: MemberRequest, link: Link) -> Way | None:
    match link.kind:
        case "delivery":
            return Way(reverse("delivery", args=[link.public_id]), _("Delivery"))
        case "inbox" if can(request, Permission.INBOXES_READ):
            return Way(reverse("inbox_settings", args=[link.public_id]), _("Inbox"))
        case "rule" if can(request, Permission.RULES_READ):
            return Way(reverse("rule", args=[link.public_id]), _("Rule"))
        case "decision":
            address = reverse("conversation", args=[link.public_id])
            return Way(f"{address}#details-why", _("Why"))
    return None
