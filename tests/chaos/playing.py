"""Scenarios: how they are declared, played, judged and told."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from tests.bench.load import percentile
from tests.chaos import scenarios
from tests.chaos.judge import Verdict
from tests.chaos.stage import Stage, World
from tests.chaos.variants import Variant

GREEN, RED, IMPOSSIBLE = "green", "RED", "not here"


class CannotPlayError(Exception):
    """This machine lacks what the scenario needs; the reason is told, and nothing is claimed."""


Play = Callable[[Stage], None]


@dataclass(frozen=True)
class Scenario:
    """One line of the failure table. `settles` is how long it may take to come to rest."""

    id: str
    sentence: str
    play: Play
    settles: float


_scenarios: dict[str, Scenario] = {}


def scenario(
    id: str,  # noqa: A002 - that is what the table calls it
    sentence: str,
    *,
    settles: float = 45.0,
) -> Callable[[Play], Play]:
    """Declare a function as a line of the table."""

    def declare(play: Play) -> Play:
        _scenarios[id] = Scenario(id, sentence, play, settles)
        return play

    return declare


def all_scenarios() -> dict[str, Scenario]:
    """Every declared line by its id, in the table's order."""
    for module in pkgutil.iter_modules(scenarios.__path__):
        importlib.import_module(f"{scenarios.__name__}.{module.name}")
    return dict(sorted(_scenarios.items()))


@dataclass
class Report:
    """What is told of one scenario."""

    id: str
    what: str
    verdict: str
    lost: int = 0
    reordered: int = 0
    doubled_marked: int = 0
    doubled_unmarked: int = 0
    repeats: int = 0
    messages: int = 0
    recovery_p50: float | None = None
    recovery_max: float | None = None
    seconds: float = 0.0
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def play(scenario: Scenario, world: World, *, houses: int = 1) -> Report:
    """Play one scenario in a house of its own and judge what it left."""
    began = time.perf_counter()
    stage = Stage(world, world.house(spare=houses))
    try:
        scenario.play(stage)
        stage.want(
            stage.settle(scenario.settles), f"did not come to rest in {scenario.settles:g} s"
        )
        report = _told(scenario, stage, stage.verdict())
    except CannotPlayError as error:
        report = Report(scenario.id, scenario.sentence, IMPOSSIBLE, reasons=[str(error)])
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"the scenario broke: {type(error).__name__}: {error} ({where.name}:{where.lineno})"
        report = Report(scenario.id, scenario.sentence, RED, reasons=[text])
    finally:
        world.graph.failures.clear()
        stage.close()
    report.seconds = round(time.perf_counter() - began, 1)
    return report


def play_variant(variant: Variant, world: World) -> Report:
    """Play the line that must find a broken product out; green when the judge is red for the right
    reason."""
    line = all_scenarios()[variant.line]
    stage = Stage(world, world.house())
    began = time.perf_counter()
    try:
        line.play(stage)
        stage.settle(line.settles)
        verdict = stage.verdict()
        report = _told(line, stage, verdict)
        found = variant.found(verdict)
    finally:
        world.graph.failures.clear()
        stage.close()
    report.id, report.what = f"{variant.line}*", f"must be red: {variant.sentence}"
    report.verdict = GREEN if found else RED
    report.notes = report.reasons
    report.reasons = [] if found else ["the judge did not find it out"]
    report.seconds = round(time.perf_counter() - began, 1)
    return report


def _told(scenario: Scenario, stage: Stage, verdict: Verdict) -> Report:
    waits = verdict.recovery
    return Report(
        id=scenario.id,
        what=scenario.sentence,
        verdict=RED if verdict.red else GREEN,
        lost=len(verdict.lost),
        reordered=len(verdict.reordered),
        doubled_marked=len(verdict.doubled_marked),
        doubled_unmarked=len(verdict.doubled_unmarked),
        repeats=verdict.repeats,
        messages=len(stage.customers.sent),
        recovery_p50=round(percentile(waits, 0.5), 2) if waits else None,
        recovery_max=round(waits[-1], 2) if waits else None,
        reasons=verdict.reasons,
        notes=stage.notes,
    )


def tell(report: Report) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(asdict(report), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def table(reports: Sequence[Report]) -> str:
    """All of it for people."""
    rows = [("id", "what", "lost", "order", "dup. marked/not", "again", "recovery p50/max", "")]
    for one in reports:
        recovery = "" if one.recovery_max is None else f"{one.recovery_p50} / {one.recovery_max} s"
        rows.append(
            (
                one.id,
                one.what[:70],
                str(one.lost),
                str(one.reordered),
                f"{one.doubled_marked} / {one.doubled_unmarked}",
                str(one.repeats),
                recovery,
                one.verdict,
            )
        )
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(
        [*lines, *(f"{one.id}: {reason}" for one in reports for reason in one.reasons)]
    )
