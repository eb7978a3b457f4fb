"""The fixtures of this folder: one webhook each, and what every item of it becomes."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from conversations.channels import HookItem, HookRequest, InboxConfig
from conversations.messages import Reading

FIXTURES = Path(__file__).parent / "fixtures"
APP_SECRET = "app-secret-of-the-tests"

INBOX = InboxConfig(
    id=1,
    account_id=1,
    platform="whatsapp",
    credentials={
        "access_token": "token-of-the-tests",
        "app_secret": APP_SECRET,
        "verify_token": "verify-token-of-the-tests",
    },
    config={"phone_number_id": "200000000000001", "waba_id": "100000000000001"},
)


@dataclasses.dataclass(frozen=True)
class Sample:
    name: str
    source: dict[str, str]
    headers: dict[str, str]
    body: bytes
    becomes: list[dict[str, Any]]

    def __str__(self) -> str:
        return self.name

    def request(self) -> HookRequest:
        """The signed webhook call."""
        return signed(self.body, **self.headers)


def samples() -> list[Sample]:
    return [_load(path) for path in sorted(FIXTURES.glob("in_*.json"))]


def sample(name: str) -> Sample:
    return _load(FIXTURES / f"in_{name}.json")


def _load(path: Path) -> Sample:
    data = json.loads(path.read_text())
    body = json.dumps(data["body"], ensure_ascii=False).encode()
    return Sample(path.stem, data["source"], data["headers"], body, data["becomes"])


def signed(body: bytes, secret: str = APP_SECRET, **headers: str) -> HookRequest:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return HookRequest(
        method="POST",
        query={},
        headers={**headers, "x-hub-signature-256": f"sha256={signature}"},
        body=body,
    )


def plain_item(item: HookItem) -> dict[str, Any]:
    """An item as fixtures write it; the hash of a weak key is a star."""
    weak = {"weak_key": True} if item.weak_key else {}
    error = {"error": item.error} if item.error else {}
    key = "h:*" if item.weak_key else item.dedupe_key
    return {"key": key, "lane": item.lane_key, **weak, **error}


def plain_reading(reading: Reading) -> dict[str, Any]:
    """A reading as fixtures write it: without what is empty, and without `raw`."""
    found = _bare(dataclasses.asdict(reading))
    return {"is": type(reading).__name__, **found}


def _bare(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_bare(item) for item in value]
    if isinstance(value, dict):
        found = {key: _bare(item) for key, item in value.items() if key != "raw"}
        return {key: item for key, item in found.items() if item not in ("", [], {}, None, False)}
    return value
