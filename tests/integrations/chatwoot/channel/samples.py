"""The fixtures of this folder: one event each, and what it becomes."""

from __future__ import annotations

import dataclasses
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from conversations.channels import HookItem, HookRequest, InboxConfig
from conversations.messages import Reading
from integrations.chatwoot.signing import sign

FIXTURES = Path(__file__).parent / "fixtures"
SECRET = "bot-secret-of-the-tests"

INBOX = InboxConfig(
    id=1,
    account_id=1,
    platform="chatwoot",
    credentials={
        "user_token": "user-token-of-the-tests",
        "bot_token": "bot-token-of-the-tests",
        "bot_secret": SECRET,
    },
    config={
        "base_url": "https://chatwoot.test",
        "account_number": "1",
        "inboxes": "1",
        "bot_id": "7",
        "inbox_types": ["Channel::WebWidget"],
    },
)


@dataclasses.dataclass(frozen=True)
class Sample:
    name: str
    source: dict[str, str]
    event: dict[str, Any]
    becomes: dict[str, Any]

    def __str__(self) -> str:
        return self.name

    @property
    def body(self) -> bytes:
        return json.dumps(self.event, ensure_ascii=False).encode()


def samples() -> list[Sample]:
    return [_load(path) for path in sorted(FIXTURES.glob("in_*.json"))]


def sample(name: str) -> Sample:
    return _load(FIXTURES / f"in_{name}.json")


def _load(path: Path) -> Sample:
    data = json.loads(path.read_text())
    return Sample(path.stem, data["source"], data["body"], data["becomes"])


def signed(body: bytes, *, secret: str = SECRET, age: float = 0) -> HookRequest:
    """The webhook call as a server of 4.13 or newer makes it."""
    timestamp = int(time.time() - age)
    headers = {
        "x-chatwoot-timestamp": str(timestamp),
        "x-chatwoot-signature": sign(body, timestamp=timestamp, secret=secret),
    }
    return HookRequest("POST", {}, headers, body)


def plain_item(item: HookItem) -> dict[str, Any]:
    """An item as fixtures write it: of a key, what is no hash."""
    key = ":".join(part if len(part) != 64 else "*" for part in item.dedupe_key.split(":"))
    marks = {"status": item.status, "weak_key": item.weak_key}
    error = {"error": item.error} if item.error else {}
    return {"key": key, "lane": item.lane_key, **error, **{k: v for k, v in marks.items() if v}}


def plain_reading(reading: Reading) -> dict[str, Any]:
    """A reading as fixtures write it: without what is empty, and without `raw`."""
    return {"is": type(reading).__name__, **_bare(dataclasses.asdict(reading))}


def _bare(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_bare(item) for item in value]
    if isinstance(value, dict):
        found = {key: _bare(item) for key, item in value.items() if key != "raw"}
        return {key: item for key, item in found.items() if item not in ("", [], {}, None, False)}
    return value
