"""`python -m tests.chaos [F-02 …] [--short] [--broker redis|rabbitmq]`: play the table, exit 1 when red."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.playing import RED, Report, all_scenarios, play, table, tell
from tests.chaos.product import Whole
from tests.chaos.stage import World

SHORT = ("F-01", "F-02", "F-06", "F-22", "F-23")


def main(arguments: Sequence[str]) -> int:
    asked = _parsed(arguments)
    known = all_scenarios()
    unknown = [name for name in asked.lines if name not in known]
    if unknown:
        sys.stderr.write(f"there is no {', '.join(unknown)}; there are {', '.join(known)}\n")
        return 2
    chosen = asked.lines or (SHORT if asked.short else list(known))
    directory = Path(asked.keep or tempfile.mkdtemp(prefix="switchboard-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    world = World()
    product = Whole(directory, WHATSAPP_API_BASE=world.graph.base_url)
    reports: list[Report] = []
    try:
        product.start()
        world.attach(product, directory)
        sys.stdout.write(world.calibrate() + "\n")
        for name in chosen:
            reports.append(play(known[name], world, houses=max(1, len(chosen) - len(reports))))
            tell(reports[-1])
    finally:
        product.stop()
        world.close()
        if not asked.keep:
            shutil.rmtree(directory, ignore_errors=True)
    sys.stdout.write(table(reports) + "\n")
    return 1 if any(one.verdict == RED for one in reports) else 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("lines", nargs="*", metavar="F-nn", help="lines of the failure table")
    parser.add_argument("--short", action="store_true", help="the set that `make test` plays")
    parser.add_argument("--keep", metavar="DIR", help="play there, and leave it for the next time")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
