"""What becomes of lanes that cannot even be given back."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from integrations.courier.database import Pool
from integrations.courier.returning import Returning
from integrations.courier.work import Claim
from tests.integrations.couriers import only_reading

pytestmark = pytest.mark.usefixtures("clean_database")

CLAIM = Claim(1, 1, "inbound", 1, uuid4())


async def breaks() -> float | None:
    raise ZeroDivisionError


def test_a_lane_that_a_database_does_not_take_back_has_no_place_any_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Held on, it would be prolonged for as long as the courier lives, and nobody would get it."""
    freed: list[Claim] = []

    async def run() -> None:
        pool = Pool(1, "test", "-c search_path=elsewhere")
        returning = Returning(pool, pool, free=freed.append, due=lambda seconds: None)
        try:
            await returning.rested(CLAIM, breaks())
        finally:
            await pool.close()

    with caplog.at_level("ERROR"):
        asyncio.run(run())
    assert freed == [CLAIM]
    said = [record.getMessage() for record in caplog.records]
    assert said == ["lane broke lane=1 kind=inbound", "abandoning broke lanes=1"]


def test_a_lane_is_kept_while_the_database_only_reads_and_given_back_to_the_next() -> None:
    """As after a failover, when the old primary is still reached."""
    freed: list[Claim] = []

    async def run() -> None:
        pool = Pool(1, "test")
        returning = Returning(pool, pool, free=freed.append, due=lambda seconds: None)
        try:
            with only_reading():
                waiting = asyncio.create_task(returning.rested(CLAIM, breaks()))
                await asyncio.sleep(0.5)
                assert freed == []
            await waiting
        finally:
            await pool.close()

    asyncio.run(run())
    assert freed == [CLAIM]
