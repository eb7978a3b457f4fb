"""AI agents of the installation: defined once, and an agent of its own in every account that wants one."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import ApiToken, AuditEntry
from accounts.tenancy import account_context
from accounts.tokens import find_token
from agents import services, system
from agents.models import Agent, SystemAgent
from agents.services import AgentError
from conversations.models import Conversation
from conversations.services import assign, endpoints
from tests import factories
from tests.conversations.test_locking import waits_for_us

URL = "https://93.184.215.14/hook"


def define(**fields: str) -> system.NewSystemAgent:
    return system.define(**{"name": "Everybody's", "url": URL, "dialect": "native", **fields})


def test_a_definition_works_nowhere_and_keeps_its_secrets_sealed(db: None) -> None:
    made = define()
    row = SystemAgent.objects.get()
    assert row.secret == made.secret
    assert made.secret.encode() not in bytes(row.sealed)
    assert system.by_token(made.token) == row
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize("token", ["", "x", "sb_sys_abcdefgh_" + "x" * 49, "sb_agt"])
def test_what_is_no_token_of_one_asks_nothing(
    db: None, token: str, django_assert_num_queries: object
) -> None:
    define()
    with django_assert_num_queries(0):  # type: ignore[operator]  # a fixture without a type
        assert system.by_token(token) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("name", "x" * 121), ("url", "nonsense"), ("url", "ftp://a/b")],
)
def test_what_no_agent_may_be(db: None, field: str, value: str) -> None:
    with pytest.raises(AgentError) as refused:
        define(**{field: value})
    assert refused.value.field == field
    made = define()
    with pytest.raises(AgentError):
        system.redefine(made.system, **{field: value})


def test_an_account_has_one_agent_of_it(house: SimpleNamespace) -> None:
    made = define()
    agent = system.agent_of(made.system, by=house.owner)
    assert system.agent_of(made.system, by=house.owner) == agent
    assert [one.value for one in agent.endpoint.secrets.all()] == [made.secret]
    assert (agent.endpoint.place, agent.endpoint.shown_url) == ("", "")
    assert endpoints.name_of(agent.endpoint) == agent.name
    entry = AuditEntry.objects.get(action="agent.created")
    assert (entry.member, entry.changes["url"]) == (house.owner, "")
    with pytest.raises(IntegrityError), transaction.atomic():
        Agent.objects.filter(pk=house.agent.pk).update(system=made.system)


def test_its_token_opens_where_it_has_something_to_do(house: SimpleNamespace) -> None:
    made = define()
    agent = system.agent_of(made.system, by=house.owner)
    assert system.token_in(made.system, house.account.pk) is None
    conversation = factories.make_conversation(house.inbox)
    assign(conversation, to=agent.member, by=house.owner)
    token = system.token_in(made.system, house.account.pk)
    assert token is not None
    assert (token.member, token.account) == (agent.member, house.account)
    assert find_token(made.token) is None
    assert system.token_in(made.system, house.outsider_account.pk) is None
    assign(conversation, to=house.owner, by=house.owner)
    assert system.token_in(made.system, house.account.pk) is None
    assign(conversation, to=agent.member, by=house.owner)
    services.delete_agent(agent, by=house.owner)
    assert system.token_in(made.system, house.account.pk) is None


def test_deleted_it_is_taken_in_by_nobody(house: SimpleNamespace) -> None:
    made = define()
    agent = system.agent_of(made.system, by=house.owner)
    conversation = assign(factories.make_conversation(house.inbox), to=agent.member, by=house.owner)
    system.withdraw(made.system)
    assert system.by_token(made.token) is None
    assert system.follow(made.system.pk) == 1
    assert Conversation.objects.get(pk=conversation.pk).assignee is None
    assert system.present(made.system.pk) is None
    with pytest.raises(AgentError, match="deleted"):
        system.agent_of(made.system, by=house.owner)


def test_one_account_that_cannot_follow_holds_up_no_other(house: SimpleNamespace) -> None:
    made = define()
    mine = system.agent_of(made.system, by=house.owner)
    with account_context(house.outsider_account):
        theirs = system.agent_of(made.system, by=None)

    def cannot(sender: object, agent: Agent, **signal: object) -> None:
        if agent.pk == mine.pk:
            raise RuntimeError("not here")

    system.followed.connect(cannot)
    try:
        system.withdraw(made.system)
        system.follow(made.system.pk)
        with account_context(house.outsider_account):
            assert Agent.objects.get(pk=theirs.pk).state == Agent.State.DELETED
    finally:
        system.followed.disconnect(cannot)
    assert Agent.objects.get(pk=mine.pk).state == Agent.State.ACTIVE
    # What is left is still known, and done later.
    assert system.follow_leftovers() == 1
    assert Agent.objects.get(pk=mine.pk).state == Agent.State.DELETED
    assert system.follow_leftovers() == 0


def test_two_that_want_it_at_once_get_the_same(clean_database: None) -> None:
    house = factories.make_house()
    made = define()
    found: list[int] = []
    begin = threading.Barrier(2)

    def want() -> None:
        try:
            with account_context(house.account):
                begin.wait(10)
                found.append(system.agent_of(made.system, by=None).pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=want) for _each in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 2
    assert len(set(found)) == 1


def test_who_takes_it_in_while_it_changes_has_what_is_new(clean_database: None) -> None:
    house = factories.make_house()
    made = define()

    def want() -> None:
        try:
            with account_context(house.account):
                system.agent_of(made.system, by=None)
        finally:
            connection.close()

    thread = threading.Thread(target=want)
    with transaction.atomic():
        system.redefine(made.system, name="Renamed")
        thread.start()
        waits_for_us()
    thread.join(20)
    with account_context(house.account):
        agent = system.present(made.system.pk)
    assert agent is not None
    assert agent.name == "Renamed"
