"""A real Chromium on a real server. Skips, with the reason, only where no Chromium is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from accounts.models import Member
from tests import factories
from tests.serving import Served, serve

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(autouse=True)
def beside_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright's loop runs in this very thread; Django would refuse to touch its database there."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if path is None:
        pytest.skip("no Chromium on this machine; install the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def shop(clean_database: None) -> SimpleNamespace:
    """Like `house`, but committed, so that the server sees it."""
    return factories.make_house()


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("web")) as served:
        yield served


@pytest.fixture
def open_page(chromium: Browser, server: Served) -> Iterator[Callable[..., Page]]:
    """`open_page(member, path, width=…, dark=…)`: a logged-in page that notes every console error."""
    contexts: list[BrowserContext] = []

    def open_it(member: Member, path: str = "/", *, width: int = 1440, dark: bool = False) -> Page:
        context = chromium.new_context(
            base_url=server.url,
            viewport={"width": width, "height": 860},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        contexts.append(context)
        client = Client()
        assert member.user is not None
        client.force_login(member.user, backend="django.contrib.auth.backends.ModelBackend")
        cookie = client.cookies[settings.SESSION_COOKIE_NAME]
        context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": server.url}])
        page = context.new_page()
        note_errors(page)
        page.goto(path)
        return page

    yield open_it
    for context in contexts:
        context.close()


def note_errors(page: Page) -> None:
    """Keep what goes wrong on the page as `page.errors`, for `assert_clean`."""
    errors: list[str] = []
    page.errors = errors  # type: ignore[attr-defined]  # ours, beside Playwright's own

    def console(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("console", console)
    page.on("pageerror", lambda error: errors.append(str(error)))


def assert_clean(page: Any) -> None:
    """No console error, no axe violation, nothing that scrolls sideways."""
    assert page.errors == []
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:160] for node in one["nodes"][:3]]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
