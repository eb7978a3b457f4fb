"""The acts around people: account settings, invitations, roles, teams and tokens.

Each runs in one transaction inside `account_context`, writes the audit log and returns the object it
changed. Whether the actor may do it at all is the permission table's word at the door; what no table
can say (nobody above one's own role, always one owner) is decided here.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.text import slugify
from django.utils.translation import gettext as _

from accounts import factor, promised, tokens
from accounts.audit import audit
from accounts.errors import (
    AlreadyThereError,
    InvitationOverError,
    LastOwnerError,
    NotAllowedError,
)
from accounts.identity import close_streams, has_second_factor
from accounts.models import Account, ApiToken, Invitation, Member, Team, TeamMembership, User
from accounts.permissions import (
    NOT_FOR_INTEGRATIONS,
    RANK,
    TABLE,
    Permission,
    Role,
    allows,
    may_grant,
)
from accounts.signals import account_created, member_left
from accounts.tenancy import account_context

INVITATION_LIFE = timedelta(hours=72)
_ACCOUNT_FIELDS = frozenset(
    {
        "name", "locale", "time_zone", "country", "languages", "support_access", "people_see",
        "factor_required", "on_uncertain", "settings",
    }
)  # fmt: skip


# --- Account -------------------------------------------------------------------------------------


@transaction.atomic
def update_account(account: Account, *, by: Member, **changes: Any) -> Account:
    """Rename or set: `changes` are columns of `Account` that people may change.

    Raises `NotAllowedError` when somebody without a second factor requires one of others.
    """
    unknown = changes.keys() - _ACCOUNT_FIELDS
    if unknown:
        raise TypeError(f"not a setting of an account: {', '.join(sorted(unknown))}")
    if changes.get("factor_required") and by.user and not has_second_factor(by.user):
        raise NotAllowedError(_("Switch on your own second factor first."))
    account = Account.objects.select_for_update().get(pk=account.pk)
    changed = {}
    for name, value in changes.items():
        if getattr(account, name) != value:
            changed[name] = [getattr(account, name), value]
            setattr(account, name, value)
    if changed:
        account.save(update_fields=list(changed))
        audit("account.changed", by=by, target=account, changes=changed)
    return account


@transaction.atomic
def create_account(name: str, *, owner: User, **fields: Any) -> Member:
    """A new account whose owner is `owner`; the rooms above furnish it (`account_created`)."""
    account = Account.objects.create(name=name, slug=_free_slug(name), **fields)
    with account_context(account):
        member = Member.objects.create(
            account=account, user=owner, role=Role.OWNER, name=owner.name or owner.email
        )
        audit("account.created", by=member, target=account)
        account_created.send(sender=Account, account=account, owner=member)
    return member


def _free_slug(name: str) -> str:
    base = slugify(name)[:40] or "account"
    taken = Account.objects.filter(slug=base).exists()
    return f"{base}-{secrets.token_hex(3)}" if taken else base


# --- People --------------------------------------------------------------------------------------


@transaction.atomic
def invite(
    account: Account, *, email: str, role: str, by: Member, name: str = ""
) -> tuple[Invitation, str]:
    """Invite somebody by e-mail; returns the invitation and its clear token, which is in the letter.

    `name` is what they are called until they come. An open invitation to the same address is
    replaced; the number they will go by stays. Raises `NotAllowedError`, `AlreadyThereError`.
    """
    email = email.strip().lower()
    _check_may_grant(by, role)
    if Member.objects.active().filter(account=account, user__email=email).exists():
        raise AlreadyThereError(_("This person is a member already."))
    number = promised.number_for(account, email)
    Invitation.objects.filter(
        account=account, email=email, accepted_at__isnull=True, withdrawn_at__isnull=True
    ).update(withdrawn_at=timezone.now())
    token = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        account=account,
        email=email,
        role=role,
        name=name,
        member_number=number,
        token_sha256=hashlib.sha256(token.encode()).digest(),
        invited_by=by,
        expires_at=timezone.now() + INVITATION_LIFE,
    )
    audit("member.invited", by=by, target=invitation, changes={"role": role})
    transaction.on_commit(lambda: send_invitation(invitation, token))
    return invitation, token


def invitation_link(token: str) -> str:
    """The absolute address of the page where an invitation is accepted."""
    return f"{settings.PUBLIC_URL}{reverse('invitation', args=[token])}"


def send_invitation(invitation: Invitation, token: str) -> None:
    """Write to the invited person."""
    values = {
        "account": invitation.account,
        "inviter": invitation.invited_by,
        "link": invitation_link(token),
    }
    with translation.override(invitation.account.locale):
        subject = _("%(name)s invites you to Switchboard") % {"name": invitation.account.name}
        body = render_to_string("accounts/letters/invitation.txt", values)
    send_mail(" ".join(subject.split()), body, None, [invitation.email])


def find_invitation(token: str) -> Invitation:
    """The open invitation behind a clear token; raises `InvitationOverError`."""
    digest = hashlib.sha256(token.encode(errors="replace")).digest()
    invitation = (
        Invitation.objects.select_related("account", "invited_by")
        .filter(token_sha256=digest)
        .first()
    )
    if invitation is None or not _still_offered(invitation):
        raise InvitationOverError
    return invitation


def _still_offered(invitation: Invitation) -> bool:
    """Open, and from somebody who is still here and may still give this role."""
    inviter = invitation.invited_by
    return invitation.open and inviter.active and may_grant(inviter.role, invitation.role)


@transaction.atomic
def accept_invitation(invitation: Invitation, user: User) -> Member:
    """Make `user` a member, in the account's context. Raises `InvitationOverError`.

    The letter went to one address, so nobody with another one may use its link.
    """
    if user.email != invitation.email:
        raise InvitationOverError(
            _("This invitation is for %(email)s. Log in with that e-mail to accept it.")
            % {"email": invitation.email}
        )
    claimed = Invitation.objects.filter(
        pk=invitation.pk, accepted_at__isnull=True, withdrawn_at__isnull=True
    ).update(accepted_at=timezone.now())
    if not claimed:
        raise InvitationOverError
    # An old letter must not change the role of somebody who came back by another way.
    if Member.objects.active().filter(account=invitation.account, user=user).exists():
        raise InvitationOverError(_("You are a member of this account already."))
    member, _created = Member.objects.update_or_create(
        account=invitation.account,
        user=user,
        defaults={"role": invitation.role, "active": True},
        create_defaults={
            "pk": promised.kept(invitation),
            "role": invitation.role,
            "name": user.name or invitation.name or user.email,
        },
    )
    audit("member.joined", by=member, target=member, changes={"role": member.role})
    return member


def is_known(email: str) -> bool:
    """Whether somebody logs in with this e-mail. Never let a stranger ask (SX-46)."""
    return User.objects.filter(email=email).exists()


@transaction.atomic
def join_as_new(invitation: Invitation, *, name: str, password: str, language: str) -> Member:
    """Somebody without a login joins; having the link proves the e-mail.

    Raises `InvitationOverError`, also for an e-mail that has a login.
    """
    if is_known(invitation.email):
        raise InvitationOverError(_("There is a login for this e-mail. Log in to accept."))
    user = User.objects.create_user(invitation.email, password, name=name, language=language)
    with account_context(invitation.account_id):
        return accept_invitation(invitation, user)


@transaction.atomic
def withdraw_invitation(invitation: Invitation, *, by: Member) -> Invitation:
    """The link is worth nothing from now on."""
    _check_outranks(by, invitation.role)
    if invitation.withdrawn_at is None and invitation.accepted_at is None:
        invitation.withdrawn_at = timezone.now()
        invitation.save(update_fields=["withdrawn_at"])
        audit("member.invitation_withdrawn", by=by, target=invitation)
    return invitation


@transaction.atomic
def change_invitation(
    invitation: Invitation, *, by: Member, name: str | None = None, role: str | None = None
) -> Invitation:
    """What somebody is called and will be when they come; the letter they have stays good.

    What is None stays as it is. Raises `NotAllowedError`, `InvitationOverError`.
    """
    invitation = Invitation.objects.select_for_update().get(pk=invitation.pk)
    _check_outranks(by, invitation.role)
    if not invitation.open:
        raise InvitationOverError
    changes: dict[str, list[str]] = {}
    if role is not None and role != invitation.role:
        _check_may_grant(by, role)
        changes["role"], invitation.role = [invitation.role, role], role
    if name is not None and name != invitation.name:
        changes["name"], invitation.name = [invitation.name, name], name
    if changes:
        invitation.save(update_fields=list(changes))
        audit("member.invitation_changed", by=by, target=invitation, changes=changes)
    return invitation


@transaction.atomic
def change_role(member: Member, role: str, *, by: Member) -> Member:
    """Raises `NotAllowedError` above the actor's own role, `LastOwnerError`."""
    member = _lock_member(member)
    _check_outranks(by, member.role)
    _check_may_grant(by, role)
    if member.is_agent:
        raise NotAllowedError(_("An AI agent has no role to choose."))
    if member.role == role:
        return member
    if member.role == Role.OWNER:
        _check_not_last_owner(member)
    before, member.role = member.role, role
    member.save(update_fields=["role"])
    audit("member.role_changed", by=by, target=member, changes={"role": [before, role]})
    close_streams(member)
    return member


@transaction.atomic
def remove_factor(member: Member, *, by: Member) -> Member:
    """Somebody lost their second factor: the password alone lets them in until they have a new one.

    Nobody does it for oneself (that is `factor.switch_off`), and no account decides over the login
    of somebody who works in another one too, or for the operator. Raises `NotAllowedError`.
    """
    member = _lock_member(member)
    _check_outranks(by, member.role)
    user = member.user
    if user is None or member.pk == by.pk:
        raise NotAllowedError
    elsewhere = Member.objects.active().filter(user=user).exclude(account_id=member.account_id)
    if user.is_staff or elsewhere.exists():
        raise NotAllowedError(
            _("%(name)s works in another account too, so it is not for this one to decide.")
            % {"name": member.name}
        )
    if factor.remove_of(user):
        audit("member.factor_removed", by=by, target=member)
    return member


@transaction.atomic
def rename_member(member: Member, name: str, *, by: Member) -> Member:
    """The name colleagues see in this account."""
    member = _lock_member(member)
    if member.pk != by.pk:
        _check_outranks(by, member.role)
    before, member.name = member.name, name
    member.save(update_fields=["name"])
    audit("member.renamed", by=by, target=member, changes={"name": [before, name]})
    return member


@transaction.atomic
def deactivate_member(member: Member, *, by: Member) -> Member:
    """Take a person out: their sessions and tokens end here, their conversations get free.

    Raises `NotAllowedError`, `LastOwnerError`.
    """
    member = _lock_member(member)
    if member.is_agent:
        raise NotAllowedError(_("Delete the AI agent instead."))
    if member.pk != by.pk:
        _check_outranks(by, member.role)
    if not member.active:
        return member
    if member.role == Role.OWNER:
        _check_not_last_owner(member)
    member.active = False
    member.save(update_fields=["active"])
    TeamMembership.objects.filter(member=member).delete()
    audit("member.removed", by=by, target=member)
    close_streams(member)
    member_left.send(sender=Member, member=member, by=by)
    return member


@transaction.atomic
def reactivate_member(member: Member, *, by: Member) -> Member:
    """A person comes back with the role they had, into no team. Raises `NotAllowedError`."""
    member = _lock_member(member)
    _check_outranks(by, member.role)
    if not member.active:
        member.active = True
        member.save(update_fields=["active"])
        audit("member.reactivated", by=by, target=member)
    return member


# --- Teams ---------------------------------------------------------------------------------------


@transaction.atomic
def create_team(
    *, name: str, by: Member, description: str = "", members: Iterable[Member] = ()
) -> Team:
    """Raises `AlreadyThereError` for a name in use."""
    team = Team(name=name, description=description)
    _save_named(team)
    audit("team.created", by=by, target=team)
    _set_members(team, members)
    return team


@transaction.atomic
def update_team(
    team: Team,
    *,
    by: Member,
    name: str | None = None,
    description: str | None = None,
    members: Iterable[Member] | None = None,
) -> Team:
    """What is None stays as it is. Raises `AlreadyThereError`."""
    if name is not None:
        team.name = name
    if description is not None:
        team.description = description
    _save_named(team)
    if members is not None:
        _set_members(team, members)
    audit("team.changed", by=by, target=team)
    return team


@transaction.atomic
def change_team_members(
    team: Team, *, by: Member, add: Iterable[Member] = (), remove: Iterable[Member] = ()
) -> Team:
    """Some come, some go; who is there already, or was not, is passed over.

    Unlike `update_team` with `members`, two who do so at once do not undo each other's change.
    """
    wanted = {member.pk: member for member in add}
    there = set(team.memberships.filter(member__in=wanted).values_list("member", flat=True))
    added = [member for pk, member in sorted(wanted.items()) if pk not in there]
    TeamMembership.objects.bulk_create(
        [TeamMembership(team=team, member=member) for member in added], ignore_conflicts=True
    )
    going = [member for member in remove if member.pk not in wanted]
    gone = list(team.memberships.filter(member__in=going).select_related("member"))
    team.memberships.filter(pk__in=[one.pk for one in gone]).delete()
    changes = {
        "added": [member.name for member in added],
        "removed": [one.member.name for one in gone],
    }
    if any(changes.values()):
        audit("team.changed", by=by, target=team, changes={k: v for k, v in changes.items() if v})
    return team


@transaction.atomic
def delete_team(team: Team, *, by: Member) -> None:
    """Its conversations stay with their holders, or in the unassigned queue."""
    audit("team.deleted", by=by, target=team)
    team.delete()


def _set_members(team: Team, members: Iterable[Member]) -> None:
    wanted = {member.pk for member in members}
    TeamMembership.objects.filter(team=team).exclude(member_id__in=wanted).delete()
    TeamMembership.objects.bulk_create(
        [TeamMembership(team=team, member_id=pk) for pk in sorted(wanted)], ignore_conflicts=True
    )


def _save_named(team: Team) -> None:
    try:
        with transaction.atomic():
            team.save()
    except IntegrityError as error:
        raise AlreadyThereError(_("There is a team of this name already.")) from error


# --- Tokens --------------------------------------------------------------------------------------


@transaction.atomic
def issue_token(
    *,
    by: Member,
    kind: str,
    name: str,
    scopes: list[str] | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiToken, str]:
    """A personal or integration token of `by`, and its clear text, shown once.

    It can do what its scopes name and `by` may do at the time (SX-22); without scopes, all of that.
    Raises `NotAllowedError`.
    """
    if kind == ApiToken.Kind.AGENT:
        raise NotAllowedError(_("An AI agent gets its token from its own page."))
    if kind == ApiToken.Kind.INTEGRATION and not allows(by.role, Permission.TOKENS_WRITE):
        raise NotAllowedError(_("Your role makes personal tokens only."))
    grantable = _grantable(by, kind)
    if by.role == Role.PERSON and not scopes:
        scopes = sorted(grantable)
    beyond = set(scopes or ()) - grantable
    if beyond:
        raise NotAllowedError(
            _("Such a token of yours cannot have: %(names)s.")
            % {"names": ", ".join(sorted(beyond))}
        )
    token, clear = tokens.create_token(
        by,
        kind=kind,
        name=name,
        created_by=by,
        scopes=scopes,
        expires_at=expires_at or timezone.now() + tokens.DEFAULT_LIFE,
    )
    audit("token.created", by=by, target=token, changes={"scopes": token.scopes})
    return token, clear


def _grantable(by: Member, kind: str) -> set[str]:
    """Scopes that `by` may put into a token; those without a role above `person` only read."""
    barred = NOT_FOR_INTEGRATIONS if kind == ApiToken.Kind.INTEGRATION else frozenset()
    own = {permission.value for permission in TABLE[Role(by.role)] - barred}
    if by.role == Role.PERSON:
        return {scope for scope in own if scope.endswith(":read")}
    return own


@transaction.atomic
def revoke_token(token: ApiToken, *, by: Member) -> ApiToken:
    """Ends at once. Revoking a revoked one changes nothing."""
    if token.revoked_at is None:
        tokens.revoke(token)
        audit("token.revoked", by=by, target=token)
    return token


# --- Inside --------------------------------------------------------------------------------------


def _lock_member(member: Member) -> Member:
    """The row as it is now, locked; owners first, so that two cannot leave at once."""
    list(
        Member.objects.select_for_update()
        .filter(account_id=member.account_id, role=Role.OWNER, active=True)
        .order_by("pk")
        .values_list("pk")
    )
    return Member.objects.select_for_update().get(pk=member.pk)


def _check_not_last_owner(member: Member) -> None:
    others = Member.objects.active().filter(account_id=member.account_id, role=Role.OWNER)
    if not others.exclude(pk=member.pk).exists():
        raise LastOwnerError


def _check_may_grant(by: Member, role: str) -> None:
    if not may_grant(by.role, role):
        raise NotAllowedError(_("You cannot give a role above your own."))


def _check_outranks(by: Member, role: str) -> None:
    if RANK[Role(by.role)] < RANK[Role(role)]:
        raise NotAllowedError(_("You cannot change somebody whose role is above your own."))
