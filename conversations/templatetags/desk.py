"""Tags and filters of the dashboard's pages: rail, avatars, times and message text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import template
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language_info, pgettext
from django.utils.translation import gettext as _

from accounts.permissions import Permission, allows
from conversations import marks

register = template.Library()
register.filter("marks", marks.to_html)


@dataclass(frozen=True, slots=True)
class RailLink:
    name: str
    url: str
    label: str
    icon: str
    current: bool


def links_of(request: HttpRequest) -> list[RailLink]:
    """The pages this member may open."""
    pages = [
        ("home", _("Inbox"), "inbox", Permission.CONVERSATIONS_READ),
        ("agents", _("Agents"), "cpu-chip", Permission.AGENTS_READ),
        ("inboxes", _("Inboxes"), "chat-bubble-left-right", Permission.INBOXES_READ),
        ("rules", _("Rules"), "arrows-right-left", Permission.RULES_READ),
        ("team", _("Team"), "user-group", Permission.MEMBERS_READ),
        ("deliveries", _("Deliveries"), "paper-airplane", Permission.DELIVERIES_READ),
        ("attention", _("Attention"), "bell-alert", Permission.DELIVERIES_REPLAY),
        ("settings", _("Settings"), "cog-6-tooth", Permission.ACCOUNT_READ),
    ]
    member = getattr(request, "member", None)
    if member is None:
        return []
    return [
        RailLink(name, reverse(name), label, icon, _is_current(request.path, reverse(name)))
        for name, label, icon, permission in pages
        if allows(member.role, permission)
    ]


def _is_current(path: str, url: str) -> bool:
    if url == "/":
        return path == "/" or path.startswith("/inbox/")
    return path.startswith(url)


@register.simple_tag(takes_context=True)
def rail_links(context: template.Context) -> list[RailLink]:
    return links_of(context["request"])


@register.inclusion_tag("_rail.html", takes_context=True)
def rail(context: template.Context) -> dict[str, Any]:
    request = context["request"]
    member = getattr(request, "member", None)
    return {
        "request": request,
        "csrf_token": context.get("csrf_token"),
        "links": links_of(request),
        "person": member or request.user,
        "account": member and member.account,
        "local_mailbox": settings.LOCAL_MAILBOX,
    }


@register.simple_tag(takes_context=True)
def theme(context: template.Context) -> SafeString:
    """`data-theme="…"` when the person has chosen one (static/js/theme.js keeps the cookie)."""
    request = context.get("request")
    choice = request.COOKIES.get("sb_theme", "") if request else ""
    return format_html('data-theme="{}"', choice) if choice in ("light", "dark") else SafeString()


@register.simple_tag
def shortcuts() -> list[tuple[list[str], str]]:
    """What the help dialog lists; the keys themselves stand on their buttons (`data-key`)."""
    return [
        (["Ctrl K"], _("go to a conversation or a page")),
        (["j", "k"], _("next and previous conversation")),
        (["Enter"], _("open it")),
        (["r"], _("reply")),
        (["n"], _("private note")),
        (["/"], _("saved reply, in an empty message or after a space")),
        (["Ctrl Enter"], _("send")),
        (["a"], _("assign")),
        (["t"], _("take over")),
        (["g"], _("give back to the AI agent")),
        (["e"], _("resolve, or open again")),
        (["z"], _("snooze")),
        (["l"], _("label")),
        (["?"], _("this help")),
    ]


@register.inclusion_tag("_avatar.html")
def avatar(
    name: str, seed: int | None = 0, kind: str = "", *, small: bool = False
) -> dict[str, Any]:
    """A round picture of initials. `kind`: "" (somebody), "ai", "team" or "none"."""
    icons = {"ai": "cpu-chip", "team": "user-group", "none": "user"}
    return {
        "initials": initials(name),
        "look": kind or str((seed or 0) % 8 + 1),
        "icon": icons.get(kind, ""),
        "small": small,
    }


def initials(name: str) -> str:
    """Two letters: of the first and the last word, or the last two digits of a number."""
    words = [word for word in str(name).replace("+", " ").split() if word[0].isalnum()]
    if not words:
        return "?"
    if all(word.isdigit() for word in words):
        return words[-1][-2:]
    return (words[0][0] + (words[-1][0] if len(words) > 1 else words[0][1:2])).upper()


@register.simple_tag
def ago(moment: datetime | None) -> SafeString:
    """How long since, in the shortest words, with the exact time in the title."""
    if moment is None:
        return SafeString()
    return _time("ago", moment, short_age((timezone.now() - moment).total_seconds()))


@register.simple_tag
def left(moment: datetime | None) -> SafeString:
    """How long until, in hours and minutes."""
    if moment is None:
        return SafeString()
    minutes = max(0, int((moment - timezone.now()).total_seconds() // 60))
    minute, hour, _day = _units()
    text = (
        f"{minutes % 60} {minute}"
        if minutes < 60
        else f"{minutes // 60} {hour} {minutes % 60} {minute}"
    )
    return _time("until", moment, text)


def short_age(seconds: float) -> str:
    minute, hour, day = _units()
    if seconds < 60:
        return pgettext("time ago", "now")
    if seconds < 3600:
        return f"{int(seconds // 60)}{minute}"
    if seconds < 86_400:
        return f"{int(seconds // 3600)}{hour}"
    return f"{int(seconds // 86_400)}{day}"


def _units() -> list[str]:
    return pgettext("short units: minutes hours days", "m h d").split()


def _time(kind: str, moment: datetime, text: str) -> SafeString:
    return format_html(
        '<time data-{} datetime="{}" title="{}">{}</time>',
        kind,
        moment.isoformat(),
        template.defaultfilters.date(timezone.localtime(moment), "j M Y, H:i"),
        text,
    )


@register.filter
def words(text: str) -> list[str]:
    """The words of a string, to loop over."""
    return text.split()


@register.filter
def language(code: str) -> str:
    """The name of a language in itself; an unknown code stays as it is."""
    try:
        return str(get_language_info(code)["name_local"])
    except KeyError:
        return code


@register.filter
def assignment_reason(code: str) -> str:
    """Why somebody got a conversation (`conversations.services.Reason`), in words."""
    words = {
        "rule": _("by a rule"),
        "manual": _("assigned by hand"),
        "takeover": _("took over"),
        "answered": _("answered"),
        "given_back": _("given back"),
        "handed_off": _("handed off"),
        "agent_timeout": _("the AI agent did not answer in time"),
        "agent_unreachable": _("the AI agent could not be reached"),
        "agent_rejected": _("the AI agent refused"),
        "agent_disabled": _("the AI agent is switched off"),
        "agent_paused": _("the AI agent was paused"),
        "agent_deleted": _("the AI agent was deleted"),
        "late_message": _("the message arrived late"),
        "undone": _("undone"),
    }
    return words.get(code, code.replace("_", " "))


@register.filter
def ending_reason(reason: str) -> str:
    """Why a delivery was given up or canceled (`Delivery.dead_reason`), in words: a code, what an address
    answered (`http_error 500`), a channel's `class: sentence`, or a sentence of ours."""
    words = {
        "agent_unreachable": _("the AI agent could not be reached"),
        "agent_rejected": _("the AI agent refused"),
        "agent_disabled": _("the AI agent is switched off"),
        "not_assigned": _("somebody else has the conversation by now"),
        "superseded": _("a newer one took its place"),
        "erased": _("the contact was erased"),
        "timeout_connect": _("the address could not be reached in time"),
        "timeout_read": _("the address did not answer in time"),
        "dns": _("the name of the address leads nowhere"),
        "tls": _("no safe connection to the address could be made"),
        "refused": _("the address refused the connection"),
        "disconnected": _("the connection broke off"),
        "blocked_address": _("the address is none that is called"),
        "too_large": _("the answer was too large"),
    }
    code, _space, rest = reason.partition(" ")
    if code.endswith(":"):
        return rest
    if code == "http_error":
        return _("the address answered %(status)s") % {"status": rest}
    known = words.get(reason) or (_(reason) if reason else "")
    return known.replace("_", " ") if code == reason else known
