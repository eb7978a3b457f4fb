"""The sandbox phone: a page where anybody with its address is the customer, without a login.

The page posts to the hook door like any platform (`/hooks/sandbox/<token>`); these views show the
thread, take files ahead of their message, and carry whole messages for browsers without script.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.limits import Limit, take_all
from accounts.origin import client_ip
from accounts.tenancy import account_context
from conversations.models import Inbox
from integrations import guests, tickets
from integrations.posting import take_in
from integrations.routes import inbox_at
from integrations.sandbox import phone, uploads, visitors
from integrations.sandbox.channel import GUESTS, MAX_TEXT
from integrations.sandbox.forms import SayForm, UploadForm

# A picture is a file here and then a message at the door, so files are counted for themselves.
VISITOR_FILES = Limit("sandbox.files", 20, 20 / 60)
IP_FILES = Limit("sandbox.files-ip", 60, 60 / 60)
# What one can say with one tap; an inbox may bring its own in `config["phrases"]`.
PHRASES = ("Do you ship to Cluj?", "Vreau să vorbesc cu un om")
# The recorder needs the microphone, which every other page is refused (config/middleware.py).
PERMISSIONS = "microphone=(self), camera=(), geolocation=(), payment=(), usb=()"

Page = Callable[[HttpRequest, Inbox, str], HttpResponseBase]


def for_visitors(view: Page) -> Callable[[HttpRequest, str], HttpResponseBase]:
    """Opens the inbox behind the page's token, or 404; the view gets it with the visitor's name.

    A newcomer gets a name here; it is kept in a cookie that only this page's addresses see. Views
    enter the account's context themselves, because limits must not be taken inside a transaction.
    """

    @wraps(view)
    def opened(request: HttpRequest, token: str) -> HttpResponseBase:
        inbox = inbox_at("sandbox", token)
        if inbox is None:
            raise Http404
        known = visitors.visitor_of(request, inbox)
        visitor = known or visitors.new_visitor()
        with timezone.override(inbox.account.time_zone):  # times are the shop's, as in its desk
            response = view(request, inbox, visitor)
        if not known and not response.cookies:
            visitors.remember(response, visitor, inbox, path=reverse("sandbox", args=[token]))
        return response

    return never_cache(opened)


@require_safe
@for_visitors
def page(request: HttpRequest, inbox: Inbox, visitor: str) -> HttpResponseBase:
    response = _page(request, inbox, visitor)
    response["Permissions-Policy"] = PERMISSIONS
    response["X-Robots-Tag"] = "noindex"
    return response


@require_safe
@for_visitors
def thread(request: HttpRequest, inbox: Inbox, visitor: str) -> HttpResponseBase:
    """The screen's part that changes; fetched again whenever something happened."""
    with account_context(inbox.account):
        context = {"phone": phone.show(inbox, visitor), "token": _token(request)}
        return render(request, "sandbox/_screen.html", context)


@require_safe
@for_visitors
def ticket(request: HttpRequest, inbox: Inbox, visitor: str) -> HttpResponseBase:
    """An address for the live stream of this visitor's own conversation and nothing else."""
    with account_context(inbox.account):
        conversation = phone.conversation_of(inbox, visitor)
    if conversation is None:
        raise Http404
    topics = [f"conversation:{conversation.public_id}"]
    return JsonResponse({"address": tickets.address(inbox.account_id, topics)})


@require_POST
@for_visitors
def upload(request: HttpRequest, inbox: Inbox, visitor: str) -> HttpResponseBase:
    """Take a file; the answer's `upload` names it in the message that follows."""
    taken = take_all([(IP_FILES, client_ip(request)), (VISITOR_FILES, visitor)])
    if taken.wait:
        return JsonResponse({"error": _too_fast(taken.wait)}, status=429)
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return JsonResponse({"error": _first_error(form)}, status=form.status)
    slip = uploads.keep(
        form.cleaned_data["file"],
        account_id=inbox.account_id,
        inbox_id=inbox.pk,
        voice=form.cleaned_data["voice"],
    )
    return JsonResponse({"upload": slip}, status=201)


@require_POST
@for_visitors
def say(request: HttpRequest, inbox: Inbox, visitor: str) -> HttpResponseBase:
    """A whole message from a form; what script would do in two steps."""
    form = SayForm(request.POST, request.FILES)
    caller = client_ip(request)
    wait = guests.wait_for(GUESTS, inbox_id=inbox.pk, sender=visitor, caller=caller)
    error, status = (_too_fast(wait), 429) if wait else ("", 422)
    if not error and not form.is_valid():
        error, status = _first_error(form), form.status if form.has_error("file") else 422
    if error:
        return _page(request, inbox, visitor, error=error, status=status)
    body = json.dumps(_message(form.cleaned_data, inbox, visitor)).encode()
    with account_context(inbox.account):
        take_in(inbox, body)
    return redirect("sandbox", token=_token(request))


@require_POST
@for_visitors
def start_over(request: HttpRequest, inbox: Inbox, visitor: str) -> HttpResponseBase:
    """Become a new customer; the old conversation stays where it is."""
    response = redirect("sandbox", token=_token(request))
    path = reverse("sandbox", args=[_token(request)])
    visitors.remember(response, visitors.new_visitor(), inbox, path=path)
    return response


def _page(
    request: HttpRequest, inbox: Inbox, visitor: str, *, error: str = "", status: int = 200
) -> HttpResponse:
    with account_context(inbox.account):
        shown = phone.show(inbox, visitor)
        context = {
            "inbox": inbox,
            "token": _token(request),
            "visitor": visitor,
            "phone": shown,
            "phrases": inbox.config.get("phrases") or PHRASES,
            "max_text": MAX_TEXT,
            "error": error,
        }
        return render(request, "sandbox/phone.html", context, status=status)


def _message(given: dict[str, Any], inbox: Inbox, visitor: str) -> dict[str, Any]:
    message: dict[str, Any] = {"visitor": visitor, "id": uuid.uuid4().hex, "text": given["text"]}
    if given["file"]:
        message["upload"] = uploads.keep(
            given["file"],
            account_id=inbox.account_id,
            inbox_id=inbox.pk,
            voice=given["voice"],
        )
    elif given["choice_id"]:
        message["choice"] = {"id": given["choice_id"], "title": given["choice_title"]}
        message["from"] = given["choice_from"]
    elif given["answers"]:
        message["form"] = given["answers"]
    if given["reply_to"]:
        message["reply_to"] = given["reply_to"]
    return message


def _token(request: HttpRequest) -> str:
    match = request.resolver_match
    return str(match.kwargs["token"]) if match else ""


def _too_fast(wait: int) -> str:
    return _("That was a lot at once. Try again in %(seconds)s s.") % {"seconds": wait}


def _first_error(form: UploadForm) -> str:
    return str(next(iter(form.errors.values()))[0])
