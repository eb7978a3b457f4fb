"""What a normal deploy does to what is under way: nothing (delivery.md DL-52, F-31)."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections, transaction
from django.utils import timezone

from accounts.tenancy import account_context
from config.embedded.children import wait_until
from config.processes import WEB_SECONDS, WORKER_SECONDS
from config.web import DRAIN_SECONDS
from conversations.models import Attempt, Courier, Delivery, InboxRoute, Lane, Message
from conversations.services.locking import lock
from integrations import tickets
from integrations.courier.component import STOP_SECONDS
from integrations.models import Receipt
from tests import factories
from tests.api import token_of
from tests.bench.load import Customers, Journey
from tests.integrations.couriers import Reply, Server, courier, make_house, wait_for
from tests.integrations.test_courier import all_ended, put, states
from tests.integrations.test_courier_faults import start_process
from tests.serving import serve

pytestmark = pytest.mark.usefixtures("clean_database")

State = Delivery.State
CELERY = ("-m", "celery", "-A", "config.celery", "worker")
ALONE = ("manage.py", "courier")


def test_f_31_a_worker_with_fifty_pushes_under_way_hands_over_and_nothing_is_repeated():
    """DL-52: the worker ends the fifty and claims no fifty-first; another one goes on behind it.

    Its broker takes connections and says nothing, so its consumer hears of the signal seconds later.
    The courier in it must hear of it at once.
    """
    with (
        Server(lambda request: Reply(after=2)) as agent,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        broker = f"amqp://127.0.0.1:{silent.getsockname()[1]}//"
        house = make_house(agent.url)
        for conversation in [factories.make_conversation(house.inbox) for _ in range(50)]:
            for _ in range(2):
                put(house, conversation)
        worker = start_process(*CELERY, broker=broker)
        try:
            wait_for(lambda: agent.at_once == 50, 30)
            [old] = Courier.objects.values_list("pk", flat=True)
            agent.answer = lambda request: Reply()
            worker.send_signal(signal.SIGTERM)
            with courier():
                wait_for(all_ended, 20)
                assert worker.wait(30) == 0
        finally:
            worker.kill()
            worker.wait()
    assert states(kind="agent") == [State.DELIVERED] * 100
    assert set(Delivery.all_accounts.values_list("attempts", flat=True)) == {1}
    assert set(Attempt.all_accounts.values_list("outcome", flat=True)) == {"ok"}
    assert Attempt.all_accounts.filter(courier_id=old).count() == 50
    order = defaultdict(list)
    for request in agent.requests:
        order[request.headers["webhook-id"].split("-")[0]].append(request.json["n"])
    assert list(order.values()) == [[1, 2]] * 50
    assert not Lane.all_accounts.filter(lease_token__isnull=False).exists()
    assert not Courier.objects.exists()


@pytest.mark.parametrize(
    ("command", "second"),
    [(ALONE, signal.SIGTERM), (CELERY, signal.SIGQUIT)],
    ids=["courier", "worker"],
)
def test_a_second_signal_leaves_what_is_under_way_to_the_others(command, second):
    """Whoever insists need not wait; it is like a crash then, and cleaned up like one (F-02)."""
    with Server(lambda request: Reply(after=30)) as agent:
        house = make_house(agent.url)
        put(house, factories.make_conversation(house.inbox))
        process = start_process(*command)
        try:
            wait_for(lambda: agent.at_once == 1, 30)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.7)
            process.send_signal(second)
            process.wait(20)
        finally:
            process.kill()
            process.wait()
    assert states(kind="agent") == [State.IN_FLIGHT]
    assert Lane.all_accounts.get(kind="agent").lease_token
    assert not Attempt.all_accounts.filter(ended_at__isnull=False).exists()


def test_the_roles_get_the_time_that_their_last_work_may_take():
    """The longest attempt takes 60 s; what supervises the processes waits longer than they do."""
    assert STOP_SECONDS > 60
    assert WORKER_SECONDS >= STOP_SECONDS + 10
    assert WEB_SECONDS > DRAIN_SECONDS


def test_a_health_check_sees_this_machine_s_courier_only(capsys):
    with pytest.raises(CommandError, match="No courier has started on"):
        call_command("courier", check=True)
    Courier.objects.create(host="elsewhere", pid=1)
    with pytest.raises(CommandError, match="No courier has started on"):
        call_command("courier", check=True)
    ours = Courier.objects.create(host=socket.gethostname(), pid=1)
    call_command("courier", check=True)
    assert "was seen 0 s ago" in capsys.readouterr().out
    Courier.objects.filter(pk=ours.pk).update(last_seen_at=timezone.now() - timedelta(minutes=2))
    with pytest.raises(CommandError, match="for 120 s"):
        call_command("courier", check=True)


def test_f_31_a_web_process_answers_what_was_asked_and_lets_its_streams_go(tmp_path):
    """A person's message waits for a lock while the process is told to end; a page listens."""
    house = factories.make_house()
    thread = factories.make_conversation(house.inbox)
    token = token_of(house.person)
    with serve(tmp_path) as served, ThreadPoolExecutor(1) as pool, ExitStack() as closing:
        stream = closing.enter_context(socket.create_connection(_place(served.url), timeout=10))
        path = tickets.address(house.account.pk, ["account"], member_id=house.person.pk)
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b"text/event-stream" in stream.recv(4096)
        with account_context(house.account), transaction.atomic():
            lock(thread)
            answer = pool.submit(post_message, served.url, thread, token, "a")
            wait_for(_somebody_waits_for_us)
            os.kill(served.pid, signal.SIGTERM)
            started = time.monotonic()
            while stream.recv(4096):
                continue
            assert time.monotonic() - started < 2
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(_place(served.url), timeout=2)
            assert not answer.done()
        assert answer.result(10) == 201
        ended = wait_until(lambda: not _alive(served.pid), 10)
    assert ended
    assert texts(house) == {"a"}


def test_f_31_during_a_restart_of_web_whatever_was_answered_with_2xx_is_there(tmp_path):
    """Webhooks and API calls go on all the time; the others are told 503, or reach nobody."""
    house = factories.make_house()
    thread = factories.make_conversation(house.inbox)
    token, customers = token_of(house.person), _customers(house)
    stop, noted = threading.Event(), threading.Lock()
    stored: set[int] = set()
    answers: set[int] = set()
    others: list[int] = []

    def keep_asking(first):
        for n in range(first, 100_000, 2):
            if stop.is_set():
                return
            for kept, ask in (
                (stored, lambda n=n: post_hook(url, customers, n)),
                (answers, lambda n=n: post_message(url, thread, token, f"m{n}")),
            ):
                try:
                    status = ask()
                except (OSError, http.client.HTTPException):
                    status = 0
                with noted:
                    kept.add(n) if 200 <= status < 300 else others.append(status)

    with serve(tmp_path) as old, ThreadPoolExecutor(2) as pool:
        url = old.url
        askers = [pool.submit(keep_asking, first) for first in range(2)]
        try:
            wait_for(lambda: len(stored) > 10 and len(answers) > 10)
            os.kill(old.pid, signal.SIGTERM)
            wait_for(lambda: others)
            (tmp_path / "new").mkdir()
            with serve(tmp_path / "new", port=_place(url)[1]):
                before = len(answers)
                wait_for(lambda: len(answers) > before + 10)
                stop.set()
                for asker in askers:
                    asker.result(20)
        finally:
            stop.set()
    assert set(others) <= {0, 503}
    with account_context(house.account):
        keys = set(Receipt.objects.values_list("dedupe_key", flat=True))
    assert {f"m:{customers.external_id(n, customers.customer(n))}" for n in stored} <= keys
    assert {f"m{n}" for n in answers} <= texts(house)


def post_message(url, conversation, token, text):
    path = f"/v1/conversations/{conversation.public_id}/messages/"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return post(url, path, json.dumps({"text": text}).encode(), headers)


def post_hook(url, customers, number):
    body, headers = customers.webhook(number)
    return post(url, customers.inbox["hook_url"], body, headers)


def post(url, path, body, headers):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def texts(house):
    with account_context(house.account):
        return set(Message.objects.filter(direction="outbound").values_list("text", flat=True))


def _customers(house):
    """WhatsApp customers of the house, with a number of its own."""
    inbox = factories.make_inbox(house.account, "whatsapp")
    token = InboxRoute.new_token()
    with account_context(house.account):
        inbox.credentials = {"app_secret": "s3cret", "token": token}
        inbox.save()
        InboxRoute.objects.create(
            account=house.account,
            inbox_id=inbox.pk,
            platform="whatsapp",
            token_sha256=InboxRoute.digest(token),
        )
    about = {"app_secret": "s3cret", "phone_number_id": "1", "hook_url": f"/hooks/whatsapp/{token}"}
    return Customers(about, Journey())


def _place(url):
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80


def _alive(pid):
    """Whether the process runs; one that has ended waits for its parent as a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _somebody_waits_for_us():
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_locks"
            " WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return cursor.fetchone()
