"""Two customers who are one: looking for the other, seeing both, and saying yes."""

from __future__ import annotations

from django.db.models import Count
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.auth import MemberRequest, member_required
from accounts.pages import done, find, refused, show
from accounts.permissions import Permission
from conversations import services
from conversations.errors import DeskError
from conversations.models import Contact, Conversation
from conversations.views import with_conversation

FOUND = 20


@member_required(Permission.CONTACTS_ERASE)
@require_http_methods(["GET", "HEAD", "POST"])
@with_conversation
def merge(request: MemberRequest, conversation: Conversation) -> HttpResponse:
    """`q` looks for the other customer, `with` shows both, a POST makes them one."""
    base, public_id = conversation.contact, conversation.public_id
    others = Contact.objects.present().filter(erased_at=None).exclude(pk=base.pk)
    chosen = request.POST.get("with") or request.GET.get("with", "")
    other = find(others, Contact.public_id, chosen) if chosen else None
    if request.method == "POST" and other is not None:
        try:
            services.merge_contacts(base, other, by=request.member)
        except DeskError as error:
            return refused(request, error.message, "conversation", public_id)
        return done(request, _("They are one customer now."), "conversation", public_id)
    text = request.GET.get("q", "").replace("\x00", "").strip()[:100]
    found = others.matching(text) if text else others.none()
    context = {
        "conversation": conversation,
        "other": other,
        "query": text,
        "found": found.annotate(threads=Count("conversations")).order_by("name", "pk")[:FOUND],
        "both": [base, other] if other is not None else [],
        "either_blocked": base.blocked or (other is not None and other.blocked),
    }
    return show(request, "conversations/merge.html", context)
