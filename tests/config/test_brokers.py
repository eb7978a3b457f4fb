"""A job travels over each broker, and no broker is needed for a worker to start."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from config import broker
from config.embedded import roles
from config.embedded.children import wait_until

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 30.0
Environment = dict[str, str]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return {
        **os.environ,
        "PROBE_QUEUE": f"probe_{uuid.uuid4().hex[:12]}",
        "PROBE_STARTED": str(tmp_path / "started"),
        "DATA_DIR": str(tmp_path / "var"),
    }


@pytest.fixture
def pgmq(environment: Environment, server_url: str) -> Iterator[Environment]:
    """A database prepared by our own `migrate`: owner and app role, no extension."""
    name = f"sb_broker_{uuid.uuid4().hex[:8]}"
    parts = urlsplit(server_url)
    place = parts.netloc.rpartition("@")[2]

    def url(role: str) -> str:
        return parts._replace(netloc=f"{role}@{place}", path=f"/{name}").geturl()

    with psycopg.connect(server_url, autocommit=True) as admin:
        roles.ensure_roles(admin)
        roles.ensure_database(admin, name)
    with psycopg.connect(parts._replace(path=f"/{name}").geturl(), autocommit=True) as inside:
        roles.grant(inside, name)
    environment |= {
        "DATABASE_URL": url(roles.APP),
        "DATABASE_OWNER_URL": url(roles.OWNER),
        "CELERY_BROKER_URL": "pgmq://",
    }
    for _ in range(2):  # the second time changes nothing and fails at nothing
        run(environment, "manage.py", "migrate", "--verbosity=0")
    yield environment
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def redis(environment: Environment, tmp_path: Path) -> Iterator[Environment]:
    with redis_server(tmp_path, free_port()) as url:
        yield environment | {"CELERY_BROKER_URL": url}


@pytest.fixture
def rabbitmq(environment: Environment) -> Environment:
    url = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")
    if not listens(urlsplit(url).port or 5672):
        pytest.skip("allowed: no RabbitMQ server is running (RABBITMQ_URL)")
    return environment | {"CELERY_BROKER_URL": url}


@contextmanager
def redis_server(directory: Path, port: int) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("allowed: redis-server is not installed")
    command = [program, "--port", str(port), "--dir", str(directory), "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: listens(port), SECONDS)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def worker(environment: Environment, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "celery", "-A", "tests.config.broker_probe", "worker"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--loglevel=INFO"],
            env=environment,
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def run(environment: Environment, *command: str) -> None:
    done = subprocess.run(
        [sys.executable, *command], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def send(environment: Environment, path: Path, text: str) -> None:
    code = "import sys; from tests.config.broker_probe import leave; leave.delay(*sys.argv[1:])"
    run(environment, "-c", code, str(path), text)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.broker
@pytest.mark.parametrize("name", ["pgmq", "redis", "rabbitmq"])
def test_a_job_makes_the_round_trip(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    environment: Environment = request.getfixturevalue(name)
    result, log = tmp_path / "result", tmp_path / "worker.log"
    send(environment, result, "before the worker")
    with worker(environment, log):
        assert wait_until(lambda: arrived(result, "before the worker"), SECONDS), log.read_text()
        send(environment, result, "with the worker")
        assert wait_until(lambda: arrived(result, "with the worker"), SECONDS), log.read_text()


def arrived(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


@pytest.mark.broker
def test_a_worker_starts_without_its_broker_and_finds_it_later(
    environment: Environment, tmp_path: Path
) -> None:
    """The courier lives in the worker: a broker that is down must not take it along."""
    port, log = free_port(), tmp_path / "worker.log"
    environment["CELERY_BROKER_URL"] = f"redis://127.0.0.1:{port}/0"
    with worker(environment, log) as process:
        started = Path(environment["PROBE_STARTED"])
        assert wait_until(started.exists, SECONDS), log.read_text()
        assert wait_until(lambda: "Cannot connect" in log.read_text(), SECONDS), log.read_text()
        assert process.poll() is None
        with redis_server(tmp_path, port):
            send(environment, tmp_path / "result", "late")
            assert wait_until(lambda: arrived(tmp_path / "result", "late"), SECONDS)


@pytest.mark.broker
def test_two_workers_never_share_a_name(redis: Environment, tmp_path: Path) -> None:
    names = []
    for number in (1, 2):
        environment = redis | {"PROBE_STARTED": str(tmp_path / f"started{number}")}
        with worker(environment, tmp_path / f"worker{number}.log"):
            started = Path(environment["PROBE_STARTED"])
            assert wait_until(lambda file=started: file.exists() and file.read_text(), SECONDS)  # type: ignore[misc]
            names.append(started.read_text())
    assert len(set(names)) == 2


@pytest.mark.broker
def test_the_app_role_uses_the_queue_and_cannot_change_it(pgmq: Environment) -> None:
    """SX-04: no DDL, not even for its own queues."""
    with psycopg.connect(pgmq["DATABASE_URL"], autocommit=True) as app:
        app.execute("SELECT pgmq.create('another')")
        app.execute("SELECT pgmq.send('another', '{}'::jsonb)")
        assert app.execute("SELECT count(*) FROM pgmq.read('another', 1, 1)").fetchone() == (1,)
        for forbidden in ("DROP TABLE pgmq.q_another", "CREATE TABLE pgmq.mine ()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(forbidden)


@pytest.mark.broker
def test_a_worker_tells_its_broker_nothing_but_jobs(pgmq: Environment, tmp_path: Path) -> None:
    """Nobody listens to a worker's events, and on pgmq each is an error in the database's log."""
    result, log = tmp_path / "result", tmp_path / "worker.log"
    send(pgmq, result, "a job")
    with worker(pgmq, log):
        assert wait_until(lambda: arrived(result, "a job"), SECONDS), log.read_text()
    with psycopg.connect(pgmq["DATABASE_OWNER_URL"], autocommit=True) as owner:
        failed = owner.execute(
            "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert failed == (0,)


@pytest.mark.parametrize("password", ["plain", "with blank", "quote'and\\slash", ""])
def test_the_queue_client_reads_back_any_password(password: str) -> None:
    from pgmq.base import PGMQConfig

    database = {"HOST": "/a b", "PORT": "", "NAME": "x", "USER": "me", "PASSWORD": password}
    config = PGMQConfig(conn_string=broker.connection_string(database))
    seen = psycopg.conninfo.conninfo_to_dict(config.dsn)
    assert (seen["host"], seen["password"]) == ("/a b", password or "unused")
