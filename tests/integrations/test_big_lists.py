"""Lists of an account with many conversations read a page, and not all of them (performance.md, P9)."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client

from tests import factories
from tests.api import token_of
from tests.bench import seeds

pytestmark = pytest.mark.usefixtures("clean_database")

MANY, OTHERS = 6000, 20
# To read them all takes some 20,000 pages of the database.
PAGES = 2500
ADDRESSES = [
    "/v1/conversations/?limit=25",
    "/v1/conversations/?limit=25&status=open",
    "/api/v1/accounts/{account}/conversations",
    "/api/v1/accounts/{account}/conversations?status=open&page=40",
    "/inbox/",
]


@pytest.fixture
def big(server_url: str) -> Any:
    """A house with many conversations, among others that have few."""
    house = factories.make_house()
    for _ in range(OTHERS):
        factories.make_conversation(factories.make_inbox(factories.make_account()))
    url = psycopg.conninfo.make_conninfo(server_url, dbname=connection.settings_dict["NAME"])
    with psycopg.connect(url, autocommit=True) as inside:
        at = seeds.Place(house.account.pk, house.inbox.pk)
        seeds.conversations(inside, at, MANY, first=1)
        inside.execute("ANALYZE")
    return house


@pytest.mark.parametrize("address", ADDRESSES)
def test_p9_a_page_is_read_and_not_the_rest(big: Any, address: str) -> None:
    client = Client(headers={"Authorization": f"Bearer {token_of(big.owner)}"})
    if not address.startswith(("/v1/", "/api/")):
        client = Client()
        client.force_login(big.owner.user)
    pages: list[int] = []
    with connection.execute_wrapper(_reading(pages)):
        answer = client.get(address.format(account=big.account.pk))
    assert answer.status_code == 200
    assert sum(pages) < PAGES, pages


def _reading(pages: list[int]) -> Any:
    """Notes how many pages PostgreSQL looks at for each question about conversations."""

    def read(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SELECT") and "conversations_conversation" in sql and "COUNT(" not in sql:
            with context["connection"].connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
                found = cursor.fetchone()[0]
            plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
            pages.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
        return execute(sql, params, many, context)

    return read
