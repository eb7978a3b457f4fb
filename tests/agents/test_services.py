"""Making agents, their secrets and tokens; pausing and deleting with a way back."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from time import sleep
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from accounts import metrics
from accounts.models import Account, AuditEntry, Member
from accounts.tenancy import account_context
from accounts.tokens import find_token
from agents import moving, rules, tasks
from agents import services as agents
from agents.models import Agent, AssignmentRule, Decision
from agents.services import AgentError
from conversations import services, timers
from conversations.errors import CannotHoldError, FieldError
from conversations.messages import Content
from conversations.models import Conversation, Endpoint, Message, Timer
from conversations.services.locking import lock
from conversations.signals import event_recorded
from tests.agents.lane import types
from tests.factories import make_agent, make_conversation, make_house, said


def make(house: SimpleNamespace, **fields: Any) -> agents.NewAgent:
    fields = {"name": "Lumi", "url": "https://lumi.example.com/hook", "by": house.owner} | fields
    return agents.create_agent(house.account, **fields)


def held_by(agent: Agent, house: SimpleNamespace, count: int = 1) -> list[Conversation]:
    return [
        services.assign(
            make_conversation(house.inbox, visitor=f"{agent.pk}-{n}"),
            to=agent.member,
            by=house.owner,
        )
        for n in range(count)
    ]


def secrets_of(agent: Agent) -> list[str]:
    return [secret.value for secret in agent.endpoint.secrets.all()]


# --- Making --------------------------------------------------------------------------------------


def test_a_new_agent_has_a_member_an_endpoint_a_secret_and_a_token(
    house: SimpleNamespace,
) -> None:
    """DL-72"""
    agent, secret, token = make(house, patience_s=30, inboxes=[house.inbox])
    assert (agent.member.kind, agent.member.role, agent.member.name) == ("agent", "ai", "Lumi")
    assert (agent.endpoint.kind, agent.endpoint.timeout_s) == ("agent", 15)
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert secrets_of(agent) == [secret]
    assert token.startswith("sb_agt_")
    found = find_token(token)
    assert found is not None
    assert found.member == agent.member
    assert list(agent.inboxes.all()) == [house.inbox]
    entry = AuditEntry.objects.get(action="agent.created")
    assert (entry.member, secret in str(entry.changes)) == (house.owner, False)


def test_a_key_in_an_address_is_not_in_the_audit_log(house: SimpleNamespace) -> None:
    agent, *_ = make(house, url="https://lumi.example.com/hook?key=one")
    agents.change_agent(agent, by=house.owner, url="https://lumi.example.com/other?key=two")
    told = [entry.changes for entry in AuditEntry.objects.order_by("pk")]
    assert "key=" not in str(told)
    assert told[-1] == {
        "url": {"from": "https://lumi.example.com/hook", "to": "https://lumi.example.com/other"}
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("name", "x" * 121),
        ("url", "agent.example"),
        ("url", "ftp://agent.example/"),
        ("url", "http://"),
        ("url", "http://[::1"),
        ("url", "http://user:secret@agent.example/"),
        ("url", "http://agent.example/#here"),
        ("patience_s", 9),
        ("patience_s", 1801),
        ("timeout_s", 61),
        ("dialect", "klingon"),
    ],
)
def test_a_wrong_agent_is_refused_with_its_field(
    house: SimpleNamespace, field: str, value: Any
) -> None:
    with pytest.raises(AgentError) as refused:
        make(house, **{field: value})
    assert refused.value.field == field
    assert Member.objects.filter(name="Lumi").count() == 0
    with pytest.raises(AgentError):
        agents.change_agent(house.agent, by=house.owner, **{field: value})


def test_an_agent_is_changed_and_the_change_is_audited(house: SimpleNamespace) -> None:
    agents.change_agent(
        house.agent,
        by=house.admin,
        name="New",
        url="https://new.example.com/",
        patience_s=45,
        inboxes=[house.inbox],
    )
    agent = Agent.objects.get(pk=house.agent.pk)
    assert (agent.name, agent.endpoint.url, agent.patience_s) == (
        "New",
        "https://new.example.com/",
        45,
    )
    changes = AuditEntry.objects.get(action="agent.updated").changes
    assert changes["patience_s"] == {"from": "90", "to": "45"}
    assert changes["inboxes"] == [house.inbox.public_id]


# --- Secrets and tokens --------------------------------------------------------------------------


def test_a_rotated_secret_signs_first_and_the_old_one_for_a_day_more(
    house: SimpleNamespace,
) -> None:
    """DL-73"""
    agent, old, _token = make(house)
    new = agents.rotate_secret(agent, by=house.owner)
    assert secrets_of(agent) == [new, old]
    ends = agent.endpoint.secrets.last().expires_at  # type: ignore[union-attr]
    assert ends is not None
    assert timedelta(hours=23) < ends - timezone.now() <= timedelta(hours=24)


def test_at_most_three_secrets_live(house: SimpleNamespace) -> None:
    """DL-73"""
    agent = make(house).agent
    made = [agents.rotate_secret(agent, by=house.owner) for _ in range(5)]
    assert secrets_of(agent) == made[:-4:-1]


def test_a_compromised_secret_ends_at_once(house: SimpleNamespace) -> None:
    """DL-73"""
    agent = make(house).agent
    agents.rotate_secret(agent, by=house.owner)
    new = agents.rotate_secret(agent, by=house.owner, grace=timedelta(0))
    assert secrets_of(agent) == [new]
    with pytest.raises(FieldError):
        agents.rotate_secret(agent, by=house.owner, grace=timedelta(days=8))


def test_a_rotated_token_ends_the_old_one(house: SimpleNamespace) -> None:
    agent, _secret, old = make(house)
    new = agents.rotate_token(agent, by=house.owner)
    assert find_token(old) is None
    assert find_token(new) is not None


# --- Pausing -------------------------------------------------------------------------------------


def test_pausing_moves_open_conversations_and_resuming_returns_the_untouched(
    house: SimpleNamespace,
) -> None:
    Agent.objects.update(fallback_team=house.team)
    untouched, taken, resolved, answered = held_by(house.agent, house, 4)
    assert agents.pause_agent(house.agent, by=house.admin) == 4
    assert agents.pause_agent(house.agent, by=house.admin) == 0
    for conversation in (untouched, taken, resolved, answered):
        conversation.refresh_from_db()
        assert (conversation.assignee, conversation.team) == (None, house.team)
        assert conversation.assignments.latest("epoch").reason == "agent_paused"
    services.take_over(taken, by=house.person)
    services.resolve(resolved, by=house.person)
    services.post_message(answered, content=Content(text="Hi"), author=house.person)
    services.receive(house.inbox, said("Hello?", visitor=f"{house.agent.pk}-0"))
    assert agents.resume_agent(house.agent, by=house.admin) == 1
    holders = []
    for conversation in (untouched, taken, resolved, answered):
        conversation.refresh_from_db()
        holders.append(conversation.assignee)
    assert holders == [house.agent.member, house.person, None, house.person]
    actions = AuditEntry.objects.filter(action__startswith="agent.").order_by("id")
    assert [entry.action for entry in actions] == ["agent.paused", "agent.resumed"]


def test_what_the_customer_wrote_meanwhile_is_told_when_the_agent_resumes(
    house: SimpleNamespace,
) -> None:
    held_by(house.agent, house)
    agents.pause_agent(house.agent, by=house.admin)
    services.receive(house.inbox, said("Hello?", visitor=f"{house.agent.pk}-0"))
    assert types(house.agent) == []
    agents.resume_agent(house.agent, by=house.admin)
    assert types(house.agent) == ["conversation.assigned", "message.created", "message.created"]


def test_pausing_everywhere_silences_all_and_resuming_spares_the_paused(
    house: SimpleNamespace,
) -> None:
    other = make_agent(house.account)
    mine, theirs = held_by(house.agent, house)[0], held_by(other, house)[0]
    assert agents.pause_everywhere(house.account, by=house.owner) == 2
    agents.pause_agent(other, by=house.owner)
    assert agents.resume_everywhere(Account.objects.get(pk=house.account.pk), by=house.owner) == 1
    mine.refresh_from_db()
    theirs.refresh_from_db()
    assert (mine.assignee, theirs.assignee) == (house.agent.member, None)
    assert agents.resume_agent(other, by=house.owner) == 1


@pytest.mark.usefixtures("clean_database")
def test_pausing_everywhere_waits_for_a_conversation_at_work_and_not_in_a_circle() -> None:
    house = make_house()
    conversation = make_conversation(house.inbox)
    with account_context(house.account):
        services.assign(conversation, to=house.agent.member, by=None)
    held, note = Event(), "written while the pause waits"

    def work() -> None:
        with account_context(house.account):
            lock(conversation)
            held.set()
            sleep(0.3)
            services.add_note(conversation, text=note, author=None)
        connections.close_all()

    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(work)
        held.wait()
        with account_context(house.account):
            assert agents.pause_everywhere(house.account, by=None) == 1
        working.result()
    with account_context(house.account):
        assert Message.objects.filter(text=note).exists()


def test_a_snoozed_conversation_of_a_paused_agent_wakes_with_people(
    house: SimpleNamespace,
) -> None:
    conversation = held_by(house.agent, house)[0]
    services.snooze(conversation, by=house.person, until=timezone.now() + timedelta(hours=1))
    assert agents.pause_agent(house.agent, by=house.admin) == 0
    timers.fire(Timer.objects.get(kind=Timer.Kind.SNOOZE))
    conversation.refresh_from_db()
    assert (conversation.status, conversation.assignee) == ("open", None)
    assert conversation.assignments.latest("epoch").reason == "agent_paused"


@pytest.mark.parametrize("waking", ["timer", "customer", "person"])
@pytest.mark.parametrize("act", ["pause_agent", "pause_everywhere", "switch_off", "delete_agent"])
def test_however_a_snoozed_conversation_wakes_it_never_wakes_with_an_agent_that_is_away(
    house: SimpleNamespace, act: str, waking: str
) -> None:
    conversation = held_by(house.agent, house)[0]
    services.snooze(conversation, by=house.person, until=timezone.now() + timedelta(hours=1))
    if act == "switch_off":  # by its own answers; it leaves what is snoozed where it is
        Endpoint.objects.filter(pk=house.agent.endpoint_id).update(state="disabled")
    elif act == "pause_everywhere":
        agents.pause_everywhere(house.account, by=house.admin)
    elif act == "delete_agent":  # as it is until the job has come to this one
        Agent.objects.filter(pk=house.agent.pk).update(state="deleted")
    else:
        agents.pause_agent(house.agent, by=house.admin)
    if waking == "timer":
        timers.fire(Timer.objects.get(kind=Timer.Kind.SNOOZE))
    elif waking == "customer":
        services.receive(house.inbox, said("Hello?", visitor=f"{house.agent.pk}-0"))
    else:
        services.reopen(conversation, by=house.person)
    conversation.refresh_from_db()
    assert (conversation.status, conversation.assignee) == ("open", None)


def test_a_paused_agent_that_wakes_its_own_conversation_does_not_keep_it(
    house: SimpleNamespace,
) -> None:
    """It hears nothing of its own acts, so nobody stops it at once; beat does."""
    conversation = held_by(house.agent, house)[0]
    services.snooze(conversation, by=house.person, until=timezone.now() + timedelta(hours=1))
    agents.pause_agent(house.agent, by=house.admin)
    services.reopen(conversation, by=house.agent.member)
    tasks.move_leftovers()
    assert holders([conversation]) == [None]


# --- Thousands of conversations ------------------------------------------------------------------


@pytest.fixture
def batches_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "BATCH", 2)


def holders(conversations: list[Conversation]) -> list[Member | None]:
    found = {c.pk: c.assignee for c in Conversation.objects.select_related("assignee")}
    return [found[conversation.pk] for conversation in conversations]


@pytest.mark.usefixtures("batches_of_two")
def test_pausing_moves_the_first_conversations_and_a_job_the_others(
    house: SimpleNamespace, django_capture_on_commit_callbacks: Any
) -> None:
    conversations = held_by(house.agent, house, 5)
    with django_capture_on_commit_callbacks() as after:
        assert agents.pause_agent(house.agent, by=house.admin) == 5
    # The others only count what was canceled.
    assert len([one for one in after if getattr(one, "func", None) is not metrics.count]) == 1
    assert holders(conversations) == [None] * 2 + [house.agent.member] * 3
    assert tasks.move_rest(house.account.pk, house.admin.pk) == 3
    assert holders(conversations) == [None] * 5
    last = conversations[-1].assignments.latest("epoch")
    assert (last.reason, last.by) == ("agent_paused", house.admin)
    assert AuditEntry.objects.get(action="agent.paused").changes == {"moved": 5}


@pytest.mark.usefixtures("batches_of_two")
def test_what_is_undone_half_way_is_undone_right(house: SimpleNamespace) -> None:
    conversations = held_by(house.agent, house, 5)
    agents.pause_agent(house.agent, by=house.admin)
    assert agents.resume_agent(house.agent, by=house.admin) == 2
    assert holders(conversations) == [house.agent.member] * 5
    assert tasks.move_rest(house.account.pk, house.admin.pk) == 0  # the job comes too late
    agents.delete_agent(house.agent, by=house.admin)
    tasks.move_leftovers()
    assert holders(conversations) == [None] * 5
    assert agents.undo_delete(house.agent, by=house.admin) == 5
    assert holders(conversations) == [house.agent.member] * 2 + [None] * 3
    tasks.move_leftovers()
    assert holders(conversations) == [house.agent.member] * 5


@pytest.mark.usefixtures("batches_of_two")
def test_the_same_act_again_goes_on_where_it_stopped(house: SimpleNamespace) -> None:
    conversations = held_by(house.agent, house, 5)
    assert agents.pause_everywhere(house.account, by=house.owner) == 5
    assert agents.pause_everywhere(house.account, by=house.owner) == 3
    assert agents.pause_everywhere(house.account, by=house.owner) == 1
    assert holders(conversations) == [None] * 5
    assert AuditEntry.objects.filter(action="agents.paused_everywhere").count() == 1


@pytest.mark.usefixtures("clean_database", "batches_of_two")
def test_a_worker_that_dies_half_way_leaves_nothing_that_the_next_does_not_find() -> None:
    house = make_house()
    with account_context(house.account):
        conversations = held_by(house.agent, house, 6)
        services.snooze(
            conversations.pop(), by=house.person, until=timezone.now() + timedelta(hours=1)
        )
        assert agents.delete_agent(house.agent, by=house.owner) == 6

    def die(**_signal: Any) -> None:
        if Conversation.objects.filter(assignee=None).count() == 4:
            raise SystemExit

    event_recorded.connect(die)
    try:
        with pytest.raises(SystemExit):
            tasks.move_rest(house.account.pk)
    finally:
        event_recorded.disconnect(die)
    with account_context(house.account):
        assert holders(conversations) == [None] * 2 + [house.agent.member] * 3
        services.receive(house.inbox, said("Hello?", visitor=f"{house.agent.pk}-4"))
        assert holders(conversations)[-1] is None
    assert tasks.move_leftovers() == 3
    with account_context(house.account):
        assert not Conversation.objects.exclude(assignee=None).exists()


@pytest.mark.usefixtures("clean_database")
def test_whoever_takes_a_conversation_over_while_the_agent_is_paused_keeps_it() -> None:
    house = make_house()
    with account_context(house.account):
        conversations = held_by(house.agent, house, 2)
    taken = Event()

    def take() -> None:
        with account_context(house.account):
            services.take_over(conversations[0], by=house.person)
            taken.set()
            sleep(0.3)
        connections.close_all()

    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(take)
        taken.wait()
        with account_context(house.account):
            agents.pause_agent(house.agent, by=house.owner)
        working.result()
    with account_context(house.account):
        assert holders(conversations) == [house.person, None]


# --- Deleting ------------------------------------------------------------------------------------


def test_deleting_ends_everything_and_undoing_brings_it_back(house: SimpleNamespace) -> None:
    agent, _secret, token = make(house)
    revoked = token
    token = agents.rotate_token(agent, by=house.owner)
    conversation = held_by(agent, house)[0]
    assert agents.delete_agent(agent, by=house.owner) == 1
    agent = Agent.objects.select_related("member", "endpoint").get(pk=agent.pk)
    assert (agent.state, agent.member.active, agent.endpoint.state) == (
        "deleted",
        False,
        "disabled",
    )
    assert find_token(token) is None
    conversation.refresh_from_db()
    assert conversation.assignments.latest("epoch").reason == "agent_deleted"
    with pytest.raises(CannotHoldError):
        services.assign(conversation, to=agent.member, by=house.owner)

    assert agents.undo_delete(agent, by=house.owner) == 1
    conversation.refresh_from_db()
    agent.refresh_from_db()
    assert (agent.state, conversation.assignee) == ("active", agent.member)
    assert find_token(token) is not None
    assert find_token(revoked) is None


# --- Rules that lead to it -----------------------------------------------------------------------


def rule_to(*names: Agent | str, house: SimpleNamespace, **fields: Any) -> AssignmentRule:
    """One that gives to these agents, by their own name or the member's, or labels."""
    given = {"agn": "agent", "mem": "member"}
    actions = [
        {"type": "label", "names": [name]}
        if name == "vip"
        else {"type": "assign", given[str(name)[:3]]: str(name)}
        for name in (one.public_id if isinstance(one, Agent) else one for one in names)
    ]
    return rules.create_rule(name="To it", actions=actions, by=house.owner, **fields)


def is_on(rule: AssignmentRule) -> bool:
    rule.refresh_from_db()
    return rule.enabled


def test_rules_that_only_lead_to_a_deleted_agent_are_off_until_it_is_back(
    house: SimpleNamespace,
) -> None:
    agent, other = make(house).agent, make_agent(house.account)
    new = {"field": "first_message", "op": "is", "value": True}
    gives = [
        rule_to(agent, house=house, condition=new),
        rule_to(agent.member.public_id, house=house, condition=new),
    ]
    off = rule_to(agent, house=house, enabled=False)
    more = [rule_to("vip", agent, house=house, event="conversation.resolved"),
            rule_to(other, house=house, condition=new)]  # fmt: skip
    agents.delete_agent(agent, by=house.owner)
    agents.delete_agent(agent, by=house.owner)
    assert [is_on(rule) for rule in (*gives, off, *more)] == [False, False, False, True, True]
    sentence = rules.describe_rule(gives[0], rules.names_of_targets())
    assert sentence.endswith("assign to Lumi (deleted)")
    conversation = make_conversation(house.inbox, "Hello")
    assert conversation.assignee == other.member
    assert Decision.objects.get().outcome == f"To it: assigned to {other.name}"

    agents.undo_delete(agent, by=house.owner)
    assert [is_on(rule) for rule in (*gives, off, *more)] == [True, True, False, True, True]
    conversation = make_conversation(house.inbox, "Hello", visitor="2")
    assert conversation.assignee == agent.member


def test_a_rule_that_was_changed_while_its_agent_was_away_stays_as_it_is(
    house: SimpleNamespace,
) -> None:
    agent = make(house).agent
    rule = rule_to(agent, house=house)
    agents.delete_agent(agent, by=house.owner)
    rules.update_rule(rule, by=house.admin, actions=[{"type": "resolve"}])
    rules.update_rule(
        rule, by=house.admin, actions=[{"type": "assign", "agent": house.agent.public_id}]
    )
    agents.undo_delete(agent, by=house.owner)
    assert not is_on(rule)
    agents.delete_agent(house.agent, by=house.owner)
    agents.undo_delete(house.agent, by=house.owner)
    assert not is_on(rule)


def test_deleting_takes_snoozed_conversations_too(house: SimpleNamespace) -> None:
    conversation = held_by(house.agent, house)[0]
    services.snooze(conversation, by=house.person, until=timezone.now() + timedelta(hours=1))
    assert agents.delete_agent(house.agent, by=house.owner) == 1
    conversation.refresh_from_db()
    assert conversation.assignee is None


def test_a_disabled_endpoint_is_switched_on_again(house: SimpleNamespace) -> None:
    agents.switch_off(house.agent, detail="gone")
    agents.enable_endpoint(house.agent, by=house.owner)
    endpoint = Endpoint.objects.get(pk=house.agent.endpoint_id)
    assert (endpoint.state, endpoint.disabled_reason) == ("enabled", "")
