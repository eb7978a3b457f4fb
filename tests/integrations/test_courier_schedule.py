"""When an attempt follows another (delivery.md 5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from integrations.courier.schedule import (
    Failure,
    next_due,
    next_wait,
    read_retry_after,
    throttle_wait,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ERROR = Failure("http_error", 500)


def a_wait(schedule: str, attempts: int, failure: Failure) -> float:
    """The wait of an attempt that is followed by another."""
    wait = next_wait(schedule, attempts, failure)
    assert wait is not None
    return wait


@pytest.mark.parametrize(
    ("schedule", "waits"),
    [
        ("live", [2, 5, 15, 30, 60, 120, 300, 300]),
        ("send", [1, 3, 10, 30, 120, 600, 1800]),
        ("durable", [6, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]),
    ],
)
def test_waits_follow_the_published_schedule_within_their_jitter(schedule, waits):
    for attempts, planned in enumerate(waits, start=1):
        seen = [a_wait(schedule, attempts, ERROR) for _ in range(200)]
        assert all(planned * 0.8 <= wait <= planned * 1.2 for wait in seen)
        assert max(seen) - min(seen) > planned * 0.2


def test_dl_30_a_thousand_lanes_do_not_come_back_together():
    waits = [a_wait("live", 2, ERROR) for _ in range(1000)]
    assert max(waits) - min(waits) >= 1.5


@pytest.mark.parametrize(("schedule", "last"), [("send", 8), ("durable", 10), ("once", 1)])
def test_attempts_end(schedule, last):
    assert next_wait(schedule, last, ERROR) is None


def test_a_dialect_may_ask_for_fewer_attempts():
    assert next_wait("live", 3, ERROR, max_attempts=3) is None
    assert next_wait("live", 2, ERROR, max_attempts=3) is not None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 415, 422, 501])
def test_dl_34_waiting_does_not_help_a_customer_of_an_agent_that_refuses(status):
    assert next_wait("live", 1, Failure("http_error", status)) is None
    assert next_wait("durable", 1, Failure("http_error", status)) is not None


@pytest.mark.parametrize("status", [301, 302, 408, 429, 500, 502, 503, 504])
def test_everything_else_is_tried_again(status):
    assert next_wait("live", 1, Failure("http_error", status)) is not None


def test_dl_115_a_private_address_is_not_tried_again():
    assert next_wait("live", 1, Failure("blocked_address")) is None


def test_dl_31_retry_after_is_obeyed_live_and_clamped_for_subscribers():
    live = a_wait("live", 1, Failure("http_error", 429, 7.0))
    assert 7.0 <= live <= 14.0
    durable = a_wait("durable", 2, Failure("http_error", 503, 9000.0))
    assert 240 <= durable <= 600
    assert a_wait("live", 1, Failure("http_error", 500, 7.0)) < 3


@pytest.mark.parametrize("failure", [Failure("http_error", 502), Failure("timeout_read")])
def test_dl_32_a_struggling_subscriber_gets_at_least_ten_seconds(failure):
    assert a_wait("durable", 1, failure) >= 10


def test_the_deadline_ends_the_attempts():
    at = next_due("live", 1, ERROR, now=NOW, deadline=NOW + timedelta(seconds=90))
    assert at is not None
    assert NOW < at < NOW + timedelta(seconds=3)
    assert next_due("live", 4, ERROR, now=NOW, deadline=NOW + timedelta(seconds=10)) is None
    assert next_due("live", 8, ERROR, now=NOW, deadline=None) is None


def test_a_throttled_channel_is_given_what_it_asks_for_else_four_to_the_n():
    assert throttle_wait(0, 2.5) == 2.5
    assert 4 <= throttle_wait(0, None) <= 4.8
    assert 64 <= throttle_wait(2, None) <= 77
    assert throttle_wait(20, None) <= 256 * 1.2


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(value, seconds):
    assert read_retry_after(value, now=NOW) == seconds
