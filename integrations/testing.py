"""The test chat: a customer of one's own making, held by one agent, on one page.

It is an ordinary conversation of the account's sandbox inbox: the agent is told as always, its answer
comes as always, and everything that happens stands in the thread.
"""

from __future__ import annotations

import secrets

from django import forms
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from accounts.auth import MemberRequest, member_required
from accounts.models import Member
from accounts.pages import refused
from accounts.permissions import Permission
from agents.models import Agent
from agents.views.agents import find_agent
from conversations import services, thread
from conversations.errors import DeskError
from conversations.messages import Identifier, InboundMessage, Kind
from conversations.models import AddressIdentifier, Conversation, Inbox

SLOT = "test_chats"


class SayForm(forms.Form):
    text = forms.CharField(
        label=gettext_lazy("Write as a customer"),
        max_length=2000,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )


def sandbox_inbox() -> Inbox | None:
    """The account's own sandbox, if it is switched on."""
    found = Inbox.objects.exclude(state=Inbox.State.DISABLED).order_by("pk")
    return next((inbox for inbox in found if inbox.channel.synthetic), None)


def visitor_of(request: MemberRequest, agent: Agent) -> str:
    """Who this member plays for this agent; one name until they start over."""
    chats = request.session.setdefault(SLOT, {})
    if agent.public_id not in chats:
        chats[agent.public_id] = f"test-{secrets.token_urlsafe(12)}"
        request.session.modified = True
    return str(chats[agent.public_id])


def conversation_of(inbox: Inbox, visitor: str) -> Conversation | None:
    row = AddressIdentifier.objects.filter(
        address__inbox=inbox, kind="visitor", value=visitor
    ).first()
    if row is None:
        return None
    rows = Conversation.objects.select_related("contact", "inbox", "assignee", "team")
    return rows.filter(address_id=row.address_id).first()


@transaction.atomic
def say(inbox: Inbox, visitor: str, text: str, agent: Agent, by: Member) -> Conversation:
    """Take the customer's words in; a new chat is given to `agent`, whatever the rules said.

    Raises `CannotHoldError` when the agent cannot take it.
    """
    services.receive(
        inbox,
        InboundMessage(
            external_id=f"{visitor}:{secrets.token_urlsafe(12)}",
            kind=Kind.TEXT,
            identifiers=(Identifier("visitor", visitor),),
            sent_at=timezone.now(),
            text=text,
            contact_name=_("Test by %(name)s") % {"name": by.name},
        ),
    )
    conversation = conversation_of(inbox, visitor)
    assert conversation is not None  # noqa: S101 - it was made above
    if conversation.inbound_count == 1:
        services.assign(conversation, to=agent.member, by=by, detail=_("test chat"))
    return conversation


@member_required(Permission.CONVERSATIONS_WRITE)
@require_safe
def chat(request: MemberRequest, public_id: str) -> HttpResponse:
    return _page(request, find_agent(public_id), SayForm())


def _page(request: MemberRequest, agent: Agent, form: SayForm, status: int = 200) -> HttpResponse:
    """The chat; htmx gets the thread alone."""
    inbox = sandbox_inbox()
    conversation = conversation_of(inbox, visitor_of(request, agent)) if inbox else None
    context = {
        "agent": agent,
        "inbox": inbox,
        "form": form,
        "conversation": conversation,
        "thread": thread.read(conversation) if conversation else None,
        "held": conversation is not None and conversation.assignee_id == agent.member_id,
    }
    name = "agents/_chat.html" if request.htmx else "agents/chat.html"  # type: ignore[attr-defined]
    return render(request, name, context, status=status)


@member_required(Permission.CONVERSATIONS_WRITE)
@require_POST
def say_as_customer(request: MemberRequest, public_id: str) -> HttpResponse:
    agent, inbox, form = find_agent(public_id), sandbox_inbox(), SayForm(request.POST)
    if inbox is None:
        return refused(request, _("There is no sandbox inbox."), "test_agent", public_id)
    if not form.is_valid():
        return _page(request, agent, form, status=422)
    text = form.cleaned_data["text"]
    try:
        say(inbox, visitor_of(request, agent), text, agent, request.member)
    except DeskError as error:
        return refused(request, error.message, "test_agent", public_id)
    if request.htmx:  # type: ignore[attr-defined]  # django-htmx
        return _page(request, agent, SayForm())
    return redirect("test_agent", public_id)


@member_required(Permission.CONVERSATIONS_WRITE)
@require_POST
def start_over(request: MemberRequest, public_id: str) -> HttpResponse:
    """Become a new customer; the old conversation is resolved."""
    agent, inbox = find_agent(public_id), sandbox_inbox()
    old = conversation_of(inbox, visitor_of(request, agent)) if inbox else None
    if old is not None:
        services.resolve(old, by=request.member)
    request.session.get(SLOT, {}).pop(agent.public_id, None)
    request.session.modified = True
    return redirect("test_agent", public_id)
