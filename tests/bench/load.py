"""The foreign sides of the chain, as light as they can be: customers, an agent, a channel."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web


@dataclass
class Journey:
    """When each message was at each station, by its number (seconds of one monotonic clock)."""

    sent: dict[int, float] = field(default_factory=dict)
    stored: dict[int, float] = field(default_factory=dict)
    at_agent: dict[int, float] = field(default_factory=dict)
    at_channel: dict[int, float] = field(default_factory=dict)
    duplicates: int = 0
    disorder: int = 0
    # Those of the duplicates that the customers have seen.
    seen_twice: int = 0
    refused: int = 0
    _last: dict[str, int] = field(default_factory=dict)

    def note(self, station: dict[int, float], number: int, conversation: str) -> None:
        if number in station:
            self.duplicates += 1
            self.seen_twice += station is self.at_channel
            return
        station[number] = time.perf_counter()
        if station is self.at_agent:
            if number < self._last.get(conversation, -1):
                self.disorder += 1
            self._last[conversation] = number

    def lost(self) -> int:
        """How many have not reached the channel; what an earlier step left behind may have."""
        return sum(number not in self.at_channel for number in self.sent)

    def milliseconds(self, station: dict[int, float], *, skip: float = 0.1) -> list[float]:
        """Sorted latencies from the customer to `station`, the first tenth left out as warm-up."""
        numbers = sorted(self.sent)
        kept = numbers[int(len(numbers) * skip) :]
        return sorted((station[n] - self.sent[n]) * 1000 for n in kept if n in station)


def percentile(samples: list[float], share: float) -> float:
    return samples[min(len(samples) - 1, int(len(samples) * share))] if samples else float("nan")


class Peers:
    """An instant agent and a Graph server that accepts everything, on ports of their own."""

    def __init__(self) -> None:
        self.journey = Journey()
        self.reply = True
        # Seconds that the agent takes for an answer.
        self.thinks = 0.0
        self._ids = itertools.count(1)
        self._runners: list[web.AppRunner] = []

    async def start(self, *, agent_port: int, graph_port: int) -> None:
        agent, graph = web.Application(), web.Application()
        agent.router.add_post("/{tail:.*}", self._agent)
        graph.router.add_route("*", "/{tail:.*}", self._graph)
        for app, port in ((agent, agent_port), (graph, graph_port)):
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            self._runners.append(runner)

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()

    async def _agent(self, request: web.Request) -> web.Response:
        event: dict[str, Any] = await request.json()
        if event["type"] != "message.created":
            return web.Response(status=204)
        text = event["message"]["text"]
        number = int(text.rpartition("#")[2])
        self.journey.note(self.journey.at_agent, number, event["conversation"]["id"])
        await asyncio.sleep(self.thinks)
        return web.json_response({"reply": f"answer #{number}"}) if self.reply else web.Response()

    async def _graph(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else {}
        if body.get("type") == "text":
            number = int(body["text"]["body"].rpartition("#")[2])
            self.journey.note(self.journey.at_channel, number, str(body.get("to")))
        if body.get("status") == "read":
            return web.json_response({"success": True})
        return web.json_response(
            {
                "messaging_product": "whatsapp",
                "contacts": [{"input": body.get("to"), "wa_id": body.get("to")}],
                "messages": [{"id": f"wamid.BENCH{next(self._ids)}"}],
            }
        )


class Customers:
    """Signed Meta webhooks at a fixed rate, over many contacts."""

    def __init__(self, inbox: dict[str, str], journey: Journey, *, contacts: int = 200) -> None:
        self.inbox = inbox
        self.journey = journey
        self.contacts = contacts
        self.numbers = itertools.count()
        self.run = int(time.time())

    def customer(self, number: int) -> str:
        """Who writes the message of this number."""
        return f"4072{number % self.contacts:07d}"

    def external_id(self, number: int, customer: str) -> str:
        return f"wamid.IN{self.run}.{customer}.{number}"

    def webhook(self, number: int, *, customer: str = "") -> tuple[bytes, dict[str, str]]:
        customer = customer or self.customer(number)
        body = json.dumps(
            {
                "object": "whatsapp_business_account",
                "entry": [
                    {
                        "id": "1",
                        "changes": [
                            {
                                "field": "messages",
                                "value": {
                                    "messaging_product": "whatsapp",
                                    "metadata": {
                                        "display_phone_number": "40312345678",
                                        "phone_number_id": self.inbox["phone_number_id"],
                                    },
                                    "contacts": [{"profile": {"name": "Bench"}, "wa_id": customer}],
                                    "messages": [
                                        {
                                            "from": customer,
                                            "id": self.external_id(number, customer),
                                            "timestamp": str(int(time.time())),
                                            "type": "text",
                                            "text": {"body": f"question #{number}"},
                                        }
                                    ],
                                },
                            }
                        ],
                    }
                ],
            }
        ).encode()
        digest = hmac.new(self.inbox["app_secret"].encode(), body, hashlib.sha256).hexdigest()
        return body, {
            "X-Hub-Signature-256": f"sha256={digest}",
            "Content-Type": "application/json",
        }

    async def send(self, session: aiohttp.ClientSession) -> None:
        number = next(self.numbers)
        body, headers = self.webhook(number)
        self.journey.sent[number] = time.perf_counter()
        async with session.post(self.inbox["hook_url"], data=body, headers=headers) as answer:
            if answer.status == 200:
                self.journey.stored[number] = time.perf_counter()
            else:
                self.journey.refused += 1
                del self.journey.sent[number]

    async def at_rate(self, rate: float, seconds: float) -> None:
        """Open loop: a message leaves on schedule, whether or not the earlier ones have arrived."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            started, tasks = time.perf_counter(), []
            for n in range(int(rate * seconds)):
                delay = started + n / rate - time.perf_counter()
                if delay > 0:
                    await asyncio.sleep(delay)
                tasks.append(asyncio.create_task(self.send(session)))
            await asyncio.gather(*tasks)

    async def flood(self, *, clients: int, seconds: float) -> int:
        """Closed loop: `clients` connections that each wait for their answer; how many were stored."""
        stop = time.perf_counter() + seconds
        before = len(self.journey.stored)

        async def one(session: aiohttp.ClientSession) -> None:
            while time.perf_counter() < stop:
                await self.send(session)

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(one(session) for _ in range(clients)))
        return len(self.journey.stored) - before


async def settled(journey: Journey, station: dict[int, float], *, seconds: float) -> bool:
    """Wait until everything that was sent has reached `station`."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        if len(station) >= len(journey.sent):
            return True
        await asyncio.sleep(0.05)
    return False
