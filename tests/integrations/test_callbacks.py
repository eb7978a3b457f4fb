"""Reply addresses: what they do, for whom, how often, and until when (DL-100 to DL-104)."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import time_machine
from django.db import connection, connections
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import ApiToken, IdempotencyKey, RateBucket
from accounts.tenancy import account_context
from accounts.tokens import create_token
from agents import dialects, replaying
from agents import services as agents
from conversations import services
from conversations.models import (
    Address,
    CallbackToken,
    Conversation,
    Delivery,
    Message,
)
from integrations.native.dialect import NativeDialect
from integrations.tasks import prune
from tests import factories
from tests.api import callers, code_of
from tests.conftest import OWNER_ROLE
from tests.integrations.couriers import make_house as make_paper_house
from tests.serving import serve

ADDRESS = re.compile(r"/api/callback/([\w-]{43})\Z")


class Asked(SimpleNamespace):
    """A conversation that an agent was asked in, and the address of its later answer."""

    house: Any
    conversation: Conversation
    path: str

    def inside(self) -> Any:
        return account_context(self.house.account)

    def post(self, body: Any = None, *, key: str = "", path: str = "", **extra: Any) -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body or {"reply": "Hi"}).encode()
        headers = {"idempotency-key": key} if key else {}
        extra.setdefault("content_type", "application/json")
        return Client(headers=headers).post(path or self.path, raw, **extra)

    def later(self) -> None:
        """Another second in which an answer may come."""
        RateBucket.objects.all().delete()

    def said(self, direction: str = "outbound") -> list[str]:
        with self.inside():
            rows = Message.objects.filter(direction=direction).order_by("pk")
            return list(rows.values_list("text", flat=True))

    def callback(self) -> CallbackToken:
        token = ADDRESS.search(self.path)
        assert token
        return CallbackToken.objects.get(token_sha256=CallbackToken.digest(token[1]))


def ask(house: Any, text: str = "Hello") -> Asked:
    conversation = factories.make_conversation(house.inbox, text)
    with account_context(house.account):
        conversation = services.assign(conversation, to=house.agent.member, by=None)
        told = Delivery.objects.filter(conversation=conversation, event_type="message.created")
        address = json.loads(told.get().body)["reply_url"]
    return Asked(house=house, conversation=conversation, path="/" + address.split("/", 3)[3])


@pytest.fixture
def asked(db: None) -> Asked:
    return ask(factories.make_house())


# --- What it does --------------------------------------------------------------------------------


def test_what_asks_for_an_answer_brings_an_address_of_256_bits(asked: Asked) -> None:
    """DL-100"""
    with asked.inside():
        told = list(Delivery.objects.filter(kind="agent").order_by("pk"))
    assert [one.event_type for one in told] == ["conversation.assigned", "message.created"]
    addresses = [json.loads(one.body)["reply_url"] for one in told]
    assert len(set(addresses)) == 2
    assert all(ADDRESS.search(address) for address in addresses)
    row = asked.callback()
    assert (row.account_id, row.conversation_id) == (asked.house.account.pk, asked.conversation.pk)
    assert (row.endpoint_id, row.delivery_id) == (asked.house.agent.endpoint_id, told[1].pk)
    assert (row.epoch, row.uses, row.max_uses) == (asked.conversation.assignment_epoch, 0, 20)


def test_only_a_hash_of_the_address_is_stored(asked: Asked) -> None:
    """DL-100, DL-104: nothing that a restart or another key could lose."""
    token = asked.path.rpartition("/")[2]
    with connection.cursor() as cursor:
        cursor.execute("SELECT row::text FROM conversations_callbacktoken row")
        assert not [row for row in cursor.fetchall() if token in row[0]]


def test_what_is_posted_is_the_agents_answer(asked: Asked) -> None:
    """DL-101: 200, whoever is logged in or not."""
    answer = asked.post({"messages": [{"text": "One"}], "actions": [{"type": "note", "text": "n"}]})
    assert answer.status_code == 200
    with asked.inside():
        message = Message.objects.get(direction="outbound")
        assert message.author == asked.house.agent.member
        assert Delivery.objects.filter(kind="send", message=message).exists()
    assert answer.json() == {"status": "accepted", "messages": [message.public_id]}
    assert (asked.said(), asked.said("note")) == (["One"], ["n"])
    assert asked.callback().uses == 1
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["Cache-Control"] == "no-store"


def test_an_answer_may_give_the_conversation_to_people(asked: Asked) -> None:
    hand_off = {"actions": [{"type": "hand_off", "reason": "refund"}]}
    assert asked.post(hand_off).status_code == 200
    with asked.inside():
        assert Conversation.objects.get().assignee is None
    asked.later()
    assert asked.post().status_code == 409


def test_an_empty_answer_does_nothing(asked: Asked) -> None:
    assert asked.post(b"{}").json() == {"status": "accepted", "messages": []}
    assert asked.said() == []


def test_ids_and_numbers_in_the_body_lead_nowhere_else(asked: Asked) -> None:
    """Bad input 50: it goes to its own conversation, or nowhere."""
    other = factories.make_conversation(asked.house.inbox, "Other")
    for extra in ({"conversation_id": other.public_id}, {"to": "+40722123456"}):
        answer = asked.post({"reply": "Hi", **extra})
        assert (answer.status_code, code_of(answer)) == (400, "unreadable_answer")
        asked.later()
    foreign = {"messages": [{"text": "Hi", "reply_to": _first_message(asked, other)}]}
    answer = asked.post(foreign)
    assert (answer.status_code, code_of(answer)) == (400, "mistaken_action")
    assert asked.said() == []


def _first_message(asked: Asked, conversation: Conversation) -> str:
    with asked.inside():
        return Message.objects.filter(conversation=conversation)[0].public_id


# --- Answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "head", "options", "put", "patch", "delete"])
def test_only_post_has_an_effect(asked: Asked, method: str) -> None:
    """DL-100, DL-101, bad input 52: link previews."""
    answer = getattr(Client(), method)(asked.path)
    assert answer.status_code == 405
    assert asked.said() == []
    assert asked.callback().uses == 0


@pytest.mark.parametrize("token", ["A" * 43, "short", "A" * 42 + "%20", "é" * 43])
def test_an_unknown_address_is_not_found(asked: Asked, token: str) -> None:
    """DL-101"""
    answer = asked.post(path=f"/api/callback/{token}")
    assert (answer.status_code, code_of(answer)) == (404, "not_found")


def test_a_late_answer_is_kept_as_a_draft_for_whoever_has_it_now(asked: Asked) -> None:
    """DL-101, DL-63: also when the agent got it back meanwhile, and once only."""
    with asked.inside():
        services.take_over(asked.conversation, by=asked.house.person)
    answers = [asked.post(), asked.post()]
    assert [(answer.status_code, code_of(answer)) for answer in answers] == [
        (409, "not_assigned")
    ] * 2
    assert asked.said() == []
    assert asked.said("draft") == ["Hi"]
    with asked.inside():
        services.give_back(asked.conversation, by=asked.house.person)
    asked.later()
    assert asked.post({"reply": "Me again"}).status_code == 409
    assert asked.said("draft") == ["Hi", "Me again"]


def test_a_closed_window_is_a_conflict(db: None) -> None:
    """DL-101"""
    asked = ask(make_paper_house(platform="daypaper"))
    with asked.inside():
        Address.objects.update(last_inbound_at=timezone.now() - timedelta(hours=25))
    answer = asked.post()
    assert (answer.status_code, code_of(answer)) == (409, "window_closed")
    assert asked.said() == []


def test_an_address_is_good_for_a_day_from_the_customers_message(asked: Asked) -> None:
    """DL-100, DL-101"""
    with asked.inside():
        at = Message.objects.get(direction="inbound").sent_at
    assert at
    assert asked.callback().expires_at == at + timedelta(hours=24)
    with time_machine.travel(at + timedelta(hours=23, minutes=59), tick=True):
        assert asked.post().status_code == 200
    with time_machine.travel(at + timedelta(hours=24, seconds=1), tick=True):
        answer = asked.post({"reply": "Too late"})
    assert (answer.status_code, code_of(answer)) == (410, "callback_expired")
    assert asked.said() == ["Hi"]


def replay(asked: Asked) -> None:
    """The event in which the address stands is brought once more."""
    with asked.inside():
        told = Delivery.objects.filter(pk=asked.callback().delivery_id or 0)
        told.update(state=Delivery.State.DEAD, finished_at=timezone.now())
        replaying.replay(told.get(), by=None)


def test_dl_81_dl_100_the_address_in_a_replayed_event_is_good_again(asked: Asked) -> None:
    """Its body stays as it was made (DL-36), and so does the address in it."""
    with asked.inside():
        services.take_over(asked.conversation, by=asked.house.person)
        services.give_back(asked.conversation, by=asked.house.person)
    CallbackToken.objects.update(expires_at=timezone.now() - timedelta(hours=1), uses=20)
    assert asked.post().status_code == 410
    with asked.inside():
        told = Delivery.objects.get(pk=asked.callback().delivery_id or 0)
        replay(asked)
        again = Delivery.objects.get(replay_of=told.pk)
    assert again.body == told.body
    asked.later()
    assert asked.post({"reply": "After the replay"}).status_code == 200
    assert asked.said() == ["After the replay"]
    row = asked.callback()
    assert (row.uses, row.max_uses) == (21, 40)
    assert timedelta(hours=23) < row.expires_at - timezone.now() <= timedelta(hours=24)
    others = CallbackToken.objects.exclude(pk=row.pk)
    assert not others.filter(expires_at__gt=timezone.now()).exists()


def test_dl_103_an_address_that_was_ended_is_not_revived_by_a_replay(asked: Asked) -> None:
    CallbackToken.objects.update(revoked_at=timezone.now())
    replay(asked)
    assert asked.post().status_code == 410


def test_dl_82_the_address_in_a_replayed_event_ends_when_somebody_else_takes_over(
    asked: Asked,
) -> None:
    replay(asked)
    with asked.inside():
        services.take_over(asked.conversation, by=asked.house.person)
    assert asked.post().status_code == 409
    assert asked.said() == []


def test_an_assignment_of_an_old_conversation_brings_no_address_that_is_over(db: None) -> None:
    house = factories.make_house()
    conversation = factories.make_conversation(
        house.inbox, "Hello", sent_at=timezone.now() - timedelta(hours=25)
    )
    with account_context(house.account):
        Conversation.objects.update(last_inbound_at=timezone.now() - timedelta(hours=25))
        services.assign(conversation, to=house.agent.member, by=None)
        bodies = [json.loads(one.body) for one in Delivery.objects.filter(kind="agent")]
    assert bodies
    assert not [body for body in bodies if "reply_url" in body]
    assert not CallbackToken.objects.exists()


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1])
def test_an_answer_has_at_most_64_kib(asked: Asked, size: int) -> None:
    """DL-101"""
    head, tail = b'{"reply": "Hi", "actions": []', b"}"
    body = head + b" " * (size - len(head) - len(tail)) + tail
    assert len(body) == size
    assert asked.post(body).status_code == (200 if size == 64 * 1024 else 413)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_an_answer_is_json(asked: Asked, kind: str) -> None:
    assert asked.post(content_type=kind).status_code == 415
    assert asked.said() == []


def test_what_an_agent_accepts_does_not_matter(asked: Asked) -> None:
    assert asked.post(headers={"accept": "text/plain"}).status_code == 200


def test_an_unreadable_answer_is_told_what_is_wrong(asked: Asked) -> None:
    answer = asked.post({"actions": [{"type": "dance"}]})
    assert (answer.status_code, code_of(answer)) == (400, "unreadable_answer")
    assert "actions[0].type" in answer.json()["detail"]
    asked.later()
    assert asked.post(b"{").status_code == 400
    assert asked.callback().uses == 0


def test_twenty_answers_and_no_more(asked: Asked, settings: Any) -> None:
    """DL-100, DL-101, bad input 52: the 21st"""
    CallbackToken.objects.update(uses=19)
    assert asked.post({"reply": "twentieth"}).status_code == 200
    asked.later()
    answer = asked.post({"reply": "one more"})
    assert (answer.status_code, code_of(answer)) == (429, "callback_used_up")
    assert asked.said() == ["twentieth"]


def test_how_many_answers_is_a_setting(db: None, settings: Any) -> None:
    settings.CALLBACK_MAX_USES = 3
    assert ask(factories.make_house()).callback().max_uses == 3


def test_one_answer_a_second(asked: Asked) -> None:
    """DL-101"""
    assert asked.post({"reply": "one"}).status_code == 200
    answer = asked.post({"reply": "two"})
    assert (answer.status_code, code_of(answer)) == (429, "throttled")
    assert answer["Retry-After"] == "1"
    RateBucket.objects.update(updated_at=F("updated_at") - timedelta(seconds=1))
    assert asked.post({"reply": "two"}).status_code == 200
    assert asked.said() == ["one", "two"]


# --- Twice ---------------------------------------------------------------------------------------


def test_the_same_body_within_ten_seconds_is_the_same_answer(asked: Asked) -> None:
    """DL-102"""
    first, second = asked.post(), asked.post()
    assert second.status_code == 200
    assert second.json() == first.json()
    assert second["Idempotent-Replayed"] == "true"
    with asked.inside():
        IdempotencyKey.objects.update(created_at=F("created_at") - timedelta(seconds=11))
    asked.later()
    assert asked.post().json() != first.json()
    assert asked.said() == ["Hi", "Hi"]
    assert asked.callback().uses == 2


def test_the_same_key_is_the_same_answer_for_a_day(asked: Asked) -> None:
    """DL-102"""
    first = asked.post(key="k1")
    with asked.inside():
        IdempotencyKey.objects.update(created_at=F("created_at") - timedelta(hours=23))
    assert asked.post(key="k1").json() == first.json()
    other = asked.post({"reply": "Other"}, key="k1")
    assert (other.status_code, code_of(other)) == (409, "idempotency_key_reused")
    asked.later()
    assert asked.post(key="k2").status_code == 200
    assert asked.said() == ["Hi", "Hi"]


def test_keys_of_two_addresses_have_nothing_to_do_with_each_other(asked: Asked) -> None:
    other = ask(asked.house, "Hello from somebody else")
    assert asked.post(key="k").json() != other.post(key="k").json()
    assert asked.said() == ["Hi", "Hi"]


def test_what_was_refused_for_its_number_may_be_sent_again_with_its_key(asked: Asked) -> None:
    assert asked.post({"reply": "one"}).status_code == 200
    assert asked.post({"reply": "two"}, key="k").status_code == 429
    asked.later()
    assert asked.post({"reply": "two"}, key="k").status_code == 200
    assert asked.said() == ["one", "two"]


# --- The end of it -------------------------------------------------------------------------------


def test_an_address_dies_with_its_agent(asked: Asked) -> None:
    """DL-103"""
    with asked.inside():
        agents.delete_agent(asked.house.agent, by=asked.house.owner)
    assert asked.post().status_code == 410
    assert asked.said() == []


@pytest.mark.parametrize("how", ["rotated", "revoked"])
def test_an_address_dies_when_the_agents_token_is_revoked(db: None, how: str) -> None:
    """DL-103; what comes after it brings an address that works."""
    house = factories.make_house()
    token, _clear = create_token(house.agent.member, kind=ApiToken.Kind.AGENT, name="its")
    before = ask(house)
    if how == "rotated":
        with account_context(house.account):
            agents.rotate_token(house.agent, by=house.owner)
    else:
        owner = callers(house).owner
        assert owner.delete(f"/v1/tokens/{token.public_id}/").status_code == 204
    assert before.post().status_code == 410
    assert before.said() == []
    assert ask(house, "And now?").post().status_code == 200


def test_an_address_can_be_ended_by_hand(asked: Asked) -> None:
    CallbackToken.objects.update(revoked_at=timezone.now())
    assert asked.post().status_code == 410


def test_an_address_goes_a_week_after_its_end(asked: Asked) -> None:
    now = timezone.now()
    CallbackToken.objects.update(expires_at=now - timedelta(days=6))
    assert prune()["callbacks"] == 0
    assert asked.post().status_code == 410
    CallbackToken.objects.update(expires_at=now - timedelta(days=8))
    assert prune()["callbacks"] == 2
    assert asked.post().status_code == 404


# --- Who gets to see it --------------------------------------------------------------------------


def test_the_log_of_deliveries_does_not_show_addresses_that_work(asked: Asked) -> None:
    """DL-103: the first six characters"""
    token = asked.path.rpartition("/")[2]
    with asked.inside():
        delivery = Delivery.objects.get(event_type="message.created", kind="agent")
    client = Client()
    client.force_login(asked.house.owner.user)
    page = client.get(f"/deliveries/{delivery.public_id}/").content.decode()
    rest = callers(asked.house).owner.get(f"/v1/deliveries/{delivery.public_id}/").content.decode()
    for shown in (page, rest):
        assert token[:6] in shown
        assert token not in shown
        assert token[:7] not in shown


@pytest.fixture
def plain() -> Iterator[str]:
    """A dialect that is the native one but for callbacks."""

    class Plain(NativeDialect):
        slug = "plain"
        wants_callback = False

    dialects.register(Plain())
    yield Plain.slug
    del dialects._dialects[Plain.slug]


def test_dialects_that_do_not_ask_get_no_address(db: None, plain: str) -> None:
    house = factories.make_house()
    with account_context(house.account):
        house.agent.dialect = plain
        house.agent.save()
        conversation = factories.make_conversation(house.inbox, "Hello")
        services.assign(conversation, to=house.agent.member, by=None)
        assert "reply_url" not in json.loads(Delivery.objects.filter(kind="agent")[0].body)
    assert not CallbackToken.objects.exists()


# --- The real stack ------------------------------------------------------------------------------


@pytest.fixture
def served(clean_database: None, tmp_path: Path) -> Iterator[Asked]:
    """The same behind the real server; `url` is the whole address, `log` what the server wrote."""
    asked = ask(factories.make_house())
    with serve(tmp_path) as server:
        asked.url, asked.log = server.url + asked.path, tmp_path / "web.log"
        yield asked


def call(url: str, body: bytes = b'{"reply": "Hi"}', *, method: str = "POST") -> tuple[int, Any]:
    """Status and body of one request; the status alone where the answer has no JSON."""
    data = body if method == "POST" else None
    request = urllib.request.Request(url, data=data, method=method)  # noqa: S310 - our own server
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - our own server
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raw = error.read()
        return error.code, dict(error.headers) | (json.loads(raw) if raw else {})


def test_the_same_answer_many_times_at_once_is_said_once(served: Asked) -> None:
    """DL-102: those that come while the first is under way wait for it."""
    results: list[tuple[int, Any]] = []
    threads = [threading.Thread(target=lambda: results.append(call(served.url))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _body in results} == {200}
    assert len({json.dumps(body) for _status, body in results}) == 1
    assert served.said() == ["Hi"]


def test_the_address_is_in_no_line_of_the_log(served: Asked) -> None:
    """DL-103, SX-31: neither when it works nor when it is refused."""
    assert call(served.url)[0] == 200
    assert call(served.url, method="GET")[0] == 405
    assert call(served.url, method="HEAD")[0] == 405
    assert call(served.url, b"{")[0] == 429
    assert call(served.url[:-1] + ("A" if served.url[-1] != "A" else "B"))[0] == 404
    assert call(served.url, b" " * 70_000)[0] == 413
    written = served.log.read_text()
    assert "/api/callback/" in written
    assert served.path.rpartition("/")[2][:20] not in written
    assert served.said() == ["Hi"]


def test_what_cannot_be_stored_is_not_accepted(served: Asked) -> None:
    """DL-101: 503, and the same works when the database is well again."""
    with _owner() as owner:
        owner.execute("ALTER TABLE conversations_callbacktoken RENAME TO away")
        try:
            status, answer = call(served.url)
        finally:
            owner.execute("ALTER TABLE away RENAME TO conversations_callbacktoken")
    assert (status, answer["retry-after"]) == (503, "5")
    assert answer["errors"][0]["code"] == "not_stored"
    assert served.said() == []
    assert call(served.url)[0] == 200


def _owner() -> psycopg.Connection[Any]:
    """The role that owns the tables."""
    given = connections["default"].settings_dict
    return psycopg.connect(
        host=given["HOST"],
        port=given["PORT"] or None,
        dbname=given["NAME"],
        user=OWNER_ROLE,
        autocommit=True,
    )


def test_an_address_works_after_a_restart(clean_database: None, tmp_path: Path) -> None:
    """DL-104"""
    asked = ask(factories.make_house())
    for number in (1, 2):
        place = tmp_path / str(number)
        place.mkdir()
        with serve(place) as server:
            status, _body = call(
                server.url + asked.path, json.dumps({"reply": f"{number}"}).encode()
            )
        assert status == 200
        time.sleep(1)
    assert asked.said() == ["1", "2"]


# --- Cost ----------------------------------------------------------------------------------------


def test_addresses_of_a_batch_are_kept_by_one_statement(db: None) -> None:
    house = factories.make_house()
    for visitor in "abcde":
        conversation = factories.make_conversation(house.inbox, visitor=visitor)
        with account_context(house.account):
            services.assign(conversation, to=house.agent.member, by=None)
    before = CallbackToken.objects.count()
    with account_context(house.account), CaptureQueriesContext(connection) as seen:
        services.receive_messages(house.inbox, [factories.said(visitor=one) for one in "abcde"])
    inserts = [q for q in seen if 'INSERT INTO "conversations_callbacktoken"' in q["sql"]]
    assert len(inserts) == 1
    assert CallbackToken.objects.count() == before + 5
