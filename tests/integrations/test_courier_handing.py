"""What a courier's own threads put on lanes, it takes up without a bell; courtesies it gives without a lane."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import contextmanager
from threading import Timer

import psycopg
import pytest
import time_machine
from django.db import connection, transaction
from django.utils import timezone

from accounts.tenancy import account_context
from conversations import services
from conversations.channels import InboxConfig
from conversations.models import Conversation, Delivery, Endpoint, Lane, Message
from conversations.services import carrying, outbox
from conversations.services.carrying import Courtesy
from conversations.services.courtesies import acknowledge
from conversations.services.outbox import DOORBELL
from integrations.courier.component import SWEEP_SECONDS
from integrations.courier.courtesies import may_give
from tests import factories
from tests.integrations.couriers import Reply, Server, courier, make_house, says, takes, wait_for
from tests.integrations.test_courier_reading import bring, house

__all__ = ["house"]

pytestmark = pytest.mark.usefixtures("clean_database")

State = Delivery.State
INBOX = InboxConfig(id=1, account_id=1, platform="paper", credentials={}, config={})


class Notebook:
    """A carrier that writes down what it is told."""

    def __init__(self, has_room=True):
        self.has_room, self.lanes, self.courtesies = has_room, [], []

    def take_up(self, lanes):
        self.lanes += lanes

    def give(self, courtesies):
        self.courtesies += courtesies


@contextmanager
def carried_by(carrier):
    """What this thread puts on lanes is the carrier's, until the block ends."""
    token = carrying._carrier.set(carrier)
    try:
        yield carrier
    finally:
        carrying._carrier.reset(token)


@contextmanager
def bells(server_url):
    """A function that gives the kinds of lanes for which the bell has rung since it was last asked."""
    with beside(server_url) as listening:
        listening.execute(f"LISTEN {DOORBELL}")
        yield lambda: [bell.payload for bell in listening.notifies(timeout=0.2)]


def put(house, key="test"):
    place = outbox.take_place(
        account_id=house.account.pk,
        kind=Lane.Kind.AGENT,
        destination_id=house.agent.endpoint_id,
        key=key,
    )
    return outbox.put(
        place,
        kind=Lane.Kind.AGENT,
        schedule=Delivery.Schedule.LIVE,
        wire_id=f"evt_{key}-{place.sequence}",
        event_type="test.event",
        endpoint=house.agent.endpoint,
        body=b"{}",
    )


def test_an_answer_and_its_send_go_on_without_a_bell(server_url):
    with Server(takes) as channel, Server(lambda request: Reply(body=says("hello"))) as agent:
        house = make_house(agent.url, channel.url)
        house.talk()
        with courier() as one, bells(server_url) as rung:
            wait_for(lambda: one.handed.has_room)
            with house.inside():
                services.receive(house.inbox, factories.said("hi", visitor="ana"))
            assert set(rung()) == {"agent", "signal"}  # by this process, where nobody carries
            wait_for(lambda: "hello" in sent(house))  # to `talk`, and soon to this
            assert rung() == []


def sent(house):
    with house.inside():
        said = Message.objects.filter(direction="outbound", status="sent")
        return list(said.values_list("text", flat=True))


def test_the_bell_is_silent_where_a_carrier_has_room_and_rings_where_it_has_none(server_url):
    house = make_house()
    with bells(server_url) as rung:
        with carried_by(Notebook(has_room=False)) as full, house.inside():
            put(house)
        assert (rung(), full.lanes) == (["agent"], [])
        with carried_by(Notebook()) as carrier, house.inside():
            delivery = put(house)
            assert carrier.lanes == []  # nothing is said before the commit
        assert rung() == []
    [waiting] = carrier.lanes
    assert waiting == (delivery.lane_id, house.account.pk, "agent", house.agent.endpoint_id)


def test_what_is_rolled_back_is_handed_to_nobody():
    house = make_house()
    with carried_by(Notebook()) as carrier, house.inside():
        put(house)
        transaction.set_rollback(True)
    assert carrier.lanes == []


def test_f_06_what_its_carrier_never_took_up_is_found_by_the_sweep():
    with Server(lambda request: Reply()) as agent:
        house = make_house(agent.url)
        with courier() as one:
            wait_for(lambda: one.handed.has_room)
            with carried_by(Notebook()), house.inside():  # which dies with what it was told
                delivery = put(house)
            wait_for(lambda: state_of(delivery) == State.DELIVERED)


def test_f_06_what_its_courier_could_not_claim_waits_for_no_sweep(server_url):
    with Server(lambda request: Reply()) as agent:
        house = make_house(agent.url)
        with courier() as one, beside(server_url) as server:
            just_swept(one)
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'switchboard courier lanes'"
            )
            with carried_by(one.handed), house.inside():
                delivery = put(house)
            wait_for(lambda: state_of(delivery) == State.DELIVERED, seconds=SWEEP_SECONDS / 2)


def test_dl_52_what_is_being_claimed_when_its_courier_is_stopped_is_done_before_it_ends(server_url):
    with Server(lambda request: Reply()) as agent:
        house = make_house(agent.url)
        with beside(server_url) as server, courier() as one:
            just_swept(one)
            with carried_by(Notebook()) as told, house.inside():
                delivery = put(house)
            server.execute("BEGIN")
            server.execute("LOCK TABLE conversations_lane IN EXCLUSIVE MODE")
            Timer(0.8, server.execute, ["COMMIT"]).start()
            one.handed.take_up(told.lanes)
            wait_for(claims_under_way)
    assert state_of(delivery) == State.DELIVERED


def test_f_30_who_finds_its_clock_wrong_keeps_nothing_from_the_others():
    with courier() as one:
        wait_for(lambda: one.handed.has_room)
        with time_machine.travel(time.time() + 3600):
            wait_for(lambda: not one.handed.has_room)


@contextmanager
def beside(server_url):
    """A connection that is nobody's."""
    url = psycopg.conninfo.make_conninfo(server_url, dbname=connection.settings_dict["NAME"])
    with psycopg.connect(url, autocommit=True) as server:
        yield server


def just_swept(one):
    """Everything has been looked through a moment ago, so that the next sweep is far."""
    wait_for(lambda: one.handed.has_room)
    outbox.ring()
    time.sleep(0.2)


def claims_under_way():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND application_name = 'switchboard courier lanes'"
        )
        return cursor.fetchone()[0]


def state_of(delivery):
    return Delivery.all_accounts.values_list("state", flat=True).get(pk=delivery.pk)


def test_dl_90_where_places_are_counted_everything_is_shared_out_as_before():
    with Server(takes) as channel, Server(lambda r: Reply(body=says("ok"), after=0.1)) as agent:
        house = make_house(agent.url, channel.url)
        with house.inside():
            Endpoint.objects.filter(pk=house.agent.endpoint_id).update(max_in_flight=1)
        visitors = [f"v{n}" for n in range(6)]
        for visitor in visitors:
            house.talk(visitor)
        with courier():
            for visitor in visitors:
                with house.inside():
                    services.receive(house.inbox, factories.said("hi", visitor=visitor))
            wait_for(lambda: len(sent(house)) == 6)
        assert agent.most_at_once == 1


def test_dl_90_an_endpoint_whose_places_are_counted_takes_nobody_elses_short_way():
    with Server(takes) as channel, Server(lambda r: Reply(body=says("ok"))) as agent:
        counted, free = make_house(agent.url, channel.url), make_house(agent.url, channel.url)
        with counted.inside():
            Endpoint.objects.filter(pk=counted.agent.endpoint_id).update(max_in_flight=1)
        with courier() as one:
            for house in (counted, free):
                house.talk()
                with house.inside():
                    services.receive(house.inbox, factories.said("hi", visitor="ana"))
            wait_for(lambda: sent(counted) and sent(free))
            wait_for(lambda: one.gate.limits(1) and one.handed.has_room)


def test_dl_20_an_agent_is_not_called_twice_at_once_when_the_server_has_lost_the_first_start():
    with Server(lambda request: Reply(after=0.5)) as agent:
        house = make_house(agent.url)
        with courier():
            with house.inside():
                delivery = put(house)
            wait_for(lambda: agent.requests)
            forget(delivery)
            wait_for(lambda: state_of(delivery) == State.DELIVERED)
    assert agent.most_at_once == 1
    assert len(agent.requests) == 2  # under one id, as after any crash


def forget(delivery):
    """As the server does that crashes before what it was told about the lane is on disk."""
    lane, attempts = Lane.all_accounts.filter(pk=delivery.lane_id), delivery.attempt_log
    with account_context(delivery.account_id):
        attempts.all().delete()
        Delivery.objects.filter(pk=delivery.pk).update(state=State.PENDING, attempts=0)
        lane.update(lease_token=None, lease_until=None, courier_id=None, due_at=timezone.now())
        outbox.ring()


# --- Courtesies ----------------------------------------------------------------------------------


def talk(house):
    """Like `House.talk`, with somebody the door knows."""
    first = json.dumps({"id": "m0", "from": "ana", "text": "first"}).encode()
    with house.inside():
        services.receive(house.inbox, house.inbox.channel.read(first, house.inbox.as_config()))
        services.assign(Conversation.objects.get(), to=house.agent.member, by=None)
        Delivery.objects.all().delete()


@pytest.mark.parametrize("status", [200, 500])
def test_a_courier_gives_a_courtesy_once_and_keeps_nothing_of_it(house, status):
    def answer(request):
        return Reply(status) if request.path == "/read" else takes(request)

    with Server(answer) as channel, Server(lambda request: Reply(body=says("hello"))) as agent:
        settle(house, agent, channel)
        talk(house)
        with courier() as one:
            wait_for(lambda: one.handed.has_room)
            bring(house, {"id": "m1", "from": "ana", "text": "hi"})
            wait_for(lambda: "hello" in sent(house))  # to `talk`, and soon to this
            wait_for(lambda: given(channel))
        assert given(channel) == [{"id": "m1", "typing": True}]
    assert not Delivery.all_accounts.filter(kind=Lane.Kind.SIGNAL).exists()


def settle(house, agent, channel):
    with house.inside():
        house.inbox.config = {"api": channel.url}
        house.inbox.save()
        Endpoint.objects.filter(pk=house.agent.endpoint_id).update(url=agent.url)


def given(channel):
    return [request.json for request in channel.requests if request.path == "/read"]


def test_where_no_courier_is_a_courtesy_waits_on_a_lane():
    house = make_house()
    conversation = house.talk()
    before = signals()
    with carried_by(Notebook()) as carrier, house.inside():
        conversation.refresh_from_db()
        acknowledge(conversation, typing=True)
        assert carrier.courtesies == []  # nothing is said before the commit
    assert (len(carrier.courtesies), signals()) == (1, before)
    with carried_by(Notebook(has_room=False)), house.inside():
        acknowledge(conversation, typing=True)
    assert signals() == before + 1


def signals():
    return Delivery.all_accounts.filter(kind=Lane.Kind.SIGNAL).count()


def test_dl_91_no_account_gets_all_places_for_courtesies():
    ours, theirs = (Courtesy(account, INBOX, "wamid", True) for account in (1, 2))
    assert may_give(Counter(), ours, slots=4)
    assert not may_give(Counter({1: 2}), ours, slots=4)
    assert may_give(Counter({1: 2}), theirs, slots=4)
    assert not may_give(Counter({1: 2, 2: 2}), Courtesy(3, INBOX, "wamid", True), slots=4)
