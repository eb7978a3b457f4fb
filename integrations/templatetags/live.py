"""`{% live_stream %}`: the page's ticket, for static/js/live.js."""

from __future__ import annotations

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from integrations import tickets

register = template.Library()


@register.simple_tag(takes_context=True)
def live_stream(context: template.Context) -> SafeString:
    """The stream of the whole account for a member; nothing for strangers."""
    member = getattr(context.get("request"), "member", None)
    if member is None:
        return SafeString()
    return format_html(
        '<meta name="live" content="{}" data-renew="{}">',
        tickets.address(member.account_id, ["account"], member_id=member.pk),
        reverse("live_ticket"),
    )
