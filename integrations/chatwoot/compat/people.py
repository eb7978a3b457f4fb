"""People and teams: whom a conversation can be given to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.models import Member, Team
from accounts.permissions import Permission
from conversations.models import Inbox
from integrations.chatwoot import reading
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P, nothing
from integrations.chatwoot.errors import invalid, missing
from integrations.chatwoot.shapes.parts import Json
from integrations.chatwoot.shapes.people import agent_json, team_json


class PeopleView(CompatView):
    def people(self) -> QuerySet[Member]:
        return self.with_former().filter(active=True)

    def with_former(self) -> QuerySet[Member]:
        """Also those who have left: what they did stays."""
        rows = Member.objects.people().filter(account=self.account)
        return rows.select_related("user").order_by("name", "pk")

    def shown(self, members: Iterable[Member]) -> list[Json]:
        return [agent_json(member) for member in members]

    def named(self, among: QuerySet[Member] | None = None) -> list[Member]:
        """Those of `user_ids`, who are with us unless others are `among` them too. Raises `NotFound`, 422."""
        if "user_ids" not in self.params:
            raise missing("user_ids")
        rows = self.people() if among is None else among
        return [self.find(rows, pk=pk) for pk in params.numbers(self.params, "user_ids")]


class InboxMembers(PeopleView):
    """`/inbox_members/{inbox_id}`: every inbox is everybody's here."""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"get": P.MEMBERS_READ}

    def get(self, request: Request, inbox_id: str) -> Response:
        self.find(Inbox.objects.present().only("pk"), pk=int(inbox_id))
        return Response({"payload": self.shown(self.people())})


class AssignableAgents(PeopleView):
    """`/assignable_agents?inbox_ids[]=`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"get": P.MEMBERS_READ}

    def get(self, request: Request) -> Response:
        for pk in params.numbers(self.params, "inbox_ids"):
            self.find(Inbox.objects.present().only("pk"), pk=pk)
        return Response({"payload": self.shown(self.people())})


# --- Teams ---------------------------------------------------------------------------------------


class TeamView(PeopleView):
    def team(self, pk: str) -> Team:
        team: Team = self.find(Team.objects.all(), pk=int(pk))
        return team

    def show(self, team: Team) -> Response:
        return Response(team_json(team, reading.teams_of(self.member)))

    def field(self, name: str) -> str | None:
        """A parameter, bare or inside `team`; None where it is not given."""
        given = params.inside(self.params, "team")
        return params.text(given, name).strip() if name in given else None


class Teams(TeamView):
    """`/teams`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONFIG_READ,
        "post": P.CONFIG_WRITE,
    }
    bot_permissions: ClassVar[dict[str, Permission]] = {"get": P.CONVERSATIONS_ASSIGN}

    def get(self, request: Request) -> Response:
        mine = reading.teams_of(self.member)
        return Response([team_json(team, mine) for team in Team.objects.order_by("name")])

    def post(self, request: Request) -> Response:
        name = checked_name(self.field("name"))
        description = self.field("description") or ""
        return self.show(services.create_team(name=name, description=description, by=self.member))


class OneTeam(TeamView):
    """`/teams/{id}`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONFIG_READ,
        "patch": P.CONFIG_WRITE,
        "put": P.CONFIG_WRITE,
        "delete": P.CONFIG_WRITE,
    }

    def get(self, request: Request, team_id: str) -> Response:
        return self.show(self.team(team_id))

    def patch(self, request: Request, team_id: str) -> Response:
        name, team = self.field("name"), self.team(team_id)
        services.update_team(
            team,
            by=self.member,
            name=checked_name(name) if name is not None else None,
            description=self.field("description"),
        )
        return self.show(team)

    put = patch

    def delete(self, request: Request, team_id: str) -> Response:
        services.delete_team(self.team(team_id), by=self.member)
        return nothing()


class TeamMembers(TeamView):
    """`/teams/{id}/team_members`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONFIG_READ,
        "post": P.CONFIG_WRITE,
        "patch": P.CONFIG_WRITE,
        "delete": P.CONFIG_WRITE,
    }

    def get(self, request: Request, team_id: str) -> Response:
        return Response(self.shown(self._of(self.team(team_id))))

    def post(self, request: Request, team_id: str) -> Response:
        """They too."""
        team, named = self.team(team_id), self.named()
        services.change_team_members(team, by=self.member, add=named)
        return Response(self.shown(named))

    def patch(self, request: Request, team_id: str) -> Response:
        """They and nobody else."""
        team, named = self.team(team_id), self.named()
        services.update_team(team, by=self.member, members=named)
        return Response(self.shown(named))

    def delete(self, request: Request, team_id: str) -> Response:
        """Without them."""
        team, named = self.team(team_id), self.named()
        services.change_team_members(team, by=self.member, remove=named)
        return nothing()

    def _of(self, team: Team) -> QuerySet[Member]:
        return self.people().filter(teams=team)


def checked_name(name: str | None) -> str:
    """Raises 422."""
    if not name or len(name) > 120:
        raise invalid("name", "Name can't be blank" if not name else "Name is too long")
    return name
