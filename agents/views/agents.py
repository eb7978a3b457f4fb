"""Agents: the list with their health, making and changing them, pausing and deleting."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.auth import MemberRequest, can, member_required
from accounts.pages import done, find, refused, show
from accounts.permissions import Permission
from agents import addresses, checklist, dialects, health, replaying, rules, services, system
from agents.forms import AgentForm, NewAgentForm, TakeInForm
from agents.models import Agent, AssignmentRule
from agents.services import AgentError
from agents.views.deliveries import rows
from agents.views.replays import offering_missed, offers_missed
from conversations.models import Delivery, in_sight

page = require_http_methods(["GET", "HEAD", "POST"])
RECENT = 8


def living() -> QuerySet[Agent]:
    return Agent.objects.exclude(state=Agent.State.DELETED).select_related(
        "member", "endpoint", "fallback_team"
    )


def find_agent(public_id: str) -> Agent:
    """A living agent of the account in context, or 404."""
    return find(living(), "agn", public_id)


def moved(text: str, number: int) -> str:
    """The act, and how many conversations it moved."""
    if not number:
        return text
    tail = ngettext(
        "%(n)d conversation moved.", "%(n)d conversations moved.", number
    ) % {"n": number}  # fmt: skip
    return f"{text} {tail}"


@member_required(Permission.AGENTS_READ)
@require_safe
def agents(request: MemberRequest) -> HttpResponse:
    living_ones = list(living().order_by("member__name"))
    found = health.of_all(living_ones, request.account)
    listed = [{"agent": agent, "health": found[agent.pk]} for agent in living_ones]
    offered = system.offered() if can(request, Permission.AGENTS_WRITE) else []
    return show(request, "agents/agents.html", {"rows": listed, "offered": offered})


judges_address = addresses.judged(
    Permission.AGENTS_WRITE, lambda public_id: find_agent(public_id).endpoint.shown_url
)


@judges_address
@member_required(Permission.AGENTS_WRITE, fresh=True)
@page
def create(request: MemberRequest, *, objection: str) -> HttpResponse:
    """A new agent; its token and secret are in this answer and nowhere else."""
    form = NewAgentForm(
        request.POST or None, has_rules=AssignmentRule.objects.exists(), objection=objection
    )
    if form.is_valid():
        data = dict(form.cleaned_data)
        first = data.pop("first", False)
        try:
            made = services.create_agent(request.account, **data, by=request.member)
        except AgentError as error:
            form.add_error(error.field if error.field in form.fields else None, error.message)
        else:
            if first:
                rules.create_default_rules(request.account, made.agent, by=request.member)
            return _shown_once(request, made.agent, token=made.token, secret=made.secret)
    return show(request, "agents/agent_form.html", {}, form=form)


@member_required(Permission.AGENTS_WRITE, fresh=True)
@page
def take_in(request: MemberRequest, public_id: str) -> HttpResponse:
    """An agent of the installation begins to work here, as one of the account's own."""
    definition = find(system.living(), "sys", public_id)
    if (present := system.present(definition.pk)) is not None:
        return redirect("agent", present.public_id)
    form = TakeInForm(request.POST or None, has_rules=AssignmentRule.objects.exists())
    if form.is_valid():
        data = dict(form.cleaned_data)
        first = data.pop("first", False)
        try:
            made = system.take_in(definition, by=request.member, **data)
        except AgentError as error:
            form.add_error(error.field if error.field in form.fields else None, error.message)
        else:
            if first:
                rules.create_default_rules(request.account, made, by=request.member)
            text = _("%(name)s works here now.") % {"name": made.name}
            return done(request, text, "agent", made.public_id)
    context = {"definition": definition, "not_yours": services.NOT_YOURS}
    return show(request, "agents/agent_form.html", context, form=form)


def _shown_once(
    request: MemberRequest, agent: Agent, *, token: str = "", secret: str = ""
) -> HttpResponse:
    context = {"agent": agent, "token": token, "secret": secret}
    return render(request, "agents/shown_once.html", context)


@member_required(Permission.AGENTS_READ)
@require_safe
def agent(request: MemberRequest, public_id: str) -> HttpResponse:
    found = find_agent(public_id)
    theirs = Delivery.objects.filter(endpoint=found.endpoint)
    deliveries = rows(in_sight(theirs, request.member, or_none=True))
    context = {
        "agent": found,
        "health": health.of_all([found], request.account)[found.pk],
        "checks": checklist.of_agent(found, request.account),
        "dialect": next(
            (d.name for d in dialects.all_dialects() if d.slug == found.dialect), found.dialect
        ),
        "token": found.member.tokens.filter(revoked_at__isnull=True).order_by("-pk").first(),
        "secrets": list(found.endpoint.secrets.all()),
        "deliveries": list(deliveries.order_by("-pk")[:RECENT]),
        "job": replaying.running(found.endpoint),
        "missed": offers_missed(request, found.endpoint),
    }
    return show(request, "agents/agent.html", context | {"not_yours": services.NOT_YOURS})


@judges_address
@member_required(Permission.AGENTS_WRITE, fresh=True)
@page
def change(request: MemberRequest, public_id: str, *, objection: str) -> HttpResponse:
    found = find_agent(public_id)
    form = AgentForm(request.POST or None, agent=found, objection=objection)
    if form.is_valid():
        try:
            services.change_agent(found, by=request.member, **form.cleaned_data)
        except AgentError as error:
            form.add_error(error.field if error.field in form.fields else None, error.message)
        else:
            return done(request, _("Saved."), "agent", public_id)
    context = {"agent": found, "not_yours": services.NOT_YOURS}
    return show(request, "agents/agent_form.html", context, form=form)


@member_required(Permission.AGENTS_WRITE, fresh=True)
@require_POST
def rotate_secret(request: MemberRequest, public_id: str) -> HttpResponse:
    found = find_agent(public_id)
    try:
        secret = services.rotate_secret(found, by=request.member)
    except AgentError as error:
        return refused(request, error.message, "agent", public_id)
    return _shown_once(request, found, secret=secret)


@member_required(Permission.AGENTS_WRITE, fresh=True)
@require_POST
def rotate_token(request: MemberRequest, public_id: str) -> HttpResponse:
    found = find_agent(public_id)
    try:
        token = services.rotate_token(found, by=request.member)
    except AgentError as error:
        return refused(request, error.message, "agent", public_id)
    return _shown_once(request, found, token=token)


@member_required(Permission.AGENTS_WRITE)
@require_POST
def enable(request: MemberRequest, public_id: str) -> HttpResponse:
    """Its endpoint was switched off by its own answers; try it again."""
    services.enable_endpoint(find_agent(public_id), by=request.member)
    return offering_missed(done(request, _("The address is called again."), "agent", public_id))


# --- Pausing and deleting ------------------------------------------------------------------------


def _undo(request: MemberRequest, name: str, *args: str) -> str:
    """Who may only pause is offered no way back (security.md 2: supervisors disable only)."""
    return reverse(name, args=args) if can(request, Permission.AGENTS_WRITE) else ""


@member_required(Permission.AGENTS_PAUSE)
@require_POST
def pause(request: MemberRequest, public_id: str) -> HttpResponse:
    found = find_agent(public_id)
    number = services.pause_agent(found, by=request.member)
    text = moved(_("%(name)s is paused.") % {"name": found.name}, number)
    return done(request, text, "agents", undo=_undo(request, "resume_agent", public_id))


@member_required(Permission.AGENTS_WRITE)
@require_POST
def resume(request: MemberRequest, public_id: str) -> HttpResponse:
    found = find_agent(public_id)
    number = services.resume_agent(found, by=request.member)
    return done(request, moved(_("%(name)s works again.") % {"name": found.name}, number), "agents")


@member_required(Permission.AGENTS_WRITE, fresh=True)
@require_POST
def delete(request: MemberRequest, public_id: str) -> HttpResponse:
    found = find_agent(public_id)
    number = services.delete_agent(found, by=request.member)
    text = moved(_("%(name)s is deleted.") % {"name": found.name}, number)
    return done(request, text, "agents", undo=reverse("restore_agent", args=[public_id]))


@member_required(Permission.AGENTS_WRITE)
@require_POST
def restore(request: MemberRequest, public_id: str) -> HttpResponse:
    """Take a deletion back."""
    found = find(Agent.objects.select_related("member", "endpoint"), "agn", public_id)
    try:
        number = services.undo_delete(found, by=request.member)
    except AgentError as error:
        return refused(request, error.message, "agents")
    return done(request, moved(_("%(name)s is back.") % {"name": found.name}, number), "agents")


@member_required(Permission.AGENTS_PAUSE)
@require_POST
def pause_all(request: MemberRequest) -> HttpResponse:
    number = services.pause_everywhere(request.account, by=request.member)
    text = moved(_("Every AI agent is paused."), number)
    return done(request, text, "agents", undo=_undo(request, "resume_all_agents"))


@member_required(Permission.AGENTS_WRITE)
@require_POST
def resume_all(request: MemberRequest) -> HttpResponse:
    number = services.resume_everywhere(request.account, by=request.member)
    return done(request, moved(_("AI agents work again."), number), "agents")
