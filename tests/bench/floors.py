"""What the parts cost on this machine, now: the floor under our own figures."""

from __future__ import annotations

import threading
import time

import psycopg

_ROW = "x" * 1024


def insert_rate(url: str, *, clients: int, seconds: float = 2.0) -> float:
    """One 1 KB insert per durable transaction: transactions per second over `clients` threads."""
    with psycopg.connect(url, autocommit=True) as setup:
        setup.execute(
            "CREATE TABLE IF NOT EXISTS bench_floor (id bigserial PRIMARY KEY, body text)"
        )
    counts = [0] * clients
    stop = time.perf_counter() + seconds

    def insert(number: int) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while time.perf_counter() < stop:
                connection.execute("INSERT INTO bench_floor (body) VALUES (%s)", [_ROW])
                counts[number] += 1

    threads = [threading.Thread(target=insert, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with psycopg.connect(url, autocommit=True) as setup:
        setup.execute("DROP TABLE bench_floor")
    return sum(counts) / seconds


def notify_latency(url: str, *, rounds: int = 200) -> float:
    """Median milliseconds from NOTIFY to the listener."""
    samples: list[float] = []
    with (
        psycopg.connect(url, autocommit=True) as hears,
        psycopg.connect(url, autocommit=True) as says,
    ):
        hears.execute("LISTEN bench")
        for _ in range(rounds):
            started = time.perf_counter()
            says.execute("NOTIFY bench")
            next(iter(hears.notifies(timeout=2, stop_after=1)))
            samples.append(time.perf_counter() - started)
    return sorted(samples)[rounds // 2] * 1000
