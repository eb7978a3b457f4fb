"""Subscribers over real sockets: order, parking, retries, signatures (delivery.md 3, 4, 5, 8)."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial

import pytest
from django.db.models import Q
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from accounts import metrics
from accounts.tenancy import account_context
from conversations import services
from conversations.messages import Content
from conversations.models import Attempt, Conversation, Delivery, Endpoint, Lane
from conversations.services import outbox
from integrations import attention, retention
from integrations.courier.breaker import IN_A_ROW, SHUT
from integrations.courier.component import Courier
from integrations.courier.slots import Options
from integrations.models import Measure
from integrations.subscribers import services as subscribers
from tests import factories
from tests.factories import SECRET
from tests.integrations.couriers import (
    LOCAL,
    Reply,
    Request,
    Server,
    courier,
    make_house,
    wait_for,
)

pytestmark = pytest.mark.usefixtures("clean_database")

State = Delivery.State
OUT_OF_ORDER = "X-Switchboard-Out-Of-Order"


def nobody() -> str:
    """An address on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/"


def told(webhook: Endpoint) -> list[Delivery]:
    return list(Delivery.all_accounts.filter(endpoint=webhook).order_by("id"))


def all_ended(webhook: Endpoint) -> bool:
    open_ones = Delivery.all_accounts.filter(endpoint=webhook, state__in=Delivery.OPEN_STATES)
    return not open_ones.exists()


@contextmanager
def speaking(said: bytes, *, drips: bool = False) -> Iterator[str]:
    """A server that says `said` to whoever comes, and then nothing, or a byte now and then."""

    class Speaker(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(said)
            with suppress(OSError):
                while drips and not ended.wait(0.1):
                    self.request.sendall(b"x")

    ended = threading.Event()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Speaker) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            ended.set()
            server.shutdown()
            thread.join()


def note(house, conversation, text="note"):
    """Something that happens in the conversation."""
    with house.inside():
        services.add_note(conversation, text=text, author=None)


def hurry(webhook: Endpoint) -> None:
    """What waits for its next attempt is due now, as after the hours that it would take; so is the probe of
    a webhook that has failed often enough to be left alone."""
    now = timezone.now()
    with account_context(webhook.account_id):
        its = Endpoint.objects.filter(pk=webhook.pk)
        its.filter(breaker=Endpoint.Breaker.OPEN).update(probe_at=now)
    waiting = Delivery.all_accounts.filter(endpoint=webhook, state=State.RETRY_WAIT)
    # A lane that is being given back is given back with the time that stands there now.
    held = Lane.all_accounts.filter(deliveries__in=waiting, lease_token__isnull=False)
    wait_for(lambda: not held.exists())
    waiting.update(due_at=now)
    lanes = Lane.all_accounts.filter(
        Q(deliveries__in=waiting) | Q(destination_id=webhook.pk, blocked_reason=SHUT),
        lease_token__isnull=True,
    )
    Lane.all_accounts.filter(pk__in=lanes.values("pk")).update(due_at=now)
    outbox.ring(Lane.Kind.SUBSCRIBER)


def tried(webhook: Endpoint, times: int) -> bool:
    first = told(webhook)[0]
    ended = Attempt.all_accounts.filter(delivery=first, ended_at__isnull=False)
    return first.state != State.IN_FLIGHT and ended.count() == times


def fail_times(webhook: Endpoint, times: int) -> None:
    for n in range(1, times + 1):
        wait_for(partial(tried, webhook, n))
        if n >= IN_A_ROW:
            wait_for(partial(is_left_alone, webhook))
        if n < times:
            hurry(webhook)


def is_left_alone(webhook: Endpoint) -> bool:
    with account_context(webhook.account_id):
        return Endpoint.objects.get(pk=webhook.pk).breaker == Endpoint.Breaker.OPEN


def reached(webhook: Endpoint, place: int) -> int:
    """How often what stands at this place was tried, its waiting cut short."""
    hurry(webhook)
    return told(webhook)[place].attempts


def test_an_event_reaches_a_subscriber_signed_and_whole():
    """DL-36, DL-70, DL-74."""
    with Server(lambda request: Reply(body=b"thanks")) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=f"{crm.url}/hook")
        with courier():
            conversation = factories.make_conversation(house.inbox, "Do you ship?")
            wait_for(lambda: len(crm.requests) == 2)
            wait_for(lambda: all_ended(webhook))
    created, said = crm.requests
    body = Webhook(SECRET).verify(said.body, said.headers)
    assert (created.json["type"], body["type"]) == ("conversation.created", "message.created")
    assert (created.json["sequence"], body["sequence"]) == (1, 2)
    assert body["account"] == {"id": house.account.public_id, "name": "Shop"}
    assert body["conversation"]["id"] == conversation.public_id
    assert body["conversation"]["inbox"]["id"] == house.inbox.public_id
    assert body["message"]["text"] == "Do you ship?"
    assert body["message"]["direction"] == "inbound"
    assert created.json["message"] is None
    headers = said.headers
    suffix = webhook.public_id.removeprefix("end_")
    assert headers["webhook-id"] == f"{body['id']}-{suffix}"
    assert headers["X-Switchboard-Delivery"] == headers["webhook-id"]
    assert headers["X-Switchboard-Signature"] == headers["webhook-signature"]
    assert headers["X-Switchboard-Attempt"] == "1"
    assert headers["X-Switchboard-Event"] == "message.created"
    assert headers["X-Switchboard-Sequence"] == "2"
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("Switchboard/")
    assert OUT_OF_ORDER not in headers
    attempt = Attempt.all_accounts.filter(delivery=told(webhook)[1]).get()
    assert (attempt.outcome, attempt.status, attempt.response_body) == ("ok", 200, "thanks")
    with house.inside():
        webhook.refresh_from_db()
        assert webhook.last_success_at is not None


def test_dl_20_dl_21_each_conversation_arrives_in_order_one_at_a_time():
    with Server(lambda request: Reply(after=0.01)) as crm:
        house = make_house()
        first = factories.make_webhook(house.account, url=f"{crm.url}/first")
        second = factories.make_webhook(house.account, url=f"{crm.url}/second")
        conversations = [factories.make_conversation(house.inbox) for _ in range(4)]
        for _ in range(10):
            for conversation in conversations:
                note(house, conversation)
        with courier(), courier():
            wait_for(lambda: all_ended(first) and all_ended(second), 30)
    seen = defaultdict(list)
    for request in crm.requests:
        seen[request.path, request.json["conversation"]["id"]].append(request.json["sequence"])
    assert len(seen) == 8
    assert all(numbers == list(range(1, 13)) for numbers in seen.values())
    assert {one.state for one in told(first)} == {State.DELIVERED}
    assert crm.most_at_once <= 8


def test_dl_23_a_head_that_failed_four_times_is_parked_and_the_rest_flows():
    failing: list[str] = []

    def answer(request: Request) -> Reply:
        if not failing:
            failing.append(request.headers["webhook-id"])
        return Reply(500 if request.headers["webhook-id"] in failing else 200)

    with Server(answer) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=crm.url)
        with courier():
            conversation = factories.make_conversation(house.inbox)
            fail_times(webhook, 3)
            assert {r.headers["X-Switchboard-Sequence"] for r in crm.requests} == {"1"}
            hurry(webhook)
            wait_for(lambda: told(webhook)[1].state == State.DELIVERED)
            head = told(webhook)[0]
            assert (head.state, head.parked, head.attempts) == (State.RETRY_WAIT, True, 4)
            assert crm.requests[-1].headers[OUT_OF_ORDER] == "1"
            note(house, conversation)
            wait_for(lambda: told(webhook)[2].state == State.DELIVERED)
            assert crm.requests[-1].headers[OUT_OF_ORDER] == "1"
            # Other conversations are in order.
            factories.make_conversation(house.inbox)
            wait_for(lambda: told(webhook)[4].state == State.DELIVERED)
            assert OUT_OF_ORDER not in crm.requests[-1].headers
            failing[:] = ["none any more"]
            hurry(webhook)
            wait_for(lambda: all_ended(webhook))
            late = crm.requests[-1]
            assert late.headers["X-Switchboard-Sequence"] == "1"
            assert late.headers["X-Switchboard-Attempt"] == "5"
            assert late.headers["webhook-id"] == head.wire_id
            assert late.body == head.body
            # It has ended: what follows is in order again.
            note(house, conversation)
            wait_for(lambda: told(webhook)[5].state == State.DELIVERED)
            assert OUT_OF_ORDER not in crm.requests[-1].headers
    with house.inside():
        Delivery.objects.filter(pk=head.pk).delete()
    retention.prune()
    parked = Lane.all_accounts.filter(kind=Lane.Kind.SUBSCRIBER, key__startswith="parked:")
    assert not parked.exists()
    assert Lane.all_accounts.filter(kind=Lane.Kind.SUBSCRIBER).count() == 2


def test_dl_23_a_strict_subscriber_rather_waits():
    with Server(lambda request: Reply(500)) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=crm.url, strict_order=True)
        with courier():
            factories.make_conversation(house.inbox)
            fail_times(webhook, 5)
            head, following = told(webhook)
            assert (head.state, head.parked) == (State.RETRY_WAIT, False)
            assert (following.state, following.attempts) == (State.PENDING, 0)
            crm.answer = lambda request: Reply()
            hurry(webhook)
            wait_for(lambda: all_ended(webhook))
    sequences = [request.headers["X-Switchboard-Sequence"] for request in crm.requests]
    assert sequences == ["1"] * 6 + ["2"]
    assert not any(OUT_OF_ORDER in request.headers for request in crm.requests)


def test_dl_34_what_an_agent_is_not_asked_again_a_subscriber_is():
    replies = [Reply(404), Reply()]
    with Server(lambda request: replies.pop(0) if replies else Reply()) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=crm.url)
        with courier():
            factories.make_conversation(house.inbox)
            wait_for(lambda: all_ended(webhook), 15)
    first, second = crm.requests[:2]
    assert 5.0 <= second.at - first.at <= 7.5
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert told(webhook)[0].state == State.DELIVERED


def test_after_ten_attempts_an_event_is_given_up_and_the_next_one_goes_out():
    with Server(lambda request: Reply(503)) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=crm.url, strict_order=True)
        with courier():
            factories.make_conversation(house.inbox)
            fail_times(webhook, 10)
            wait_for(partial(reached, webhook, 1))
    head = told(webhook)[0]
    assert (head.state, head.attempts) == (State.DEAD, 10)
    assert head.dead_reason == "http_error 503"


def test_dl_31_dl_32_a_busy_subscriber_is_given_the_time_it_asks_for_within_limits():
    with Server(lambda request: Reply(429, headers={"Retry-After": "86400"})) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=crm.url)
        with courier():
            factories.make_conversation(house.inbox)
            fail_times(webhook, 1)
    attempt = Attempt.all_accounts.filter(delivery__endpoint=webhook).get()
    assert attempt.next_due_at is not None
    assert attempt.ended_at is not None
    waits = (attempt.next_due_at - attempt.ended_at).total_seconds()
    assert 9.5 <= waits <= 10.5  # twice the planned five seconds at most, ten at least


def test_dl_33_gone_switches_it_off_at_once_and_cancels_its_queue():
    with Server(lambda request: Reply(410)) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=crm.url)
        other = factories.make_webhook(house.account, url=nobody())
        for _ in range(3):
            factories.make_conversation(house.inbox)
        asked = Delivery.all_accounts.filter(endpoint=webhook)
        asked.exclude(pk=asked.earliest("id").pk).update(due_at=timezone.now() + timedelta(hours=1))
        with courier():
            wait_for(lambda: all_ended(webhook))
    assert len(crm.requests) == 1
    assert [one.state for one in told(webhook)] == [State.DEAD] + [State.CANCELED] * 5
    with house.inside():
        webhook.refresh_from_db()
        assert webhook.state == Endpoint.State.DISABLED
        assert webhook.disabled_reason == "its endpoint answered 410 Gone"
    assert {one.state for one in told(other)} <= {State.RETRY_WAIT, State.PENDING}


def test_dl_73_f_18_old_only_and_new_only_receivers_verify_everything_during_a_rotation():
    with Server(lambda request: Reply()) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=crm.url)
        conversation = factories.make_conversation(house.inbox)
        with courier():
            note(house, conversation)
            wait_for(lambda: all_ended(webhook))
            before = len(crm.requests)
            with house.inside():
                new = subscribers.rotate_secret(webhook, by=None)
            for _ in range(5):
                note(house, conversation)
            wait_for(lambda: all_ended(webhook))
            within = len(crm.requests)
            with house.inside():
                newest = subscribers.rotate_secret(webhook, by=None, grace=timedelta(0))
            note(house, conversation)
            wait_for(lambda: all_ended(webhook))
    assert new != SECRET
    assert within - before == 5
    for request in crm.requests[before:within]:
        assert len(request.headers["webhook-signature"].split()) == 2
        assert Webhook(SECRET).verify(request.body, request.headers)
        assert Webhook(new).verify(request.body, request.headers)
    last = crm.requests[-1]
    assert Webhook(newest).verify(last.body, last.headers)
    for old in (SECRET, new):
        with pytest.raises(WebhookVerificationError):
            Webhook(old).verify(last.body, last.headers)


def test_dl_74_a_retry_is_signed_with_the_time_of_its_attempt():
    replies = [Reply(500), Reply()]
    with Server(lambda request: replies.pop(0) if replies else Reply()) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=crm.url)
        with courier():
            factories.make_conversation(house.inbox)
            wait_for(lambda: tried(webhook, 1))
            # As three days later: what counts is the clock of the attempt.
            old = timezone.now() - timedelta(days=3)
            Delivery.all_accounts.filter(endpoint=webhook).update(created_at=old)
            time.sleep(1.1)  # the header counts whole seconds
            hurry(webhook)
            wait_for(lambda: all_ended(webhook))
    first, second = crm.requests[:2]
    assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert Webhook(SECRET).verify(second.body, second.headers)


def test_f_14_a_redirect_is_a_failure_and_is_not_followed():
    """Bad input 46."""
    with Server(lambda request: Reply()) as inside:
        moved = Reply(302, headers={"Location": f"{inside.url}/latest/meta-data"})
        with Server(lambda request: moved) as crm:
            house = make_house()
            webhook = factories.make_webhook(house.account, url=crm.url)
            with courier():
                factories.make_conversation(house.inbox)
                fail_times(webhook, 1)
    assert inside.requests == []
    assert told(webhook)[0].state == State.RETRY_WAIT
    attempt = Attempt.all_accounts.filter(delivery__endpoint=webhook).get()
    assert (attempt.outcome, attempt.status) == ("http_error", 302)


def test_f_16_an_answer_that_does_not_come_is_cut_at_the_time_limit():
    with Server(lambda request: Reply(after=30)) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=crm.url, timeout_s=1)
        with courier():
            factories.make_conversation(house.inbox)
            fail_times(webhook, 1)
    attempt = Attempt.all_accounts.filter(delivery__endpoint=webhook).get()
    assert attempt.outcome == "timeout_read"
    assert 900 <= (attempt.latency_ms or 0) < 3000


def test_f_16_an_answer_that_drips_is_cut_at_the_time_limit():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    with speaking(head, drips=True) as url:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=url, timeout_s=1)
        with courier():
            factories.make_conversation(house.inbox)
            fail_times(webhook, 1)
    attempt = Attempt.all_accounts.filter(delivery__endpoint=webhook).get()
    assert attempt.outcome == "timeout_read"
    assert 900 <= (attempt.latency_ms or 0) < 3000


def test_f_17_dl_35_an_answer_beyond_64_kib_is_cut():
    with Server(lambda request: Reply(body=b"x" * (64 * 1024 + 1))) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=crm.url)
        with courier():
            factories.make_conversation(house.inbox)
            fail_times(webhook, 1)
    attempt = Attempt.all_accounts.filter(delivery__endpoint=webhook).get()
    assert (attempt.outcome, attempt.response_body) == ("too_large", "")


def test_f_33_one_made_again_with_the_same_address_gets_nothing_old():
    with Server(lambda request: Reply()) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=crm.url)
        conversation = factories.make_conversation(house.inbox)
        with house.inside():
            subscribers.delete_subscriber(webhook, by=None)
        again = factories.make_webhook(house.account, url=crm.url)
        note(house, conversation, "after")
        with courier():
            wait_for(lambda: all_ended(again))
            wait_for(lambda: not open_lanes())
    [request] = crm.requests
    assert request.json["message"]["text"] == "after"
    assert request.json["sequence"] == 1
    old = Delivery.all_accounts.filter(kind="subscriber", endpoint__isnull=True)
    assert {(one.state, one.dead_reason) for one in old} == {
        (State.CANCELED, "the webhook was deleted")
    }


def test_f_33_what_was_under_way_while_it_was_deleted_is_not_tried_again():
    with Server(lambda request: Reply(500, after=0.5)) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=crm.url)
        with courier():
            factories.make_conversation(house.inbox)
            wait_for(lambda: crm.at_once == 1)
            with house.inside():
                subscribers.delete_subscriber(webhook, by=None)
            first = Delivery.all_accounts.filter(kind="subscriber").earliest("id")
            wait_for(lambda: Delivery.all_accounts.get(pk=first.pk).state == State.RETRY_WAIT)
            Delivery.all_accounts.filter(pk=first.pk).update(due_at=timezone.now())
            Lane.all_accounts.filter(pk=first.lane_id).update(due_at=timezone.now())
            wait_for(lambda: not open_lanes())
    assert len(crm.requests) == 1
    first.refresh_from_db()
    assert (first.state, first.dead_reason) == (State.CANCELED, "the webhook is switched off")


def open_lanes() -> bool:
    return Lane.all_accounts.filter(kind="subscriber", due_at__isnull=False).exists() or (
        Lane.all_accounts.filter(kind="subscriber", lease_token__isnull=False).exists()
    )


def test_bad_input_43_a_private_address_that_came_in_by_whatever_way_gets_no_packet():
    house = make_house()
    webhook = factories.make_webhook(house.account, url="http://169.254.169.254/latest")
    with courier():
        factories.make_conversation(house.inbox)
        wait_for(lambda: all_ended(webhook))
    outcomes = Attempt.all_accounts.filter(delivery__endpoint=webhook)
    assert {one.outcome for one in outcomes} == {"blocked_address"}
    assert not [one for one in outcomes if "169.254" in one.error]
    assert {one.state for one in told(webhook)} == {State.DEAD}


def test_dl_91_slow_subscribers_leave_every_slot_of_the_agents_free():
    with (
        Server(lambda request: Reply(after=1.5)) as crm,
        Server(lambda request: Reply()) as agent,
    ):
        house = make_house(agent.url)
        factories.make_webhook(house.account, url=crm.url)
        for _ in range(12):
            factories.make_conversation(house.inbox)
        with courier(slots=8):
            wait_for(lambda: crm.at_once)
            started = time.monotonic()
            house.talk()
            wait_for(lambda: agent.requests)
            assert time.monotonic() - started < 1.5
    assert crm.most_at_once <= 2


@pytest.mark.parametrize(("slots", "theirs"), [(2000, 500), (8, 2), (3, 1), (1, 1)])
def test_dl_91_subscribers_always_have_a_slot_for_four_of_the_others(slots, theirs):
    one = Courier(Options(slots=slots, threads=1, policy=LOCAL))
    rooms = one.slots.rooms()
    assert (rooms["subscribers"].free, rooms["live"].free) == (theirs, slots)


# --- The test event ------------------------------------------------------------------------------


def test_a_test_is_sent_once_and_its_answer_is_kept():
    with Server(lambda request: Reply(404, b"no such page")) as crm:
        house = make_house()
        webhook = factories.make_webhook(
            house.account, url=crm.url, event_types=["contact.updated"]
        )
        person = factories.make_person(house.account)
        with courier():
            with house.inside():
                delivery = subscribers.send_test(webhook, by=person)
            wait_for(lambda: all_ended(webhook))
    [request] = crm.requests
    assert Webhook(SECRET).verify(request.body, request.headers)["type"] == "webhook.test"
    assert (request.json["conversation"], request.json["message"]) == (None, None)
    delivery.refresh_from_db()
    assert delivery.state == State.DEAD
    attempt = Attempt.all_accounts.get(delivery=delivery)
    assert (attempt.status, attempt.response_body) == (404, "no such page")


def test_a_test_that_fails_raises_no_alarm():
    """Neither the operator's (delivery.md 15) nor the account's, nor is it held against the address (DL-67)."""
    with Server(lambda request: Reply(404)) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=crm.url)
        person = factories.make_person(house.account)
        metrics.tally.take()
        with courier():
            with house.inside():
                subscribers.send_test(webhook, by=person)
            wait_for(lambda: all_ended(webhook))
    counts, _marks = metrics.tally.take()
    given_up = [labels for name, labels in counts if name == "switchboard_dead_total"]
    assert not Measure.objects.filter(name="switchboard_dead_total").exists()
    assert given_up == []
    with house.inside():
        webhook.refresh_from_db()
        assert (webhook.consecutive_failures, webhook.failing_since) == (0, None)
        assert attention.things() == []


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("breaker", ["open", "half_open"])
def test_a_test_that_its_owner_asked_for_does_not_wait_for_the_breaker(breaker, status):
    """It is the probe unless one is under way; what else waits goes on waiting."""
    with Server(lambda request: Reply(status)) as crm:
        house = make_house()
        owner = factories.make_person(house.account, role="owner")
        webhook = factories.make_webhook(
            house.account,
            url=crm.url,
            breaker=breaker,
            breaker_wait_s=30,
            probe_at=timezone.now() + timedelta(seconds=60),
        )
        factories.make_conversation(house.inbox)
        with house.inside():
            sent = subscribers.send_test(webhook, by=owner)
        with courier():
            wait_for(lambda: Delivery.all_accounts.get(pk=sent.pk).finished_at, 5)
            wait_for(lambda: not Lane.all_accounts.filter(lease_token__isnull=False).exists(), 5)
            mended = breaker == "open" and status == 200
            if mended:
                wait_for(lambda: all_ended(webhook))
    assert Attempt.all_accounts.get(delivery=sent).status == status
    types = [request.headers["X-Switchboard-Event"] for request in crm.requests]
    assert types[0] == "webhook.test"
    assert len(types) == (3 if mended else 1)


def test_bad_input_48_a_test_tells_nothing_of_doors_that_give_no_http_answer():
    """A closed port, one that speaks no TLS, one that says something else: the same words."""
    with speaking(b"SSH-2.0-OpenSSH_9.2 secret-banner\r\n") as banner, Server(takes) as plain:
        urls = [nobody(), plain.url.replace("http:", "https:"), banner]
        found = set()
        house = make_house()
        person = factories.make_person(house.account)
        with courier():
            for url in urls:
                webhook = factories.make_webhook(house.account, url=url)
                with house.inside():
                    delivery = subscribers.send_test(webhook, by=person)
                wait_for(partial(all_ended, webhook))
                attempt = Attempt.all_accounts.get(delivery=delivery)
                delivery.refresh_from_db()
                found.add(
                    (attempt.outcome, attempt.error, attempt.status, attempt.latency_ms,
                     attempt.response_body, str(attempt.response_headers), delivery.dead_reason)
                )  # fmt: skip
    assert len(found) == 1, found
    with house.inside():
        errors = {one.last_error for one in subscribers.subscribers()}
    assert len(errors) <= 1
    assert "banner" not in str(found)


def takes(request: Request) -> Reply:
    return Reply()


# --- Events and conversations --------------------------------------------------------------------


def test_a_persons_answer_and_a_resolution_are_told_in_the_order_of_the_conversation():
    with Server(lambda request: Reply()) as crm:
        house = make_house()
        webhook = factories.make_webhook(house.account, url=crm.url)
        person = factories.make_person(house.account)
        conversation = factories.make_conversation(house.inbox)
        with house.inside():
            services.post_message(conversation, content=Content(text="Yes"), author=person)
            services.resolve(Conversation.objects.get(), by=person)
        with courier():
            wait_for(lambda: all_ended(webhook))
    types = [request.json["type"] for request in crm.requests]
    assert types[:4] == [
        "conversation.created", "message.created", "conversation.assigned", "message.created",
    ]  # fmt: skip
    assert "conversation.resolved" in types
    assert [request.json["sequence"] for request in crm.requests] == list(range(1, len(types) + 1))
