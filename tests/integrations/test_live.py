"""The live stream, over real sockets to a real server process."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core import signing
from django.db import connection, connections

from accounts.tenancy import account_context
from conversations import services
from integrations import live, tickets
from integrations.live import DatabaseAwayError, Hub, Stream
from integrations.tickets import Ticket
from tests import factories
from tests.serving import Served, serve


class Listener:
    """One open stream, read as a browser's EventSource would."""

    def __init__(self, server: Served, path: str, **headers: str) -> None:
        place = urlsplit(server.url)
        self.socket = socket.create_connection((place.hostname or "", place.port or 80), timeout=10)
        lines = [f"GET {path} HTTP/1.1", f"Host: {place.netloc}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.seen = b""

    def until(self, wanted: bytes, *, seconds: float = 5.0) -> float:
        """Read until `wanted` has come; how long that took."""
        start = time.monotonic()
        self.socket.settimeout(seconds)
        while wanted not in self.seen:
            piece = self.socket.recv(65536)
            if not piece:
                raise AssertionError(f"closed after {self.seen!r}")
            self.seen += piece
        return time.monotonic() - start

    @property
    def status(self) -> int:
        self.until(b"\r\n\r\n")
        return int(self.seen.split(b" ", 2)[1])

    def facts(self) -> list[dict[str, Any]]:
        return [
            json.loads(line[6:])
            for line in self.seen.split(b"\n")
            if line.startswith(b"data: {") and line != b"data: {}"
        ]

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def shop(clean_database: None) -> SimpleNamespace:
    return factories.make_house()


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests; its hub listens (it says `reload` then) before the first begins."""
    with serve(tmp_path_factory.mktemp("web")) as served:
        first = Listener(served, tickets.address(0, ["account"]))
        first.until(b"event: reload")
        first.close()
        yield served


@pytest.fixture
def listen(server: Served) -> Iterator[Callable[..., Listener]]:
    opened: list[Listener] = []

    def open_stream(path: str, **headers: str) -> Listener:
        opened.append(Listener(server, path, **headers))
        return opened[-1]

    yield open_stream
    for listener in opened:
        listener.close()


def for_member(member: Any) -> str:
    return tickets.address(member.account_id, ["account"], member_id=member.pk)


def notify(**fact: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('switchboard_live', %s)", [json.dumps(fact)])


def test_a_message_reaches_the_members_of_its_account_and_nobody_else(
    shop: SimpleNamespace, listen: Callable[..., Listener]
) -> None:
    """Show 7, SX-07: within a second, ids only."""
    mine, foreign = listen(for_member(shop.person)), listen(for_member(shop.outsider))
    for stream in (mine, foreign):
        stream.until(b"welcome")
    conversation = factories.make_conversation(shop.inbox, "a secret word")
    assert mine.until(b"message.created") < 1
    fact = mine.facts()[-1]
    assert fact["conversation"] == conversation.public_id
    assert set(fact) == {"conversation", "type", "seq"}
    assert b"secret" not in mine.seen
    notify(account=shop.outsider_account.pk, conversation="cnv_x", type="told", seq=1)
    foreign.until(b'"told"')
    assert [fact["type"] for fact in foreign.facts()] == ["told"]


def test_a_visitor_hears_of_one_conversation_only(
    shop: SimpleNamespace, listen: Callable[..., Listener]
) -> None:
    one = factories.make_conversation(shop.inbox, "one")
    other = factories.make_conversation(shop.inbox, "other")
    visitor = listen(tickets.address(shop.account.pk, [f"conversation:{one.public_id}"]))
    visitor.until(b"welcome")
    with account_context(shop.account):
        services.add_note(other, text="x", author=shop.person)
        services.add_note(one, text="x", author=shop.person)
    visitor.until(one.public_id.encode())
    assert {fact["conversation"] for fact in visitor.facts()} == {one.public_id}


def test_200_streams_cost_no_thread_and_no_connection_each(
    shop: SimpleNamespace, server: Served, listen: Callable[..., Listener]
) -> None:
    """Show 7: at most two of each more than with none."""
    threads, connections = resources(server)
    streams = [listen(for_member(shop.person)) for _ in range(200)]
    for stream in streams:
        stream.until(b"welcome")
    notify(account=shop.account.pk, conversation="cnv_x", type="told", seq=1)
    for stream in streams:
        stream.until(b'"told"')
    now_threads, now_connections = resources(server)
    assert abs(now_threads - threads) <= 2
    assert abs(now_connections - connections) <= 2


def resources(server: Served) -> tuple[int, int]:
    """Threads of the server process, and connections to the test's database."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    threads = next(line for line in status.splitlines() if line.startswith("Threads:"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(threads.split()[1]), int(cursor.fetchone()[0])


def test_a_removed_member_hears_nothing_more_within_five_seconds(
    shop: SimpleNamespace, listen: Callable[..., Listener]
) -> None:
    """SX-24: the stream is closed, and the old ticket opens no other."""
    address = for_member(shop.person)
    removed, other = listen(address), listen(for_member(shop.owner))
    for stream in (removed, other):
        stream.until(b"welcome")
    notify(account=shop.account.pk, revoked_member=shop.person.pk)
    assert removed.until(b"event: closed") < 5
    assert listen(address).status == 401
    notify(account=shop.account.pk, conversation="cnv_x", type="told", seq=1)
    other.until(b'"told"')
    assert b'"told"' not in removed.seen
    assert listen(for_member(shop.person)).status == 200


def test_the_ticket_of_somebody_who_was_removed_unheard_opens_no_stream(
    shop: SimpleNamespace, listen: Callable[..., Listener]
) -> None:
    """SX-24: the process may not have run, or not listened, when the member was shut out."""
    address = for_member(shop.person)
    remove(shop.person)
    assert listen(address).status == 401
    assert listen(for_member(shop.owner)).status == 200


def remove(member: Any) -> None:
    member.active = False
    member.save()


def test_after_a_lost_database_connection_every_page_fetches_again(
    shop: SimpleNamespace, listen: Callable[..., Listener]
) -> None:
    stream = listen(for_member(shop.person))
    stream.until(b"welcome")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'switchboard live' AND datname = current_database()"
        )
    stream.until(b"event: reload", seconds=10)
    notify(account=shop.account.pk, conversation="cnv_x", type="told", seq=1)
    stream.until(b'"told"')


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "{own}"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
    ],
)
def test_only_our_own_pages_may_listen(
    shop: SimpleNamespace,
    server: Served,
    listen: Callable[..., Listener],
    headers: dict[str, str],
    status: int,
) -> None:
    """SX-73"""
    sent = {name: value.format(own=server.url) for name, value in headers.items()}
    assert listen(for_member(shop.person), **sent).status == status


def test_without_a_ticket_of_ours_nothing_is_heard(
    shop: SimpleNamespace, listen: Callable[..., Listener]
) -> None:
    good = for_member(shop.person)
    for path in ("/live/", "/live/?ticket=", "/live/?ticket=a:b:c", good[:-3] + "xyz"):
        assert listen(path).status == 401


def test_a_ticket_is_good_for_ten_minutes(time_machine_at: Callable[[float], Any]) -> None:
    with time_machine_at(0):
        text = tickets.ticket(1, ["account"], member_id=2)
        assert tickets.read(text).member_id == 2
    with time_machine_at(tickets.LIFE + 1), pytest.raises(tickets.BadTicketError):
        tickets.read(text)


@pytest.fixture
def time_machine_at() -> Callable[[float], Any]:
    import time_machine

    start = time.time()
    return lambda seconds: time_machine.travel(start + seconds, tick=False)


def test_another_signature_is_no_ticket() -> None:
    text = signing.TimestampSigner(salt="something else").sign_object({"a": 1})
    with pytest.raises(tickets.BadTicketError):
        tickets.read(text)


def a_stream(member_id: int | None = 7, account_id: int = 1) -> Stream:
    return Stream(Ticket(account_id, member_id, ("account",), time.time()))


def test_a_page_that_cannot_keep_up_is_told_to_fetch_everything() -> None:
    async def overflow() -> list[bytes | None]:
        stream = a_stream()
        for number in range(live.QUEUE + 5):
            stream.put(b"%d" % number)
        return [stream.queue.get_nowait() for _ in range(stream.queue.qsize())]

    items = asyncio.run(overflow())
    assert items[0] == live.RELOAD
    assert len(items) == 5


def test_an_unreadable_notification_harms_nobody() -> None:
    async def hear() -> int:
        hub, stream = Hub(), a_stream()
        hub.streams[1, "account"].add(stream)
        for payload in ("", "[]", "{}", '{"account": "x"}', '{"account": 1, "revoked_member": {}}'):
            hub.hear(payload)
        hub.hear('{"account": 1, "conversation": "cnv_x", "type": "told", "seq": 1}')
        return stream.queue.qsize()

    assert asyncio.run(hear()) == 1


def test_membership_is_checked_again_for_all_streams_in_one_query(shop: SimpleNamespace) -> None:
    """SX-73, for somebody who was removed while nobody listened to NOTIFY."""
    remove(shop.person)
    shop.admin.user.is_active = False
    shop.admin.user.save()

    async def check() -> list[bool]:
        hub = Hub()
        streams = [a_stream(m.pk) for m in (shop.owner, shop.person, shop.admin)] + [a_stream(None)]
        hub.streams[1, "account"].update(streams)
        async with await psycopg.AsyncConnection.connect(
            **live.connection_arguments(), autocommit=True
        ) as database:
            await hub.check_members(database)
        return [stream.queue.empty() for stream in streams]

    assert asyncio.run(check()) == [True, False, False, True]


def test_membership_is_checked_as_soon_as_hearing_begins(shop: SimpleNamespace) -> None:
    """Whoever was removed between the stream's opening and the hub's first word, or while it was lost."""
    remove(shop.person)

    async def hear() -> list[bytes | None]:
        hub, stream = Hub(), a_stream(shop.person.pk, shop.account.pk)
        hub.add(stream)
        async with asyncio.timeout(10):
            last = [await stream.queue.get(), await stream.queue.get()]
        hub.stop()
        return last

    assert asyncio.run(hear()) == [live.CLOSED, None]


def test_without_the_database_nobody_new_listens_and_later_everybody_does(
    shop: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Ticket(shop.account.pk, shop.person.pk, ("account",), time.time())

    async def ask() -> list[bool]:
        hub, visitor = Hub(), Ticket(shop.account.pk, None, ("conversation:x",), time.time())
        with monkeypatch.context() as nowhere:
            nowhere.setitem(connections.settings["default"], "PORT", "1")
            for _ in range(2):
                with pytest.raises(DatabaseAwayError):
                    await hub.admits(card)
            assert await hub.admits(visitor)
        answers = [await hub.admits(card)]
        assert hub.connection is not None
        await hub.connection.close()
        answers.append(await hub.admits(card))
        await hub.hang_up()
        return answers

    assert asyncio.run(ask()) == [True, True]
