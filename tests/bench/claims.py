"""How long the courier's claim takes: `python -m tests.bench.claims ROUNDS` in the product's
environment. Leases as a courier that is not there, gives back what it got, prints the milliseconds."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

NOBODY = 0
GIVE_BACK = """
UPDATE conversations_lane SET lease_token = NULL, lease_until = NULL, courier_id = NULL, due_at = now()
WHERE id = ANY(%s)
"""


async def measure(rounds: int) -> list[float]:
    from integrations.courier import claiming
    from integrations.courier.database import Pool
    from integrations.courier.work import Room

    pool = Pool(1, "bench claims")
    rooms = {group: Room(1000, 1000) for group in set(claiming.GROUPS.values())}
    samples = []
    try:
        for _ in range(rounds):
            started = time.perf_counter()
            claims = await claiming.claim(pool, courier_id=NOBODY, rooms=rooms, used=Counter())
            samples.append((time.perf_counter() - started) * 1000)
            async with pool.connection() as connection:
                await connection.execute(GIVE_BACK, [[claim.lane_id for claim in claims]])
    finally:
        await pool.close()
    return samples


def main(rounds: int) -> None:
    import django

    django.setup()
    sys.stdout.write(json.dumps(asyncio.run(measure(rounds))))


if __name__ == "__main__":
    main(int(sys.argv[1]))
