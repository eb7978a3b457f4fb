"""The statement that ends attempts, one or many, behind the fence (DL-50), and what is said about them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, LiteralString, NamedTuple

from accounts import metrics
from accounts.ids import encode
from accounts.inserting import as_rows
from accounts.models import Account
from accounts.redaction import hide_callbacks
from conversations.models import Conversation, Delivery
from integrations.courier.work import Outcome, Result

logger = logging.getLogger(__name__)

KEPT_RESPONSE_HEADERS = frozenset(
    {"content-type", "content-length", "retry-after", "date", "server", "x-request-id"}
)
SECRET_WORDS = ("signature", "authorization", "token", "secret", "cookie")
EXCERPT = 4096
# A courtesy, a webhook's test, what an agent may know: their failing is no alarm.
UNALARMING = (Delivery.Schedule.ONCE, Delivery.Schedule.NOTICE)

# Delivery and attempt in one round trip. SQL, because the condition must be looked at again on the
# row itself when another courier has just changed it; the ORM would put it into a sub-select. The state
# is compared in a way that no index serves: rows are found by their keys, whatever the planner believes
# about how few are in flight.
_FINISH: LiteralString = """
WITH result AS (
    SELECT * FROM json_to_recordset(%s::json) AS result (
        delivery_id bigint, attempt_id bigint, n int, token uuid, state text, due_at timestamptz,
        reason text, external_id text, uncounted int, outcome text, status int, latency int,
        error text, request_headers jsonb, response_headers jsonb, body text)
), finished AS (
    UPDATE conversations_delivery delivery
    SET state = result.state, due_at = COALESCE(result.due_at, delivery.due_at),
        dead_reason = result.reason,
        provider_message_id =
            COALESCE(NULLIF(result.external_id, ''), delivery.provider_message_id),
        attempts = delivery.attempts - result.uncounted,
        finished_at = CASE WHEN result.state IN ('delivered', 'dead', 'canceled') THEN now() END
    FROM result, conversations_lane lane
    WHERE delivery.id = result.delivery_id AND delivery.state || '' = 'in_flight'
      AND delivery.attempts = result.n AND lane.id = delivery.lane_id
      AND lane.lease_token = result.token
    RETURNING delivery.id, delivery.account_id, delivery.schedule, delivery.wire_id,
              delivery.event_id, delivery.conversation_id
), closed AS (
    UPDATE conversations_attempt attempt
    SET ended_at = now(), status = result.status, latency_ms = result.latency,
        outcome = CASE WHEN finished.id IS NULL THEN 'stale_result' ELSE result.outcome END,
        error = result.error, response_body = result.body,
        request_headers = result.request_headers, response_headers = result.response_headers,
        next_due_at = CASE WHEN finished.id IS NULL THEN NULL ELSE result.due_at END
    FROM result LEFT JOIN finished ON finished.id = result.delivery_id
    WHERE attempt.id = result.attempt_id
      AND (attempt.ended_at IS NULL OR attempt.outcome = 'worker_lost')
)
SELECT id, account_id, schedule, wire_id, event_id, conversation_id FROM finished
"""
_WORD = re.compile(r"[a-z][a-z0-9_]{1,39}\Z")


class Finished(NamedTuple):
    """A row of the statement's answer: a delivery whose result was written."""

    id: int
    account_id: int
    schedule: str
    wire_id: str
    event_id: str
    conversation_id: int | None


def finish_many(results: Sequence[Result]) -> tuple[LiteralString, list[str]]:
    """Statement and arguments that write several results; it returns the deliveries changed."""
    return _FINISH, [as_rows([_row(one) for one in results])]


def _row(one: Result) -> dict[str, Any]:
    """A result as the statement takes it. Cleaned before it is written: in finished JSON, escapes hide what
    PostgreSQL refuses, and one refused result would keep a whole batch, other accounts' with it, from
    being written."""
    job, outcome = one.job, one.outcome
    body = outcome.response_body[:EXCERPT].decode("utf-8", "replace")
    return {
        "delivery_id": job.delivery_id,
        "attempt_id": job.attempt_id,
        "n": job.n,
        "token": job.claim.token,
        "state": str(one.state),
        "due_at": one.due_at,
        "reason": _clean(one.reason)[:250],
        "external_id": _clean(one.external_id)[:250],
        "uncounted": 0 if one.counts else 1,
        "outcome": outcome.outcome[:24],
        "status": outcome.status,
        "latency": outcome.latency_ms,
        "error": _clean(outcome.error)[:500],
        "request_headers": _redacted(outcome.request_headers),
        "response_headers": _kept(outcome.response_headers),
        "body": _clean(hide_callbacks(body)),
    }


def tell(results: Sequence[Result], rows: Iterable[tuple[Any, ...]]) -> None:
    """Count what was written and log a line for each attempt; `rows` is the statement's answer. Called when
    it is committed."""
    finished = {row[0]: Finished(*row) for row in rows}
    for result in results:
        job, outcome = result.job, result.outcome
        kind, state = str(job.claim.kind), str(result.state)
        if outcome.latency_ms is not None:
            metrics.observe("switchboard_attempt_seconds", outcome.latency_ms / 1000, kind=kind)
        one = finished.get(job.delivery_id)
        if one is None:
            metrics.count("switchboard_stale_results_total")
            one = Finished(job.delivery_id, job.claim.account_id, "", "", "", None)
            state = "stale_result"
        elif state == Delivery.State.DEAD and one.schedule not in UNALARMING:
            reason = reason_word(result)
            metrics.count(
                "switchboard_dead_total", account=one.account_id, kind=kind, reason=reason
            )
        _tell_one(one, kind, state, n=job.n, outcome=outcome)


def tell_lost(rows: Iterable[Sequence[Any]]) -> None:
    """The same for attempts whose courier is gone: `Finished`, the kind, the state, and which attempt."""
    for *columns, kind, state, n in rows:
        _tell_one(Finished(*columns), kind, state, n=n, outcome=Outcome("worker_lost"))


def reason_word(result: Result) -> str:
    """Why it is dead, in one word of ours; what platforms say about it is not for labels."""
    word = result.reason.partition(":")[0]
    return word if _WORD.match(word) else result.outcome.outcome


def _tell_one(one: Finished, kind: str, state: str, *, n: int, outcome: Outcome) -> None:
    """One line per attempt: ids, numbers and words of ours, and nothing that anybody wrote."""
    if state in Delivery.ENDED_STATES:
        metrics.count(
            "switchboard_deliveries_total",
            account=one.account_id, kind=kind, class_=one.schedule, outcome=state,
        )  # fmt: skip
    ids: dict[str, Any] = {
        "delivery": encode(Delivery.public_id, one.id),
        "kind": kind,
        "n": n,
        "outcome": outcome.outcome[:24],
        "state": state,
        "status": outcome.status,
        "ms": outcome.latency_ms,
        "account": encode(Account.public_id, one.account_id),
        "trace": one.wire_id,
        "event": one.event_id,
    }
    if one.conversation_id is not None:
        ids["conversation"] = encode(Conversation.public_id, one.conversation_id)
    ids = {name: value for name, value in ids.items() if value not in (None, "")}
    text = " ".join(f"{name}={value}" for name, value in ids.items())
    logger.info("attempt %s", text, extra={"ids": ids})


def _redacted(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        _clean(name): "…" if any(word in name.lower() for word in SECRET_WORDS) else _clean(value)
        for name, value in headers.items()
    }


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: _clean(headers[name][:500]) for name in KEPT_RESPONSE_HEADERS & headers.keys()}


def _clean(text: str) -> str:
    """What PostgreSQL can hold: no NUL, no half of a surrogate pair."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
