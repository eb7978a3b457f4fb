"""F-09 to F-18: agents that fail, keep silent, are slow, or are hostile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tests.bench.stack import pss_mb
from tests.chaos.agent import NOTHING, Event, Reaction, accepts, always, echo, says
from tests.chaos.houses import FALLBACK_TEXT
from tests.chaos.judge import Expectation
from tests.chaos.ledgers import ECHO, Tried
from tests.chaos.playing import CannotPlayError, scenario
from tests.chaos.stage import Stage

PATIENCE = 10
# The agent gives no answer that the customer could get.
SPEECHLESS = Expectation(to_agent=False, to_customer=False)
SCHEDULE = (2.0, 5.0)
JITTER = 0.2


def talk_once(stage: Stage, count: int) -> list[str]:
    """New customers, one message each."""
    names = [stage.customers.name() for _ in range(count)]
    for name in names:
        stage.say(name, 1)
    return names


def holders(stage: Stage, *columns: str) -> dict[str, tuple[Any, ...]]:
    """Who has each conversation, by the customer's number: (kind of assignee, team, reason)."""
    rows = stage.database.rows(
        "SELECT ltrim(contact.phone, '+'), COALESCE(member.kind, ''), conversation.team_id,"
        " COALESCE(assignment.reason, ''), conversation.status, conversation.id"
        " FROM conversations_conversation conversation"
        " JOIN conversations_contact contact ON contact.id = conversation.contact_id"
        " LEFT JOIN accounts_member member ON member.id = conversation.assignee_id"
        " LEFT JOIN conversations_assignment assignment"
        "   ON assignment.conversation_id = conversation.id AND assignment.ended_at IS NULL"
        " WHERE conversation.account_id = %s",
        stage.house.account_id,
    )
    return {row[0]: row[1:] for row in rows}


def with_people(stage: Stage, names: Sequence[str]) -> bool:
    """Whether no agent holds any of these conversations any more."""
    found = holders(stage)
    return all(name in found and found[name][0] != "agent" for name in names)


def told(stage: Stage) -> list[str]:
    """To whom the channel was asked to say that a colleague will answer."""
    return sorted(one.conversation for one in stage.asked() if one.text == FALLBACK_TEXT)


def pushes(stage: Stage) -> dict[int, list[Tried]]:
    """The attempts of each delivery to the agent."""
    carried = {
        one.pk for one in stage.database.brought(stage.house.account_id) if one.kind == "agent"
    }
    tries: dict[int, list[Tried]] = {}
    for one in stage.database.tried(stage.house.account_id):
        if one.delivery in carried:
            tries.setdefault(one.delivery, []).append(one)
    return tries


def outcomes(stage: Stage) -> set[str]:
    return {one.outcome for tries in pushes(stage).values() for one in tries}


@scenario("F-09", "the agent answers 500 always")
def always_500(stage: Stage) -> None:
    stage.change_agent(patience_s=PATIENCE)
    stage.expected = SPEECHLESS
    stage.agent.behave = always(500)
    names = talk_once(stage, 3)
    began = time.time()
    moved = stage.wait_for(lambda: with_people(stage, names), PATIENCE + 15)
    stage.want(moved, "the conversations did not go to people")
    stage.want_quick(time.time() - began, PATIENCE + 2, "the way to people")
    stage.settle()
    stage.want(told(stage) == sorted(names), f"the customers were told {len(told(stage))} times")
    for tries in pushes(stage).values():
        for (before, after), wait in zip(pairwise(tries), SCHEDULE, strict=False):
            gap = after.started_at - (before.ended_at or 0)
            late = stage.world.slack + 0.5
            fits = wait * (1 - JITTER) - 0.1 <= gap <= wait * (1 + JITTER) + late
            stage.want(fits, f"a retry after {gap:.1f} s, the schedule says {wait:g}")
    _want_open_breaker(stage)


def _want_open_breaker(stage: Stage) -> None:
    """Open, and new customers go to people at once: the agent gets nothing but probes."""
    breaker = stage.database.value(
        "SELECT breaker FROM conversations_endpoint WHERE id = %s", stage.house.endpoint_id
    )
    stage.want(breaker != "closed", "the breaker is still closed")
    before = len(stage.agent.seen)
    began = time.time()
    names = talk_once(stage, 4)
    stage.wait_for(lambda: with_people(stage, names), PATIENCE + 15)
    stage.want_quick(time.time() - began, 3, "the way to people past an open breaker")
    probes = len(stage.agent.seen) - before
    stage.want(probes <= 2, f"{probes} requests reached an agent behind an open breaker")


@scenario("F-10", "the agent accepts and never answers")
def never_answers(stage: Stage) -> None:
    stage.change_agent(patience_s=PATIENCE)
    stage.expected = Expectation(to_customer=False)
    stage.agent.behave = accepts
    names = talk_once(stage, 4)
    began = time.time()
    stage.wait_for(lambda: with_people(stage, names), PATIENCE + 15)
    stage.want_quick(time.time() - began, PATIENCE + 2, "the way to people")
    reasons = {row[2] for row in holders(stage).values()}
    stage.want(reasons == {"agent_timeout"}, f"the reasons are {sorted(reasons)}")
    stage.settle()
    stage.want(told(stage) == sorted(names), f"the customers were told {len(told(stage))} times")


@scenario("F-11", "the agent answers after its time limit")
def too_late(stage: Stage) -> None:
    stage.change_agent(patience_s=PATIENCE, timeout_s=5)
    stage.expected = SPEECHLESS
    stage.agent.behave = _late_echo
    names = talk_once(stage, 3)
    stage.wait_for(lambda: with_people(stage, names), PATIENCE + 20)
    stage.wait_for(lambda: not stage.agent.now, 15)
    stage.settle()
    stage.want("timeout_read" in outcomes(stage), f"the attempts ended {sorted(outcomes(stage))}")
    stage.want(not _echoes(stage), "a late answer was sent to the customer")
    stage.want(with_people(stage, names), "the conversations did not go to people")


def _late_echo(event: Event) -> Reaction:
    return says(ECHO + event.seen.text, after=7) if event.is_question else NOTHING


def _echoes(stage: Stage) -> list[str]:
    return [one.text for one in stage.asked() if one.key is not None]


@scenario("F-12", "the agent answers 410")
def gone(stage: Stage) -> None:
    names = talk_once(stage, 3)
    stage.wait_for(lambda: len(_echoes(stage)) == len(names))
    stage.settle()
    stage.agent.behave = always(410)
    stage.expected = SPEECHLESS
    before = len(stage.agent.seen)
    for name in names:
        stage.say(name, 2)
    stage.want(stage.wait_for(lambda: with_people(stage, names), 15), "people did not get them")
    state = stage.database.value(
        "SELECT state FROM conversations_endpoint WHERE id = %s", stage.house.endpoint_id
    )
    stage.want(state == "disabled", f"the endpoint is {state}")
    audited = stage.database.value(
        "SELECT count(*) FROM accounts_auditentry WHERE account_id = %s AND action LIKE '%%disabled'",
        stage.house.account_id,
    )
    stage.want(audited, "nothing stands in the audit log")
    stage.settle()
    requests = len(stage.agent.seen) - before
    stage.want(requests <= len(names), f"{requests} requests went to an agent that is gone")


@scenario("F-13", "the agent answers 429 with Retry-After: 7")
def too_many(stage: Stage) -> None:
    # Fewer questions than open a breaker: a product that sends all of them at once must be seen to do so,
    # and not to give its customers to people.
    stage.agent.behave = _busy_first
    for name in talk_once(stage, 2):
        stage.say(name, 2)
    stage.settle(60)
    late = 14 + stage.world.slack
    for tries in pushes(stage).values():
        gaps = [after.started_at - (before.ended_at or 0) for before, after in pairwise(tries)]
        busy = any(one.status == 429 for one in tries)
        stage.want(len(gaps) == busy, f"{len(tries)} attempts, not {1 + busy}")
        stage.want(all(6.9 <= gap <= late for gap in gaps), f"the next came after {gaps} s")


def _busy_first(event: Event) -> Reaction:
    if event.is_question and event.seen.attempt == 1:
        return Reaction(429, headers={"Retry-After": "7"})
    return echo(event)


@scenario("F-14", "the agent redirects to an inner address")
def redirects(stage: Stage) -> None:
    stage.change_agent(patience_s=PATIENCE)
    stage.expected = SPEECHLESS
    ours = f"{stage.world.agents.url}/inner/{stage.house.number}"
    targets = {0: "http://169.254.169.254/latest/meta-data/", 1: ours}
    stage.agent.behave = lambda event: Reaction(
        302, headers={"Location": targets[int(event.seen.conversation or 0) % 2]}
    )
    names = talk_once(stage, 4)
    stage.want(stage.wait_for(lambda: with_people(stage, names), PATIENCE + 15), "not given up")
    stage.settle()
    followed = [path for path in stage.world.agents.unknown if path in ours]
    stage.want(not followed, "a redirect was followed")
    statuses = {one.status for tries in pushes(stage).values() for one in tries}
    # None: an open breaker let it go to people without a request.
    stage.want({302} <= statuses <= {302, None}, f"the attempts stand with {statuses}")


@scenario("F-15", "the agent's name leads to 127.0.0.1 at the second attempt")
def rebinds(stage: Stage) -> None:
    raise CannotPlayError(
        "needs a DNS server of our own and an agent on a public address: shown with a resolver of the"
        " test's own in tests/integrations/test_http.py"
    )


@scenario("F-16", "the agent's answer drips one byte a second")
def drips(stage: Stage) -> None:
    stage.change_agent(patience_s=PATIENCE, timeout_s=5)
    stage.expected = SPEECHLESS
    victims: set[str] = set()
    stage.agent.behave = lambda event: (
        Reaction(stream="drip") if event.seen.conversation in victims else echo(event)
    )
    names = [stage.customers.name() for _ in range(6)]
    victims.update(names[:3])
    for name in names:
        stage.say(name, 1)
    stage.wait_for(lambda: with_people(stage, names[:3]), PATIENCE + 20)
    victims.clear()  # the farewell need not drip
    stage.want(len(_echoes(stage)) == 3, "the other conversations were held up")
    lengths = [
        (one.ended_at or 0) - one.started_at
        for tries in pushes(stage).values()
        for one in tries
        if one.outcome == "timeout_read"
    ]
    stage.want(lengths, "no attempt was cut")
    late = 5.8 + stage.world.slack
    stage.want(all(4.8 <= length <= late for length in lengths), f"cut after {lengths} s")
    stage.want(stage.wait_for(lambda: not stage.agent.now, 15), "a connection is still open")
    stage.settle()


@scenario("F-17", "the agent's answer is 1 GB")
def floods(stage: Stage) -> None:
    stage.change_agent(patience_s=PATIENCE)
    talk_once(stage, 2)
    stage.settle()
    stage.expected = SPEECHLESS
    stage.agent.behave = lambda event: Reaction(stream="flood") if event.is_question else NOTHING
    pids = stage.killer.pids("worker")
    before = sum(pss_mb(pid) for pid in pids)
    names = talk_once(stage, 4)
    stage.wait_for(lambda: with_people(stage, names), PATIENCE + 20)
    stage.settle()
    grown = sum(pss_mb(pid) for pid in pids) - before
    stage.note(f"the worker grew {grown:.1f} MB")
    stage.want("too_large" in outcomes(stage), f"the attempts ended {sorted(outcomes(stage))}")
    stage.want(grown < 5, f"the worker grew {grown:.1f} MB")


@scenario("F-18", "the signing secret is rotated under load")
def rotate(stage: Stage) -> None:
    with stage.load(conversations=12, rate=15, seconds=8):
        time.sleep(3)
        answer = stage.api(
            "POST", f"agents/{stage.house.agent_id}/rotate_secret/", {"grace_hours": 24}
        )
        stage.agent.secrets["second"] = answer["secret"]
        rotated = time.time() + 1.0
    stage.settle()
    later = [one for one in stage.agent.seen if one.at > rotated]
    stage.want(later, "nothing was brought after the rotation")
    for name in ("first", "second"):
        unverified = sum(name not in one.verified_by for one in later)
        stage.want(not unverified, f"{unverified} of {len(later)} are not signed by the {name}")
    stage.note(f"{len(later)} requests carried both signatures")
