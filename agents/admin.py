"""Staff: agents, their rules, why a rule decided as it did, and what travels, during a visit."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from accounts import support
from accounts.redaction import mask, redact
from accounts.staff import ContentAdmin, ReasonForm, StaffAdmin, pretty, table, user_of
from agents import replaying, system
from agents.models import Agent, AssignmentRule, Decision, SystemAgent
from agents.rules import describe_rule, names_of_targets
from conversations.errors import DeskError
from conversations.models import Delivery
from conversations.services.replaying import why_not


@admin.register(Agent)
class AgentAdmin(ContentAdmin):
    list_display = ("member", "dialect", "state", "place", "patience_s", "last_success")
    list_filter = ("state", "dialect")
    list_select_related = ("member", "endpoint", "fallback_team")
    fields = (
        "member", "description", "dialect", "state", "place", "patience_s", "fallback_team",
        "served", "last_success", "last_failure", "created_at",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("URL"))
    def place(self, agent: Agent) -> str:
        return agent.endpoint.place

    @admin.display(description=gettext_lazy("Inboxes"))
    def served(self, agent: Agent) -> str:
        return ", ".join(inbox.name for inbox in agent.inboxes.all()) or "all"

    @admin.display(description=gettext_lazy("Last success"))
    def last_success(self, agent: Agent) -> str:
        return f"{agent.endpoint.last_success_at or '–'}"

    @admin.display(description=gettext_lazy("Last failure"))
    def last_failure(self, agent: Agent) -> str:
        return f"{agent.endpoint.last_failure_at or '–'} {mask(agent.endpoint.last_error)}"


@admin.register(SystemAgent)
class SystemAgentAdmin(StaffAdmin):
    """All staff see the installation's agents, and end a token that is in the wrong hands. A new one is made
    by `manage.py system_agent_token`, and shown there only."""

    list_display = ("name", "number", "dialect", "created_at")
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "number", "description", "dialect", "created_at", "in_wrong_hands")
    readonly_fields = fields

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def get_queryset(self, request: HttpRequest) -> QuerySet[SystemAgent]:
        rows: QuerySet[SystemAgent] = super().get_queryset(request)
        return rows.filter(deleted_at__isnull=True)

    @admin.display(description=gettext_lazy("Number"), ordering="pk")
    def number(self, agent: SystemAgent) -> str:
        return str(agent.pk)

    @admin.display(description=gettext_lazy("If its token is in the wrong hands"))
    def in_wrong_hands(self, agent: SystemAgent) -> SafeString:
        url = reverse("admin:systemagent_end", args=[agent.pk])
        return format_html('<a class="staff-link" href="{}">{}</a>', url, _("End it with a reason"))

    def get_urls(self) -> list[URLPattern]:
        end = self.admin_site.admin_view(self.end)
        return [path("<int:pk>/end-token/", end, name="systemagent_end"), *super().get_urls()]

    def end(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for the reason, then replace its token by one that nobody has seen."""
        agent = get_object_or_404(self.get_queryset(request), pk=pk)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            reason = form.cleaned_data["reason"]
            system.replace_token(agent, by=user_of(request).email, reason=reason)
            messages.success(request, _("The token of %(name)s has ended.") % {"name": agent})
            return redirect("admin:agents_systemagent_change", pk)
        context = {
            **self.admin_site.each_context(request),
            "title": _("End the token of %(name)s") % {"name": agent},
            "number": agent.pk,
            "form": form,
        }
        return TemplateResponse(
            request, "admin/end_token.html", context, status=422 if form.errors else 200
        )


@admin.register(AssignmentRule)
class AssignmentRuleAdmin(ContentAdmin):
    list_display = ("position", "name", "event", "enabled", "stop", "version")
    list_display_links = ("name",)
    ordering = ("position", "pk")
    fields = (
        "name", "in_words", "event", "when", "then", "stop", "enabled", "version", "updated_at",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("In words"))
    def in_words(self, rule: AssignmentRule) -> str:
        return describe_rule(rule, names_of_targets())

    @admin.display(description=gettext_lazy("Condition"))
    def when(self, rule: AssignmentRule) -> SafeString:
        return pretty(rule.condition)

    @admin.display(description=gettext_lazy("Actions"))
    def then(self, rule: AssignmentRule) -> SafeString:
        return pretty(rule.actions)


@admin.register(Decision)
class DecisionAdmin(ContentAdmin):
    list_display = ("created_at", "conversation_number", "event_type", "outcome")
    list_select_related = ("conversation",)
    ordering = ("-pk",)
    fields = ("created_at", "conversation_number", "event_type", "outcome", "trail", "known")

    @admin.display(description=gettext_lazy("Conversation"))
    def conversation_number(self, decision: Decision) -> str:
        return f"#{decision.conversation.number}"

    @admin.display(description=gettext_lazy("Rules that were looked at"))
    def trail(self, decision: Decision) -> SafeString:
        return table(
            [_("Rule"), _("Version"), _("Matched"), _("Decided by")],
            [
                [
                    step.get("name", ""),
                    step.get("version", ""),
                    _("yes") if step.get("matched") else _("no"),
                    _leaf(step.get("leaf") or {}),
                ]
                for step in decision.trace
            ],
        )

    @admin.display(description=gettext_lazy("What was known"))
    def known(self, decision: Decision) -> SafeString:
        return pretty(decision.facts)


def _leaf(leaf: dict[str, Any]) -> str:
    """The condition that decided, and the value it met."""
    if not leaf:
        return "–"
    met = leaf.get("found") or leaf.get("actual")
    return mask(f"{leaf.get('field')} {leaf.get('op')}: {met}")


class ReplayForm(ReasonForm):
    confirm = forms.BooleanField(
        label=gettext_lazy("Even if the customer may get it twice"), required=False
    )


@admin.register(Delivery)
class DeliveryAdmin(ContentAdmin):
    """What was brought where, when, and what came back; never what was in it."""

    list_display = (
        "created_at", "kind", "event_type", "destination", "state", "attempts", "dead_reason",
    )  # fmt: skip
    list_filter = ("kind", "state")
    list_select_related = ("endpoint", "lane", "conversation")
    search_fields = ("wire_id", "event_id")
    ordering = ("-pk",)
    fields = (
        "created_at", "kind", "event_type", "wire_id", "event_id", "destination", "state",
        "dead_reason", "due_at", "finished_at", "replay_of", "once_more", "tries",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("To"))
    def destination(self, delivery: Delivery) -> str:
        if delivery.endpoint is None:
            return f"{delivery.kind} {delivery.lane.destination_id}"
        return urlsplit(delivery.endpoint.url).hostname or ""

    @admin.display(description=gettext_lazy("Attempts"))
    def tries(self, delivery: Delivery) -> SafeString:
        rows: list[list[Any]] = [
            [
                attempt.n,
                f"{localtime(attempt.started_at):%d.%m.%Y %H:%M:%S}",
                attempt.outcome,
                attempt.status or "–",
                "–" if attempt.latency_ms is None else f"{attempt.latency_ms} ms",
                redact(attempt.error),
            ]
            for attempt in delivery.attempt_log.order_by("n")
        ]
        heads = [
            pgettext("number of an attempt", "No"),
            _("At"),
            _("Outcome"),
            _("Status"),
            _("Took"),
            _("Error"),
        ]
        return table(heads, rows)

    @admin.display(description=gettext_lazy("Send again"))
    def once_more(self, delivery: Delivery) -> SafeString | str:
        if sentence := why_not(delivery):
            return sentence
        url = reverse("admin:delivery_replay", args=[delivery.pk])
        return format_html('<a class="staff-link" href="{}">{}</a>', url, _("Replay with a reason"))

    def get_urls(self) -> list[URLPattern]:
        replay = self.admin_site.admin_view(self.replay)
        own = [path("<int:pk>/replay/", replay, name="delivery_replay")]
        return [*own, *super().get_urls()]

    def replay(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for the reason, then send it again (DL-80)."""
        delivery = get_object_or_404(self.get_queryset(request), pk=pk)
        form = ReplayForm(request.POST or None)
        if form.is_valid():
            reason, confirm = form.cleaned_data["reason"], form.cleaned_data["confirm"]
            try:
                again = replaying.replay(
                    delivery, by=None, confirm=confirm, reason=reason, **support.actor(request)
                )
            except DeskError as error:
                form.add_error(None, error.message)
            else:
                return redirect("admin:conversations_delivery_change", again.pk)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Send %(name)s again") % {"name": delivery},
            "form": form,
        }
        return TemplateResponse(
            request, "admin/replay_delivery.html", context, status=422 if form.errors else 200
        )
