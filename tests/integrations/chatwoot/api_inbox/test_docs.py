"""The page says the truth: every address and method of the client API."""

from __future__ import annotations

import re
from pathlib import Path

from django.urls import URLPattern

from integrations.chatwoot.api_inbox import urls
from integrations.chatwoot.compat.base import END, Nowhere

PAGE = Path(__file__).resolve().parents[4] / "docs" / "platforms" / "api-inbox.md"
ROW = re.compile(r"^\| ([A-Z, ]+) \| (/\S*) \| (yes|differs) \|", re.M)
METHODS = ("get", "post", "patch", "put", "delete")


def offered() -> set[tuple[str, str]]:
    found = set()
    for pattern in urls.urlpatterns:
        assert isinstance(pattern, URLPattern)
        view = pattern.callback.cls  # type: ignore[attr-defined]  # DRF's
        if issubclass(view, Nowhere):
            continue
        path = re.sub(r"\(\?P<\w+>[^)]*\)", "{id}", str(pattern.pattern))
        path = path.removeprefix("^public/api/v1/inboxes/{id}").removesuffix(END) or "/"
        found |= {
            (path, method)
            for method in METHODS
            if method in view.http_method_names and getattr(view, method, None) is not None
        }
    return found


def test_the_page_names_every_address_and_no_other() -> None:
    said = {
        (path, method.lower())
        for methods, path, _state in ROW.findall(PAGE.read_text(encoding="utf-8"))
        for method in methods.split(", ")
    }
    assert said == offered()
