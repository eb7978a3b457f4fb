"""Plain functions that make rows; each takes what matters and invents the rest."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

from django.utils import timezone

from accounts.models import Account, Member, Team, TeamMembership, User
from accounts.permissions import Role
from accounts.tenancy import account_context
from agents.models import Agent
from conversations import services
from conversations.messages import Identifier, InboundMessage, Kind
from conversations.models import Conversation, Endpoint, EndpointSecret, Inbox, Message

_numbers = itertools.count(1)
PASSWORD = "correct horse battery"


def make_user(name: str = "Ana", **fields: Any) -> User:
    email = fields.pop("email", f"{name.lower()}{next(_numbers)}@example.test")
    return User.objects.create_user(email, fields.pop("password", PASSWORD), name=name, **fields)


def make_account(name: str = "Shop") -> Account:
    return Account.objects.create(name=name, slug=f"{name.lower()}-{next(_numbers)}")


def make_person(account: Account, role: str = Role.PERSON, name: str = "Ana") -> Member:
    return Member.objects.create(account=account, user=make_user(name), role=role, name=name)


def make_team(account: Account, name: str = "Support", members: tuple[Member, ...] = ()) -> Team:
    with account_context(account):
        team = Team.objects.create(name=f"{name} {next(_numbers)}")
        for member in members:
            TeamMembership.objects.create(team=team, member=member)
    return team


def make_inbox(account: Account, platform: str = "sandbox", **fields: Any) -> Inbox:
    with account_context(account):
        inbox = Inbox(platform=platform, name=fields.pop("name", platform.title()), **fields)
        inbox.credentials = {}
        inbox.save()
    return inbox


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def add_secret(endpoint: Endpoint) -> None:
    secret = EndpointSecret(endpoint=endpoint)
    secret.value = SECRET
    secret.save()


def make_agent(account: Account, *, url: str = "http://127.0.0.1:9/", **fields: Any) -> Agent:
    with account_context(account):
        member = Member.objects.create(
            account=account,
            kind=Member.Kind.AGENT,
            role=Role.AI,
            name=fields.pop("name", f"Agent {next(_numbers)}"),
        )
        endpoint = Endpoint.objects.create(kind=Endpoint.Kind.AGENT, dialect="native", url=url)
        add_secret(endpoint)
        return Agent.objects.create(member=member, endpoint=endpoint, **fields)


def make_webhook(account: Account, *, url: str = "http://127.0.0.1:9/", **fields: Any) -> Endpoint:
    """A subscriber, with a secret that tests know."""
    with account_context(account):
        name = fields.pop("name", f"Webhook {next(_numbers)}")
        webhook = Endpoint.objects.create(
            kind=Endpoint.Kind.SUBSCRIBER, dialect="native", name=name, url=url, **fields
        )
        add_secret(webhook)
        return webhook


def make_house() -> SimpleNamespace:
    """See the `house` fixture."""
    account = make_account()
    owner = make_person(account, Role.OWNER, "Olga")
    admin = make_person(account, Role.ADMIN, "Adam")
    supervisor = make_person(account, Role.SUPERVISOR, "Sonia")
    person = make_person(account, Role.PERSON, "Petra")
    stranger_account = make_account("Stranger")
    return SimpleNamespace(
        account=account,
        owner=owner,
        admin=admin,
        supervisor=supervisor,
        person=person,
        team=make_team(account, members=(person,)),
        agent=make_agent(account),
        inbox=make_inbox(account),
        outsider_account=stranger_account,
        outsider=make_person(stranger_account, Role.OWNER, "Oscar"),
    )


def said(text: str = "Hello", **fields: Any) -> InboundMessage:
    """Something a customer of the sandbox says; `visitor` names who."""
    return InboundMessage(
        external_id=fields.pop("external_id", f"ext-{next(_numbers)}"),
        kind=fields.pop("kind", Kind.TEXT),
        identifiers=(Identifier("visitor", fields.pop("visitor", "v1")),),
        sent_at=fields.pop("sent_at", timezone.now()),
        text=text,
        **fields,
    )


def make_conversation(inbox: Inbox, text: str = "Hello", **fields: Any) -> Conversation:
    """The conversation that begins when a customer says `text`."""
    with account_context(inbox.account_id):
        inbound = said(text, visitor=fields.pop("visitor", f"v{next(_numbers)}"), **fields)
        services.receive(inbox, inbound)
        message = Message.objects.get(inbox=inbox, external_id=inbound.external_id)
        return Conversation.objects.get(pk=message.conversation_id)
