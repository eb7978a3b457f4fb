"""The secret addresses of inboxes."""

from __future__ import annotations

from datetime import timedelta

import time_machine
from django.utils import timezone

from conversations.models import Inbox, InboxRoute
from integrations.routes import create_route, find_route, hook_url, rotate, route_token
from tests import factories


def test_the_row_knows_the_hash_and_the_sealed_credentials_the_token(house):
    token = create_route(house.inbox)
    row = InboxRoute.objects.get()
    assert token not in str(vars(row))
    assert bytes(row.token_sha256) == InboxRoute.digest(token)
    stored = Inbox.objects.get(pk=house.inbox.pk)
    assert route_token(stored) == token
    assert token.encode() not in bytes(stored.credentials_sealed)
    assert hook_url(stored) == f"http://127.0.0.1:8000/hooks/sandbox/{token}"


def test_other_credentials_stay(house):
    house.inbox.credentials = {"app_secret": "s"}
    create_route(house.inbox)
    assert house.inbox.credentials["app_secret"] == "s"


def test_an_inbox_without_an_address_has_none_to_show(house):
    assert hook_url(house.inbox) == ""


def test_a_token_leads_to_its_inbox_on_its_platform_only(house):
    token = create_route(house.inbox)
    found = find_route("sandbox", token)
    assert found is not None
    assert (found.inbox_id, found.account) == (house.inbox.pk, house.account)
    assert find_route("whatsapp", token) is None
    assert find_route("sandbox", token + "x") is None


def test_after_a_rotation_the_old_address_works_for_a_week(house):
    old = create_route(house.inbox)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        new = rotate(house.inbox)
        assert old != new
        assert route_token(house.inbox) == new
        clock.shift(timedelta(days=6, hours=23))
        assert find_route("sandbox", old) is not None
        clock.shift(timedelta(hours=2))
        assert find_route("sandbox", old) is None
        assert find_route("sandbox", new) is not None


def test_a_second_rotation_does_not_lengthen_the_oldest_life(house):
    oldest = create_route(house.inbox)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        rotate(house.inbox)
        clock.shift(timedelta(days=5))
        rotate(house.inbox)
        clock.shift(timedelta(days=3))
        assert find_route("sandbox", oldest) is None


def test_two_inboxes_have_two_addresses(house):
    other = factories.make_inbox(house.account)
    assert create_route(house.inbox) != create_route(other)
