"""Lists of an account with many conversations read a page, and not all of them (performance.md, P9)."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client

from accounts.tenancy import account_context
from conversations.messages import DeliveryStatus, StatusUpdate
from conversations.services.statuses import receive_statuses
from tests import factories
from tests.api import token_of
from tests.bench import seeds

pytestmark = pytest.mark.usefixtures("clean_database")

MANY, OTHERS = 6000, 20
# To read them all takes some 20,000 pages of the database.
PAGES = 2500
# To look through all messages takes some 400, to find what is not there by an index a few for each.
PAGES_OF_STATUSES = 120
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


def test_dl_42_whose_status_it_is_is_found_by_an_index(big: Any, server_url: str) -> None:
    """The index has only messages that have a channel's id, and the planner has to see that these do."""
    url = psycopg.conninfo.make_conninfo(server_url, dbname=connection.settings_dict["NAME"])
    with psycopg.connect(url, autocommit=True) as inside:
        inside.execute(_MESSAGES)
        inside.execute("ANALYZE conversations_message")
    pages: list[int] = []
    words = [StatusUpdate(f"wamid.{n}", DeliveryStatus.READ) for n in range(25)]
    for _turn in range(8):  # by then PostgreSQL would have chosen a plan for good
        with (
            account_context(big.account),
            connection.execute_wrapper(_reading(pages, "external_id")),
        ):
            receive_statuses(big.inbox, words)
    assert pages
    assert max(pages) < PAGES_OF_STATUSES, pages


_MESSAGES = """
INSERT INTO conversations_message (account_id, conversation_id, inbox_id, direction, kind, text, content,
    external_id, status, error_code, error_text, possible_duplicate, client_id, draft_reason, sent_at, created_at)
SELECT account_id, id, inbox_id, 'outbound', 'text', 'Hello', '{}',
    CASE n WHEN 1 THEN 'ext-' || id ELSE '' END, 'sent', '', '', false, '', '', now(), now()
FROM conversations_conversation, generate_series(1, 4) n
"""


def _reading(pages: list[int], what: str = "conversations_conversation") -> Any:
    """Notes how many pages PostgreSQL looks at for each question about conversations, or something else."""

    def read(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SELECT") and what in sql and "COUNT(" not in sql:
            with context["connection"].connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
                found = cursor.fetchone()[0]
            plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
            pages.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
        return execute(sql, params, many, context)

    return read
