"""Meta's side of the webhooks: building them, signing them, sending them again when refused."""

from __future__ import annotations

import copy
import functools
import hashlib
import hmac
import itertools
import json
import secrets
import time
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[2] / "integrations" / "whatsapp" / "fixtures"
_numbers = itertools.count(1)


def new_wamid() -> str:
    return f"wamid.{secrets.token_hex(8).upper()}{next(_numbers):06d}"


def kinds() -> list[str]:
    """The kinds of messages a customer can send here: one for each sample that holds a message."""
    return list(_samples())


def sample(kind: str) -> dict[str, Any]:
    """The message of a sample; raises `ValueError` for a kind there is none of."""
    if kind not in _samples():
        raise ValueError(f"there is no sample of the kind {kind!r}; there are {', '.join(kinds())}")
    return copy.deepcopy(_samples()[kind])


def customer_message(
    kind: str, *, sender: str, name: str, bsuid: str = "", **parts: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A fresh message like the sample of its kind, and the contact that goes with it.

    `parts` replace parts of the message: `text={"body": "…"}`. An empty `sender` is a customer who
    hides the phone number.
    """
    message = {**sample(kind), "id": new_wamid(), "timestamp": str(int(time.time()))}
    contact: dict[str, Any] = {"profile": {"name": name}}
    for keys, value in ((("from", "wa_id"), sender), (("from_user_id", "user_id"), bsuid)):
        message.pop(keys[0], None)
        if value:
            message[keys[0]] = contact[keys[1]] = value
    message.update(parts)
    return message, contact


@functools.cache
def _samples() -> dict[str, dict[str, Any]]:
    """The message of every sample that holds exactly one."""
    found = {}
    for path in sorted(SAMPLES.glob("in_*.json")):
        body = json.loads(path.read_text())["body"]
        messages = body["entry"][0]["changes"][0]["value"].get("messages", [])
        if len(messages) == 1:
            found[path.stem.removeprefix("in_")] = messages[0]
    return found


def status(message: dict[str, Any], external_id: str, word: str, **parts: Any) -> dict[str, Any]:
    """A status of a message we were asked to send."""
    named = {
        "recipient_id": message.get("to", "").removeprefix("+"),
        "recipient_user_id": message.get("recipient", ""),
        "biz_opaque_callback_data": message.get("biz_opaque_callback_data", ""),
    }
    return {
        "id": external_id,
        "status": word,
        "timestamp": str(int(time.time())),
        **{key: value for key, value in named.items() if value},
        **parts,
    }


def failed(message: dict[str, Any], external_id: str, code: int, text: str) -> dict[str, Any]:
    error = {"code": code, "title": text, "message": text, "error_data": {"details": text}}
    return status(message, external_id, "failed", errors=[error])


def value(number: str, **arrays: list[Any]) -> dict[str, Any]:
    """The `value` of a change about one number; empty arrays are left out."""
    metadata = {"display_phone_number": "40312345678", "phone_number_id": number}
    filled = {name: array for name, array in arrays.items() if array}
    return {"messaging_product": "whatsapp", "metadata": metadata, **filled}


def envelope(waba: str, *values: dict[str, Any]) -> bytes:
    """One webhook body, a change for each value."""
    changes = [{"field": "messages", "value": change} for change in values]
    entry = [{"id": waba, "changes": changes}]
    return json.dumps({"object": "whatsapp_business_account", "entry": entry}).encode()


def signed(body: bytes, app_secret: str) -> dict[str, str]:
    """The headers Meta sends with a body."""
    digest = hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()
    return {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={digest}"}
