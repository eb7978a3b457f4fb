"""Bringing something once more: what may be, what comes of it, and what stays as it was (DL-80 to DL-83)."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from accounts.models import AuditEntry
from agents import replaying
from agents.services import delivery_failed, settle
from conversations import services
from conversations.errors import (
    ConfirmationNeededError,
    NotHolderError,
    NotReplayableError,
    WindowClosedError,
)
from conversations.messages import Content, Kind
from conversations.models import (
    Address,
    Attempt,
    Conversation,
    Delivery,
    Endpoint,
    Event,
    Lane,
    Message,
    Replay,
)
from conversations.services.replaying import missed
from tests.accounts.test_entry import logged_in
from tests.agents.lane import deliveries
from tests.api import callers, code_of
from tests.factories import make_agent, make_conversation, make_webhook
from tests.integrations.couriers import make_house as make_day_house

State = Delivery.State


@pytest.fixture
def held(house: SimpleNamespace) -> Conversation:
    conversation = make_conversation(house.inbox, "Hello", visitor="same")
    return services.assign(conversation, to=house.agent.member, by=house.owner)


@pytest.fixture
def question(house: SimpleNamespace, held: Conversation) -> Delivery:
    """The customer's message, brought to the agent."""
    assigned, created = deliveries(house.agent)
    ended(assigned)
    return ended(created)


def ended(delivery: Delivery, state: str = State.DELIVERED, **fields: Any) -> Delivery:
    Delivery.objects.filter(pk=delivery.pk).update(
        state=state, attempts=1, finished_at=timezone.now(), **fields
    )
    return Delivery.objects.get(pk=delivery.pk)


def says(delivery: Delivery, text: str) -> str:
    return settle(delivery, status=200, headers={}, body=json.dumps({"reply": text}).encode())


# --- Events --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.DELIVERED, State.DEAD, State.CANCELED])
def test_a_replay_is_a_new_row_at_the_tail_with_the_same_id_and_body(
    house: SimpleNamespace, question: Delivery, state: str
) -> None:
    """DL-80, DL-81: also for what was delivered."""
    ended(question, state)
    before = Delivery.objects.filter(pk=question.pk).values().get()
    last = Lane.objects.get(pk=question.lane_id).last_sequence
    again = replaying.replay(question, by=house.owner)
    assert Delivery.objects.filter(pk=question.pk).values().get() == before
    assert again.pk != question.pk
    assert (again.lane_id, again.sequence) == (question.lane_id, last + 1)
    assert (again.wire_id, again.event_id, again.event_type) == (
        question.wire_id, question.event_id, question.event_type,
    )  # fmt: skip
    assert (again.state, again.attempts, again.replay_of) == (State.PENDING, 0, question)
    assert again.body == question.body
    assert again.body
    entry = AuditEntry.objects.get(action="delivery.replayed")
    assert (entry.member, entry.object_id) == (house.owner, question.public_id)
    assert entry.changes == {"replay": again.public_id}


def test_the_replay_of_a_replay_names_the_first_one(
    house: SimpleNamespace, question: Delivery
) -> None:
    first = ended(replaying.replay(question, by=house.owner), State.DEAD)
    assert replaying.replay(first, by=house.owner).replay_of == question


def test_what_is_on_its_way_again_is_not_put_twice(
    house: SimpleNamespace, question: Delivery
) -> None:
    replaying.replay(question, by=house.owner)
    with pytest.raises(NotReplayableError, match="on its way again"):
        replaying.replay(question, by=house.owner)


def test_what_has_not_ended_is_not_brought_again(
    house: SimpleNamespace, question: Delivery
) -> None:
    for state in Delivery.OPEN_STATES:
        Delivery.objects.filter(pk=question.pk).update(state=state)
        with pytest.raises(NotReplayableError, match="still on its way"):
            replaying.replay(Delivery.objects.get(pk=question.pk), by=house.owner)


@pytest.mark.parametrize("kind", [Lane.Kind.SIGNAL, Lane.Kind.MEDIA, Lane.Kind.INBOUND])
def test_only_events_and_messages_are_brought_again(
    house: SimpleNamespace, question: Delivery, kind: str
) -> None:
    ended(question, kind=kind)
    question.refresh_from_db()
    with pytest.raises(NotReplayableError, match="Only events and messages"):
        replaying.replay(question, by=house.owner)


def test_a_body_that_was_deleted_cannot_be_brought_again(
    house: SimpleNamespace, question: Delivery
) -> None:
    question = ended(question, body_sealed=b"")
    with pytest.raises(NotReplayableError, match="content was deleted"):
        replaying.replay(question, by=house.owner)


@pytest.mark.parametrize("state", [Endpoint.State.DISABLED, Endpoint.State.PAUSED])
def test_nothing_is_put_before_an_address_that_is_off(
    house: SimpleNamespace, question: Delivery, state: str
) -> None:
    Endpoint.objects.update(state=state)
    question = Delivery.objects.get(pk=question.pk)
    with pytest.raises(NotReplayableError, match="switched off"):
        replaying.replay(question, by=house.owner)
    with pytest.raises(NotReplayableError, match="switched off"):
        replaying.start(house.agent.endpoint, by=house.owner)


def test_an_agent_is_not_told_again_of_what_it_no_longer_holds(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    """DL-82, F-25"""
    before = Delivery.objects.count()
    services.take_over(held, by=house.person)
    assert Delivery.objects.count() == before + 1  # the farewell
    with pytest.raises(NotHolderError) as refused:
        replaying.replay(question, by=house.owner)
    assert refused.value.code == "not_assigned"
    other = make_agent(house.account)
    services.assign(held, to=other.member, by=house.owner)
    with pytest.raises(NotHolderError):
        replaying.replay(question, by=house.owner)


def test_an_answer_is_judged_by_who_holds_the_conversation_now(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    """The agent lost it and got it back: what it says to the replay is said under the new epoch."""
    ended(question, State.DEAD)
    services.take_over(held, by=house.person)
    services.give_back(held, by=house.person)
    held.refresh_from_db()
    again = replaying.replay(question, by=house.owner)
    assert question.epoch < again.epoch == held.assignment_epoch
    assert says(again, "Here I am") == "ok"
    assert Message.objects.get(direction="outbound").text == "Here I am"


def test_an_answer_to_the_replay_of_what_was_answered_is_not_said_again(
    house: SimpleNamespace, question: Delivery
) -> None:
    """DL-37: one wire id has one answer, whichever row brought it."""
    assert says(question, "Hi") == "ok"
    again = replaying.replay(Delivery.objects.get(pk=question.pk), by=house.owner)
    assert says(again, "Hi again") == "answered before"
    assert Message.objects.filter(direction="outbound").count() == 1


def test_the_second_of_two_replays_is_not_answered_again_either(
    house: SimpleNamespace, question: Delivery
) -> None:
    first = replaying.replay(question, by=house.owner)
    assert says(first, "Hi") == "ok"
    second = replaying.replay(ended(first), by=house.owner)
    assert says(second, "Hi again") == "answered before"


def test_a_replay_that_fails_takes_nothing_from_the_agent(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    """Nobody waits for it, so nobody is given to people because of it."""
    again = replaying.replay(question, by=house.owner)
    delivery_failed(ended(again, State.DEAD), reason="agent_unreachable")
    held.refresh_from_db()
    assert held.assignee == house.agent.member
    delivery_failed(ended(question, State.DEAD), reason="agent_unreachable")
    held.refresh_from_db()
    assert held.assignee is None


def test_a_subscriber_is_told_again_whoever_holds_the_conversation(
    house: SimpleNamespace, question: Delivery, held: Conversation
) -> None:
    subscriber = Endpoint.objects.create(
        kind=Endpoint.Kind.SUBSCRIBER, dialect="native", url="https://example.test/"
    )
    services.take_over(held, by=house.person)
    told = _told(subscriber, held, question)
    again = replaying.replay(told, by=house.owner)
    assert (again.kind, again.schedule, again.deadline_at) == ("subscriber", "durable", None)
    assert again.lane.key == held.public_id


def _told(endpoint: Endpoint, conversation: Conversation, like: Delivery) -> Delivery:
    """A subscriber's delivery that was parked on a lane of its own, and died there (DL-23)."""
    lane = Lane.objects.create(
        kind=Lane.Kind.SUBSCRIBER, destination_id=endpoint.pk, key=f"{conversation.public_id}:9"
    )
    delivery = Delivery(
        lane=lane, kind=lane.kind, schedule="durable", wire_id="evt_x-y", event_type="x",
        endpoint=endpoint, conversation=conversation, sequence=1, state=State.DEAD, parked=True,
        due_at=timezone.now(),
    )  # fmt: skip
    delivery.body = like.body
    delivery.save()
    return delivery


# --- Messages ------------------------------------------------------------------------------------


@pytest.fixture
def refused(house: SimpleNamespace, held: Conversation) -> Delivery:
    """A message that the channel did not take."""
    message = services.post_message(held, content=Content(text="Sorry"), author=house.agent.member)
    Message.objects.filter(pk=message.pk).update(
        status="failed", error_code="500", error_text="down"
    )
    return ended(Delivery.objects.get(message=message), State.DEAD, dead_reason="transient: down")


def test_a_message_is_queued_again_where_everybody_sees_it(
    house: SimpleNamespace, refused: Delivery
) -> None:
    """DL-82"""
    again = replaying.replay(refused, by=house.owner)
    message = refused.message
    assert message is not None
    message.refresh_from_db()
    assert (message.status, message.error_code, message.error_text) == ("queued", "", "")
    assert not message.possible_duplicate
    assert (again.kind, again.wire_id, again.part) == ("send", refused.wire_id, 0)
    assert (again.replay_of, again.message, again.lane_id) == (refused, message, refused.lane_id)
    assert again.deadline_at
    event = Event.objects.filter(type="message.status").latest("sequence")
    assert event.data["status"] == "queued"


@pytest.mark.parametrize("state", [State.DELIVERED, State.CANCELED, State.HELD])
def test_only_a_message_that_was_given_up_is_sent_again(
    house: SimpleNamespace, refused: Delivery, state: str
) -> None:
    """DL-82"""
    with pytest.raises(NotReplayableError):
        replaying.replay(ended(refused, state), by=house.owner)


def test_a_message_is_not_sent_again_outside_the_reply_window(
    house: SimpleNamespace,
) -> None:
    """DL-82"""
    paper = make_day_house(platform="daypaper")
    with paper.inside():
        conversation = paper.talk()
        message = services.post_message(
            conversation, content=Content(text="x"), author=paper.agent.member
        )
        delivery = ended(Delivery.objects.get(message=message), State.DEAD)
        Address.objects.update(last_inbound_at=timezone.now() - timedelta(hours=25))
        with pytest.raises(WindowClosedError):
            replaying.replay(delivery, by=None)
        Message.objects.filter(pk=message.pk).update(kind=Kind.TEMPLATE)
        assert replaying.replay(Delivery.objects.get(pk=delivery.pk), by=None)


@pytest.mark.parametrize("how", ["attempt", "lost", "marked"])
def test_a_message_that_may_have_arrived_is_sent_again_only_when_somebody_says_so(
    house: SimpleNamespace, refused: Delivery, how: str
) -> None:
    """DL-82, DL-43"""
    if how == "marked":
        Delivery.objects.filter(pk=refused.pk).update(possible_duplicate=True)
    else:
        outcome = {"attempt": "ambiguous", "lost": "worker_lost"}[how]
        Attempt.objects.create(delivery=refused, n=1, started_at=timezone.now(), outcome=outcome)
    with pytest.raises(ConfirmationNeededError):
        replaying.replay(refused, by=house.owner)
    assert Delivery.objects.filter(replay_of=refused).count() == 0
    again = replaying.replay(refused, by=house.owner, confirm=True)
    assert again.possible_duplicate
    assert Message.objects.get(pk=refused.message_id or 0).possible_duplicate
    # And so is the next one, although nothing but the first was doubtful.
    with pytest.raises(ConfirmationNeededError):
        replaying.replay(ended(again, State.DEAD), by=house.owner)


def test_a_message_that_went_out_by_a_later_try_is_not_sent_again(
    house: SimpleNamespace, refused: Delivery
) -> None:
    again = replaying.replay(refused, by=house.owner)
    for state in (State.PENDING, State.DELIVERED):
        Delivery.objects.filter(pk=again.pk).update(state=state)
        with pytest.raises(NotReplayableError, match="sent again already"):
            replaying.replay(refused, by=house.owner)
    ended(again, State.DEAD)
    assert replaying.replay(refused, by=house.owner).state == State.PENDING


def test_the_parts_that_were_never_tried_follow_the_one_that_failed(
    house: SimpleNamespace, refused: Delivery
) -> None:
    parts = [refused]
    for number in (1, 2):
        part = Delivery.objects.get(pk=refused.pk)
        part.pk, part.part, part.wire_id = None, number, f"{refused.wire_id[:-1]}{number}"
        part.sequence, part.state = refused.sequence + number, State.CANCELED
        part.save(force_insert=True)
        parts.append(part)
    Lane.objects.filter(pk=refused.lane_id).update(last_sequence=F("last_sequence") + 2)
    replaying.replay(refused, by=house.owner)
    again = Delivery.objects.filter(replay_of__in=parts).order_by("sequence")
    assert [(one.part, one.replay_of_id) for one in again] == [
        (part.part, part.pk) for part in parts
    ]


# --- REST ----------------------------------------------------------------------------------------


@pytest.fixture
def api(house: SimpleNamespace) -> SimpleNamespace:
    found = callers(house)
    found.house = house
    return found


def test_one_delivery_is_replayed_over_rest(api: SimpleNamespace) -> None:
    """DL-80"""
    conversation = make_conversation(api.house.inbox, "Hello")
    services.assign(conversation, to=api.house.agent.member, by=api.house.owner)
    question = ended(deliveries(api.house.agent)[1])
    for name in ("supervisor", "person", "agent"):
        path = f"/v1/deliveries/{question.public_id}/replay/"
        assert getattr(api, name).post(path).status_code == 403
    answer = api.admin.post(f"/v1/deliveries/{question.public_id}/replay/")
    assert answer.status_code == 201
    body = answer.json()
    assert (body["replay_of"], body["state"]) == (question.public_id, "pending")
    assert body["wire_id"] == question.wire_id
    again = api.admin.post(f"/v1/deliveries/{question.public_id}/replay/")
    assert (again.status_code, code_of(again)) == (409, "not_replayable")
    Delivery.objects.filter(replay_of=question).update(state="dead")
    services.take_over(conversation, by=api.house.person)
    lost = api.admin.post(f"/v1/deliveries/{question.public_id}/replay/")
    assert (lost.status_code, code_of(lost)) == (409, "not_assigned")
    entry = AuditEntry.objects.get(action="delivery.replayed")
    assert entry.actor_kind == "token"


def test_a_doubtful_message_wants_a_confirmation_over_rest(
    api: SimpleNamespace,
) -> None:
    """DL-82"""
    conversation = make_conversation(api.house.inbox, "Hello")
    message = services.post_message(
        conversation, content=Content(text="Sorry"), author=api.house.person
    )
    delivery = ended(Delivery.objects.get(message=message), State.DEAD, possible_duplicate=True)
    path = f"/v1/deliveries/{delivery.public_id}/replay/"
    asked = api.owner.post(path)
    assert (asked.status_code, code_of(asked)) == (409, "confirmation_needed")
    assert api.owner.post(path, {"confirm": True}).status_code == 201


def test_a_bulk_replay_is_started_watched_and_canceled_over_rest(
    api: SimpleNamespace,
) -> None:
    """DL-80"""
    endpoint = api.house.agent.endpoint
    for number in range(3):
        conversation = make_conversation(api.house.inbox, "Hello", visitor=f"v{number}")
        services.assign(conversation, to=api.house.agent.member, by=api.house.owner)
    Delivery.objects.filter(kind="agent").update(state="dead", finished_at=timezone.now())
    path = f"/v1/endpoints/{endpoint.public_id}/replay/"
    assert api.supervisor.post(path).status_code == 403
    for wrong in ({"limit": 10_001}, {"state": "pending"}, {"nonsense": 1}, {"since": "never"}):
        assert api.owner.post(path, wrong).status_code == 400
    wanted = {"state": "dead", "event_types": ["message.created"], "limit": 2}
    begun = api.owner.post(path, wanted)
    assert begun.status_code == 202
    job = begun.json()
    assert (job["state"], job["total"], job["put"], job["limit"]) == ("running", 2, 0, 2)
    assert job["endpoint"] == endpoint.public_id
    second = api.owner.post(path)
    assert (second.status_code, code_of(second)) == (409, "not_replayable")
    where = f"/v1/replays/{job['id']}/"
    assert api.supervisor.get(where).json() == job
    assert api.supervisor.get("/v1/replays/", endpoint=endpoint.public_id).json()["results"] == [
        job
    ]
    assert api.supervisor.post(f"{where}cancel/").status_code == 403
    assert api.owner.post(f"{where}cancel/").json()["state"] == "canceled"
    actions = AuditEntry.objects.filter(action__startswith="replay.").order_by("pk")
    assert [entry.action for entry in actions] == ["replay.started", "replay.canceled"]


# --- Many ----------------------------------------------------------------------------------------


@pytest.fixture
def unheard(house: SimpleNamespace) -> list[Delivery]:
    """Four conversations of which the agent heard nothing."""
    for number in range(4):
        conversation = make_conversation(house.inbox, "Hello", visitor=f"v{number}")
        services.assign(conversation, to=house.agent.member, by=house.owner)
    Delivery.objects.filter(kind="agent").update(state=State.DEAD, finished_at=timezone.now())
    return deliveries(house.agent)


def replayed() -> list[int | None]:
    rows = Delivery.objects.filter(replay_of__isnull=False).order_by("pk")
    return list(rows.values_list("replay_of_id", flat=True))


def test_a_bulk_replay_never_has_more_under_way_than_its_share(
    house: SimpleNamespace, unheard: list[Delivery]
) -> None:
    """DL-81: a fifth of what the endpoint takes at once."""
    Endpoint.objects.update(max_in_flight=15)
    job = replaying.start(house.agent.endpoint, by=house.owner)
    assert job.total == 8
    assert replaying.step(job.pk)
    assert len(replayed()) == 3
    assert replaying.step(job.pk)
    assert len(replayed()) == 3
    Delivery.objects.filter(replay_of__isnull=False).update(state=State.DELIVERED)
    assert replaying.step(job.pk)
    assert len(replayed()) == 6
    Endpoint.objects.update(in_flight_limit=5)  # it asked us to slow down (DL-32)
    Delivery.objects.filter(replay_of__isnull=False).update(state=State.DELIVERED)
    assert replaying.step(job.pk)
    assert len(replayed()) == 7
    Endpoint.objects.update(breaker=Endpoint.Breaker.OPEN)
    Delivery.objects.filter(replay_of__isnull=False).update(state=State.DELIVERED)
    assert replaying.step(job.pk)
    assert len(replayed()) == 7
    Endpoint.objects.update(breaker=Endpoint.Breaker.CLOSED, in_flight_limit=None)
    assert not replaying.step(job.pk)
    job.refresh_from_db()
    assert (job.state, job.put, job.skipped) == (Replay.State.DONE, 8, 0)
    assert replayed() == sorted(one.pk for one in unheard)
    assert not replaying.step(job.pk)


@pytest.mark.parametrize("slots", [20, 4])
def test_dl_81_dl_90_bulk_replays_of_an_account_keep_within_a_fifth_of_its_slots(
    house: SimpleNamespace, unheard: list[Delivery], settings: Any, slots: int
) -> None:
    """However many addresses they go to, and however much each of these bears."""
    settings.COURIER_HTTP_SLOTS = slots
    other = make_agent(house.account)
    Delivery.objects.filter(pk__in=[one.pk for one in unheard[:4]]).update(endpoint=other.endpoint)
    for conversation in Conversation.objects.filter(deliveries__in=unheard[:4]):
        Conversation.objects.filter(pk=conversation.pk).update(assignee=other.member)
    jobs = [replaying.start(one, by=house.owner) for one in (house.agent.endpoint, other.endpoint)]
    share = max(1, slots // 10)
    for _ in range(2):
        assert [replaying.step(job.pk) for job in jobs] == [True, True]
        assert len(replayed()) == share
    Delivery.objects.filter(replay_of__isnull=False).update(state=State.DELIVERED)
    assert replaying.step(jobs[1].pk)
    assert len(replayed()) == 2 * share


@pytest.mark.parametrize("waits", ["breaker", "retry"])
def test_dl_81_replays_to_an_address_that_does_not_answer_hold_up_no_other(
    house: SimpleNamespace, unheard: list[Delivery], settings: Any, waits: str
) -> None:
    settings.COURIER_HTTP_SLOTS = 4  # one replay at once in the whole account
    dead = make_agent(house.account)
    first = Conversation.objects.filter(pk=unheard[0].conversation_id)
    first.update(assignee=dead.member)
    Delivery.objects.filter(conversation__in=first).update(endpoint=dead.endpoint)
    jobs = [replaying.start(one, by=house.owner) for one in (dead.endpoint, house.agent.endpoint)]
    replaying.step(jobs[0].pk)
    assert replayed() == [unheard[0].pk]
    assert replaying.step(jobs[1].pk)
    assert len(replayed()) == 1
    if waits == "breaker":
        Endpoint.objects.filter(pk=dead.endpoint_id).update(breaker=Endpoint.Breaker.OPEN)
    else:
        later = timezone.now() + timedelta(hours=5)
        Delivery.objects.filter(replay_of=unheard[0]).update(state=State.RETRY_WAIT, due_at=later)
    assert replaying.step(jobs[1].pk)
    assert len(replayed()) == 2


def test_what_cannot_be_brought_again_is_skipped_and_counted(
    house: SimpleNamespace, unheard: list[Delivery]
) -> None:
    lost = Conversation.objects.order_by("pk")[0]
    services.take_over(lost, by=house.person)
    Delivery.objects.filter(pk=unheard[-1].pk).update(body_sealed=b"")
    job = replaying.start(house.agent.endpoint, by=house.owner)
    assert not replaying.step(job.pk)
    job.refresh_from_db()
    assert (job.total, job.put, job.skipped) == (8, 5, 3)
    assert job.finished_at


def test_what_a_replay_has_brought_is_not_missed_any_more(
    house: SimpleNamespace, unheard: list[Delivery]
) -> None:
    endpoint = house.agent.endpoint
    first, second, third, *_ = unheard
    ended(first, State.CANCELED, dead_reason="not_assigned")
    ended(second, State.CANCELED, dead_reason="its endpoint answered 410 Gone")
    ended(replaying.replay(third, by=None), State.DELIVERED)
    assert list(missed(endpoint.pk)) == [one for one in unheard if one not in (first, third)]
    dead = replaying.start(endpoint, by=None, state="dead")
    assert dead.total == 5
    replaying.cancel(dead, by=None)
    delivered = replaying.start(endpoint, by=None, state="delivered")
    assert (delivered.total, delivered.state) == (0, Replay.State.DONE)


def test_a_bulk_replay_takes_what_was_asked_for(
    house: SimpleNamespace, unheard: list[Delivery]
) -> None:
    now = timezone.now()
    for number, one in enumerate(unheard):
        made = now - timedelta(hours=len(unheard) - number)
        Delivery.objects.filter(pk=one.pk).update(created_at=made)
    oldest = sorted(unheard, key=lambda one: one.pk)
    job = replaying.start(
        house.agent.endpoint,
        by=None,
        event_types=["message.created"],
        most=2,
        since=now - timedelta(hours=6.5),
        until=now - timedelta(hours=1.5),
    )
    assert not replaying.step(job.pk)
    assert replayed() == [oldest[3].pk, oldest[5].pk]


def test_a_canceled_bulk_replay_puts_nothing_more(
    house: SimpleNamespace, unheard: list[Delivery]
) -> None:
    Endpoint.objects.update(max_in_flight=5)
    job = replaying.start(house.agent.endpoint, by=house.owner)
    assert replaying.step(job.pk)
    job = replaying.cancel(job, by=house.owner)
    assert (job.state, job.put) == (Replay.State.CANCELED, 1)
    assert not replaying.step(job.pk)
    assert len(replayed()) == 1
    assert replaying.cancel(job, by=house.owner).finished_at == job.finished_at
    assert AuditEntry.objects.filter(action="replay.canceled").count() == 1


def test_a_bulk_replay_ends_when_its_address_is_switched_off(
    house: SimpleNamespace, unheard: list[Delivery]
) -> None:
    job = replaying.start(house.agent.endpoint, by=house.owner)
    Endpoint.objects.update(state=Endpoint.State.PAUSED)
    assert replaying.step(job.pk)
    Endpoint.objects.update(state=Endpoint.State.DISABLED)
    assert not replaying.step(job.pk)
    job.refresh_from_db()
    assert (job.state, job.put) == (Replay.State.CANCELED, 0)


# --- Pages ---------------------------------------------------------------------------------------


def test_the_page_of_a_delivery_sends_it_again_and_links_both_ways(
    house: SimpleNamespace, question: Delivery
) -> None:
    client = logged_in(house.admin)
    page = f"/deliveries/{question.public_id}/"
    assert f"{page}replay/" in client.get(page).content.decode()
    answer = client.post(f"{page}replay/", follow=True)
    again = Delivery.objects.get(replay_of=question)
    assert answer.redirect_chain[-1][0] == f"/deliveries/{again.public_id}/"
    assert "on its way again" in answer.content.decode()
    assert f'href="{page}"' in answer.content.decode()
    original = client.get(page).content.decode()
    assert f'href="/deliveries/{again.public_id}/"' in original
    refused = client.post(f"{page}replay/", follow=True).content.decode()
    assert "on its way again already" in refused
    assert f"{page}replay/" not in logged_in(house.supervisor).get(page).content.decode()


def test_the_page_of_a_doubtful_message_asks_before_it_sends_a_second_copy(
    house: SimpleNamespace, refused: Delivery
) -> None:
    """DL-82"""
    client, page = logged_in(house.owner), f"/deliveries/{refused.public_id}/"
    assert 'name="confirm"' not in client.get(page).content.decode()
    Delivery.objects.filter(pk=refused.pk).update(possible_duplicate=True)
    shown = client.get(page).content.decode()
    assert 'name="confirm"' in shown
    assert "the customer gets it a second time" in shown
    client.post(f"{page}replay/")
    assert replayed() == []
    client.post(f"{page}replay/", {"confirm": "1"})
    assert replayed() == [refused.pk]


def test_what_an_address_did_not_get_is_replayed_from_the_list(
    house: SimpleNamespace, unheard: list[Delivery]
) -> None:
    client, endpoint = logged_in(house.admin), house.agent.endpoint.public_id
    page = f"/deliveries/?endpoint={endpoint}&state=dead"
    shown = client.get(page).content.decode()
    assert "8 events were given up" in shown
    assert "/deliveries/replay/" in shown
    assert "/deliveries/replay/" not in client.get("/deliveries/?state=dead").content.decode()
    supervisor = logged_in(house.supervisor)
    assert "/deliveries/replay/" not in supervisor.get(page).content.decode()
    answer = client.post(
        "/deliveries/replay/", {"endpoint": endpoint, "state": "dead"}, follow=True
    )
    job = Replay.objects.get()
    assert (job.filters["state"], job.total) == ("dead", 8)
    assert "0 of 8" in answer.content.decode()
    assert answer.redirect_chain[-1][0] == f"{page}&replay={job.public_id}"  # still filtered
    replaying.step(job.pk)
    line = supervisor.get(f"/replays/{job.public_id}/", headers={"hx-request": "true"})
    assert "8 events were sent again." in line.content.decode()
    assert "<html" not in line.content.decode()
    Replay.objects.update(state="running")
    assert "8 of 8" in client.get(page).content.decode()
    answer = client.post(f"/replays/{job.public_id}/cancel/", follow=True)
    assert answer.redirect_chain[-1][0] == f"{page}&replay={job.public_id}"
    job.refresh_from_db()
    assert job.state == Replay.State.CANCELED
    given = {"endpoint": endpoint, "state": "dead"}
    nothing = client.post("/deliveries/replay/", given, follow=True)
    assert nothing.redirect_chain[-1][0] == page
    assert "There is nothing to send again." in nothing.content.decode()
    assert Replay.objects.filter(total=0, state=Replay.State.DONE).count() == 1
    Endpoint.objects.update(state="disabled")
    refusal = client.post("/deliveries/replay/", given, follow=True)
    assert refusal.redirect_chain[-1][0] == page
    assert "switched off" in refusal.content.decode()


def test_dl_81_the_offer_to_replay_names_agents_only_where_one_is_meant(
    house: SimpleNamespace, unheard: list[Delivery]
) -> None:
    client, webhook = logged_in(house.admin), make_webhook(house.account)
    _told(webhook, make_conversation(house.inbox), unheard[0])
    assert Delivery.objects.filter(endpoint=webhook, state=State.DEAD).exists()
    for endpoint, said in ((house.agent.endpoint, True), (webhook, False)):
        shown = client.get(f"/deliveries/?endpoint={endpoint.public_id}&state=dead")
        assert "Replay these" in shown.content.decode()
        assert ("What the agent no longer holds" in shown.content.decode()) is said


def test_an_address_that_is_switched_on_again_offers_what_it_missed(
    house: SimpleNamespace, unheard: list[Delivery]
) -> None:
    """DL-68: nothing old is sent by itself."""
    Endpoint.objects.filter(pk=house.agent.endpoint_id).update(state="disabled")
    client, page = logged_in(house.owner), f"/agents/{house.agent.public_id}/"
    answer = client.post(f"{page}enable/", follow=True).content.decode()
    assert "Replay 8 missed" in answer
    assert replayed() == []
    assert "Replay 8 missed" not in client.get(page).content.decode()
