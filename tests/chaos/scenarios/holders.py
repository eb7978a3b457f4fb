"""F-25, F-26, F-32 to F-35: conversations change hands, contacts and endpoints go away, nobody is there."""

from __future__ import annotations

import time
from urllib.error import HTTPError

from tests.chaos.agent import NOTHING, Behaviour, Event, Reaction, accepts, echo, says
from tests.chaos.judge import Expectation
from tests.chaos.ledgers import ECHO, Brought
from tests.chaos.playing import scenario
from tests.chaos.scenarios.agents import PATIENCE, SPEECHLESS, holders, talk_once, told, with_people
from tests.chaos.stage import Stage


def thread_of(stage: Stage, name: str) -> str:
    """Our id of a customer's conversation, as the agent was told it."""
    return next(one.thread for one in stage.agent.seen if one.conversation == name)


def mute_questions(seconds: float) -> Behaviour:
    """Hold every message of a customer for so long, and say nothing."""
    return lambda event: Reaction(204, after=seconds) if event.is_question else NOTHING


def deliveries_to(stage: Stage, endpoint: int) -> list[Brought]:
    return [
        one
        for one in stage.database.brought(stage.house.account_id)
        if one.kind == "agent" and one.endpoint == endpoint
    ]


@scenario("F-25", "reassigned to another agent while 5 events queue")
def reassigned(stage: Stage) -> None:
    stage.expected = SPEECHLESS
    heir, made = stage.new_agent("heir")
    stage.agent.behave = mute_questions(3)
    name = talk_once(stage, 1)[0]
    stage.wait_for(lambda: stage.agent.now == 1 and stage.agent.questions())
    for n in range(2, 7):
        stage.say(name, n)
    stage.wait_for(lambda: len(deliveries_to(stage, stage.house.endpoint_id)) >= 7)
    member = {"assignee": made["member"]}
    stage.api("POST", f"conversations/{thread_of(stage, name)}/assign/", member)
    stage.settle()
    stage.say(name, 7)
    stage.settle()
    got = [one.text for one in stage.agent.questions()]
    stage.want(len(got) == 1, f"the old agent got {len(got)} messages, not 1")
    queued = [
        one
        for one in deliveries_to(stage, stage.house.endpoint_id)
        if one.event_type == "message.created" and one.state != "delivered"
    ]
    states = {one.state for one in queued}
    stage.want(len(queued) == 5 and states == {"canceled"}, f"{len(queued)} queued are {states}")
    heard = [one.event_type for one in heir.seen]
    stage.want(heard[:1] == ["conversation.assigned"], f"the new agent first got {heard[:1]}")
    told_of = [one.key for one in heir.questions()]
    stage.want(told_of == [(name, n) for n in range(1, 8)], f"the new agent was told {told_of}")
    echoes = [one.text for one in stage.asked() if one.key]
    stage.want(echoes == [f"{ECHO}{name}:{n}" for n in range(1, 8)], f"the customer got {echoes}")


@scenario("F-26", "a person takes over while the agent's reply is in flight")
def taken_over(stage: Stage) -> None:
    stage.expected = Expectation(to_customer=False)
    stage.agent.behave = _slow_for_the_first
    late, early = talk_once(stage, 2)
    stage.wait_for(lambda: stage.agent.now == 1 and len(stage.agent.questions()) == 2)
    _take_over(stage, late, "I am a person")
    stage.wait_for(lambda: len(_texts(stage, early)) == 1)
    _take_over(stage, early, "I am one, too")
    stage.settle()
    stage.want(_texts(stage, late) == ["I am a person"], f"late: {_texts(stage, late)}")
    order = [f"{ECHO}{early}:1", "I am one, too"]
    stage.want(_texts(stage, early) == order, f"early: {_texts(stage, early)}")
    drafts = [
        one.draft_reason
        for one in stage.database.stored(stage.house.account_id)
        if one.direction == "draft"
    ]
    stage.want(drafts == ["stale_epoch"], f"the late reply is kept as {drafts}")


def _slow_for_the_first(event: Event) -> Reaction:
    if not event.is_question:
        return NOTHING
    first = event.seen.conversation.endswith("00001")
    return says(ECHO + event.seen.text, after=3 if first else 0)


def _take_over(stage: Stage, name: str, text: str) -> None:
    path, token = f"conversations/{thread_of(stage, name)}", stage.house.person_token
    stage.api("POST", f"{path}/take_over/", {}, token=token)
    stage.api("POST", f"{path}/messages/", {"text": text}, token=token)


def _texts(stage: Stage, name: str) -> list[str]:
    return [one.text for one in stage.asked() if one.conversation == name]


@scenario("F-32", "a contact is erased while its queue is full")
def erased(stage: Stage) -> None:
    stage.expected = SPEECHLESS
    stage.agent.behave = mute_questions(3)
    name = talk_once(stage, 1)[0]
    stage.wait_for(lambda: stage.agent.now == 1 and stage.agent.questions())
    for n in range(2, 5):
        stage.say(name, n)
    stage.wait_for(lambda: len(deliveries_to(stage, stage.house.endpoint_id)) >= 5)
    contact = stage.api("GET", f"conversations/{thread_of(stage, name)}/")["contact"]
    contact_id = contact["id"] if isinstance(contact, dict) else contact
    account = stage.house.account_id
    try:
        stage.api("DELETE", f"contacts/{contact_id}/")
    except HTTPError as error:
        stage.want(False, f"the contact could not be erased: HTTP {error.code}")
    asked = len(stage.calls())
    stage.settle()
    reasons = {
        (one.state, one.dead_reason)
        for one in deliveries_to(stage, stage.house.endpoint_id)
        if one.event_type == "message.created" and one.attempts == 0
    }
    stage.want(reasons == {("canceled", "erased")}, f"what was queued is {sorted(reasons)}")
    texts = [one.text for one in stage.database.stored(account) if name in one.text]
    stage.want(not texts, f"{len(texts)} texts are still there")
    bodies = stage.database.value(
        "SELECT count(*) FROM conversations_delivery WHERE account_id = %s AND body_sealed <> ''"
        " AND event_type = 'message.created'",
        account,
    )
    stage.want(not bodies, f"{bodies} bodies are still there")
    stage.want(len(stage.calls()) == asked, "something was sent after the erasure")
    stage.customers.sent.clear()


@scenario("F-33", "an agent is deleted and made again with the same URL")
def made_again(stage: Stage) -> None:
    stage.expected = SPEECHLESS
    stage.change_agent(patience_s=60)
    stage.agent.behave = lambda event: Reaction(503 if event.is_question else 204)
    names = talk_once(stage, 3)
    stage.wait_for(lambda: len(stage.agent.questions()) >= 3)
    stage.api("DELETE", f"agents/{stage.house.agent_id}/")
    stage.agent.behave = echo
    before = len(stage.agent.seen)
    url = f"{stage.world.agents.url}/{stage.house.agent_name}"
    made = stage.api("POST", "agents/", {"name": "Again", "url": url})
    stage.agent.name, stage.agent.secrets = "again", {"again": made["secret"]}
    time.sleep(4)  # the old deliveries' retries would come now
    old = [one for one in stage.agent.seen[before:] if not one.verified_by]
    stage.want(not old, f"{len(old)} old deliveries reached the new agent")
    stage.agent.seen[before:] = [one for one in stage.agent.seen[before:] if one.verified_by]
    stage.want(with_people(stage, names), "the conversations did not go to people")
    path = f"conversations/{thread_of(stage, names[0])}/assign/"
    stage.api("POST", path, {"assignee": made["member"]})
    stage.say(names[0], 2)
    stage.settle()
    new = [one.key for one in stage.agent.seen[before:] if one.key]
    # It is told what nobody has answered, under ids of its own.
    stage.want(new == [(names[0], 1), (names[0], 2)], f"the new agent got {new}")


@scenario("F-34", "patience runs out while all workers are down", settles=60)
def patience_while_down(stage: Stage) -> None:
    stage.expected = Expectation(to_customer=False)
    stage.change_agent(patience_s=PATIENCE)
    stage.agent.behave = accepts
    names = talk_once(stage, 4)
    stage.wait_for(lambda: len(stage.agent.questions()) == 4)
    stage.settle()
    with stage.killer.no_workers():
        time.sleep(PATIENCE + 3)
        stage.want(not with_people(stage, names), "somebody worked although all workers were down")
    back = time.time()
    stage.want(stage.wait_for(lambda: with_people(stage, names), 30), "people never got them")
    stage.want_quick(time.time() - back, 10, "the way to people after the start")
    stage.settle()
    stage.want(told(stage) == sorted(names), f"the customers were told {len(told(stage))} times")
    lines = stage.database.value(
        "SELECT count(*) FROM conversations_assignment WHERE account_id = %s"
        " AND reason = 'agent_timeout'",
        stage.house.account_id,
    )
    stage.want(lines == len(names), f"{lines} hand-offs for {len(names)} conversations")


@scenario("F-35", "no person online and no team configured")
def nobody_there(stage: Stage) -> None:
    stage.expected = Expectation(to_customer=False)
    stage.change_agent(patience_s=PATIENCE, fallback_team=None)
    stage.database.rows(
        "UPDATE conversations_inbox SET fallback_team_id = NULL WHERE account_id = %s",
        stage.house.account_id,
    )
    stage.agent.behave = accepts
    names = talk_once(stage, 3)
    stage.wait_for(lambda: with_people(stage, names), PATIENCE + 15)
    found = holders(stage)
    nobody = [(kind, team, status) for kind, team, _reason, status, _pk in found.values()]
    stage.want(nobody == [("", None, "open")] * 3, f"the conversations stand as {nobody}")
    waiting = stage.api("GET", "conversations/?status=open&assignee=none&limit=50")["results"]
    threads = {thread_of(stage, name) for name in names}
    shown = {one["id"] for one in waiting}
    stage.want(threads <= shown, "they are not in the queue that people see")
    over = stage.database.over_patience(stage.house.account_id)
    stage.want(not over, f"{len(over)} customers wait for an agent beyond its patience")
