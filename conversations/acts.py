"""What people do with a conversation. Each act is a form with an address and calls one service.

With htmx the answer is empty and names what changed (`HX-Trigger`): the regions fetch themselves, a
toast says what was done and offers to undo it. Without script it is a redirect and a message.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRedirect

from accounts.auth import MemberRequest, member_required
from accounts.models import Member, Team
from accounts.permissions import Permission
from conversations import services, uploads
from conversations.errors import DeskError
from conversations.forms import LabelForm, ReplyForm, SnoozeForm
from conversations.messages import Content, Kind
from conversations.models import Conversation, Message, sees_all
from conversations.services.outbound import discard_draft
from conversations.views import (
    conversation_context,
    decode_or_404,
    find_conversation,
    with_conversation,
)

Act = Callable[..., HttpResponseBase]


def act(permission: Permission) -> Callable[[Act], Act]:
    """A POST on one conversation by somebody with `permission`; a refusal of the desk is a toast."""

    def decorate(view: Act) -> Act:
        @member_required(permission)
        @require_POST
        @with_conversation
        @wraps(view)
        def guarded(
            request: MemberRequest, conversation: Conversation, **kwargs: Any
        ) -> HttpResponseBase:
            try:
                with transaction.atomic():
                    return view(request, conversation, **kwargs)
            except DeskError as error:
                return refused(request, conversation, error.message)

        return guarded

    return decorate


def done(
    request: MemberRequest, conversation: Conversation, text: str = "", *, undo: str = ""
) -> HttpResponse:
    """The act is done: say so, and let the page fetch what changed.

    Whoever has given it out of their own sight goes back to the list, and cannot take it back.
    """
    if out_of_sight(request.member, conversation):
        if text:
            messages.success(request, text)
        if request.htmx:  # type: ignore[attr-defined]  # django-htmx
            return HttpResponseClientRedirect(reverse("home"))
        return redirect("home")
    if not request.htmx:  # type: ignore[attr-defined]  # django-htmx
        if text:
            messages.success(request, text)
        return redirect("conversation", conversation.public_id)
    facts: dict[str, Any] = {"live": True, f"live:{conversation.public_id}": True}
    if text:
        facts["toast"] = {"text": text, "kind": "ok", "undo": undo}
    return HttpResponse(status=204, headers={"HX-Trigger": json.dumps(facts)})


def out_of_sight(member: Member, conversation: Conversation) -> bool:
    """Whether the member sees it no more, as it is now."""
    if sees_all(member):
        return False
    return not Conversation.objects.visible_to(member).filter(pk=conversation.pk).exists()


def refused(request: HttpRequest, conversation: Conversation, text: str) -> HttpResponse:
    """The desk said no: one toast with its sentence."""
    if not request.htmx:  # type: ignore[attr-defined]  # django-htmx
        messages.error(request, text)
        return redirect("conversation", conversation.public_id)
    facts = {
        f"live:{conversation.public_id}": True,
        "toast": {"text": text, "kind": "danger"},
    }
    return HttpResponse(status=409, headers={"HX-Trigger": json.dumps(facts)})


def undo_address(before: Conversation, epoch: int) -> str:
    """Where a POST gives the conversation back to whoever had it, unless somebody was faster."""
    holder = before.assignee or before.team
    to = holder.public_id if holder else ""
    return f"{reverse('assign', args=[before.public_id])}?to={to}&epoch={epoch}"


@act(Permission.CONVERSATIONS_ASSIGN)
def assign(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    """To a member, a team, or (`to` empty) the unassigned queue."""
    values = request.GET.dict() | request.POST.dict()
    to = find_holder(request, values.get("to", ""))
    epoch = values.get("epoch", "")
    after = services.assign(
        conversation,
        to=to,
        by=request.member,
        expected_epoch=int(epoch[:18]) if epoch.isdecimal() else None,
    )
    text = (
        _("Assigned to %(name)s.") % {"name": to.name}
        if to
        else _("Moved to the unassigned queue.")
    )
    undo = "" if "epoch" in request.GET else undo_address(conversation, after.assignment_epoch)
    return done(request, conversation, text, undo=undo)


def find_holder(request: MemberRequest, public_id: str) -> Member | Team | None:
    """The member or team of this account behind an id; none for an empty one."""
    if not public_id:
        return None
    if public_id.startswith("tem_"):
        return get_object_or_404(Team, pk=decode_or_404("tem", public_id))
    return get_object_or_404(
        Member, pk=decode_or_404("mem", public_id), account_id=request.member.account_id
    )


@act(Permission.CONVERSATIONS_ASSIGN)
def take_over(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    after = services.take_over(conversation, by=request.member)
    undo = undo_address(conversation, after.assignment_epoch)
    return done(request, conversation, _("You have this conversation now."), undo=undo)


@act(Permission.CONVERSATIONS_ASSIGN)
def give_back(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    after = services.give_back(conversation, by=request.member)
    holder = after.assignee.name if after.assignee else ""
    undo = undo_address(conversation, after.assignment_epoch)
    return done(request, conversation, _("Given back to %(name)s.") % {"name": holder}, undo=undo)


@act(Permission.CONVERSATIONS_WRITE)
def resolve(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    after = services.resolve(conversation, by=request.member)
    holder = conversation.assignee or conversation.team
    undo = (
        undo_address(conversation, after.assignment_epoch)
        if holder
        else reverse("reopen", args=[conversation.public_id])
    )
    return done(request, conversation, _("Resolved."), undo=undo)


@act(Permission.CONVERSATIONS_WRITE)
def reopen(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    services.reopen(conversation, by=request.member)
    return done(request, conversation, _("Open again."))


@act(Permission.CONVERSATIONS_WRITE)
def snooze(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    form = SnoozeForm(request.POST)
    if not form.is_valid():
        return refused(request, conversation, str(form.errors["until"][0]))
    services.snooze(conversation, by=request.member, until=form.cleaned_data["until"])
    return done(
        request,
        conversation,
        _("Snoozed. A new message of the customer wakes it earlier."),
        undo=reverse("reopen", args=[conversation.public_id]),
    )


@act(Permission.CONVERSATIONS_WRITE)
def label(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    form = LabelForm(request.POST)
    if not form.is_valid():
        return refused(request, conversation, _("Give the label a name."))
    change = services.remove_labels if form.cleaned_data["remove"] else services.add_labels
    change(conversation, [form.cleaned_data["name"]], by=request.member)
    return done(request, conversation)


@act(Permission.CONTACTS_WRITE)
def label_contact(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    """A label of the customer, on all their conversations' pages."""
    form = LabelForm(request.POST)
    if not form.is_valid():
        return refused(request, conversation, _("Give the label a name."))
    remove = form.cleaned_data["remove"]
    change = services.remove_contact_labels if remove else services.add_contact_labels
    change(conversation.contact, [form.cleaned_data["name"]])
    return done(request, conversation)


@act(Permission.CONTACTS_WRITE)
def note_contact(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    """Write down something about the customer, on all their conversations' pages."""
    text = request.POST.get("text", "")
    services.add_contact_note(conversation.contact, text=text, by=request.member)
    return done(request, conversation)


@act(Permission.CONTACTS_WRITE)
def delete_contact_note(
    request: MemberRequest, conversation: Conversation, *, note: str
) -> HttpResponse:
    notes = conversation.contact.notes.select_related("contact")
    found = get_object_or_404(notes, pk=decode_or_404("cno", note))
    services.delete_contact_note(found, by=request.member)
    return done(request, conversation)


@member_required(Permission.CONTACTS_ERASE, fresh=True)
@require_POST
@with_conversation
def erase(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    """Forget the customer, with every conversation of theirs; it cannot be undone."""
    try:
        services.erase_contact(conversation.contact, by=request.member)
    except DeskError as error:
        return refused(request, conversation, error.message)
    messages.success(request, _("The customer was erased."))
    return redirect("conversation", conversation.public_id)


@act(Permission.CONVERSATIONS_READ)
def read(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    """Somebody has the thread before their eyes."""
    if conversation.unread_count:
        services.mark_read(conversation, by=request.member)
    return HttpResponse(status=204)


@act(Permission.CONVERSATIONS_WRITE)
def use_draft(request: MemberRequest, conversation: Conversation, message: str) -> HttpResponse:
    services.use_draft(find_draft(conversation, message), by=request.member)
    return done(request, conversation, _("Sent."))


@act(Permission.CONVERSATIONS_WRITE)
def drop_draft(request: MemberRequest, conversation: Conversation, message: str) -> HttpResponse:
    discard_draft(find_draft(conversation, message), by=request.member)
    return done(request, conversation, _("Draft discarded."))


def find_draft(conversation: Conversation, public_id: str) -> Message:
    draft = get_object_or_404(
        Message.objects.select_related("conversation", "inbox", "author"),
        pk=decode_or_404("msg", public_id),
        conversation=conversation,
        direction=Message.Direction.DRAFT,
    )
    if draft.deleted_at:
        raise Http404
    return draft


@act(Permission.CONVERSATIONS_WRITE)
def reply(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    """Send what the composer holds; its own partial comes back, empty or with what is wrong."""
    form = ReplyForm(request.POST, request.FILES)
    if form.is_valid():
        try:
            with transaction.atomic():
                say(request.member, conversation, form.cleaned_data)
        except DeskError as error:
            form.add_error(None, error.message)
    if form.errors:
        return composer(request, conversation, form)
    if not request.htmx:  # type: ignore[attr-defined]  # django-htmx
        return redirect("conversation", conversation.public_id)
    response = composer(request, conversation, None)
    facts = {"live": True, f"live:{conversation.public_id}": True, "sent": True}
    response["HX-Trigger-After-Swap"] = json.dumps(facts)
    return response


def say(member: Member, conversation: Conversation, data: dict[str, Any]) -> None:
    if data["mode"] == "note":
        services.add_note(conversation, text=data["text"], author=member)
        return
    files = tuple(uploads.store(file, account_id=member.account_id) for file in data["attached"])
    services.post_message(
        conversation,
        content=Content(kind=files[0].kind if files else Kind.TEXT, text=data["text"], media=files),
        author=member,
        client_id=data["client_id"],
    )


def composer(
    request: MemberRequest, conversation: Conversation, form: ReplyForm | None
) -> HttpResponse:
    """The composer alone for htmx, the whole page without; 422 when something is wrong."""
    fresh = conversation if form else find_conversation(conversation.public_id, request.member)
    context = conversation_context(request, fresh) | {"form": form}
    name = "_composer" if request.htmx else "alone"  # type: ignore[attr-defined]  # django-htmx
    return render(request, f"conversations/{name}.html", context, status=422 if form else 200)
