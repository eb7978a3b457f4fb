"""`python -m tests.chaos [F-02 …] [--short] [--broker redis|rabbitmq]`: play the table, exit 1 when red."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.chaos import brokers
from tests.chaos.playing import RED, Report, all_scenarios, play, play_variant, table, tell
from tests.chaos.product import Whole
from tests.chaos.stage import World
from tests.chaos.variants import VARIANTS, Variant

# What `make test` plays, too (test_short.py).
SHORT = ("F-01", "F-02", "F-06", "F-22", "F-23")
BROKEN_BROKER, FULL_DISK = "F-04", "F-29"
DISK_MB = 700


def main(arguments: Sequence[str]) -> int:
    asked = _parsed(arguments)
    known, variants = all_scenarios(), {one.name: one for one in VARIANTS}
    unknown = [name for name in asked.lines if name not in known | variants]
    if unknown:
        names = ", ".join([*known, *variants])
        sys.stderr.write(f"there is no {', '.join(unknown)}; there are {names}\n")
        return 2
    everything = not asked.lines and not asked.short
    chosen = asked.lines or (SHORT if asked.short else [*known, *variants])
    directory = Path(asked.keep or tempfile.mkdtemp(prefix="switchboard-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    run = Run(World(), directory)
    try:
        lines = [name for name in chosen if name in known]
        run.lines([name for name in lines if name != FULL_DISK], broker=asked.broker)
        if FULL_DISK in lines:
            run.on_small_disk(FULL_DISK)
        for name in brokers.installed() if everything else ():
            if name != asked.broker:
                run.lines([BROKEN_BROKER], broker=name)
        for name in chosen:
            if name in variants:
                run.variant(variants[name])
    finally:
        run.world.close()
        if not asked.keep:
            shutil.rmtree(directory, ignore_errors=True)
    sys.stdout.write(table(run.reports) + "\n")
    return 1 if any(one.verdict == RED for one in run.reports) else 0


class Run:
    """Several products after each other on one data directory, and what is told of them."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world, self.directory = world, directory
        directory.chmod(0o711)  # or the database's own user would live, and stay, elsewhere
        self.reports: list[Report] = []

    def lines(self, names: Sequence[str], *, broker: str) -> None:
        """Play lines of the table on a product that is whole."""
        if not names:
            return
        known = all_scenarios()
        with self.product(broker):
            sys.stdout.write(self.world.calibrate() + "\n")
            for place, name in enumerate(names):
                self.tell(play(known[name], self.world, houses=len(names) - place))

    def on_small_disk(self, name: str) -> None:
        """Play one line on a product whose disk may be filled, where we may make one."""
        disk = self.directory / "disk"
        disk.mkdir(exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=777", "tmpfs", str(disk)]
        if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
            self.lines([name], broker="pgmq")
            return
        home, self.directory = self.directory, disk
        try:
            self.world.small_disk = disk
            self.lines([name], broker="pgmq")
        finally:
            self.world.small_disk, self.directory = None, home
            subprocess.run(["umount", "--lazy", str(disk)], check=True)

    def variant(self, variant: Variant) -> None:
        """Play on a broken product the line that must find it out."""
        with self.product("pgmq", **variant.environment):
            self.tell(play_variant(variant, self.world))

    def tell(self, report: Report) -> None:
        self.reports.append(report)
        tell(report)

    @contextmanager
    def product(self, broker_name: str, **environment: str) -> Iterator[None]:
        broker = brokers.make(broker_name, self.directory)
        product = Whole(
            self.directory,
            WHATSAPP_API_BASE=self.world.graph.base_url,
            CELERY_BROKER_URL=broker.url,
            **environment,
        )
        try:
            broker.start()
            product.start()
            self.world.attach(product, self.directory, broker)
            yield
        finally:
            product.stop()
            broker.stop()


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("lines", nargs="*", metavar="F-nn", help="lines of the table, or variants")
    parser.add_argument("--short", action="store_true", help="the set that `make test` plays")
    parser.add_argument("--broker", default="pgmq", choices=brokers.installed())
    parser.add_argument("--keep", metavar="DIR", help="play there, and leave it for the next time")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
