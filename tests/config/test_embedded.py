"""The embedded PostgreSQL: its walls, its ends, and one sentence for each thing in its way."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from config.embedded import EmbeddedPostgres, StartError, Urls, place
from config.embedded.children import wait_until


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def server(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(data_dir, durable=False)
    server.start()
    yield server
    server.discard()


@pytest.fixture
def urls(server: EmbeddedPostgres) -> Urls:
    return server.urls()


def cluster_of(server: EmbeddedPostgres) -> Path:
    with psycopg.connect(server.urls().superuser) as connection:
        return Path(connection.execute("SHOW data_directory").fetchone()[0])  # type: ignore[index]


def one(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row
    return row[0]


def test_it_is_postgresql_18_with_utf8_and_no_extension(urls: Urls) -> None:
    assert str(one(urls.app, "SHOW server_version")).startswith("18.")
    assert one(urls.app, "SHOW server_encoding") == "UTF8"


def test_a_real_one_is_durable(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    try:
        assert one(server.start().app, "SHOW fsync") == "on"
    finally:
        server.discard()


def test_neither_role_has_more_power_than_it_needs(urls: Urls) -> None:
    """SX-04: the app is held by row level security, the owner only passes it to migrate."""
    powers = "SELECT ARRAY[rolsuper, rolbypassrls, rolcreaterole, rolcreatedb] FROM pg_roles WHERE rolname = current_user"
    assert one(urls.app, powers) == [False, False, False, False]
    assert one(urls.owner, powers) == [False, True, False, False]


def test_the_app_role_reads_and_writes_what_the_owner_makes_and_makes_nothing(urls: Urls) -> None:
    with psycopg.connect(urls.owner) as owner:
        owner.execute("CREATE TABLE note (id serial PRIMARY KEY, text text)")
    with psycopg.connect(urls.app, autocommit=True) as app:
        app.execute("INSERT INTO note (text) VALUES ('hello')")
        for forbidden in (
            "CREATE TABLE mine (id int)",
            "DROP TABLE note",
            "CREATE TEMP TABLE t ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(forbidden)
    assert one(urls.app, "SELECT text FROM note") == "hello"


def test_it_listens_on_a_private_unix_socket_only(server: EmbeddedPostgres, urls: Urls) -> None:
    """SX-111."""
    assert one(urls.superuser, "SHOW listen_addresses") == ""
    directory = Path(str(one(urls.superuser, "SHOW unix_socket_directories")))
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="allowed: needs root")
def test_started_as_root_the_database_is_somebody_elses(server: EmbeddedPostgres) -> None:
    assert server.child
    assert Path(f"/proc/{server.child.pid}").stat().st_uid != 0
    assert [note for note in server.notes if "root" in note]


@pytest.mark.skipif(os.geteuid() != 0, reason="allowed: needs root")
def test_started_as_root_in_a_closed_place_it_changes_nothing_there(tmp_path: Path) -> None:
    """Nothing outside our data directory changes owner or mode (design.md 5.4)."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "data", durable=False)
    try:
        assert one(server.start().app, "SELECT 1") == 1
        elsewhere = Path((closed / "data" / "postgres.location").read_text())
        assert str(elsewhere) in server.notes[0]
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert closed.stat().st_uid == 0
    finally:
        server.discard()


def test_a_deep_data_directory_gets_a_short_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("long-" * 20) / "data with blanks"
    deep.parent.mkdir()
    server = EmbeddedPostgres(deep, durable=False)
    try:
        urls = server.start()
        assert one(urls.app, "SELECT 1") == 1
        assert len(urls.app) < 120
    finally:
        server.discard()


def test_a_second_start_finds_the_data_of_the_first(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, durable=False)
    with psycopg.connect(server.start().owner) as owner:
        owner.execute("CREATE TABLE kept ()")
    server.stop()
    try:
        assert one(server.start().owner, "SELECT count(*) FROM kept") == 0
    finally:
        server.discard()


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[tuple[EmbeddedPostgres, Path]]:
    server = EmbeddedPostgres(tmp_path, durable=False)
    server.start()
    cluster = cluster_of(server)
    server.stop()
    yield server, cluster
    server.discard()


def test_a_damaged_version_file_is_said(stopped: tuple[EmbeddedPostgres, Path]) -> None:
    server, cluster = stopped
    (cluster / "PG_VERSION").write_text("\0garbage")
    with pytest.raises(StartError, match="damaged"):
        server.start()


def test_another_major_version_is_said(stopped: tuple[EmbeddedPostgres, Path]) -> None:
    server, cluster = stopped
    (cluster / "PG_VERSION").write_text("16\n")
    with pytest.raises(StartError, match="made by PostgreSQL 16, this is 18"):
        server.start()


def test_a_damaged_cluster_gives_the_servers_own_reason(
    stopped: tuple[EmbeddedPostgres, Path],
) -> None:
    server, cluster = stopped
    control = cluster / "global" / "pg_control"
    control.write_bytes(bytes(control.stat().st_size))
    with pytest.raises(StartError, match=r"did not start on .*: .+\. Its log is"):
        server.start()


def test_a_platform_without_the_wheel_is_told_of_database_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StartError, match="set DATABASE_URL"):
        place.find_binaries()


STARTER = """
import sys, time
from pathlib import Path
from typing import Any
from config.embedded import EmbeddedPostgres
from config.embedded.children import Guardian
guardian = Guardian() if sys.argv[2] == "guarded" else None
server = EmbeddedPostgres(Path(sys.argv[1]), durable=False, guardian=guardian)
server.start()
print(server.child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("how", ["guarded", "alone"])
def test_the_server_does_not_outlive_a_killed_starter(tmp_path: Path, how: str) -> None:
    if how == "alone" and sys.platform != "linux":
        pytest.skip("allowed: only Linux tells a child of its parent's death")
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path), how], stdout=subprocess.PIPE
    )
    assert starter.stdout
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    starter.stdout.close()
    assert wait_until(lambda: not running(pid), 5)
    place.discard(tmp_path)


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_an_orphan_of_ours_is_ended_before_the_next_start(tmp_path: Path) -> None:
    first = EmbeddedPostgres(tmp_path, durable=False)
    first.start()
    second = EmbeddedPostgres(tmp_path, durable=False)
    try:
        assert one(second.start().app, "SELECT 1") == 1
        assert first.child
        assert first.child.wait(5) is not None
        assert second.child
        assert first.child.returncode == 0, "it was asked to leave, not shot"
    finally:
        second.discard()


def test_a_server_of_ones_own_gets_roles_and_database_by_one_command(
    server: EmbeddedPostgres, urls: Urls, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("create_database", urls.superuser, name="desk")
    printed = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert one(printed["DATABASE_URL"], "SELECT current_user") == "switchboard_app"
    assert one(printed["DATABASE_OWNER_URL"], "SELECT current_database()") == "desk"


def test_passwords_that_are_settled_are_taken_and_the_command_may_run_again(
    urls: Urls,
    capsys: pytest.CaptureFixture[str],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """compose.yaml runs it at every start."""
    for name, value in (("USER", "switchboard_app"), ("PASSWORD", "app"), ("NAME", "settled")):
        monkeypatch.setitem(settings.DATABASES["default"], name, value)
    settings.DATABASE_OWNER_URL = "postgres://switchboard_owner:owner@/settled"
    for _ in range(2):
        call_command("create_database", urls.superuser, from_settings=True)
    assert capsys.readouterr().out == ""
    hashed = "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = '{}'"
    for role in ("switchboard_app", "switchboard_owner"):
        assert one(urls.superuser, hashed.format(role))
    settings.DATABASE_OWNER_URL = ""
    with pytest.raises(CommandError, match="DATABASE_OWNER_URL does not name the role"):
        call_command("create_database", urls.superuser, from_settings=True)
