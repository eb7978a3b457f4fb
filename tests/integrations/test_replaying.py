"""Replays on their way: over a real courier and real sockets (delivery.md 9)."""

from __future__ import annotations

import json
import time

import pytest
from django.utils import timezone
from standardwebhooks import Webhook

from agents import replaying
from agents.services import rotate_secret
from conversations import services
from conversations.messages import Content
from conversations.models import Delivery, Endpoint, Lane, Message, Replay
from tests.integrations.couriers import Reply, Server, courier, make_house, says, takes, wait_for

pytestmark = pytest.mark.usefixtures("clean_database")

State = Delivery.State


def unheard(house, n):
    """So many conversations of the agent of which it heard nothing."""
    for number in range(n):
        house.talk(f"v{number}")
    with house.inside():
        Delivery.objects.filter(kind="agent").update(state=State.DEAD, finished_at=timezone.now())
        Lane.objects.filter(kind="agent").update(due_at=None)
        return list(Delivery.objects.filter(kind="agent").order_by("pk"))


def job_of(house):
    with house.inside():
        return Replay.objects.get()


def open_replays():
    return Delivery.all_accounts.filter(
        replay_of__isnull=False, state__in=Delivery.OPEN_STATES
    ).count()


def test_dl_81_a_replay_goes_out_signed_anew_to_the_present_address():
    with Server(lambda request: Reply(500)) as before, Server(lambda request: Reply()) as now:
        house = make_house(before.url)
        first = unheard(house, 1)[0]
        with house.inside():
            Endpoint.objects.update(url=now.url)
            secret = rotate_secret(house.agent, by=None)
            again = replaying.replay(first, by=None)
        with courier():
            wait_for(lambda: now.requests)
            wait_for(lambda: not open_replays())
    assert before.requests == []
    (request,) = now.requests
    assert request.headers["X-Switchboard-Replay"] == "1"
    assert request.headers["webhook-id"] == first.wire_id
    assert request.headers["X-Switchboard-Attempt"] == "1"
    assert request.body == first.body
    assert Webhook(secret).verify(request.body, request.headers)
    with house.inside():
        again.refresh_from_db()
        assert again.state == State.DELIVERED


def test_dl_82_a_message_that_was_given_up_reaches_the_customer():
    with Server(takes) as channel:
        house = make_house(channel_url="http://127.0.0.1:9/")
        conversation = house.talk()
        with house.inside():
            message = services.post_message(
                conversation, content=Content(text="Hi"), author=house.agent.member
            )
            send = Delivery.objects.get(message=message)
            Delivery.objects.filter(pk=send.pk).update(state=State.DEAD)
            Message.objects.filter(pk=message.pk).update(status="failed")
            house.inbox.config = {"api": channel.url}
            house.inbox.save()
            send.refresh_from_db()
            again = replaying.replay(send, by=None)
        with courier():
            wait_for(lambda: [r for r in channel.requests if r.path == "/send"])
            wait_for(lambda: not Delivery.all_accounts.filter(
                kind="send", state__in=Delivery.OPEN_STATES
            ).exists())  # fmt: skip
    with house.inside():
        message.refresh_from_db()
        again.refresh_from_db()
    assert (message.status, again.state) == ("sent", State.DELIVERED)
    sent = [r.json for r in channel.requests if r.path == "/send"]
    assert [one["reference"] for one in sent] == [f"{message.public_id}-0"]


def test_dl_81_a_bulk_replay_takes_its_share_and_new_events_do_not_wait_for_it():
    with Server(lambda request: Reply(after=0.3)) as agent:
        house = make_house(agent.url)
        unheard(house, 6)
        with house.inside():
            Endpoint.objects.update(max_in_flight=10)
            replaying.start(house.agent.endpoint, by=None)
        most = 0
        with courier():
            wait_for(lambda: agent.requests)
            began = time.time()
            house.talk("somebody new")

            def is_done():
                nonlocal most
                most = max(most, open_replays())
                return job_of(house).state == Replay.State.DONE and not open_replays()

            wait_for(is_done, 25)
    fresh = [r for r in agent.requests if "X-Switchboard-Replay" not in r.headers]
    assert most == 2
    job = job_of(house)
    assert (job.put, job.skipped, job.total) == (12, 0, 12)
    assert len(agent.requests) == 12 + len(fresh)
    assert len(fresh) == 2
    assert fresh[0].at - began < 1
    wire_ids = [r.headers["webhook-id"] for r in agent.requests]
    assert len(set(wire_ids)) == len(wire_ids)
    assert not Lane.all_accounts.filter(kind=Lane.Kind.REPLAY, due_at__isnull=False).exists()


def test_dl_81_a_bulk_replay_goes_on_where_a_dead_courier_left_it():
    """Half done by one that died without giving its lane back; nothing is put twice or left out."""
    with Server(lambda request: Reply()) as agent:
        house = make_house(agent.url)
        first = unheard(house, 4)
        with house.inside():
            Endpoint.objects.update(max_in_flight=15)
            job = replaying.start(house.agent.endpoint, by=None)
            assert replaying.step(job.pk)
            Lane.objects.filter(kind=Lane.Kind.REPLAY).update(
                lease_token="6a1f0d52-8a35-4a0f-8b0e-3d8c6f0b7d11",
                lease_until=timezone.now(),
                courier_id=12345,
                due_at=None,
            )
        with courier():
            wait_for(lambda: job_of(house).state == Replay.State.DONE, 20)
            wait_for(lambda: not open_replays())
    assert (job_of(house).put, job_of(house).skipped) == (8, 0)
    assert sorted(r.headers["webhook-id"] for r in agent.requests) == sorted(
        one.wire_id for one in first
    )


def test_what_an_agent_says_to_a_replay_reaches_the_customer():
    def answers_messages(request):
        asked = request.headers["X-Switchboard-Event"] == "message.created"
        return Reply(body=says("Hi") if asked else b"")

    with Server(answers_messages) as agent, Server(takes) as channel:
        house = make_house(agent.url, channel.url)
        unheard(house, 1)
        with house.inside():
            replaying.start(house.agent.endpoint, by=None)
        with courier():
            wait_for(lambda: [r for r in channel.requests if r.path == "/send"])
            wait_for(lambda: job_of(house).state == Replay.State.DONE)
    with house.inside():
        assert Message.objects.get(direction="outbound").text == "Hi"
    assert json.loads(agent.requests[0].body)["type"] == "conversation.assigned"
