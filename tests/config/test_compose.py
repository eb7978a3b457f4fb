"""compose.yaml, the image and the proxy in front, as far as they can be held without a container."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings
from django.db import connections

from config.asgi import DJANGO_THREADS
from config.embedded.children import wait_until
from config.install import Installation
from config.processes import WEB_SECONDS, WORKER_SECONDS
from integrations import live
from integrations.courier import component
from integrations.ledger import WRITERS
from tests.config.test_supervisor import free_port

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("web", "worker", "beat", "roles", "migrate")
NGINX = (ROOT / "docs" / "nginx.conf").read_text()
VARIABLE = re.compile(r"\$\{(\w+)(:[?-])?([^}]*)\}")
FILLED = {
    "DOMAIN": "desk.example.com",
    "SECRET_KEY": "s" * 60,
    "FIELD_KEYS": "k1:" + "A" * 42 + "A=",
    "POSTGRES_PASSWORD": "a1",
    "DATABASE_OWNER_PASSWORD": "b2",
    "DATABASE_APP_PASSWORD": "c3",
    "BROKER_PASSWORD": "d4",
    "EMAIL_URL": "smtp+tls://desk:secret@mail.example.com:587",
    "DEFAULT_FROM_EMAIL": "Desk <desk@example.com>",
    "ADMIN_ALLOW": "10.1.0.0/16",
    "METRICS_TOKEN": "m" * 43,
    "LOG_FORMAT": "json",
}
# These may stay empty, or as the example has them.
OPTIONAL = {"ADMIN_ALLOW", "METRICS_TOKEN", "LOG_LEVEL", "LOG_FORMAT"}


def filled(text: str) -> str:
    """`text` as compose reads it with the values of FILLED."""
    return VARIABLE.sub(lambda found: FILLED.get(found[1]) or found[3], text)


def environment(service: str) -> dict[str, str]:
    return {name: filled(value) for name, value in SERVICES[service]["environment"].items()}


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _equals, value in pairs}


@pytest.mark.parametrize("service", OURS)
def test_every_variable_is_one_that_the_settings_read(service: str) -> None:
    source = (ROOT / "config" / "settings.py").read_text()
    known = set(re.findall(r'(?:env\.\w+|environ\.get)\(\s*"(\w+)"', source))
    assert "WORKER_THREADS" in known
    assert set(environment(service)) <= known


@pytest.mark.parametrize("service", ["web", "worker", "beat"])
def test_delivery_15_metrics_and_logs_are_set_where_they_are_made(service: str) -> None:
    """Who may read /metrics, and how each process writes its lines."""
    chosen = {name: environment(service)[name] for name in ("METRICS_TOKEN", "LOG_FORMAT")}
    assert chosen == {name: FILLED[name] for name in chosen}


def test_the_example_names_every_value_that_is_asked_for_and_no_other() -> None:
    asked = {found[1] for found in VARIABLE.finditer((ROOT / "compose.yaml").read_text())}
    assert asked == set(example()) == set(FILLED) | {"LOG_LEVEL"}


def test_what_must_be_filled_in_has_no_default_anywhere() -> None:
    """`:?` makes compose refuse an empty value; what may stay empty is said to be optional."""
    for found in VARIABLE.finditer((ROOT / "compose.yaml").read_text()):
        assert found[2] == (":-" if found[1] in OPTIONAL else ":?"), found[0]
    values = example()
    assert (values.pop("LOG_LEVEL"), values.pop("LOG_FORMAT")) == ("INFO", "line")
    assert not any(values.values())


def test_only_the_migration_and_the_roles_know_the_owner() -> None:
    """SX-04: the processes that serve people cannot see past their account."""
    knowing = {name for name in OURS if "DATABASE_OWNER_URL" in SERVICES[name]["environment"]}
    assert knowing == {"roles", "migrate"}


def test_the_roles_run_the_commands_of_make_run(tmp_path: Path) -> None:
    roles = {
        role.name: [Path(word).name if word == sys.executable else word for word in role.command]
        for role in Installation.from_environment({"DATA_DIR": str(tmp_path)}).roles({})
    }
    for name in ("web", "worker", "beat"):
        ours = [re.sub(r"^python\S*$", "python", word) for word in roles[name]]
        command = SERVICES[name]["command"]
        assert command in (ours, ours[2:]), name  # `python -m celery` is `celery`


def test_a_container_gets_the_time_that_its_drain_takes() -> None:
    """DL-52."""
    for name, seconds in (("web", WEB_SECONDS), ("worker", WORKER_SECONDS)):
        assert float(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= seconds


def test_only_the_proxy_is_reached_from_outside_and_ours_can_write_nowhere() -> None:
    assert {name for name, one in SERVICES.items() if "ports" in one} == {"proxy"}
    for name in OURS:
        one = SERVICES[name]
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert not one.get("privileged")
        assert "container_name" not in one, "a second one could not be started"


def test_images_are_plain_names_and_the_image_runs_as_nobody_special() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    images = [one["image"] for one in SERVICES.values()]
    images += re.findall(r"(?m)^FROM (\S+)", dockerfile)
    assert all(re.fullmatch(r"[a-z]+(:[\w.-]+)?", image) for image in images), images
    assert "--require-hashes" in dockerfile
    assert re.search(r"(?m)^USER \d+:\d+$", dockerfile)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".*", "var", "certificates"} <= set(ignored), "secrets would go into the image"


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {n: v for n, v in os.environ.items() if n in ("PATH", "HOME", "LANG")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**kept, "SWITCHBOARD_TESTING": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.usefixtures("db")
def test_its_settings_pass_the_deploy_checks(tmp_path: Path) -> None:
    database = connections["default"].settings_dict
    url = f"postgres://{database['USER']}@/{database['NAME']}?host={database['HOST']}"
    if database["PORT"]:
        url += f"&port={database['PORT']}"
    given = environment("web") | {"DATABASE_URL": url, "DATA_DIR": str(tmp_path)}
    checked = run("manage.py", "check", "--deploy", "--database", "default", **given)
    assert checked.returncode == 0, checked.stderr
    assert "config." not in checked.stderr, checked.stderr
    unproxied = run("manage.py", "check", "--deploy", **(given | {"TRUSTED_PROXIES": "0"}))
    assert "config.W002" in unproxied.stderr


def test_the_image_can_collect_static_files_without_secrets_or_a_database(tmp_path: Path) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "STATIC_ROOT=/app/collected python manage.py collectstatic --no-input" in dockerfile
    place = str(tmp_path / "collected")
    made = run(
        *("manage.py", "collectstatic", "--no-input", "--verbosity", "0"),
        DATA_DIR=str(tmp_path),
        STATIC_ROOT=place,
    )
    assert made.returncode == 0, made.stderr
    assert (Path(place) / "staticfiles.json").exists()


def test_the_proxy_lets_through_what_switchboard_needs() -> None:
    """Trap 1 of performance.md: headers with underscores; streams; files; the caller's address."""
    limit = re.search(r"client_max_body_size (\d+)m;", NGINX)
    stream = re.search(r"location /live/ \{[^}]+proxy_read_timeout (\d+)s;", NGINX)
    assert "underscores_in_headers on;" in NGINX
    assert limit
    assert int(limit[1]) * 1024**2 > settings.MAX_UPLOAD_BYTES
    assert stream
    assert float(stream[1]) > live.PING_EVERY
    assert "access_log off;" in NGINX
    mounted = SERVICES["proxy"]["volumes"][0].split(":")
    assert mounted[0] == "./docs/nginx.conf"
    assert mounted[1] in SERVICES["proxy"]["command"]


class Backend(BaseHTTPRequestHandler):
    """Stands for the web process: remembers headers, and streams under /live/."""

    headers_seen: Mapping[str, str] = {}
    hold = threading.Event()

    def do_GET(self) -> None:
        type(self).headers_seen = dict(self.headers)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"first\n")
        if self.path.startswith("/live/"):
            self.hold.wait(10)

    def log_message(self, *words: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A real nginx with docs/nginx.conf: its TLS port, and the port where it looks for `web`."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        pytest.skip("allowed: nginx is not installed")
    plain, tls, web = free_port(), free_port(), free_port()
    make_certificate(tmp_path)
    text = NGINX.replace("listen 80;", f"listen 127.0.0.1:{plain};")
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{tls} ssl;")
    text = text.replace("web:8000", f"127.0.0.1:{web}")
    text = re.sub(r"(_temp_path|^pid) /tmp", rf"\1 {tmp_path}", text, flags=re.M)
    text = text.replace("/etc/nginx/certificates", str(tmp_path))
    text = re.sub(r"http2 on;.*", "", text)  # older ones do not know the word
    (tmp_path / "nginx.conf").write_text(text)
    process = subprocess.Popen(
        [program, "-e", "stderr", "-p", tmp_path, "-c", "nginx.conf", "-g", "daemon off;"]
    )
    try:
        assert wait_until(lambda: listens(tls), 10)
        yield tls, web
    finally:
        process.terminate()
        process.wait(10)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def make_certificate(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "desk.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (directory / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "privkey.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@contextmanager
def ask(port: int, path: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    with closing(connection):
        connection.request("GET", path, headers={"Host": "desk.example.com", **headers})
        with connection.getresponse() as response:
            yield response


def test_through_the_proxy_underscores_arrive_streams_flow_and_a_restart_is_a_503(
    proxy: tuple[int, int],
) -> None:
    """F-31, and trap 1 of performance.md over real sockets."""
    tls, web = proxy
    with ask(tls, "/v1/") as away:
        assert (away.status, away.headers["Retry-After"]) == (503, "5")
        assert away.read() == b"try again\n"
    backend = ThreadingHTTPServer(("127.0.0.1", web), Backend)
    thread = threading.Thread(target=backend.serve_forever)
    thread.start()
    try:
        headers = {"api_access_token": "sb_1", "X-Forwarded-For": "192.0.2.66"}
        with ask(tls, "/v1/", **headers) as answer:
            assert answer.read() == b"first\n"
        seen = Backend.headers_seen
        assert seen["api_access_token"] == "sb_1"
        assert seen["Host"] == "desk.example.com"
        assert (seen["X-Forwarded-For"], seen["X-Forwarded-Proto"]) == ("127.0.0.1", "https")
        with ask(tls, "/live/?ticket=t") as stream:
            assert stream.readline() == b"first\n", "before the stream has ended"
    finally:
        Backend.hold.set()
        backend.shutdown()
        backend.server_close()
        thread.join()


def test_the_operator_s_guide_names_every_setting_and_every_check() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    source = (ROOT / "config" / "settings.py").read_text()
    names = set(re.findall(r'(?:env\.\w+|environ\.get)\(\s*"(\w+)"', source))
    assert not {name for name in names if f"`{name}`" not in guide}
    checks = (ROOT / "config" / "checks.py").read_text()
    warned = set(re.findall(r'id="(config\.W\d+)"', checks))
    assert not {name for name in warned if f"`{name}`" not in guide}


def test_the_guides_lead_nowhere_that_is_not_there() -> None:
    """Files that they link to, and headings within them."""
    for name in ("operations.md", "scaling.md"):
        text = (ROOT / "docs" / name).read_text()
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _hash, heading = target.partition("#")
            other = ROOT / "docs" / (path or name)
            assert other.exists() or path == "prometheus-rules.yaml", target
            if heading:
                titles = re.findall(r"(?m)^#+ (.+)$", other.read_text())
                assert heading in {_anchor(title) for title in titles}, target


def _anchor(title: str) -> str:
    """As the usual readers of Markdown make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_the_figures_for_connections_are_those_of_the_code() -> None:
    """docs/scaling.md adds them up; whoever changes one of them changes the sum there."""
    live_stream, door = 2, WRITERS + 1 + 1
    web = DJANGO_THREADS + live_stream + door
    alone = (
        component.CONNECTIONS + component.LANE_CONNECTIONS + 1 + 1 + 2 * settings.COURIER_THREADS
    )
    worker = alone + settings.WORKER_THREADS
    guide = (ROOT / "docs" / "scaling.md").read_text()
    assert f"| web | {web} |" in guide
    assert f"| worker | {worker} |" in guide
    assert f"| courier alone | {alone} |" in guide
    assert f"4 × {web} + 6 × {worker} = {4 * web + 6 * worker}" in guide
