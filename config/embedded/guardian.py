"""Run as a script: ends the process groups it was told of when its standard input closes.

Lines: `+<group> <first signal>` and `-<group>`. Standard library only and no import of ours: it
starts in milliseconds and stays small.
"""

import os
import signal
import sys
import time

PATIENCE = 1.5


def kill(group: int, number: int) -> bool:
    """Signal the group; False when there is none any more."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def end_all(groups: dict[int, int]) -> None:
    for group, number in groups.items():
        kill(group, number)
    # PostgreSQL leaves on SIGINT within a moment; what does not is made to, harder each time.
    for number in (signal.SIGQUIT, signal.SIGKILL):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            groups = {group: first for group, first in groups.items() if kill(group, 0)}
            if not groups:
                return
            time.sleep(0.05)
        for group in groups:
            kill(group, number)


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: dict[int, int] = {}
    for line in sys.stdin:
        if line[0] == "+":
            group, number = line[1:].split()
            groups[int(group)] = int(number)
        else:
            groups.pop(int(line[1:]), None)
    end_all(groups)


if __name__ == "__main__":
    main()
