"""F-19 to F-24: the channel fails, repeats itself, or says things in the wrong order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.judge import Expectation
from tests.chaos.ledgers import Asked, Brought, Sent, text_of
from tests.chaos.playing import scenario
from tests.chaos.scenarios.agents import talk_once
from tests.chaos.stage import Stage
from tests.fakes.graph import hooks

RECONCILE_SECONDS = 30


def sends(stage: Stage) -> list[Brought]:
    return [one for one in stage.database.brought(stage.house.account_id) if one.kind == "send"]


def taken(stage: Stage) -> list[Asked]:
    return [one for one in stage.asked() if one.taken]


@contextmanager
def no_statuses(stage: Stage) -> Iterator[None]:
    """The channel keeps silent about what it took."""
    usual, stage.graph.statuses = stage.graph.statuses, []
    try:
        yield
    finally:
        stage.graph.statuses = usual


@scenario("F-19", "the channel takes a message and the answer is lost", settles=60)
def answer_lost(stage: Stage) -> None:
    """With a status that proves it: one message. With none: one more, and marked (DL-42, DL-43)."""
    stage.graph.fail(drop="after", times=5)
    talk_once(stage, 5)
    proven = stage.wait_for(lambda: len(sends(stage)) == 5 and _all_ended(stage), 20)
    stage.want(proven, f"after the status: {[one.state for one in sends(stage)]}")
    stage.want(len(taken(stage)) == 5, f"the customers got {len(taken(stage))} messages, not 5")
    words = {one.outcome for one in stage.database.tried(stage.house.account_id)}
    stage.want("ambiguous" in words, f"the attempts ended {sorted(words)}")
    with no_statuses(stage):
        stage.graph.fail(drop="after", times=1)
        talk_once(stage, 1)
        began = time.monotonic()
        stage.wait_for(lambda: len(taken(stage)) == 7, RECONCILE_SECONDS + 20)
    stage.settle()
    stage.note(f"sent again, marked, after {time.monotonic() - began:.0f} s without a word")
    marked = len(stage.verdict().doubled_marked)
    stage.want(marked == 1, f"{marked} messages are marked as possible duplicates, not 1")


def _all_ended(stage: Stage) -> bool:
    return all(one.state == "delivered" for one in sends(stage))


@scenario("F-20", "the channel is down for 10 s, once beyond the reply window", settles=90)
def channel_down(stage: Stage) -> None:
    late = talk_once(stage, 1)[0]
    stage.settle()
    stage.graph.fail(status=503, times=100_000)
    stage.customers.sent.clear()  # what was said before is not looked at again
    with stage.load(conversations=8, rate=8, seconds=8):
        pass
    names = {one.conversation for one in stage.customers.sent}
    stage.wait_for(lambda: len(stage.calls()) > len(names), 15)
    stage.say(late, 2)
    queued = stage.wait_for(lambda: [one for one in sends(stage) if _waits(one, late)])
    stage.want(queued, "the answer beyond the window was never queued")
    _close_window(stage, late)
    stage.want(len(taken(stage)) == 1, "the channel was not down")
    time.sleep(2)
    stage.graph.failures.clear()
    stage.settle(90)
    ended = [one for one in sends(stage) if one.conversation == late]
    dead = [one.dead_reason for one in ended if one.state == "dead"]
    stage.want(dead and "window" in dead[0], f"beyond the window: {dead}")
    heard = stage.wait_for(lambda: _heard_failure(stage, late), 10)
    stage.want(heard, "the agent was not told that its message was not sent")
    stage.customers.sent[:] = [one for one in stage.customers.sent if one.conversation != late]


def _waits(one: Brought, name: str) -> bool:
    return one.conversation == name and one.state in ("pending", "retry_wait")


def _close_window(stage: Stage, name: str) -> None:
    """The customer's last word was a day ago."""
    stage.database.rows(
        "UPDATE conversations_address SET last_inbound_at = now() - interval '25 hours'"
        " FROM conversations_conversation conversation, conversations_contact contact"
        " WHERE conversation.address_id = conversations_address.id"
        " AND contact.id = conversation.contact_id AND ltrim(contact.phone, '+') = %s",
        name,
    )


def _heard_failure(stage: Stage, name: str) -> bool:
    return any(
        one.event_type == "message.status" and one.conversation == name and one.text
        for one in stage.agent.seen
    ) and any(
        one.error_code
        for one in stage.database.stored(stage.house.account_id)
        if one.conversation == name
    )


@scenario("F-21", "the channel says: outside the reply window")
def outside_window(stage: Stage) -> None:
    stage.expected = Expectation(to_customer=False)
    stage.graph.fail(code=131047, times=3)
    names = talk_once(stage, 3)
    stage.wait_for(lambda: len([one for one in sends(stage) if one.state == "dead"]) == 3)
    time.sleep(2)  # the schedule's first retry would come now
    stage.settle()
    stage.want(len(stage.calls()) == 3, f"{len(stage.calls())} sends of 3 messages")
    reasons = {one.dead_reason.partition(":")[0] for one in sends(stage)}
    stage.want(reasons == {"window_closed"}, f"the reasons are {sorted(reasons)}")
    for name in names:
        stage.want(_heard_failure(stage, name), "the agent was not told")


@scenario("F-22", "the same webhook 50 times at once")
def fifty_copies(stage: Stage) -> None:
    message, contact = hooks.customer_message("text", sender=stage.customers.name(), name="Ana")
    name = message["from"]
    message["text"] = {"body": text_of(name, 1)}
    body = stage.customers.envelope(contacts=[contact], messages=[message])

    async def all_at_once() -> list[int]:
        return list(await asyncio.gather(*(stage.customers.post(body) for _ in range(50))))

    answers = stage.world.loop.run(all_at_once())
    now = time.time()
    stage.customers.sent.append(Sent(name, 1, message["id"], now, now, answers))
    stage.want(answers == [200] * 50, f"the answers were {sorted(set(answers))}")
    stage.settle()
    receipts = stage.database.value(
        "SELECT count(*) FROM integrations_receipt WHERE account_id = %s AND dedupe_key LIKE %s",
        stage.house.account_id,
        f"%{message['id']}",
    )
    stage.want(receipts == 1, f"{receipts} receipts")
    stage.want(len(stage.agent.questions()) == 1, "the agent was asked more than once")


@scenario("F-23", "statuses in the wrong order: read, delivered, sent")
def statuses_backwards(stage: Stage) -> None:
    with no_statuses(stage):
        talk_once(stage, 3)
        stage.wait_for(lambda: len([one for one in stage.calls() if one.external_id]) == 3)
        stage.settle()
        for call in [one for one in stage.calls() if one.external_id]:
            for word in ("read", "delivered", "sent", "read"):
                stage.graph.report(call.external_id, word)
    stage.settle()
    ends = {
        one.status
        for one in stage.database.stored(stage.house.account_id)
        if one.direction == "outbound"
    }
    stage.want(ends == {"read"}, f"the messages ended {sorted(ends)}")
    words = stage.database.rows(
        "SELECT count(*) FROM conversations_event WHERE account_id = %s"
        " AND type = 'message.status' GROUP BY conversation_id, data->>'status' HAVING count(*) > 1",
        stage.house.account_id,
    )
    stage.want(not words, "a status was told more than once")


@scenario("F-24", "a batch of 100 messages, one of them malformed")
def bad_entry(stage: Stage) -> None:
    names = [stage.customers.name() for _ in range(100)]
    contacts, messages = [], []
    for name in names:
        message, contact = hooks.customer_message(
            "text", sender=name, name="Ana", text={"body": text_of(name, 1)}
        )
        contacts.append(contact)
        messages.append(message)
    messages[37]["text"] = "not an object"
    answer = stage.world.loop.run(
        stage.customers.post(stage.customers.envelope(contacts=contacts, messages=messages))
    )
    now = time.time()
    stage.customers.sent += [
        Sent(name, 1, message["id"], now, now, [answer])
        for place, (name, message) in enumerate(zip(names, messages, strict=True))
        if place != 37
    ]
    stage.want(answer == 200, f"the batch was answered {answer}")
    stage.settle(60)
    states = dict(
        stage.database.rows(
            "SELECT state, count(*) FROM integrations_receipt WHERE account_id = %s"
            " AND dedupe_key LIKE 'm:%%' GROUP BY state",
            stage.house.account_id,
        )
    )
    stage.want(states == {"done": 99, "failed": 1}, f"the receipts are {states}")
