"""The guarded client against real local servers (security.md 43 to 51, F-14 to F-17)."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import resource
import socket
import ssl
import subprocess
import sys
import time

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conversations.channels import ErrorClass, SendError
from integrations.addresses import Policy, RefusedUrlError
from integrations.http import MAX_ACCOUNTS, Clients, GuardedClient, check_url

LOCAL = Policy.of(allow_http=True, allow=["127.0.0.0/8"])
PUBLIC_ONLY = Policy.of(allow_http=True, allow=[])


class Server:
    """A local web server: `async with Server(handler) as server`."""

    def __init__(self, handler, *, tls=None):
        self.handler, self.tls, self.requests, self.connections = handler, tls, [], 0

    async def __aenter__(self):
        async def handle(request):
            self.requests.append(request)
            return await self.handler(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=self.tls)
        await site.start()
        self.port = self.runner.addresses[0][1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/"
        return self

    async def __aexit__(self, *error):
        await self.runner.cleanup()


async def ok(request):
    return web.Response(text="fine")


def names(*rounds):
    """A resolver that gives the next answer at each question."""
    answers = list(rounds)

    async def lookup(host, port):
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, one) for one in found]

    return lookup


def test_an_answer_comes_back_whole():
    async def run():
        async def echo(request):
            return web.Response(
                status=201, body=await request.read(), headers={"X-One": request.headers["X-One"]}
            )

        async with Server(echo) as server, GuardedClient(policy=LOCAL) as http:
            answer = await http.request("POST", server.url, headers={"X-One": "1"}, json={"ä": 1})
            assert (answer.status, answer.body) == (201, '{"ä": 1}'.encode())
            assert answer.headers["x-one"] == "1"
            exchange = await http.exchange("GET", server.url, headers={"X-One": "2"})
            assert (exchange.outcome, exchange.remote_ip) == ("ok", "127.0.0.1")
            assert server.requests[0].headers["User-Agent"].startswith("Switchboard/")

    asyncio.run(run())


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]", "0",
        "169.254.169.254", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
    ],
)  # fmt: skip
def test_sx_43_no_packet_goes_to_a_host_that_means_this_machine(host):
    async def run():
        async with Server(ok) as server, GuardedClient(policy=PUBLIC_ONLY) as http:
            exchange = await http.exchange("POST", f"http://{host}:{server.port}/")
            assert exchange.outcome == "blocked_address"
            assert not exchange.written
            assert server.requests == []
            with pytest.raises(SendError) as refused:
                await http.request("POST", f"http://{host}:{server.port}/")
            assert refused.value.error_class == ErrorClass.PERMANENT

    asyncio.run(run())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "[::1]"])
def test_sx_43_saving_such_an_address_is_refused_with_a_sentence(host):
    with pytest.raises(RefusedUrlError) as refused:
        check_url(f"https://{host}/", policy=Policy())
    assert str(refused.value).endswith(".")
    assert "127.0.0.1" not in str(refused.value)


def test_a_name_nobody_knows_yet_may_be_saved():
    check_url("https://agent.invalid/", policy=Policy())


def test_sx_44_one_private_address_among_public_ones_spoils_the_name():
    async def run():
        lookup = names(["93.184.215.14", "127.0.0.1"])
        async with GuardedClient(policy=PUBLIC_ONLY, lookup=lookup) as http:
            exchange = await http.exchange("GET", "http://mixed.example:8080/")
            assert exchange.outcome == "blocked_address"
            assert "127.0.0.1" not in exchange.error

    asyncio.run(run())


def test_sx_45_f_15_a_name_that_changes_its_address_is_judged_at_each_connection():
    async def run():
        async with Server(ok) as server:
            # 127.0.0.2 plays the public address: allowed by policy, while 127.0.0.1 is not.
            policy = Policy.of(allow_http=True, allow=["127.0.0.2"])
            lookup = names(["127.0.0.2"], ["127.0.0.1"])
            async with GuardedClient(policy=policy, lookup=lookup) as http:
                url = f"http://rebind.example:{server.port}/"
                first = await http.exchange("POST", url, timeout=2)
                second = await http.exchange("POST", url, timeout=2)
            assert first.outcome in ("refused", "timeout_connect")
            assert second.outcome == "blocked_address"
            assert server.requests == []

    asyncio.run(run())


def test_sx_45_the_connection_goes_to_the_checked_address_and_keeps_the_name():
    async def run():
        async with (
            Server(ok) as server,
            GuardedClient(policy=LOCAL, lookup=names(["127.0.0.1"], ["10.0.0.1"])) as http,
        ):
            exchange = await http.exchange("GET", f"http://agent.example:{server.port}/")
            assert exchange.ok
            assert server.requests[0].headers["Host"] == f"agent.example:{server.port}"

    asyncio.run(run())


def test_sx_46_f_14_a_redirect_is_not_followed():
    async def run():
        async def redirect(request):
            raise web.HTTPFound("http://169.254.169.254/latest/meta-data/")

        async with Server(redirect) as server, GuardedClient(policy=LOCAL) as http:
            exchange = await http.exchange("GET", server.url)
            assert (exchange.outcome, exchange.status) == ("http_error", 302)
            assert len(server.requests) == 1

    asyncio.run(run())


def test_f_16_a_dripping_answer_is_cut_at_the_total_time():
    async def run():
        async def drip(request):
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b".")
                await asyncio.sleep(0.1)

        async with Server(drip) as server, GuardedClient(policy=LOCAL) as http:
            started = time.monotonic()
            exchange = await http.exchange("POST", server.url, timeout=1.0)
            assert time.monotonic() - started < 1.5
            assert (exchange.outcome, exchange.written) == ("timeout_read", True)
            assert http.in_flight == 0

    asyncio.run(run())


def test_f_16_longer_limits_are_kept_to_as_exactly():
    """Whenever the calls begin: no limit waits for a whole second of somebody's clock."""

    async def run():
        async def silent(request):
            await asyncio.sleep(20)

        async with Server(silent) as server, GuardedClient(policy=LOCAL) as http:

            async def call(after: float) -> float:
                await asyncio.sleep(after)
                started = time.monotonic()
                await http.exchange("POST", server.url, timeout=5.1)
                return time.monotonic() - started

            took = await asyncio.gather(*(call(after) for after in (0, 0.33, 0.66)))
            assert max(took) < 5.5, took

    asyncio.run(run())


def test_f_17_an_endless_answer_is_cut_at_the_cap():
    async def run():
        async def flood(request):
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(16_384):  # 1 GiB in all
                await response.write(b"x" * 65_536)
            return response

        async with Server(flood) as server, GuardedClient(policy=LOCAL) as http:
            await http.exchange("POST", server.url, max_bytes=1024)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            exchange = await http.exchange("POST", server.url, max_bytes=256 * 1024)
            assert exchange.outcome == "too_large"
            assert exchange.body == b""
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 5 * 1024

    asyncio.run(run())


def test_a_compressed_bomb_is_not_inflated():
    bomb = gzip.compress(b"\0" * 50_000_000)

    async def run():
        async def explode(request):
            return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

        async with Server(explode) as server, GuardedClient(policy=LOCAL) as http:
            exchange = await http.exchange("GET", server.url, max_bytes=100_000)
            assert exchange.outcome == "too_large"

    asyncio.run(run())


def test_a_small_compressed_answer_is_read():
    async def run():
        async def packed(request):
            return web.Response(body=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})

        async with Server(packed) as server, GuardedClient(policy=LOCAL) as http:
            assert (await http.exchange("GET", server.url)).body == b"{}"

    asyncio.run(run())


def test_sx_49_cookies_are_not_kept():
    async def run():
        async def bake(request):
            response = web.Response()
            response.set_cookie("session", "1")
            return response

        async with Server(bake) as server, GuardedClient(policy=LOCAL) as http:
            await http.exchange("GET", server.url)
            await http.exchange("GET", server.url)
            assert "Cookie" not in server.requests[1].headers

    asyncio.run(run())


@pytest.mark.parametrize("reply", [b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
                                   b"HTTP/1.1 200 OK\r\nX-Big: " + b"a" * 20_000 + b"\r\n\r\n",
                                   b"garbage\r\n\r\n"])  # fmt: skip
def test_sx_49_a_broken_answer_is_a_failure(reply):
    async def run():
        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, GuardedClient(policy=LOCAL) as http:
            exchange = await http.exchange("GET", f"http://127.0.0.1:{port}/")
            assert exchange.outcome == "http_error"

    asyncio.run(run())


def test_sx_51_a_line_break_in_a_header_is_refused():
    async def run():
        async with Server(ok) as server, GuardedClient(policy=LOCAL) as http:
            with pytest.raises(ValueError, match="line break"):
                await http.exchange("GET", server.url, headers={"X-A": "b\r\nX-Evil: 1"})
            assert server.requests == []

    asyncio.run(run())


def test_dl_44_a_refused_connection_is_not_ambiguous_and_a_lost_one_is():
    async def run():
        async def hang_up(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with GuardedClient(policy=LOCAL) as http:
            async with server:
                with pytest.raises(SendError) as lost:
                    await http.request("POST", f"http://127.0.0.1:{port}/", json={})
                with pytest.raises(SendError) as lost_reading:
                    await http.request("GET", f"http://127.0.0.1:{port}/")
            with pytest.raises(SendError) as refused:
                await http.request("POST", f"http://127.0.0.1:{port}/", json={})
            unknown = await http.exchange("POST", "http://nobody.invalid:8080/")
        assert (lost.value.error_class, lost.value.code) == (ErrorClass.AMBIGUOUS, "disconnected")
        assert lost_reading.value.error_class == ErrorClass.TRANSIENT
        assert (refused.value.error_class, refused.value.code) == (ErrorClass.TRANSIENT, "refused")
        assert (unknown.outcome, unknown.written) == ("dns", False)

    asyncio.run(run())


def test_a_timeout_after_writing_is_ambiguous():
    async def run():
        async def sleep(request):
            await asyncio.sleep(5)
            return web.Response()

        async with Server(sleep) as server, GuardedClient(policy=LOCAL) as http:
            with pytest.raises(SendError) as late:
                await http.request("POST", server.url, json={}, timeout=0.3)
            assert late.value.error_class == ErrorClass.AMBIGUOUS

    asyncio.run(run())


def test_dl_113_a_certificate_nobody_signed_is_refused(tmp_path):
    async def run():
        async with (
            Server(ok, tls=self_signed(tmp_path)) as server,
            GuardedClient(policy=LOCAL) as h,
        ):
            exchange = await h.exchange("POST", server.url)
            assert (exchange.outcome, exchange.written) == ("tls", False)

    asyncio.run(run())


def test_dl_113_accounts_do_not_share_connections():
    async def run():
        peers = set()

        async def remember(request):
            peers.add(request.transport.get_extra_info("peername"))
            return web.Response()

        async with Server(remember) as server:
            clients = Clients(policy=LOCAL)
            for account in (1, 2, 1, 2):
                assert (await (await clients.of(account)).exchange("GET", server.url)).ok
            for account in range(MAX_ACCOUNTS + 5):
                await clients.of(account)
            assert len(clients._clients) <= MAX_ACCOUNTS
            await clients.close()
        assert len(peers) == 2

    asyncio.run(run())


SLOW_SERVER = """
import asyncio
from aiohttp import web

async def slow(request):
    await asyncio.sleep(0.5)
    return web.Response()

async def serve():
    app = web.Application()
    app.router.add_route("*", "/", slow)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()

asyncio.run(serve())
"""


@pytest.fixture
def slow_server():
    """The address of a server in a process of its own, as agents are: it takes half a second."""
    with subprocess.Popen([sys.executable, "-c", SLOW_SERVER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        process.kill()


def test_a_thousand_requests_run_at_once(slow_server):
    async def run():
        async with GuardedClient(policy=LOCAL) as http:
            started = time.monotonic()
            done = await asyncio.gather(
                *(http.exchange("POST", slow_server, timeout=20) for _ in range(1000))
            )
            assert all(exchange.ok for exchange in done)
            assert time.monotonic() - started < 10

    asyncio.run(run())


def self_signed(folder) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "pair.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
