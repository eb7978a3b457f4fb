"""People, who are agents in their words: invited, changed and removed.

Members come by invitation only, so who is made here is invited. The invitation says which number they
will have, and by this number they go from the first answer on, as somebody who is not confirmed yet.
"""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.errors import AlreadyThereError
from accounts.models import Invitation, Member
from accounts.permissions import Permission, Role
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import P, nothing
from integrations.chatwoot.compat.people import PeopleView
from integrations.chatwoot.errors import ChatwootError, invalid
from integrations.chatwoot.shapes.people import agent_json, invited_json, role_word

ROLES = {"agent": Role.PERSON, "administrator": Role.ADMIN}
AVAILABILITIES = ("online", "busy", "offline")


class AgentsView(PeopleView):
    def invited(self) -> QuerySet[Invitation]:
        """Who is expected; it is for those to know who may invite."""
        return Invitation.objects.awaited().filter(account=self.account).order_by("name", "email")

    def given(self) -> params.Params:
        """What the request says, bare or inside `agent`. Raises 422 for what their columns cannot hold."""
        given = params.inside(self.params, "agent")
        # Nobody is asked here whether they are there, so a good word changes nothing.
        params.choice(given, "availability", AVAILABILITIES)
        return given


class Agents(AgentsView):
    """`/agents`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.MEMBERS_READ,
        "post": P.MEMBERS_WRITE,
    }
    bot_permissions: ClassVar[dict[str, Permission]] = {"get": P.CONVERSATIONS_ASSIGN}

    def get(self, request: Request) -> Response:
        shown = self.shown(self.people())
        if self.may(P.MEMBERS_WRITE):
            shown += [invited_json(one) for one in self.invited()]
        return Response(shown)

    def post(self, request: Request) -> Response:
        """Invite somebody; the letter goes out after the commit."""
        given = self.given()
        email = checked_email(given)
        if self.invited().filter(email=email).exists():
            raise taken()
        role = ROLES[params.choice(given, "role", ROLES, "agent")]
        name = given_name(given) or ""
        try:
            made, _token = services.invite(
                self.account, email=email, role=role, name=name, by=self.member
            )
        except AlreadyThereError as error:
            raise taken() from error
        return Response(invited_json(made))


class OneAgent(AgentsView):
    """`/agents/{id}`: a person, or somebody who is expected."""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "patch": P.MEMBERS_WRITE,
        "put": P.MEMBERS_WRITE,
        "delete": P.MEMBERS_WRITE,
    }

    def patch(self, request: Request, agent_id: str) -> Response:
        """Another name, another role."""
        given, found = self.given(), self.found(agent_id)
        name = given_name(given)
        if name == "":
            raise invalid("name", "Name can't be blank")
        role = role_to_be(found.role, params.choice(given, "role", ROLES))
        if isinstance(found, Invitation):
            changed = services.change_invitation(found, by=self.member, name=name, role=role)
            return Response(invited_json(changed))
        if role is not None:
            services.change_role(found, role, by=self.member)
        if name is not None:
            services.rename_member(found, name, by=self.member)
        return Response(agent_json(self.find(self.people(), pk=found.pk)))

    put = patch

    def delete(self, request: Request, agent_id: str) -> Response:
        """Take them out, as the dashboard does: what they said stays, and they may come back."""
        found = self.found(agent_id)
        if isinstance(found, Invitation):
            services.withdraw_invitation(found, by=self.member)
        else:
            services.deactivate_member(found, by=self.member)
        return nothing()

    def found(self, agent_id: str) -> Member | Invitation:
        """Raises `NotFound`."""
        person: Member | None = self.people().filter(pk=int(agent_id)).first()
        if person is not None:
            return person
        awaited: Invitation = self.find(self.invited(), member_number=int(agent_id))
        return awaited


def checked_email(given: params.Params) -> str:
    """In small letters. Raises 422."""
    email = params.text(given, "email", most=254).strip().lower()
    if not email:
        raise invalid("email", "Email can't be blank")
    try:
        validate_email(email)
    except ValidationError as error:
        raise invalid("email", "Email is invalid") from error
    return email


def given_name(given: params.Params) -> str | None:
    """None where nothing is said. Raises 422."""
    if given.get("name") is None:
        return None
    return params.text(given, "name", most=120).strip()


def role_to_be(present: str, word: str) -> Role | None:
    """Their two words cover all of our roles: a word that is true of somebody already changes nothing."""
    return None if not word or role_word(present) == word else ROLES[word]


def taken() -> ChatwootError:
    return invalid("email", "Email has already been taken")
