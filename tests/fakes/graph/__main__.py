"""`python -m tests.fakes.graph`: the fake Graph server by hand."""

from __future__ import annotations

import argparse
import contextlib
import threading

from tests.fakes.graph.server import FakeGraph


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.graph", description=__doc__)
    parser.add_argument("--port", type=int, default=9900)
    parser.add_argument("--app-secret", required=True, help="signs the webhooks")
    parser.add_argument("--callback", default="", help="where webhooks go, unless an account says")
    parser.add_argument("--phone-number-id", default="200000000000001")
    parser.add_argument("--waba-id", default="100000000000001")
    parser.add_argument("--token", action="append", help="a valid token; without any, all are")
    parser.add_argument("--statuses", default="sent,delivered,read", help="follow every message")
    parser.add_argument("--status-delay", type=float, default=0.5, help="seconds before each")
    options = parser.parse_args()
    graph = FakeGraph(
        app_secret=options.app_secret,
        callback=options.callback,
        tokens=options.token,
        numbers={options.phone_number_id: options.waba_id},
        statuses=[word for word in options.statuses.split(",") if word],
        status_delay=options.status_delay,
    )
    print(f"fake Graph server on {graph.start(port=options.port)}", flush=True)  # noqa: T201
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    graph.stop()


if __name__ == "__main__":
    main()
