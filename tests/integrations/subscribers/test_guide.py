"""The code in docs/webhooks.md does what it says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from integrations.courier.signing import sign
from tests.factories import SECRET

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "webhooks.md").read_text(encoding="utf-8")
BODY = '{"type": "message.created", "text": "Livrați?"}'.encode()
OTHER = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
# What a receiver that knows SECRET must say: signed with which secrets, how many seconds ago, and of
# which body.
CASES = [
    ([SECRET], 0, BODY, True),
    ([OTHER, SECRET], 0, BODY, True),
    ([OTHER], 0, BODY, False),
    ([SECRET], 400, BODY, False),
    ([SECRET], 0, BODY + b" ", False),
]


def block(language: str, name: str) -> str:
    """The block of code that defines `name`."""
    blocks = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    [found] = [one for one in blocks if name in one]
    return str(found)


def headers(secrets: list[str], age: int) -> dict[str, str]:
    timestamp = int(time.time()) - age
    return {
        "webhook-id": "evt_1-a",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(BODY, wire_id="evt_1-a", timestamp=timestamp, secrets=secrets),
    }


@pytest.mark.parametrize(("secrets", "age", "body", "right"), CASES)
def test_the_python_by_hand_verifies(
    secrets: list[str], age: int, body: bytes, right: bool
) -> None:
    names: dict = {}
    exec(block("python", "def is_ours"), names)  # noqa: S102 - our own guide
    assert names["is_ours"](SECRET, headers(secrets, age), body) is right


@pytest.mark.parametrize(("secrets", "age", "body", "right"), CASES)
def test_the_javascript_by_hand_verifies(
    secrets: list[str], age: int, body: bytes, right: bool
) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine")
    given = json.dumps([SECRET, headers(secrets, age), body.decode()])
    program = (
        block("js", "function isOurs")
        + f"\nconst [secret, headers, body] = {given};"
        + "\nconsole.log(isOurs(secret, headers, Buffer.from(body)));"
    )
    done = subprocess.run(
        [node, "--input-type=module", "-"],
        input=program, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(right).lower()
