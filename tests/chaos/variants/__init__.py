"""Products that are broken on purpose: the judge must see it, or its green would prove nothing.

Nothing of this can be switched on from inside the product: Python itself loads `sitecustomize` from this
directory, because the chaos runner alone puts it on PYTHONPATH.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.judge import Verdict

DIRECTORY = Path(__file__).parent


@dataclass(frozen=True)
class Variant:
    """A broken product: the line that finds it out, and what the judge must say."""

    name: str
    sentence: str
    line: str
    found: Callable[[Verdict], bool]

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(DIRECTORY), "CHAOS_VARIANT": self.name}


VARIANTS = (
    Variant(
        "early_ack",
        "2xx before the commit",
        "F-01",
        lambda verdict: any("not in the database" in text for text in verdict.lost),
    ),
    Variant(
        "no_fence",
        "the result of a lease that is gone is believed",
        "F-08",
        lambda verdict: bool(verdict.reordered),
    ),
    Variant(
        "no_order",
        "a lane does not wait for its head",
        "F-13",
        lambda verdict: bool(verdict.reordered),
    ),
)
