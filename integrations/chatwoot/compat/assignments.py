"""`…/assignments`: to a person, to a bot, to a team, or to nobody.

Who holds a conversation is one state here. A bot's assignment to people is a hand-off; it gives
nothing to itself, and to other bots only where the account allows that (SX-23).
"""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Member, Team
from accounts.permissions import Permission
from accounts.rest.answers import Null
from agents.models import Agent
from conversations import services
from conversations.models import Conversation
from conversations.services.locking import lock
from integrations.chatwoot import bots
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P
from integrations.chatwoot.shapes.parts import Json
from integrations.chatwoot.shapes.people import agent_json, raw_team, slim_bot

BOT, PERSON = "AgentBot", "User"


class Assignments(CompatView):
    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONVERSATIONS_ASSIGN}
    bot_permissions = permissions_by_action

    def post(self, request: Request, number: str) -> Response:
        """`assignee_id` wins over `team_id`; what is not known means nobody."""
        conversation = self.conversation(number)
        kind = params.choice(self.params, "assignee_type", (BOT, PERSON), PERSON)
        if kind == BOT:
            return _answer(self._to_bot(conversation))
        conversation = lock(conversation)
        if "assignee_id" in self.params:
            person = to_person(
                conversation, self.params["assignee_id"], by=self.member, may_assign=self.may_assign
            )
            return _answer(agent_json(person) if person else None)
        if "team_id" in self.params:
            team = to_team(
                conversation, self.params["team_id"], by=self.member, may_assign=self.may_assign
            )
            return _answer(raw_team(team) if team else None)
        return Null()

    def _to_bot(self, conversation: Conversation) -> Json | None:
        number = params.as_number(self.params.get("assignee_id"))
        agent = self._bot(number) if number else None
        if agent is None:
            return None
        conversation = lock(conversation)  # after the agent, as whoever moves what an agent has
        if conversation.assignee_id != agent.member_id:
            self._check_may_give_to(agent)
        services.assign(conversation, to=agent.member, by=self.member)
        shown = slim_bot(agent)
        if self.member.is_agent and agent.member_id != self.member.pk:
            shown.pop("outgoing_url", None)  # where others are reached is nothing for a bot
        return shown

    def _bot(self, number: int) -> Agent | None:
        """Whoever may make AI agents may take a system bot into the account's service."""
        if self.may(P.AGENTS_WRITE):
            return bots.taken_in(number, by=self.member)
        return bots.numbered(number)

    def _check_may_give_to(self, agent: Agent) -> None:
        if not self.member.is_agent:
            return
        to_itself = agent.member_id == self.member.pk
        if to_itself or not self.account.settings.get("agents_may_assign_agents"):
            raise PermissionDenied


def to_person(
    conversation: Conversation, wanted: Any, *, by: Member, may_assign: bool
) -> Member | None:
    """Give it to the person with this id; an unknown one means nobody, as theirs."""
    pk = params.as_number(wanted)
    rows = Member.objects.people().active().filter(account=by.account).select_related("user")
    person = rows.filter(pk=pk).first() if pk else None
    give(conversation, person, by=by, may_assign=may_assign)
    return person


def to_team(
    conversation: Conversation, wanted: Any, *, by: Member, may_assign: bool
) -> Team | None:
    """Give it to the team with this id; an unknown one takes it from the team that waits with it."""
    pk = params.as_number(wanted)
    team = Team.objects.filter(pk=pk).first() if pk else None
    if team is not None:
        give(conversation, team, by=by, may_assign=may_assign)
    elif conversation.assignee_id is None and conversation.team_id is not None:
        _check(may_assign)
        services.unassign(conversation, by=by)
    return team


def give(
    conversation: Conversation, to: Member | Team | None, *, by: Member, may_assign: bool
) -> Conversation:
    """What a bot gives to people is a hand-off, with a summary for whoever takes over.

    Raises `PermissionDenied` where the caller may not assign, and the desk's errors.
    """
    _check(may_assign)
    if by.is_agent:
        return services.hand_off(conversation, to=to, by=by)
    return services.assign(conversation, to=to, by=by)


def _check(may_assign: bool) -> None:
    if not may_assign:
        raise PermissionDenied


def _answer(shown: Json | None) -> Response:
    return Null() if shown is None else Response(shown)
