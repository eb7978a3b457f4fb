"""Rules: the list in its order, the form, and what a rule did lately."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.auth import MemberRequest, member_required
from accounts.models import Member
from accounts.pages import done, find, refused, show
from accounts.permissions import Permission
from agents import editor
from agents import rules as services
from agents.conditions import LIST_OPS, LONE_OPS
from agents.editor import ActionRow, Node
from agents.models import AssignmentRule, Decision, RuleVersion
from agents.rules import RuleError
from conversations.models import in_sight

page = require_http_methods(["GET", "HEAD", "POST"])
# Decisions that are looked through for what a rule did; a rule that slept longer says so.
LOOKED_THROUGH = 500
SHOWN = 15


@dataclass(slots=True)
class Draft:
    """A rule as the form holds it."""

    name: str
    event: str
    stop: bool
    enabled: bool
    root: Node
    actions: list[ActionRow]

    @classmethod
    def of(cls, rule: AssignmentRule | None) -> Draft:
        if rule is None:
            return cls("", "message.created", True, True, Node("all"), [ActionRow()])
        return cls(
            rule.name,
            rule.event,
            rule.stop,
            rule.enabled,
            editor.node_of(rule.condition),
            editor.rows_of(rule.actions),
        )

    @classmethod
    def posted(cls, request: MemberRequest) -> Draft:
        data = request.POST
        return cls(
            data.get("name", ""),
            data.get("event", ""),
            data.get("stop") == "1",
            data.get("enabled") == "1",
            editor.read_node(data),
            editor.read_actions(data),
        )

    def values(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "event": self.event,
            "stop": self.stop,
            "enabled": self.enabled,
            "condition": editor.tree_of(self.root),
            "actions": editor.actions_of(self.actions),
        }


@member_required(Permission.RULES_READ)
@require_safe
def rules(request: MemberRequest) -> HttpResponse:
    names = services.names_of_targets()
    rows = [
        {
            "rule": rule,
            "sentence": services.describe_rule(rule, names),
            "event": services.EVENTS.get(rule.event, rule.event),
        }
        for rule in AssignmentRule.objects.all()
    ]
    return show(request, "agents/rules.html", {"rows": rows})


def _rule(public_id: str) -> AssignmentRule:
    return find(AssignmentRule.objects.all(), "rul", public_id)


@member_required(Permission.RULES_READ)
@require_safe
def rule(request: MemberRequest, public_id: str) -> HttpResponse:
    """What it says, what it did lately, and what it said before."""
    found = _rule(public_id)
    names = services.names_of_targets()
    lately, looked = lately_of(found, request.member)
    versions = RuleVersion.objects.filter(rule=found).select_related("changed_by")
    context = {
        "rule": found,
        "sentence": services.describe_rule(found, names),
        "event": services.EVENTS.get(found.event, found.event),
        "decisions": lately,
        "looked": looked,
        "versions": [
            {"row": row, "sentence": said_then(row, names)}
            for row in versions.order_by("-version")[:20]
        ],
    }
    return show(request, "agents/rule.html", context)


def lately_of(rule: AssignmentRule, viewer: Member) -> tuple[list[Decision], int]:
    """The latest decisions in which the rule matched, and how many were looked through."""
    decisions = in_sight(Decision.objects.select_related("conversation__contact"), viewer)
    latest = list(decisions.order_by("-id")[:LOOKED_THROUGH])
    matched = [
        decision
        for decision in latest
        if any(
            step.get("rule") == rule.public_id and step.get("matched") for step in decision.trace
        )
    ]
    return matched[:SHOWN], len(latest)


def said_then(version: RuleVersion, names: dict[str, str]) -> str:
    """The sentence of an old version."""
    kept = version.snapshot
    return services.describe_rule(
        AssignmentRule(condition=kept["condition"], actions=kept["actions"]), names
    )


@member_required(Permission.RULES_WRITE)
@page
def create(request: MemberRequest) -> HttpResponse:
    return _edit(request, None)


@member_required(Permission.RULES_WRITE)
@page
def change(request: MemberRequest, public_id: str) -> HttpResponse:
    return _edit(request, _rule(public_id))


def _edit(request: MemberRequest, rule: AssignmentRule | None) -> HttpResponse:
    """The form; its buttons add and take away rows, and one of them saves."""
    if request.method != "POST":
        return _form(request, rule, Draft.of(rule))
    draft, command = Draft.posted(request), request.POST.get("do", "save")
    if command != "save":
        editor.apply(command, draft.root, draft.actions)
        return _form(request, rule, draft)
    try:
        if rule is None:
            rule = services.create_rule(**draft.values(), by=request.member)
        else:
            rule = services.update_rule(rule, **draft.values(), by=request.member)
    except RuleError as error:
        placed = editor.blame(error.path, error.message, draft.root, draft.actions)
        wrong = {} if placed else {error.path: error.message}
        return _form(request, rule, draft, wrong=wrong, status=422)
    return done(request, _("Saved."), "rule", rule.public_id)


def _form(
    request: MemberRequest,
    rule: AssignmentRule | None,
    draft: Draft,
    *,
    wrong: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    """The whole page, or only the editor when htmx asked for it."""
    context = {
        "rule": rule,
        "draft": draft,
        "wrong": wrong or {},
        "catalogue": services.catalogue(),
        "list_ops": [str(op) for op in LIST_OPS],
        "lone_ops": [str(op) for op in LONE_OPS],
    }
    partial = request.htmx and request.htmx.target == "editor"  # type: ignore[attr-defined]
    name = "agents/_editor.html" if partial else "agents/rule_form.html"
    return render(request, name, context, status=status)


@member_required(Permission.RULES_WRITE)
@require_POST
def move(request: MemberRequest, public_id: str) -> HttpResponse:
    """One place up or down."""
    found = _rule(public_id)
    order = [row.public_id for row in AssignmentRule.objects.all()]
    here = order.index(found.public_id)
    there = here + (-1 if request.POST.get("to") == "up" else 1)
    if 0 <= there < len(order):
        order[here], order[there] = order[there], order[here]
        services.order_rules(order, by=request.member)
    return redirect("rules")


@member_required(Permission.RULES_WRITE)
@require_POST
def switch(request: MemberRequest, public_id: str) -> HttpResponse:
    on = request.POST.get("on") == "1"
    try:
        found = services.update_rule(_rule(public_id), enabled=on, by=request.member)
    except RuleError as error:
        return refused(request, error.message, "rule", public_id)
    text = _("“%(name)s” is on.") if on else _("“%(name)s” is off.")
    return done(request, text % {"name": found.name}, "rules")


@member_required(Permission.RULES_WRITE)
@require_POST
def delete(request: MemberRequest, public_id: str) -> HttpResponse:
    found = _rule(public_id)
    services.delete_rule(found, by=request.member)
    return done(request, _("“%(name)s” is deleted.") % {"name": found.name}, "rules")
