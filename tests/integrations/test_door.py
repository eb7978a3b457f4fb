"""The hook door over real PostgreSQL: what is answered 2xx is committed, once (delivery.md 2)."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import psycopg
import pytest
from django.db import connections

from accounts.tenancy import account_context
from conversations.models import Inbox, InboxRoute, Lane
from integrations.door import Door, app
from integrations.ledger import WRITERS
from integrations.models import Receipt
from integrations.registry import Platform, register
from tests import factories
from tests.integrations.channel import PaperChannel
from tests.integrations.couriers import only_reading

pytestmark = pytest.mark.usefixtures("clean_database")


@pytest.fixture(autouse=True)
def paper():
    register(Platform("paper", "Paper", channel=PaperChannel(), connectable=False))


@pytest.fixture
def inbox():
    return make_inbox(factories.make_account())


def make_inbox(account, **fields):
    inbox = factories.make_inbox(account, "paper", **fields)
    with account_context(account):
        inbox.credentials = {"secret": "s3cret", "token": InboxRoute.new_token()}
        inbox.save()
        InboxRoute.objects.create(
            account=account,
            inbox_id=inbox.pk,
            platform="paper",
            token_sha256=InboxRoute.digest(inbox.credentials["token"]),
        )
    return inbox


def address(inbox):
    return f"/hooks/paper/{inbox.credentials['token']}"


async def call(door, path, body=b"", *, method="POST", headers=None, query=b"", ip="192.0.2.1"):
    """One request; (status, headers, body) of the answer."""
    sent = []
    given = {"x-paper-secret": "s3cret", **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": (ip, 1),
    }

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await door(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def at_door(steps):
    """Run `steps(door)` and close the door."""

    async def run():
        door = Door()
        try:
            return await steps(door)
        finally:
            await door.close()

    return asyncio.run(run())


def paper_body(*items):
    return json.dumps({"items": list(items)}).encode()


def receipts(inbox):
    with account_context(inbox.account_id):
        return list(Receipt.objects.order_by("id"))


def said(key="1", contact="ana", **more):
    return {"id": key, "from": contact, "text": "hello", **more}


def test_dl_10_a_stored_item_has_a_receipt_and_a_due_lane(inbox):
    async def steps(door):
        return await call(door, address(inbox), paper_body(said()))

    status, _headers, body = at_door(steps)
    assert (status, body) == (200, b"ok")
    [receipt] = receipts(inbox)
    assert (receipt.state, json.loads(receipt.body)["id"]) == ("new", "1")
    lane = Lane.all_accounts.get(pk=receipt.lane_id)
    assert (lane.kind, lane.destination_id, lane.key) == ("inbound", inbox.pk, "ana")
    assert lane.due_at is not None


def test_a_slash_at_the_end_changes_nothing(inbox):
    async def steps(door):
        return await call(door, address(inbox) + "/", paper_body(said()))

    assert at_door(steps)[0] == 200
    assert len(receipts(inbox)) == 1


def test_f_22_the_same_webhook_50_times_at_once_is_one_receipt(inbox):
    async def steps(door):
        body = paper_body(said("1"), said("2"))
        return await asyncio.gather(*(call(door, address(inbox), body) for _ in range(50)))

    assert {answer[0] for answer in at_door(steps)} == {200}
    assert [receipt.dedupe_key for receipt in receipts(inbox)] == ["m:1", "m:2"]


def test_sx_37_the_same_webhook_later_wakes_nobody(inbox):
    async def steps(door):
        await call(door, address(inbox), paper_body(said()))
        await asyncio.to_thread(rest_lanes)
        return await call(door, address(inbox), paper_body(said()))

    def rest_lanes():
        Lane.all_accounts.update(due_at=None)
        connections.close_all()

    assert at_door(steps)[0] == 200
    assert Lane.all_accounts.get().due_at is None


def test_dl_13_an_item_without_an_id_is_known_for_ten_minutes_only(inbox):
    async def steps(door):
        body = paper_body(said(weak=True))
        await call(door, address(inbox), body)
        await call(door, address(inbox), body)

    at_door(steps)
    [receipt] = receipts(inbox)
    key, _, window = receipt.dedupe_key.partition("@")
    assert key == "m:1"
    assert window.isdigit()


def test_dl_14_f_24_one_bad_item_of_a_batch_is_kept_as_failed_and_rejects_no_other(inbox):
    async def steps(door):
        items = [said(str(n), error="no id" if n == 37 else "") for n in range(100)]
        return await call(door, address(inbox), paper_body(*items))

    assert at_door(steps)[0] == 200
    states = [receipt.state for receipt in receipts(inbox)]
    assert states.count("new") == 99
    assert states[37] == "failed"
    assert receipts(inbox)[37].result == "no id"


def test_dl_15_receipts_of_one_contact_keep_their_order(inbox):
    async def steps(door):
        for n in range(30):
            await call(door, address(inbox), paper_body(said(f"{n}a"), said(f"{n}b", "bo")))

    at_door(steps)
    keys = [receipt.dedupe_key for receipt in receipts(inbox)]
    assert [key for key in keys if key.endswith("a")] == [f"m:{n}a" for n in range(30)]


def test_accounts_that_wait_together_keep_apart(inbox):
    other = make_inbox(factories.make_account("Other"))

    async def steps(door):
        return await asyncio.gather(
            *(
                call(door, address(box), paper_body(said(f"{n}")))
                for n in range(20)
                for box in (inbox, other)
            )
        )

    assert {answer[0] for answer in at_door(steps)} == {200}
    assert len(receipts(inbox)) == 20
    assert {receipt.inbox_id for receipt in receipts(other)} == {other.pk}


def test_one_request_the_database_cannot_hold_harms_no_other(inbox):
    gone = make_inbox(inbox.account)

    async def steps(door):
        assert (await call(door, address(gone), paper_body()))[0] == 200
        await asyncio.to_thread(delete, gone)
        return await asyncio.gather(
            call(door, address(gone), paper_body(said("x"))),
            *(call(door, address(inbox), paper_body(said(f"{n}"))) for n in range(5)),
        )

    def delete(box):
        with account_context(box.account_id):
            Inbox.objects.filter(pk=box.pk).delete()
        connections.close_all()

    answers = at_door(steps)
    assert [answer[0] for answer in answers] == [503] + [200] * 5
    assert len(receipts(inbox)) == 5


def test_a_channel_that_cuts_wrongly_harms_no_other(inbox):
    """The paper's lane is a number here, which a lane cannot be."""
    wrong = make_inbox(inbox.account)

    async def steps(door):
        async with asyncio.timeout(10):
            refused = [
                await call(door, address(wrong), paper_body(said(f"w{n}", contact=5)))
                for n in range(3)
            ]
            return refused, await call(door, address(inbox), paper_body(said("1")))

    refused, taken = at_door(steps)
    assert [answer[0] for answer in refused] == [503] * 3
    assert taken[0] == 200


def test_a_header_that_looks_like_an_escape_is_stored(inbox):
    async def steps(door):
        headers = {"user-agent": "\\u0000"}
        return await call(door, address(inbox), paper_body(said("1")), headers=headers)

    assert at_door(steps)[0] == 200


def test_sx_40_strange_text_is_stored_and_answered_2xx(inbox):
    async def steps(door):
        odd = [
            said("a\x00b"),
            said("c", "d\x00e"),
            said("\ud800"),
            said("x" * 5000),
            said("y", "z" * 500),
        ]
        first = await call(door, address(inbox), json.dumps({"items": odd}).encode())
        second = await call(door, address(inbox), b"[" * 100_000)
        return first, second

    first, second = at_door(steps)
    assert (first[0], second[0]) == (200, 200)
    assert [receipt.state for receipt in receipts(inbox)] == ["new"] * 5 + ["failed"]


def test_sx_31_a_wrong_signature_is_401_counted_and_nothing_is_stored(inbox, caplog):
    async def steps(door):
        with caplog.at_level(logging.INFO):
            return await call(
                door, address(inbox), paper_body(said()), headers={"x-paper-secret": "no"}
            )

    assert at_door(steps)[0] == 401
    assert receipts(inbox) == []
    with account_context(inbox.account_id):
        hooks = Inbox.objects.get().health["hooks"]
    assert (hooks["refused"], hooks["refused_in_a_row"]) == (1, 1)
    assert inbox.credentials["token"] not in caplog.text


def test_sx_35_a_webhook_signed_by_another_inbox_is_401(inbox):
    other = make_inbox(factories.make_account("Other"))
    with account_context(other.account_id):
        other.credentials = {**other.credentials, "secret": "another"}
        other.save()

    async def steps(door):
        return await call(door, address(other), paper_body(said()))

    assert at_door(steps)[0] == 401


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD"])
@pytest.mark.parametrize(
    "path", ["/hooks/paper/unknown", "/hooks/paper/", "/hooks/", "/hooks/a/b/c"]
)
def test_sx_42_an_unknown_route_is_404_whatever_the_method(method, path):
    async def steps(door):
        return await call(door, path, method=method)

    assert at_door(steps)[0] == 404


def test_a_route_of_another_platform_is_404(inbox):
    async def steps(door):
        return await call(door, address(inbox).replace("paper", "sandbox"))

    assert at_door(steps)[0] == 404


def test_wrong_knocks_are_limited_per_caller_and_right_ones_never(inbox):
    async def steps(door):
        wrong = [(await call(door, "/hooks/paper/guess"))[0] for _ in range(65)]
        right = await call(door, address(inbox), paper_body(said()))
        other = await call(door, "/hooks/paper/guess", ip="192.0.2.2")
        return wrong, right[0], other[0]

    wrong, right, other = at_door(steps)
    assert wrong == [404] * 60 + [429] * 5
    assert (right, other) == (200, 404)


def test_sx_34_the_challenge_is_the_channels_business(inbox):
    async def steps(door):
        good = await call(door, address(inbox), method="GET", query=b"challenge=17&token=s3cret")
        bad = await call(door, address(inbox), method="GET", query=b"challenge=17&token=no")
        head = await call(door, address(inbox), method="HEAD", query=b"challenge=17&token=s3cret")
        put = await call(door, address(inbox), method="PUT")
        return good, bad, head, put

    good, bad, head, put = at_door(steps)
    assert (good[0], good[2], good[1][b"content-type"]) == (
        200,
        b"17",
        b"text/plain; charset=utf-8",
    )
    assert (bad[0], head[0], head[2], put[0]) == (403, 200, b"", 405)


def test_sx_38_sx_39_large_and_compressed_bodies_are_refused(inbox, settings):
    settings.MAX_HOOK_BYTES = 1000

    async def steps(door):
        return (
            await call(door, address(inbox), b"x" * 1001),
            await call(door, address(inbox), b"", headers={"content-length": "1001"}),
            await call(door, address(inbox), b"", headers={"content-encoding": "gzip"}),
        )

    assert [answer[0] for answer in at_door(steps)] == [413, 413, 415]
    assert receipts(inbox) == []


def test_a_switched_off_inbox_answers_200_and_counts(inbox):
    with account_context(inbox.account_id):
        Inbox.objects.update(state=Inbox.State.DISABLED)

    async def steps(door):
        return await call(door, address(inbox), paper_body(said()))

    assert at_door(steps)[0] == 200
    assert receipts(inbox) == []
    with account_context(inbox.account_id):
        assert Inbox.objects.get().health["hooks"]["dropped"] == 1


def test_dl_12_without_a_database_the_answer_is_503_and_later_200_again(inbox):
    database = connections.settings["default"]

    async def steps(door):
        name = database["NAME"]
        assert (await call(door, address(inbox), paper_body(said("1"))))[0] == 200
        await asyncio.to_thread(cut_all_connections)
        database["NAME"] = "gone"
        door.ledger._routes.clear()
        down = await call(door, address(inbox), paper_body(said("2")))
        database["NAME"] = name
        back = await call(door, address(inbox), paper_body(said("2")))
        return down, back

    name = database["NAME"]
    try:
        down, back = at_door(steps)
    finally:
        database["NAME"] = name
    assert (down[0], down[1][b"retry-after"], back[0]) == (503, b"5", 200)
    assert len(receipts(inbox)) == 2


def test_dl_12_a_database_that_only_reads_is_away_until_another_is_reached(inbox):
    """As after a failover: nobody has to restart the door whose connections lead to the old primary."""

    async def store(door):
        """As often as it has connections, which take turns."""
        answers = [await call(door, address(inbox), paper_body(said("1"))) for _ in range(WRITERS)]
        return [status for status, _headers, _body in answers]

    async def steps(door):
        with only_reading():
            down = await store(door)
        return down, await store(door)

    assert at_door(steps) == ([503] * WRITERS, [200] * WRITERS)
    assert len(receipts(inbox)) == 1


def cut_all_connections():
    """What a dying database server does to its clients."""
    database = connections.settings["default"]
    with psycopg.connect(
        dbname=database["NAME"],
        user=database["USER"],
        host=database["HOST"],
        port=database["PORT"],
        autocommit=True,
    ) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'switchboard door'"
        )


def test_the_server_starts_and_ends_the_door(inbox):
    async def run():
        incoming: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        outgoing: asyncio.Queue[Any] = asyncio.Queue()
        life = asyncio.create_task(app({"type": "lifespan"}, incoming.get, outgoing.put))
        await incoming.put({"type": "lifespan.startup"})
        assert (await outgoing.get())["type"] == "lifespan.startup.complete"
        assert (await call(app, address(inbox), paper_body(said())))[0] == 200
        await incoming.put({"type": "lifespan.shutdown"})
        assert (await outgoing.get())["type"] == "lifespan.shutdown.complete"
        await life

    asyncio.run(run())
    with account_context(inbox.account_id):
        assert "received_at" in Inbox.objects.get().health["hooks"]
