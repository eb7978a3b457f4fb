"""What needs attention, on every page of those who may mend it. Both tags of a page share one query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django import template
from django.http import HttpRequest

from accounts.auth import can
from accounts.permissions import Permission
from accounts.tenancy import account_context
from integrations import attention

register = template.Library()


@register.simple_tag(takes_context=True)
def attention_count(context: template.Context) -> int:
    """`{% attention_count as number %}`: how many things call for somebody."""
    return attention.calling(_things(context["request"]))


@register.simple_tag(takes_context=True)
def attention_alarm(context: template.Context) -> attention.Item | None:
    """`{% attention_alarm as alarm %}`: the one that every page has to say, if there is one."""
    request = context["request"]
    found = _things(request)
    if not found:
        return None
    with account_context(request.account):
        return attention.alarm(found)


def _things(request: HttpRequest) -> Sequence[attention.Thing]:
    known: Any = getattr(request, "_attention", None)
    if known is None:
        known = _asked(request)
        request._attention = known  # type: ignore[attr-defined]  # ours, for this request
    return cast("Sequence[attention.Thing]", known)


def _asked(request: Any) -> Sequence[attention.Thing]:
    if not can(request, Permission.DELIVERIES_REPLAY):
        return ()
    with account_context(request.account):
        return attention.things()
