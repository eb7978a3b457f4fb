"""F-27 and F-28: one account floods, and everybody writes at once."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.bench.load import percentile
from tests.chaos.customers import Customers
from tests.chaos.ledgers import Sent, text_of
from tests.chaos.playing import scenario
from tests.chaos.stage import Stage
from tests.fakes.graph import hooks

# What the aims ask of many machines, cut to what two shared cores do in a minute.
FLOOD, CROWD = 400, 600
BATCH = 100


def write_in_batches(stage: Stage, customers: Customers, names: Sequence[str]) -> None:
    """One message of each of them, a hundred to a webhook, as fast as they are taken."""
    for start in range(0, len(names), BATCH):
        pairs = [
            hooks.customer_message("text", sender=name, name="Ana", text={"body": text_of(name, 1)})
            for name in names[start : start + BATCH]
        ]
        body = customers.envelope(
            contacts=[contact for _message, contact in pairs],
            messages=[message for message, _contact in pairs],
        )
        status = stage.world.loop.run(customers.post(body))
        stage.want(status == 200, f"a batch was answered {status}")
        now = time.time()
        customers.sent += [
            Sent(message["from"], 1, message["id"], now, now, [status]) for message, _ in pairs
        ]


@scenario("F-27", "another account floods an agent that does not answer", settles=90)
def flood(stage: Stage) -> None:
    """DL-92: p95 to the first attempt of a quiet account ≤ 2 s, p99 ≤ 5 s."""
    other = stage.world.house()
    agent = stage.world.agents.add(other.agent_name, first=other.agent_secret)
    agent.holding = True
    noisy = Customers(other)
    count = max(BATCH, round(FLOOD * stage.world.pace))
    changes = {"timeout_s": 60, "patience_s": 600}
    stage.api("PATCH", f"agents/{other.agent_id}/", changes, token=other.owner_token)
    try:
        write_in_batches(stage, noisy, [noisy.name() for _ in range(count)])
        busy = stage.wait_for(lambda: agent.now >= count, 120)
        stage.want(busy, f"{agent.now} of the flood's {count} are under way at once")
        with stage.load(conversations=4, rate=2, seconds=15):
            pass
        stage.settle(60)
        agent.holding = False
        waits = stage.waits()
        p95, p99 = percentile(waits, 0.95), percentile(waits, 0.99)
        stage.note(f"beside {count} that an agent holds up: p95 {p95:.2f} s, p99 {p99:.2f} s")
        stage.want_quick(p95, 2, "p95 of the quiet account")
        stage.want_quick(p99, 5, "p99 of the quiet account")
        account = other.account_id
        done = stage.wait_for(lambda: stage.database.is_quiet(account), 120)
        stage.want(done, "the flood itself did not come to rest")
        arrived = {one.key for one in agent.questions()}
        missing = sum(one.key not in arrived for one in noisy.sent)
        stage.want(not missing, f"{missing} messages of the flood were lost")
    finally:
        stage.world.loop.run(noisy.close())


@scenario("F-28", "a crowd of new conversations, one message each, at once", settles=180)
def crowd(stage: Stage) -> None:
    count = max(BATCH, round(CROWD * stage.world.pace))
    names = [stage.customers.name() for _ in range(count)]
    began = time.time()
    write_in_batches(stage, stage.customers, names)
    stage.wait_for(lambda: len(stage.answered()) == count, 180)
    waits = stage.waits()
    stage.note(
        f"{count} conversations: all answered after {time.time() - began:.1f} s,"
        f" p95 to the agent {percentile(waits, 0.95):.1f} s"
    )
