"""Refuse a test run in which something was skipped that this machine could have run.

A skip is accepted only when its reason names a thing of the table and that thing is absent.
"""

import os
import shutil
import sys
from xml.etree import ElementTree


def found(*programs: str) -> bool:
    return any(
        shutil.which(program, path=f"{os.defpath}:{os.environ['PATH']}:/usr/sbin")
        for program in programs
    )


PRESENT = {
    "chromium": found("chromium", "chromium-browser", "google-chrome"),
    "node": found("node", "nodejs"),
    "redis": found("redis-server"),
    "rabbitmq": found("rabbitmq-server"),
    "xgettext": found("xgettext"),
    "nginx": found("nginx"),
    "root": os.geteuid() == 0,
    "linux": sys.platform == "linux",
}


def complaint(reason: str) -> str:
    """What is wrong with a skip for this reason; empty when it is in order."""
    named = [thing for thing in PRESENT if thing in reason.lower()]
    if not named:
        return "its reason names nothing that may be absent"
    here = [thing for thing in named if PRESENT[thing]]
    return f"{here[0]} is there" if here else ""


def main() -> int:
    tree = ElementTree.parse(sys.argv[1])  # noqa: S314 - written by our own pytest
    wrong = 0
    for case in tree.iter("testcase"):
        for skipped in case.iter("skipped"):
            if problem := complaint(skipped.get("message", "")):
                wrong += 1
                name = f"{case.get('classname')}::{case.get('name')}"
                print(f"Skipped without need: {name} ({skipped.get('message')}): {problem}")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
