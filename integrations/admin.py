"""Staff: what platforms brought and what became of it, and traces, during a visit to an account."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import support
from accounts.redaction import mask, redact
from accounts.staff import ContentAdmin, table
from conversations.models import Conversation
from integrations.models import Receipt
from integrations.tracing import Line, Link, trace
from integrations.tracing.lines import headline
from integrations.tracing.views import place_in

# Where links of a trace lead here, and what they are called.
PAGES = {
    "delivery": ("conversations_delivery", gettext_lazy("Delivery")),
    "receipt": ("integrations_receipt", gettext_lazy("Receipt")),
    "decision": ("agents_decision", gettext_lazy("Why")),
    "rule": ("agents_assignmentrule", gettext_lazy("Rule")),
}


@admin.register(Receipt)
class ReceiptAdmin(ContentAdmin):
    """Never the body: it is what the customer's phone or the platform said, word for word."""

    list_display = ("received_at", "inbox", "state", "tries", "outcome")
    list_filter = ("state",)
    list_select_related = ("inbox",)
    ordering = ("-pk",)
    fields = ("received_at", "inbox", "state", "tries", "next_try_at", "outcome")

    @admin.display(description=gettext_lazy("Result"))
    def outcome(self, receipt: Receipt) -> str:
        return redact(receipt.result)

    def masked(self, row: Receipt) -> Receipt:
        row.dedupe_key = row.public_id  # its key may hold a phone number, and it is the title
        return row

    def get_urls(self) -> list[URLPattern]:
        own = [path("trace/", self.admin_site.admin_view(self.trace), name="trace")]
        return [*own, *super().get_urls()]

    def trace(self, request: HttpRequest) -> HttpResponse:
        """The dashboard's trace of the visited account, with numbers masked; noted in its audit log."""
        if not support.is_inside(request):
            raise PermissionDenied
        query = request.GET.get("q", "").strip()[:250]
        found = trace(query, None, before=place_in(request.GET.get("before", "")))
        if found is not None and found.conversation is not None:
            support.saw(request, found.conversation)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Trace"),
            "query": query,
            "found": found,
            "headline": mask(headline(found.conversation)) if found and found.conversation else "",
            "choices": [(one.public_id, _choice(one)) for one in found.choices] if found else [],
            "story": _story(found.lines) if found and not found.choices else "",
        }
        return TemplateResponse(request, "admin/trace.html", context)


def _choice(conversation: Conversation) -> str:
    return mask(f"{headline(conversation)} ({conversation.inbox})")


def _story(lines: Any) -> SafeString:
    head = [_("At"), _("What"), _("Outcome"), _("Detail"), _("Ids"), ""]
    return table(head, [_row(line) for line in lines])


def _row(line: Line) -> list[Any]:
    at = f"{localtime(line.at):%d.%m.%Y %H:%M:%S.%f}"[:-3]
    ids = format_html_join(" ", "<code>{}</code>", [(one,) for one in line.ids or (line.code,)])
    title = (
        format_html("<strong>{}</strong>", mask(line.title)) if line.marked else mask(line.title)
    )
    links = format_html_join(" ", "{}", [(_way(link),) for link in line.links])
    # Why somebody got a conversation may be said in the customer's own words, and a platform's id of a
    # message may hold their number.
    detail = "" if line.kind in ("assignment", "message") else redact(line.detail)
    return [at, title, redact(line.outcome), detail, ids, links]


def _way(link: Link) -> SafeString | str:
    if link.kind not in PAGES:
        return ""
    page, word = PAGES[link.kind]
    url = reverse(f"admin:{page}_change", args=[link.pk])
    return format_html('<a class="staff-link" href="{}">{}</a>', url, word)
