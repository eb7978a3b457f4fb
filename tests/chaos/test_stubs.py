"""The parts around the judge: what they note must be true, or it judges something else."""

from __future__ import annotations

import base64
import time
from types import SimpleNamespace
from urllib.request import Request, urlopen

import pytest

from integrations.courier.signing import sign
from tests.chaos.agent import AgentServer, StubAgent, says
from tests.chaos.ledgers import ECHO, key_of, text_of
from tests.chaos.playing import all_scenarios
from tests.chaos.scenarios.crashes import overlapping
from tests.chaos.stage import Loop
from tests.chaos.test_judge import ANA, BOB, seen
from tests.chaos.variants import VARIANTS, sitecustomize

OLD, NEW, FOREIGN = ("whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3))
BODY = (
    b'{"type": "message.created", "contact": {"phone": "+40700100001"}, "conversation": {"id": "cnv_1"},'
    b' "message": {"text": "40700100001:1", "from": "contact"}}'
)


def signed(*secrets: str) -> dict[str, str]:
    now = int(time.time())
    signature = sign(BODY, wire_id="evt_1", timestamp=now, secrets=secrets)
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now),
        "webhook-signature": signature,
        "X-Switchboard-Sequence": "3",
        "X-Switchboard-Attempt": "2",
    }


def test_the_stub_agent_names_every_secret_that_verifies_a_request():
    agent = StubAgent("agent", {"old": OLD, "new": NEW})
    assert agent.verify(BODY, signed(NEW, OLD)) == ("old", "new")
    assert agent.verify(BODY, signed(OLD)) == ("old",)
    assert agent.verify(BODY, signed(FOREIGN)) == ()
    assert agent.verify(BODY + b" ", signed(OLD)) == ()


def test_the_stub_agent_notes_what_it_saw_and_answers_as_it_is_told():
    loop, server = Loop(), AgentServer()
    loop.run(server.start())
    try:
        agent = server.add("agent", first=OLD)
        agent.behave = lambda event: says(ECHO + event.seen.text)
        request = Request(f"{server.url}/agent", data=BODY, headers=signed(OLD))  # noqa: S310 - ours
        with urlopen(request, timeout=5) as answer:  # noqa: S310 - ours
            assert answer.read() == b'{"reply": "echo 40700100001:1"}'
    finally:
        loop.run(server.stop())
        loop.close()
    (one,) = agent.seen
    assert (one.key, one.sequence, one.attempt, one.status) == ((ANA, 1), 3, 2, 200)
    assert (one.wire_id, one.verified_by, one.thread) == ("evt_1", ("first",), "cnv_1")
    assert one.ended_at is not None


def test_a_message_and_its_answer_have_one_key():
    assert key_of(text_of(ANA, 7)) == key_of(ECHO + text_of(ANA, 7)) == (ANA, 7)
    assert key_of("A colleague will answer you.") is None
    assert key_of("at 10:30") is None


def test_requests_that_overlap_are_counted_in_each_conversation_alone():
    one, two = seen(ANA, 1, at=1.0), seen(ANA, 2, at=1.005)
    assert overlapping([one, two, seen(BOB, 1, at=1.001)]) == 1
    assert overlapping([one, seen(ANA, 2, at=1.02)]) == 0


def test_every_line_of_the_failure_table_is_declared():
    assert list(all_scenarios()) == [f"F-{n:02d}" for n in range(1, 36)]


def test_every_variant_breaks_something_that_is_there():
    from integrations import ledger
    from integrations.courier import lanes, results

    modules = {"early_ack": ledger, "no_fence": results, "no_order": lanes}
    for name, (module, breaks) in sitecustomize.VARIANTS.items():
        assert modules[name].__name__ == module
        whole = {**vars(modules[name])}
        if name == "early_ack":
            whole["Ledger"] = type("Ledger", (ledger.Ledger,), {})
        copy = SimpleNamespace(**whole)
        breaks(copy)
        broken = vars(copy) != whole or "store" in vars(copy.Ledger)
        assert broken
    assert {one.name for one in VARIANTS} == set(sitecustomize.VARIANTS)


def test_a_variant_whose_statement_has_changed_does_not_start():
    with pytest.raises(RuntimeError, match="has changed"):
        sitecustomize._with("SELECT 1", "FROM", "")
