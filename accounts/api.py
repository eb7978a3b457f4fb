"""REST: the account and its people (`/v1/account/`, members, invitations, teams, tokens, me)."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.errors import NotAllowedError
from accounts.models import Account, ApiToken, Invitation, Member, Team
from accounts.permissions import Permission
from accounts.rest.filters import RefFilter
from accounts.rest.views import AccountViewSet
from accounts.serializers import (
    AccountChangeSerializer,
    AccountSerializer,
    CreatedTokenSerializer,
    InvitationSerializer,
    MemberChangeSerializer,
    MemberSerializer,
    MeSerializer,
    NewInvitationSerializer,
    NewTokenSerializer,
    TeamChangeSerializer,
    TeamMembersSerializer,
    TeamSerializer,
    TokenSerializer,
)
from accounts.tokens import DEFAULT_LIFE

P = Permission


class MeViewSet(AccountViewSet):
    """Who is asking, and what they may do."""

    model = Member
    serializer_class = MeSerializer
    permissions_by_action: ClassVar[dict[str, Permission]] = {"show": P.ACCOUNT_READ}

    def show(self, request: Request) -> Response:
        member = self.member
        return self.answer(
            {
                "account": self.account,
                "member": member,
                "permissions": [each.value for each in Permission if self.may(each)],
                "token": request.auth if isinstance(request.auth, ApiToken) else None,
            }
        )


class AccountView(AccountViewSet):
    """The account this caller works in."""

    model = Account
    serializer_class = AccountSerializer
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "show": P.ACCOUNT_READ,
        "change": P.ACCOUNT_WRITE,
    }

    def show(self, request: Request) -> Response:
        return self.answer(self.account)

    @extend_schema(request=AccountChangeSerializer, responses=AccountSerializer)
    def change(self, request: Request) -> Response:
        changes = self.shape(AccountChangeSerializer, partial=True)
        return self.answer(services.update_account(self.account, by=self.member, **changes))


class MemberFilter(filters.FilterSet):  # type: ignore[misc]  # untyped
    kind = filters.ChoiceFilter(choices=Member.Kind.choices)
    active = filters.BooleanFilter()
    team = RefFilter(Team, field_name="teams")


class MemberViewSet(ListModelMixin, RetrieveModelMixin, AccountViewSet):
    """People and AI agents of the account."""

    model = Member
    serializer_class = MemberSerializer
    filterset_class = MemberFilter
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.MEMBERS_READ,
        "retrieve": P.MEMBERS_READ,
        "create": P.MEMBERS_WRITE,
        "partial_update": P.MEMBERS_WRITE,
        "destroy": P.MEMBERS_WRITE,
        "remove_factor": P.MEMBERS_WRITE,
    }
    fresh_actions = frozenset({"remove_factor"})

    def rows(self) -> QuerySet[Member]:
        return Member.objects.filter(account=self.account).select_related("user")

    @extend_schema(request=NewInvitationSerializer, responses={201: InvitationSerializer})
    def create(self, request: Request) -> Response:
        """Invite somebody: members come by invitation only."""
        return invite(self)

    @extend_schema(request=MemberChangeSerializer, responses=MemberSerializer)
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002 - the address's name
        """Rename, or give another role."""
        member = self.get_object()
        changes = self.shape(MemberChangeSerializer, partial=True)
        if "role" in changes:
            self.require_fresh()
            services.change_role(member, changes["role"], by=self.member)
        if "name" in changes:
            services.rename_member(member, changes["name"], by=self.member)
        return self.answer(self.get_object())

    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        """Deactivate: sessions and tokens end here, conversations get free."""
        services.deactivate_member(self.get_object(), by=self.member)
        return Response(status=204)

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def remove_factor(self, request: Request, id: str) -> Response:  # noqa: A002
        """For somebody who lost their second factor, and works in no other account."""
        services.remove_factor(self.get_object(), by=self.member)
        return Response(status=204)


class InvitationViewSet(ListModelMixin, RetrieveModelMixin, AccountViewSet):
    """Offers to join the account."""

    model = Invitation
    serializer_class = InvitationSerializer
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.MEMBERS_WRITE,
        "retrieve": P.MEMBERS_WRITE,
        "create": P.MEMBERS_WRITE,
        "destroy": P.MEMBERS_WRITE,
    }

    def rows(self) -> QuerySet[Invitation]:
        return Invitation.objects.filter(account=self.account)

    @extend_schema(request=NewInvitationSerializer, responses={201: InvitationSerializer})
    def create(self, request: Request) -> Response:
        return invite(self)

    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        """Withdraw it."""
        services.withdraw_invitation(self.get_object(), by=self.member)
        return Response(status=204)


def invite(view: AccountViewSet) -> Response:
    """The letter goes out after the commit; the link stands nowhere else."""
    wanted = view.shape(NewInvitationSerializer)
    invitation, _token = services.invite(view.account, by=view.member, **wanted)
    return Response(InvitationSerializer(invitation).data, status=201)


class TeamViewSet(ListModelMixin, RetrieveModelMixin, AccountViewSet):
    """Named groups that conversations can be given to."""

    model = Team
    serializer_class = TeamSerializer
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.CONFIG_READ,
        "retrieve": P.CONFIG_READ,
        "create": P.CONFIG_WRITE,
        "partial_update": P.CONFIG_WRITE,
        "destroy": P.CONFIG_WRITE,
        "change_members": P.CONFIG_WRITE,
        "add_member": P.CONFIG_WRITE,
        "remove_member": P.CONFIG_WRITE,
    }

    def rows(self) -> QuerySet[Team]:
        return Team.objects.prefetch_related(
            Prefetch("members", Member.objects.only("pk").order_by("pk"))
        )

    @extend_schema(request=TeamChangeSerializer, responses={201: TeamSerializer})
    def create(self, request: Request) -> Response:
        team = services.create_team(by=self.member, **self.shape(TeamChangeSerializer))
        return self.answer(team, status=201)

    @extend_schema(request=TeamChangeSerializer, responses=TeamSerializer)
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002
        changes = self.shape(TeamChangeSerializer, partial=True)
        services.update_team(self.get_object(), by=self.member, **changes)
        return self.answer(self.get_object())

    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        services.delete_team(self.get_object(), by=self.member)
        return Response(status=204)

    @extend_schema(request=TeamMembersSerializer, responses=TeamSerializer)
    @action(detail=True, methods=["post"], url_path="members")
    def change_members(self, request: Request, id: str) -> Response:  # noqa: A002
        """Add and remove several, or `set` who is in it."""
        team, given = self.get_object(), self.shape(TeamMembersSerializer)
        if "set" in given:
            services.update_team(team, by=self.member, members=given["set"])
        else:
            services.change_team_members(
                team, by=self.member, add=given["add"], remove=given["remove"]
            )
        return self.answer(self.get_object())

    @extend_schema(request=None, responses=TeamSerializer)
    @action(detail=True, methods=["put"], url_path=r"members/(?P<member_id>[A-Za-z0-9_]{1,80})")
    def add_member(self, request: Request, id: str, member_id: str) -> Response:  # noqa: A002
        team, member = self.get_object(), self._person(member_id)
        services.change_team_members(team, by=self.member, add=[member])
        return self.answer(self.get_object())

    @extend_schema(request=None, responses=TeamSerializer)
    @add_member.mapping.delete
    def remove_member(self, request: Request, id: str, member_id: str) -> Response:  # noqa: A002
        team, member = self.get_object(), self._person(member_id)
        services.change_team_members(team, by=self.member, remove=[member])
        return self.answer(self.get_object())

    def _person(self, member_id: str) -> Member:
        people = Member.objects.people().active().filter(account=self.account)
        member: Member = self.find(people, member_id)
        return member


class TokenViewSet(ListModelMixin, RetrieveModelMixin, AccountViewSet):
    """API tokens: one's own, or with `tokens:write` everybody's."""

    model = ApiToken
    serializer_class = TokenSerializer
    fresh_actions = frozenset({"create"})
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.TOKENS_OWN,
        "retrieve": P.TOKENS_OWN,
        "create": P.TOKENS_OWN,
        "destroy": P.TOKENS_OWN,
    }

    def rows(self) -> QuerySet[ApiToken]:
        tokens = ApiToken.objects.filter(account=self.account)
        return tokens if self.may(P.TOKENS_WRITE) else tokens.filter(member=self.member)

    @extend_schema(request=NewTokenSerializer, responses={201: CreatedTokenSerializer})
    def create(self, request: Request) -> Response:
        """The answer holds the clear token, this once."""
        wanted = self.shape(NewTokenSerializer)
        token, clear = services.issue_token(
            by=self.member,
            kind=wanted["kind"],
            name=wanted["name"],
            scopes=within(request.auth, wanted.get("scopes")),
            expires_at=not_beyond(request.auth, wanted.get("expires_at")),
        )
        token.token = clear  # type: ignore[attr-defined]  # for this one answer
        return Response(CreatedTokenSerializer(token).data, status=201)

    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        services.revoke_token(self.get_object(), by=self.member)
        return Response(status=204)


def not_beyond(auth: object, expires_at: datetime | None) -> datetime | None:
    """A token cannot make one that outlives it."""
    ends = auth.expires_at if isinstance(auth, ApiToken) else None
    if ends is None:
        return expires_at
    return min(ends, expires_at or timezone.now() + DEFAULT_LIFE)


def within(auth: object, scopes: list[str] | None) -> list[str] | None:
    """A token cannot make one that can do more than itself."""
    mine = auth.scopes if isinstance(auth, ApiToken) else []
    if not mine:
        return scopes
    if set(scopes or mine) - set(mine):
        raise NotAllowedError
    return scopes or mine
