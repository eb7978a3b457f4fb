"""F-01 to F-08: processes, connections and the broker die, or stand still."""

from __future__ import annotations

import itertools
import signal
import time
from collections import defaultdict
from collections.abc import Sequence

from tests.chaos.agent import NOTHING, Event, Reaction, says, slow_echo
from tests.chaos.killer import BELL
from tests.chaos.ledgers import ECHO, Fault, Seen
from tests.chaos.playing import scenario
from tests.chaos.stage import Stage

MOVING_SECONDS = 5.0
IN_FLIGHT = 16
# One failure more in a row would open the agent's breaker, which is another line's matter (F-09).
MAY_FAIL = 4


@scenario("F-01", "kill -9 web under load")
def kill_web(stage: Stage) -> None:
    with stage.load(conversations=30, rate=40, seconds=8):
        time.sleep(2)
        fault = stage.killer.kill("web")
        stage.killer.healed(fault, "web")
        stage.note(f"web away {(fault.over or 0) - fault.at:.1f} s")
    refused = [one for one in stage.customers.sent if len(one.answers) > 1]
    stage.want(refused, "no request was in the way of the kill")
    stage.note(f"{len(refused)} webhooks came again")


@scenario("F-02", "kill -9 worker with 16 messages in flight", settles=60)
def kill_worker(stage: Stage) -> None:
    stage.change_agent(timeout_s=60)
    stage.agent.holding = True
    with stage.load(conversations=IN_FLIGHT, rate=24, seconds=8):
        stage.want(_all_in_flight(stage), f"{stage.agent.now} were in flight, not {IN_FLIGHT}")
        in_flight = stage.agent.now
        fault = stage.killer.kill("worker")
        stage.agent.holding = False
        stage.killer.healed(fault, "worker")
    stage.settle(60)
    verdict = stage.verdict()
    stage.note(f"{in_flight} in flight, {verdict.repeats} again under the same id")
    # Signals and statuses may be under way, too.
    most = in_flight + IN_FLIGHT
    stage.want(verdict.repeats <= most, f"{verdict.repeats} repeats of {in_flight} in flight")
    moving = verdict.recovery[-1] if verdict.recovery else 0.0
    stage.want_quick(moving, MOVING_SECONDS, "the slowest message after the restart")


def _all_in_flight(stage: Stage) -> bool:
    """Wait until every conversation has a message under way; the agent holds them."""
    return bool(stage.wait_for(lambda: stage.agent.now >= IN_FLIGHT, 40))


@scenario("F-03", "kill -9 every worker each 3 s for 20 s", settles=90)
def kill_workers_again_and_again(stage: Stage) -> None:
    stage.agent.behave = slow_echo(1.0)
    with stage.more_couriers(1), stage.load(conversations=24, rate=20, seconds=20):
        for _ in range(6):
            time.sleep(3)
            fault = stage.killer.kill("worker")
        stage.killer.healed(fault, "worker")
        last = time.monotonic()
    with stage.more_couriers(1):
        account, database = stage.house.account_id, stage.database
        done = stage.wait_for(lambda: not _open_pushes(stage), 30)
        stage.want(done, "not all was delivered 30 s after the last kill")
        stage.note(f"all delivered {time.monotonic() - last:.1f} s after the last kill")
        stage.settle(60)
        unclosed = [one for one in database.tried(account) if one.ended_at is None]
        stage.want(not unclosed, f"{len(unclosed)} attempts were never closed")
        outcomes = {one.outcome for one in database.tried(account)}
        stage.want("worker_lost" in outcomes, "no attempt is marked worker_lost")


def _open_pushes(stage: Stage) -> int:
    return sum(
        one.kind == "agent" and one.state in ("pending", "in_flight", "retry_wait")
        for one in stage.database.brought(stage.house.account_id)
    )


@scenario("F-04", "the broker is emptied, killed and started again")
def broken_broker(stage: Stage) -> None:
    broker = stage.world.broker
    environment = stage.world.product.environment
    with stage.load(conversations=16, rate=16, seconds=12):
        time.sleep(2)
        broker.empty(environment)
        fault = Fault(f"{broker.name} broken", time.time())
        if broker.kill():
            time.sleep(3)
            broker.start()
        fault.over = fault.at
        stage.killer.faults.append(fault)
    stage.settle()
    verdict = stage.verdict()
    slowest = stage.waits()[-1]
    stage.note(f"{broker.name}: the slowest message took {slowest:.1f} s")
    stage.want_quick(slowest, MOVING_SECONDS, f"the slowest message without {broker.name}")
    stage.want(not verdict.repeats, f"{verdict.repeats} deliveries were repeated")
    stage.want(_runs_a_job(stage), f"no job travels over {broker.name} any more")


def _runs_a_job(stage: Stage) -> bool:
    """Whether what is queued now is done (the connection test of the inbox)."""
    stage.api("POST", f"inboxes/{stage.house.inbox_id}/check/")
    return bool(stage.wait_for(lambda: _check_state(stage) not in ("", "running"), 40))


def _check_state(stage: Stage) -> str:
    rows = stage.database.rows(
        "SELECT COALESCE(health#>>'{check,state}', '') FROM conversations_inbox"
        " WHERE account_id = %s AND platform = 'whatsapp'",
        stage.house.account_id,
    )
    return str(rows[0][0])


@scenario("F-05", "kill -9 the postmaster mid-load, back after 5 s", settles=60)
def kill_postmaster(stage: Stage) -> None:
    before = {role: stage.killer.pids(role) for role in ("web", "worker")}
    with stage.load(conversations=16, rate=16, seconds=14):
        time.sleep(3)
        with stage.killer.no_postgres() as fault:
            time.sleep(5)
        back = time.time()
        stage.killer.healed(fault, "postmaster")
        ready = time.time() - back
    stage.note(f"ready {ready:.1f} s after the database was let back")
    stage.want_quick(ready, 10, "to be ready again")
    statuses = {status for one in stage.customers.sent for status in one.answers}
    stage.want(statuses <= {200, 503, 0}, f"a webhook was answered {sorted(statuses)}")
    stage.want(503 in statuses, "nothing was refused while the database was away")
    after = {role: stage.killer.pids(role) for role in ("web", "worker")}
    stage.want(before == after, "a process did not survive the database")


@scenario("F-06", "the doorbell is lost (LISTEN cut) while messages come")
def cut_listen(stage: Stage) -> None:
    with stage.load(conversations=10, rate=15, seconds=6):
        end = time.monotonic() + 5
        while time.monotonic() < end:
            stage.killer.cut(BELL)
            time.sleep(0.1)
    stage.settle()
    slowest = stage.waits()[-1]
    stage.note(f"slowest message {slowest:.1f} s")
    stage.want_quick(slowest, MOVING_SECONDS, "the slowest message without a bell")
    answers = {status for one in stage.customers.sent for status in one.answers}
    stage.want(answers == {200}, f"webhooks were answered {sorted(answers)}")


@scenario("F-07", "two workers (two sweepers) on the same lanes")
def two_workers(stage: Stage) -> None:
    stage.agent.behave = slow_echo(0.15)
    with stage.more_couriers(1), stage.load(conversations=8, rate=24, seconds=10):
        pass
    stage.settle()
    couriers = stage.database.value(
        "SELECT count(DISTINCT courier_id) FROM conversations_attempt WHERE account_id = %s",
        stage.house.account_id,
    )
    stage.want(couriers >= 2, "one worker did all of it")
    overlaps = overlapping(stage.agent.seen)
    stage.want(not overlaps, f"{overlaps} requests of a conversation were under way at once")
    stage.want(not stage.verdict().repeats, "something was brought twice")


@scenario("F-08", "a worker is paused beyond its lease, then goes on")
def pause_worker(stage: Stage) -> None:
    """What the paused one comes back with is a failure that arrived: were it believed, the message
    would be brought a third time, after those that followed it."""
    stage.agent.behave = _fails_late_then_answers
    names = [stage.customers.name() for _ in range(MAY_FAIL)]
    for name in names:
        stage.say(name, 1)
    held = stage.wait_for(lambda: stage.agent.now >= len(names))
    stage.want(held, "the messages did not get under way together")
    with stage.killer.paused("worker"), stage.more_couriers(1):
        _run_out(stage)
        for name in names:
            stage.say(name, 2)
        stage.wait_for(lambda: len(stage.agent.questions()) >= 3 * len(names), 20)
        stage.settle(20)
    refused = stage.wait_for(lambda: _stale(stage) >= len(names), 15)
    stage.want(refused, f"{_stale(stage)} of {len(names)} late results were refused as stale")
    stage.note(f"{_stale(stage)} stale results")
    time.sleep(3)  # the schedule's first retry would come now
    for name in names:
        stage.say(name, 3)
    stage.settle(20)
    tries = [one.attempt for one in stage.agent.questions()]
    stage.want(max(tries, default=0) <= 2, f"an event was brought {max(tries)} times")


def _fails_late_then_answers(event: Event) -> Reaction:
    if not event.is_question:
        return NOTHING
    if event.seen.text.endswith(":1") and event.seen.attempt == 1:
        return Reaction(500, after=4)
    return says(ECHO + event.seen.text)


def _run_out(stage: Stage) -> None:
    """The leases end now instead of after 75 s."""
    stage.database.rows(
        "UPDATE conversations_lane SET lease_until = now() - interval '1 second'"
        " WHERE account_id = %s AND lease_token IS NOT NULL",
        stage.house.account_id,
    )


def _stale(stage: Stage) -> int:
    tried = stage.database.tried(stage.house.account_id)
    return sum(one.outcome == "stale_result" for one in tried)


def overlapping(seen: Sequence[Seen]) -> int:
    """How often a request of a conversation began before the one before it had ended."""
    lanes: dict[str, list[Seen]] = defaultdict(list)
    for one in sorted(seen, key=lambda one: one.at):
        lanes[one.conversation].append(one)
    return sum(
        later.at < (earlier.ended_at or later.at)
        for lane in lanes.values()
        for earlier, later in itertools.pairwise(lane)
    )


@scenario("F-31", "deploy: SIGTERM to web, worker and beat with messages in flight", settles=60)
def deploy(stage: Stage) -> None:
    stage.change_agent(timeout_s=60)
    stage.agent.holding = True
    with stage.load(conversations=IN_FLIGHT, rate=20, seconds=10):
        stage.want(_all_in_flight(stage), f"{stage.agent.now} were in flight, not {IN_FLIGHT}")
        faults = [stage.killer.kill(role, signal.SIGTERM) for role in ("worker", "web", "beat")]
        time.sleep(1)  # a worker that did not wait for its answers would be gone by now
        stage.agent.holding = False
        for fault, role in zip(faults, ("worker", "web"), strict=False):
            stage.killer.healed(fault, role)
    stage.settle(60)
    statuses = {status for one in stage.customers.sent for status in one.answers}
    stage.want(statuses <= {200, 503, 0}, f"a webhook was answered {sorted(statuses)}")
    repeats = stage.verdict().repeats
    stage.want(not repeats, f"{repeats} deliveries were repeated by a plain deploy")
