"""The short set: some lines of the failure table on our two roles and this test's database.

`make chaos` plays all of it on the whole product, and holds it to the seconds that are promised; here,
beside a full test run, only what must never happen is judged.
"""

from __future__ import annotations

from pathlib import Path

from django.db import connections

from tests.chaos.__main__ import SHORT
from tests.chaos.playing import GREEN, all_scenarios, play
from tests.chaos.product import Pair
from tests.chaos.stage import World

# How long anything may take beside the rest of the tests.
SLACK_SECONDS = 20.0


def url_of(role: str) -> str:
    """This test's database as another role."""
    database = connections["default"].settings_dict
    port = database["PORT"] or 5432
    return f"postgres://{role}@/{database['NAME']}?host={database['HOST']}&port={port}"


def test_f_01_f_02_f_06_f_22_f_23_hold_on_running_processes(clean_database, tmp_path: Path):
    """kill -9 of web and worker under load, a deaf listener, 50 equal webhooks, statuses backwards."""
    world = World()
    world.pace, world.length, world.slack = 0.5, 0.5, SLACK_SECONDS
    product = Pair(
        tmp_path,
        app_url=url_of("switchboard_app"),
        owner_url=url_of("switchboard_owner"),
        WHATSAPP_API_BASE=world.graph.base_url,
    )
    known = all_scenarios()
    try:
        product.start()
        world.attach(product, tmp_path)
        reports = [play(known[name], world, houses=len(SHORT)) for name in SHORT]
    finally:
        product.stop()
        world.close()
    red = {one.id: one.reasons for one in reports if one.verdict != GREEN}
    assert not red
    assert all(one.messages for one in reports)
