"""Settings: of the account, of its tokens, of support's access, and the audit log."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import services
from accounts.auth import MemberRequest, can, member_required
from accounts.errors import AccountsError
from accounts.forms import AccountForm, TokenForm
from accounts.models import Account, ApiToken, AuditEntry, SupportSession
from accounts.pages import done, find, show
from accounts.permissions import Permission

page = require_http_methods(["GET", "HEAD", "POST"])
ENTRIES = 50


@member_required(Permission.ACCOUNT_READ)
@page
def account(request: MemberRequest) -> HttpResponse:
    """Everybody may look; who may write it sees a form."""
    if request.method == "POST" and not can(request, Permission.ACCOUNT_WRITE):
        raise PermissionDenied
    # A copy: a refused form must not change the name that the page shows of the account.
    form = AccountForm(request.POST or None, instance=Account.objects.get(pk=request.account.pk))
    if form.is_valid():
        try:
            services.update_account(request.account, by=request.member, **form.cleaned_data)
        except AccountsError as error:
            form.add_error("factor_required", error.message)
        else:
            return done(request, _("Saved."), "settings")
    return show(request, "accounts/settings.html", {}, form=form)


# --- Tokens --------------------------------------------------------------------------------------


def _tokens(request: MemberRequest) -> dict[str, object]:
    rows = ApiToken.objects.filter(account=request.account).exclude(kind=ApiToken.Kind.AGENT)
    if not can(request, Permission.TOKENS_WRITE):
        rows = rows.filter(member=request.member)
    return {
        "tokens": rows.select_related("member").order_by("revoked_at", "-pk")[:100],
        "now": timezone.now(),
    }


@member_required(Permission.TOKENS_OWN, fresh=True)
@page
def tokens(request: MemberRequest) -> HttpResponse:
    """The list, and a form for a new one, whose clear text is in this answer and nowhere else."""
    form = TokenForm(request.POST or None, by=request.member)
    if form.is_valid():
        data = dict(form.cleaned_data)
        expires_at = timezone.now() + timedelta(days=data.pop("days"))
        try:
            token, clear = services.issue_token(**data, expires_at=expires_at, by=request.member)
        except AccountsError as error:
            form.add_error(None, error.message)
        else:
            return render(request, "accounts/token_shown.html", {"token": token, "clear": clear})
    return show(request, "accounts/tokens.html", _tokens(request), form=form)


@member_required(Permission.TOKENS_OWN)
@require_POST
def revoke_token(request: MemberRequest, public_id: str) -> HttpResponse:
    rows = ApiToken.objects.filter(account=request.account).exclude(kind=ApiToken.Kind.AGENT)
    if not can(request, Permission.TOKENS_WRITE):
        rows = rows.filter(member=request.member)
    token = find(rows, "tok", public_id)
    services.revoke_token(token, by=request.member)
    return done(request, _("%(name)s works no more.") % {"name": token.name}, "tokens")


# --- Support and audit ---------------------------------------------------------------------------


@member_required(Permission.ACCOUNT_READ)
@require_safe
def support(request: MemberRequest) -> HttpResponse:
    """Who of the operator's support was in here, when and why (SX-10)."""
    sessions = SupportSession.objects.filter(account=request.account).select_related("user")
    context = {"sessions": sessions.order_by("-started_at")[:100], "now": timezone.now()}
    return show(request, "accounts/support.html", context)


@member_required(Permission.ACCOUNT_WRITE)
@require_POST
def switch_support(request: MemberRequest) -> HttpResponse:
    on = request.POST.get("on") == "1"
    services.update_account(request.account, by=request.member, support_access=on)
    text = _("Support may come in, with a reason.") if on else _("Support cannot come in.")
    return done(request, text, "support")


@member_required(Permission.AUDIT_READ)
@require_safe
def audit_log(request: MemberRequest) -> HttpResponse:
    """What was done, newest first; `before` goes on where the page ended."""
    entries = AuditEntry.objects.order_by("-pk")
    text = request.GET.get("q", "").replace("\x00", "").strip()[:100]
    if text:
        entries = entries.filter(action__icontains=text) | entries.filter(
            actor_name__icontains=text
        )
    before = request.GET.get("before", "")
    if before.isdecimal() and len(before) < 19:
        entries = entries.filter(pk__lt=int(before))
    found = list(entries[: ENTRIES + 1])
    context = {
        "entries": [(entry, changes_of(entry)) for entry in found[:ENTRIES]],
        "query": text,
        "more": found[ENTRIES - 1].pk if len(found) > ENTRIES else 0,
    }
    return show(request, "accounts/audit.html", context)


def changes_of(entry: AuditEntry) -> list[tuple[str, str, str]]:
    """What changed, as (name, before, after); `before` is empty where only the new value counts."""
    return [
        (name.replace("_", " "), *_before_after(change)) for name, change in entry.changes.items()
    ]


def _before_after(change: Any) -> tuple[str, str]:
    if isinstance(change, dict) and change.keys() == {"from", "to"}:
        return _short(change["from"]), _short(change["to"])
    if isinstance(change, list) and len(change) == 2 and not isinstance(change[0], dict):
        return _short(change[0]), _short(change[1])
    return "", _short(change)


def _short(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"
