"""What becomes of lanes that cannot even be given back."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from integrations.courier.database import Pool
from integrations.courier.returning import Returning
from integrations.courier.work import Claim

pytestmark = pytest.mark.usefixtures("clean_database")

CLAIM = Claim(1, 1, "inbound", 1, uuid4())


async def breaks() -> float | None:
    raise ZeroDivisionError


def test_a_lane_that_a_database_does_not_take_back_has_no_place_any_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It takes no writes, as a server just before it takes over: held on, the lane would be prolonged
    for as long as the courier lives, and nobody would get it."""
    freed: list[Claim] = []

    async def run() -> None:
        pool = Pool(1, "test", "-c default_transaction_read_only=on")
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
