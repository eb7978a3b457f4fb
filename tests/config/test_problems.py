"""Addresses where nothing is: programs get JSON, people a page."""

from __future__ import annotations

import pytest
from django.http import HttpRequest
from django.test import Client

from config import problems

FOREIGN = ("/api/v1", "/api/v1/nowhere", "/api/v2/x/", "/public/api/v1/nowhere", "/platform/api/v9")


@pytest.mark.django_db
@pytest.mark.parametrize("path", FOREIGN)
def test_a_foreign_address_that_is_not_there_is_json(path: str) -> None:
    response = Client(headers={"accept": "text/html"}).get(path)
    assert (response.status_code, response["Content-Type"]) == (404, "application/json")
    assert set(response.json()) == {"error"}


@pytest.mark.django_db
def test_everything_else_is_a_page() -> None:
    for path in ("/nowhere", "/apis/nowhere"):
        response = Client().get(path)
        assert (response.status_code, response["Content-Type"][:9]) == (404, "text/html")


def test_what_breaks_at_a_foreign_address_is_json() -> None:
    request = HttpRequest()
    request.path = "/api/v1/nowhere"
    response = problems.server_error(request)
    assert (response.status_code, response["Content-Type"]) == (500, "application/json")
