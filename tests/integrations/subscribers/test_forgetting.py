"""A deleted webhook goes at once for people, and little by little from a long log (F-33)."""

from __future__ import annotations

from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from accounts.tenancy import account_context
from conversations import services
from conversations.models import Delivery, Endpoint, EndpointSecret
from conversations.services import replaying
from integrations import attention
from integrations.subscribers import forgetting, tasks
from integrations.subscribers import services as subscribers
from integrations.tasks import prune
from tests import factories
from tests.accounts.test_entry import logged_in
from tests.bench import seeds
from tests.integrations.couriers import Reply, Server, courier, make_house, wait_for

pytestmark = pytest.mark.usefixtures("clean_database")

State = Delivery.State
BATCH = forgetting.BATCH


def with_a_long_log(house, n, state=State.DELIVERED, **fields):
    """A webhook that was sent so many events."""
    webhook = factories.make_webhook(house.account, name="CRM", **fields)
    connection.ensure_connection()
    seeds.backlog(
        connection.connection, house.account.pk, [webhook.pk], lanes=n, each=1, prefix="log-"
    )
    Delivery.all_accounts.filter(endpoint=webhook).update(
        state=state, kind="subscriber", finished_at=timezone.now()
    )
    return webhook


def delete(house, webhook):
    with house.inside():
        subscribers.delete_subscriber(webhook, by=None)


def naming(webhook):
    return Delivery.all_accounts.filter(endpoint_id=webhook.pk).count()


def is_gone(webhook):
    with account_context(webhook.account_id):
        return not Endpoint.all_accounts.filter(pk=webhook.pk).exists()


def test_f_33_no_act_and_no_step_touches_more_of_the_log_than_a_batch():
    house = make_house()
    webhook = with_a_long_log(house, 2 * BATCH + 5)
    with house.inside():
        subscribers.delete_subscriber(webhook, by=None)
        assert naming(webhook) == BATCH + 5
        assert forgetting.forget_some() == BATCH
        assert naming(webhook) == 5
        assert Endpoint.deleted.get() == webhook
        assert forgetting.forget_some() == 6
        assert forgetting.forget_some() == 0
    assert is_gone(webhook)
    assert Delivery.all_accounts.filter(endpoint=None).count() == 2 * BATCH + 5


def test_f_33_also_one_with_a_short_log_is_not_gone_within_the_act():
    """What names it is looked for in big tables, while every event of the account waits for the act."""
    house = make_house()
    webhook = with_a_long_log(house, 5)
    delete(house, webhook)
    assert naming(webhook) == 0
    assert not is_gone(webhook)
    assert tasks.forget_rest(house.account.pk) == 1
    assert is_gone(webhook)


def test_f_33_the_rest_follows_by_a_job():
    house = make_house()
    webhook = with_a_long_log(house, 2 * BATCH + 5)
    delete(house, webhook)
    assert tasks.forget_rest(house.account.pk) == BATCH + 6
    assert is_gone(webhook)
    assert tasks.forget_rest(house.account.pk) == 0


def test_f_33_what_a_lost_job_has_left_goes_with_what_is_old():
    house = make_house()
    webhook = with_a_long_log(house, 5)
    with house.inside():
        Endpoint.objects.filter(pk=webhook.pk).update(deleted_at="2026-01-01T00:00Z")
    assert prune()["webhooks"] == 6
    assert is_gone(webhook)


@contextmanager
def halfway(house, webhook, server_url):
    """Deleted, while somebody holds a row of its log, so that it is not gone yet."""
    url = psycopg.conninfo.make_conninfo(server_url, dbname=connection.settings_dict["NAME"])
    with psycopg.connect(url) as holder:
        held = Delivery.all_accounts.filter(endpoint=webhook).earliest("pk").pk
        holder.execute("SELECT 1 FROM conversations_delivery WHERE id = %s FOR UPDATE", [held])
        delete(house, webhook)
        assert not is_gone(webhook)
        yield
        holder.rollback()
    forgetting.forget_rest(house.account.pk)
    assert is_gone(webhook)


def test_f_33_who_deletes_waits_for_nobody_that_writes_in_its_log(server_url):
    house = make_house()
    webhook = with_a_long_log(house, 5)
    with halfway(house, webhook, server_url):
        assert naming(webhook) == 1


def test_a_webhook_that_is_not_quite_gone_is_found_by_nobody(server_url):
    house = make_house()
    webhook = with_a_long_log(house, 3, State.DEAD)
    client = logged_in(factories.make_person(house.account, role="owner"))
    with house.inside():
        assert [thing.kind for thing in attention.things()] == ["dead_letters"]
    with halfway(house, webhook, server_url), house.inside():
        assert not EndpointSecret.objects.filter(endpoint=webhook).exists()
        assert not subscribers.subscribers().exists()
        assert attention.things() == []
        assert client.get(reverse("webhook", args=[webhook.public_id])).status_code == 404
        log = client.get(reverse("deliveries")).content.decode()
        assert "a deleted webhook" in log
        assert "CRM" not in log
        one = Delivery.objects.get(endpoint=webhook)
        assert replaying.why_not(one) == "The address it went to is not there any more."


def test_f_33_nothing_goes_to_a_webhook_that_is_not_quite_gone(server_url):
    with Server(lambda request: Reply()) as crm:
        house = make_house()
        conversation = factories.make_conversation(house.inbox)
        webhook = with_a_long_log(house, 2, url=crm.url)
        with house.inside():
            services.add_note(conversation, text="before", author=None)
        with halfway(house, webhook, server_url), courier():
            with house.inside():
                services.add_note(conversation, text="after", author=None)
            again = factories.make_webhook(house.account, url=crm.url)
            with house.inside():
                services.add_note(conversation, text="for the new one", author=None)
            wait_for(lambda: crm.requests)
            wait_for(
                lambda: not Delivery.all_accounts.filter(state__in=Delivery.OPEN_STATES).exists()
            )
    [request] = crm.requests
    assert request.json["message"]["text"] == "for the new one"
    assert Delivery.all_accounts.filter(endpoint=again).count() == 1
