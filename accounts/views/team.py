"""The team: people and their roles, invitations, teams."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from django.db.models import Exists, OuterRef
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import services
from accounts.auth import MemberRequest, can, member_required
from accounts.errors import AccountsError
from accounts.forms import ROLE_WORDS, InviteForm, RoleForm, TeamForm, grantable
from accounts.models import Invitation, Member, Team
from accounts.pages import done, find, refused, show
from accounts.permissions import RANK, Permission, Role

page = require_http_methods(["GET", "HEAD", "POST"])


def _people(request: MemberRequest) -> dict[str, Any]:
    factors = Authenticator.objects.filter(user=OuterRef("user"))
    people = Member.objects.people().filter(account=request.account).select_related("user")
    people = people.annotate(has_factor=Exists(factors))
    may = can(request, Permission.MEMBERS_WRITE)
    mine = RANK[Role(request.member.role)]
    invitations = Invitation.objects.filter(
        account=request.account, accepted_at__isnull=True, withdrawn_at__isnull=True
    )
    return {
        "people": [
            {
                "member": person,
                "role": ROLE_WORDS[Role(person.role)][0],
                "changeable": may and RANK[Role(person.role)] <= mine,
            }
            for person in people.prefetch_related("teams").order_by("-active", "name")
        ],
        "roles": ROLE_WORDS.values(),
        "grantable": grantable(request.member) if may else [],
        "invitations": [
            {"row": row, "role": ROLE_WORDS[Role(row.role)][0]}
            for row in (invitations.select_related("invited_by").order_by("-pk") if may else ())
        ],
    }


@member_required(Permission.MEMBERS_READ)
@require_safe
def people(request: MemberRequest) -> HttpResponse:
    form = InviteForm(by=request.member) if can(request, Permission.MEMBERS_WRITE) else None
    return show(request, "accounts/team.html", _people(request), form=form)


@member_required(Permission.MEMBERS_WRITE)
@page
def invite(request: MemberRequest) -> HttpResponse:
    """Send an invitation; the team's page comes back when something is wrong."""
    if request.method != "POST":
        return redirect("team")
    form = InviteForm(request.POST, by=request.member)
    if form.is_valid():
        try:
            row, _token = services.invite(request.account, **form.cleaned_data, by=request.member)
        except AccountsError as error:
            form.add_error("email", error.message)
        else:
            return done(request, _("Invitation sent to %(email)s.") % {"email": row.email}, "team")
    return show(request, "accounts/team.html", _people(request), form=form)


@member_required(Permission.MEMBERS_WRITE)
@require_POST
def withdraw(request: MemberRequest, public_id: str) -> HttpResponse:
    row = find(Invitation.objects.filter(account=request.account), "inv", public_id)
    try:
        services.withdraw_invitation(row, by=request.member)
    except AccountsError as error:
        return refused(request, error.message, "team")
    return done(request, _("The invitation is withdrawn; its link works no more."), "team")


def _person(request: MemberRequest, public_id: str) -> Member:
    return find(Member.objects.people().filter(account=request.account), "mem", public_id)


@member_required(Permission.MEMBERS_WRITE, fresh=True)
@require_POST
def change_role(request: MemberRequest, public_id: str) -> HttpResponse:
    person, form = _person(request, public_id), RoleForm(request.POST)
    if not form.is_valid():
        return refused(request, _("There is no such role."), "team")
    try:
        services.change_role(person, form.cleaned_data["role"], by=request.member)
    except AccountsError as error:
        return refused(request, error.message, "team")
    return done(request, _("The role of %(name)s is changed.") % {"name": person.name}, "team")


@member_required(Permission.MEMBERS_WRITE, fresh=True)
@require_POST
def remove_factor(request: MemberRequest, public_id: str) -> HttpResponse:
    person = _person(request, public_id)
    try:
        services.remove_factor(person, by=request.member)
    except AccountsError as error:
        return refused(request, error.message, "team")
    text = _("%(name)s logs in with the password alone now.")
    return done(request, text % {"name": person.name}, "team")


@member_required(Permission.MEMBERS_WRITE)
@require_POST
def deactivate(request: MemberRequest, public_id: str) -> HttpResponse:
    person = _person(request, public_id)
    try:
        services.deactivate_member(person, by=request.member)
    except AccountsError as error:
        return refused(request, error.message, "team")
    text = _("%(name)s is switched off; their conversations wait for everybody.")
    return done(request, text % {"name": person.name}, "team")


@member_required(Permission.MEMBERS_WRITE)
@require_POST
def reactivate(request: MemberRequest, public_id: str) -> HttpResponse:
    person = _person(request, public_id)
    try:
        services.reactivate_member(person, by=request.member)
    except AccountsError as error:
        return refused(request, error.message, "team")
    return done(request, _("%(name)s may come in again.") % {"name": person.name}, "team")


# --- Teams ---------------------------------------------------------------------------------------


@member_required(Permission.CONFIG_READ)
@require_safe
def teams(request: MemberRequest) -> HttpResponse:
    rows = Team.objects.prefetch_related("members").order_by("name")
    return show(request, "accounts/teams.html", {"teams": rows})


@member_required(Permission.CONFIG_WRITE)
@page
def create_team(request: MemberRequest) -> HttpResponse:
    form = TeamForm(request.POST or None, account=request.account)
    if form.is_valid():
        try:
            team = services.create_team(**form.cleaned_data, by=request.member)
        except AccountsError as error:
            form.add_error("name", error.message)
        else:
            return done(request, _("Team %(name)s is there.") % {"name": team.name}, "teams")
    return show(request, "accounts/team_form.html", {}, form=form)


@member_required(Permission.CONFIG_WRITE)
@page
def change_team(request: MemberRequest, public_id: str) -> HttpResponse:
    team = find(Team.objects.all(), "tem", public_id)
    form = TeamForm(request.POST or None, instance=team, account=request.account)
    if form.is_valid():
        try:
            services.update_team(team, **form.cleaned_data, by=request.member)
        except AccountsError as error:
            form.add_error("name", error.message)
        else:
            return done(request, _("Saved."), "teams")
    return show(request, "accounts/team_form.html", {"team": team}, form=form)


@member_required(Permission.CONFIG_WRITE)
@require_POST
def delete_team(request: MemberRequest, public_id: str) -> HttpResponse:
    team = find(Team.objects.all(), "tem", public_id)
    services.delete_team(team, by=request.member)
    text = _("Team %(name)s is deleted; its conversations wait for everybody.")
    return done(request, text % {"name": team.name}, "teams")
