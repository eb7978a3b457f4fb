"""The description of the API is true: the schema is valid, and the examples of docs/api.md work."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.test import Client

from accounts.ids import encode
from tests.factories import make_conversation

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"
EXAMPLE = re.compile(r"^> (GET|POST|PATCH|DELETE) (\S+)(?: (.+))?\n(\d{3})$", re.MULTILINE)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What `manage.py spectacular --validate --fail-on-warn` writes."""
    path = tmp_path_factory.mktemp("schema") / "schema.json"
    call_command(
        "spectacular", validate=True, fail_on_warn=True, file=str(path), format="openapi-json"
    )
    return json.loads(path.read_text())


def operations(schema: dict) -> Iterator[tuple[str, str, dict]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_schema_is_openapi_3_1_and_without_a_warning(schema: dict) -> None:
    assert schema["openapi"].startswith("3.1")
    assert len(schema["paths"]) > 60


def test_every_operation_may_answer_the_one_problem(schema: dict) -> None:
    shared = {"$ref": "#/components/responses/Problem"}
    assert all(operation["responses"]["default"] == shared for *_, operation in operations(schema))
    assert "application/problem+json" in schema["components"]["responses"]["Problem"]["content"]


def test_every_operation_says_what_it_is(schema: dict) -> None:
    names = [operation["operationId"] for *_, operation in operations(schema)]
    assert len(names) == len(set(names))
    assert all(path.startswith("/v1/") for path, *_ in operations(schema))


def test_the_docs_page_is_served_without_any_other_host(db: None) -> None:
    response = Client().get("/v1/docs/")
    text = response.content.decode()
    assert response.status_code == 200
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", text)
    assert "'unsafe-eval'" not in response["Content-Security-Policy"]
    assert Client().get("/v1/schema/").status_code == 200


def test_the_examples_of_the_docs_do_what_they_say(api: SimpleNamespace) -> None:
    house = api.house
    thread = make_conversation(house.inbox, "Do you ship to Cluj?")
    names = {
        "$CONVERSATION": thread.public_id,
        "$CONTACT": encode("con", thread.contact_id),
        "$PERSON": house.person.public_id,
        "$AGENT_ID": house.agent.public_id,
        "$AGENT": house.agent.member.public_id,
        "$TEAM": house.team.public_id,
    }
    examples = EXAMPLE.findall(PAGE.read_text())
    assert len(examples) > 40
    for method, path, body, status in examples:
        for name, value in names.items():
            path, body = path.replace(name, value), body.replace(name, value)
        call = getattr(api.owner, method.lower())
        response = call(path) if method == "GET" else call(path, json.loads(body or "{}"))
        assert response.status_code == int(status), (method, path, response.content)
