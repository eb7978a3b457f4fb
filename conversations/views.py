"""The desk: list, thread, details. Pages and the parts of them that fetch themselves again."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.contrib import messages
from django.http import Http404, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts import ids
from accounts.auth import MemberRequest, View, member_required
from accounts.models import Member, Team
from accounts.permissions import Permission
from conversations import attributes, desk, thread
from conversations.file_serving import answer_with
from conversations.models import (
    Attachment,
    AttributeDefinition,
    Conversation,
    Event,
    Inbox,
    Label,
    SavedReply,
    in_sight,
)
from conversations.placeholders import Filling, fill

RECENT_EVENTS = 15
OFFERED_REPLIES = 20
MOST_NOTES = 50


def find_conversation(public_id: str, viewer: Member) -> Conversation:
    """By its public id, of those that `viewer` sees; anything else is a 404."""
    rows = Conversation.objects.visible_to(viewer)
    rows = rows.select_related("contact", "inbox", "address", "assignee", "team", "last_agent")
    return get_object_or_404(rows, pk=decode_or_404("cnv", public_id))


def decode_or_404(prefix: str, public_id: str) -> int:
    try:
        return ids.decode(prefix, public_id)
    except ValueError as error:
        raise Http404 from error


def with_conversation(view: View) -> View:
    """The view gets the conversation instead of its id."""

    @wraps(view)
    def found(request: MemberRequest, public_id: str, **kwargs: Any) -> HttpResponseBase:
        return view(request, find_conversation(public_id, request.member), **kwargs)

    return found


@member_required(Permission.CONVERSATIONS_READ)
@require_safe
def home(request: MemberRequest) -> HttpResponse:
    """The desk without an open conversation."""
    return render(request, "conversations/desk.html", list_context(request, request.GET))


@member_required(Permission.CONVERSATIONS_READ)
@require_safe
@with_conversation
def show(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    """The desk with one conversation; only the conversation when htmx swaps it in."""
    context = conversation_context(request, conversation)
    if request.htmx.target == "stage":  # type: ignore[attr-defined]  # django-htmx
        return render(request, "conversations/_stage.html", context)
    context |= list_context(request, request.GET, current=conversation.public_id)
    return render(request, "conversations/desk.html", context)


@member_required(Permission.CONVERSATIONS_READ)
@require_safe
def rows(request: MemberRequest) -> HttpResponse:
    """The list again, for the page whose address htmx names."""
    address = urlsplit(request.htmx.current_url or "")  # type: ignore[attr-defined]  # django-htmx
    parts = address.path.strip("/").split("/")
    current = parts[1] if len(parts) > 1 and parts[0] == "inbox" else ""
    return render(
        request, "conversations/_list.html", list_context(request, request.GET, current=current)
    )


@member_required(Permission.CONVERSATIONS_READ)
@require_safe
def pane(request: MemberRequest, public_id: str) -> HttpResponse:
    """The open conversation again: head, thread, composer, details."""
    try:
        conversation = find_conversation(public_id, request.member)
    except Http404:
        if not request.htmx:  # type: ignore[attr-defined]  # django-htmx
            raise
        # It went to others while it was open here; what stands on the page is not theirs any more.
        messages.info(request, _("This conversation is with others now."))
        return HttpResponse(status=404, headers={"HX-Redirect": reverse("home")})
    return render(
        request, "conversations/_conversation.html", conversation_context(request, conversation)
    )


@member_required(Permission.CONVERSATIONS_READ)
@require_safe
def find(request: MemberRequest) -> HttpResponse:
    """What the palette found."""
    text = request.GET.get("q", "").replace("\x00", "").strip()[:100]
    found = [desk.row_of(one, desk.Query()) for one in desk.find(text, request.member)]
    return render(request, "conversations/_found.html", {"rows": found if text else ()})


@member_required(Permission.CONVERSATIONS_WRITE)
@require_safe
@with_conversation
def offer_replies(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    """Saved replies for the composer, filled in for this customer."""
    text = request.GET.get("q", "").replace("\x00", "").strip().removeprefix("/")[:100]
    usable = SavedReply.objects.usable_by(request.member).matching(text).best_first(text)
    filling = Filling(conversation, request.member, request.account)
    offered = [(reply, fill(reply.text, filling)) for reply in usable[:OFFERED_REPLIES]]
    context = {"offered": offered, "text": text}
    return render(request, "conversations/_replies_offered.html", context)


@member_required(Permission.CONVERSATIONS_READ)
@require_safe
def attachment(request: MemberRequest, public_id: str) -> HttpResponseBase:
    """A file of a message, for members; whether they may is asked each time (SX-81)."""
    files = in_sight(Attachment.objects.all(), request.member, of="message__conversation")
    found = files.filter(pk=decode_or_404("att", public_id)).first()
    if found is None:
        raise Http404
    return answer_with(request, found)


def list_context(request: MemberRequest, values: QueryDict, *, current: str = "") -> dict[str, Any]:
    query = desk.Query.of({name: str(values[name]) for name in values})
    return {
        "query": query,
        "listing": desk.listing(query, request.member, current=current),
        "tabs": desk.tabs(query, request.member),
        "filters": desk.filters(query),
        "statuses": desk.STATUSES,
    }


@dataclass(frozen=True, slots=True)
class Composer:
    """What may be said now, and why not.

    `version` changes when the form must be drawn again; it says nothing of what comes and goes with
    each message, so that nobody loses what they are typing.
    """

    blocked: str = ""
    closes_at: datetime | None = None
    window_closed: bool = False
    takes_over_from: str = ""

    @property
    def refuses(self) -> bool:
        """Whether only notes can be written now."""
        return bool(self.blocked) or self.window_closed

    @property
    def version(self) -> str:
        return f"{self.blocked} {self.window_closed}"


def composer_of(conversation: Conversation, viewer: Member) -> Composer:
    conversation.address.inbox = conversation.inbox
    closes_at = conversation.address.window_closes_at()
    has_window = conversation.inbox.channel.capabilities.window is not None
    blocked = ""
    if conversation.inbox.removed_at is not None:
        blocked = "removed"
    elif conversation.inbox.state == Inbox.State.DISABLED:
        blocked = "inbox"
    elif conversation.contact.blocked:
        blocked = "contact"
    holder = conversation.assignee
    return Composer(
        blocked=blocked,
        closes_at=closes_at,
        window_closed=has_window and (closes_at is None or closes_at <= timezone.now()),
        takes_over_from=holder.name if holder and holder.pk != viewer.pk else "",
    )


def conversation_context(request: MemberRequest, conversation: Conversation) -> dict[str, Any]:
    """Everything the open conversation shows, in a constant number of queries."""
    start = request.GET.get("from", "")
    holder, holder_kind = desk.holder_of(conversation)
    members = Member.objects.active().filter(account=request.account).order_by("name")
    return {
        "conversation": conversation,
        "thread": thread.read(conversation, start=decode_or_404("msg", start) if start else None),
        "holder": holder,
        "holder_kind": holder_kind,
        "mine": conversation.assignee_id == request.member.pk,
        "composer": composer_of(conversation, request.member),
        "client_id": secrets.token_urlsafe(12),
        "people": [member for member in members if member.is_person],
        "agents": [member for member in members if member.is_agent],
        "teams": list(Team.objects.order_by("name")),
        "labels": list(conversation.labels.order_by("name")),
        "all_labels": list(Label.objects.order_by("name")),
        "contact_labels": list(conversation.contact.labels.order_by("name")),
        "contact_notes": list(
            conversation.contact.notes.select_related("author").order_by("-pk")[:MOST_NOTES]
        ),
        "snoozes": desk.snooze_choices(timezone.now()),
        "attributes": attributes_of(conversation),
        "identifiers": list(conversation.address.identifiers.order_by("kind")),
        "assignments": list(
            conversation.assignments.select_related("member", "team", "by").order_by("-epoch")[:10]
        ),
        "events": list(
            Event.objects.filter(conversation=conversation).order_by("-sequence")[:RECENT_EVENTS]
        ),
        "list_query": desk.Query.of(_page_query(request)).string(),
    }


def attributes_of(conversation: Conversation) -> list[attributes.Shown]:
    """The customer's and the conversation's own, by the names that the account gave them."""
    definitions = list(AttributeDefinition.objects.all())
    return [
        one
        for of, values in (
            (AttributeDefinition.Of.CONTACT, conversation.contact.attributes),
            (AttributeDefinition.Of.CONVERSATION, conversation.attributes),
        )
        for one in attributes.shown(values, [each for each in definitions if each.of == of])
    ]


def _page_query(request: MemberRequest) -> dict[str, str]:
    """The list's filters: of this address, or of the page that asks."""
    here = request.htmx.current_url if request.htmx else ""  # type: ignore[attr-defined]
    asked = parse_qs(urlsplit(here or "").query) if here else {}
    return {name: values[0] for name, values in asked.items()} | request.GET.dict()
