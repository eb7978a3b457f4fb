"""Settings, Webhooks: made, read, tested, rotated, switched and deleted by people."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from accounts.models import User
from conversations.models import Attempt, Delivery, Endpoint
from conversations.services.endpoints import GONE
from integrations.subscribers import services as subscribers
from tests import factories
from tests.accounts.test_entry import logged_in
from tests.factories import SECRET

URL = "https://93.184.215.14/hook"
FORM = {"name": "CRM", "url": URL, "timeout_s": "15"}


@pytest.fixture
def client(house: SimpleNamespace) -> Client:
    return logged_in(house.owner)


def text(response: Any) -> str:
    return str(response.content.decode())


def page(client: Client, webhook: Endpoint) -> str:
    return text(client.get(reverse("webhook", args=[webhook.public_id])))


def test_an_empty_list_says_what_a_webhook_is_for(client: Client) -> None:
    shown = text(client.get(reverse("webhooks")))
    assert "No webhooks yet" in shown
    assert reverse("create_webhook") in shown


def test_a_webhook_is_made_and_its_secret_shown(client: Client) -> None:
    form = text(client.get(reverse("create_webhook")))
    assert 'value="message.created"' in form
    answer = client.post(
        reverse("create_webhook"),
        {**FORM, "event_types": ["message.created", "contact.updated"], "strict_order": "on"},
    )
    webhook = Endpoint.objects.get(kind="subscriber")
    assert webhook.secrets.get().value in text(answer)
    assert (webhook.event_types, webhook.strict_order) == (
        ["message.created", "contact.updated"],
        True,
    )
    shown = page(client, webhook)
    assert "whsec_" not in shown
    assert "message.created" in shown
    assert "whsec_" not in text(client.get(reverse("webhooks")))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "https://127.0.0.1/"),
        ("url", "https://93.184.215.14:6379/"),
        ("url", "gopher://93.184.215.14/"),
        ("name", "two\r\nlines"),
        ("event_types", "message.exploded"),
        ("timeout_s", "31"),
    ],
)
def test_what_cannot_be_kept_is_answered_with_a_sentence(
    client: Client, field: str, value: str
) -> None:
    """Bad inputs 43, 47, 51."""
    answer = client.post(reverse("create_webhook"), {**FORM, field: value})
    assert answer.status_code == 422
    assert "errorlist" in text(answer)
    assert not Endpoint.objects.filter(kind="subscriber").exists()


def test_a_webhook_is_changed_and_keeps_what_was_chosen(
    client: Client, house: SimpleNamespace
) -> None:
    webhook = factories.make_webhook(house.account, url=URL, event_types=["message.status"])
    path = reverse("change_webhook", args=[webhook.public_id])
    form = text(client.get(path))
    assert form.count("checked") == 1
    client.post(path, {**FORM, "name": "Warehouse", "url": f"{URL}/2", "timeout_s": "20"})
    webhook.refresh_from_db()
    assert (webhook.name, webhook.url, webhook.timeout_s) == ("Warehouse", f"{URL}/2", 20)
    assert webhook.event_types == []


def test_the_secret_is_shown_once_more_and_changed_with_a_grace(
    client: Client, house: SimpleNamespace
) -> None:
    """DL-72, DL-73."""
    webhook = factories.make_webhook(house.account)
    shown = client.post(reverse("show_webhook_secret", args=[webhook.public_id]))
    assert SECRET in text(shown)
    path = reverse("rotate_webhook_secret", args=[webhook.public_id])
    new = text(client.post(path, {"grace_hours": "168"}))
    fresh, old = webhook.secrets.all()
    assert fresh.value in new
    assert SECRET not in new
    assert old.expires_at is not None
    assert (old.expires_at - timezone.now()).days in (6, 7)
    assert client.post(path, {"grace_hours": "5"}).status_code == 302
    assert webhook.secrets.count() == 2
    client.post(path, {"grace_hours": "0"})
    assert webhook.secrets.count() == 1


def test_a_test_shows_what_came_back(client: Client, house: SimpleNamespace) -> None:
    webhook = factories.make_webhook(house.account)
    path = reverse("test_webhook", args=[webhook.public_id])
    running = text(client.post(path, headers={"HX-Request": "true"}))
    state = reverse("webhook_test_state", args=[webhook.public_id])
    assert f'hx-get="{state}"' in running
    now = timezone.now()
    delivery = Delivery.objects.get(event_type="webhook.test")
    Attempt.objects.create(
        delivery=delivery, n=1, started_at=now, ended_at=now, outcome="http_error", status=404,
        latency_ms=87, response_body="<b>no such page</b>",
    )  # fmt: skip
    Delivery.objects.update(state="dead", finished_at=now)
    ended = text(client.get(state))
    assert "hx-get" not in ended
    assert "404" in ended
    assert "&lt;b&gt;no such page" in ended
    for _ in range(9):
        client.post(path)
    assert "At most ten tests a minute" in text(client.post(path, headers={"HX-Request": "true"}))


def test_it_is_switched_off_and_on_and_says_why(client: Client, house: SimpleNamespace) -> None:
    webhook = factories.make_webhook(house.account)
    path = reverse("switch_webhook", args=[webhook.public_id])
    client.post(path, {"on": "0"})
    assert "The webhook is switched off" in page(client, webhook)
    client.post(path, {"on": "1"})
    assert "The webhook is switched off" not in page(client, webhook)
    subscribers.switch_off(webhook, by=None, reason="its endpoint answered 410 Gone")
    assert "Its endpoint answered 410 Gone. Nothing is sent there." in page(client, webhook)
    assert "its endpoint answered 410 Gone" in text(client.get(reverse("webhooks")))


def test_reasons_are_words_of_the_api_and_pages_say_them_in_the_reader_s_language(
    client: Client, house: SimpleNamespace
) -> None:
    User.objects.filter(pk=house.owner.user_id).update(language="ro")
    webhook = factories.make_webhook(house.account)
    factories.make_conversation(house.inbox)
    subscribers.switch_off(webhook, by=None, reason=GONE)
    delivery = Delivery.objects.filter(endpoint=webhook)[0]
    assert delivery.dead_reason == GONE
    pages = [
        reverse("webhook", args=[webhook.public_id]), reverse("webhooks"), reverse("attention"),
        reverse("delivery", args=[delivery.public_id]), reverse("deliveries"),
        f"{reverse('trace')}?q={delivery.wire_id}",
    ]  # fmt: skip
    with translation.override("ro"):
        said = translation.gettext(GONE)
    assert said != GONE
    for address in pages:
        shown = text(client.get(address)).casefold()  # where it begins a line, it has a capital
        assert said.casefold() in shown, address
        assert GONE.casefold() not in shown, address


def test_dl_68_switched_on_again_it_offers_what_it_missed(
    client: Client, house: SimpleNamespace
) -> None:
    webhook = factories.make_webhook(house.account, event_types=["message.created"])
    factories.make_conversation(house.inbox)
    subscribers.switch_off(webhook, by=None, reason="gone")
    path = reverse("switch_webhook", args=[webhook.public_id])
    answer = text(client.post(path, {"on": "1"}, follow=True))
    assert "Replay 1 missed" in answer
    assert "the agent" not in answer
    assert not Delivery.objects.filter(replay_of__isnull=False).exists()
    assert "missed" not in page(client, webhook)
    client.post(reverse("replay_many"), {"endpoint": webhook.public_id, "state": "missed"})
    assert "0 of 1" in page(client, webhook)


def test_it_is_deleted_and_its_log_stays(client: Client, house: SimpleNamespace) -> None:
    webhook = factories.make_webhook(house.account)
    factories.make_conversation(house.inbox)
    assert "message.created" in page(client, webhook)
    client.post(reverse("delete_webhook", args=[webhook.public_id]))
    assert not Endpoint.objects.filter(kind="subscriber").exists()
    assert "a deleted webhook" in text(client.get(reverse("deliveries")))


def test_deliveries_are_filtered_by_webhook_and_lead_back_to_it(
    client: Client, house: SimpleNamespace
) -> None:
    webhook = factories.make_webhook(house.account, name="Warehouse")
    factories.make_conversation(house.inbox)
    address = f"{reverse('deliveries')}?endpoint={webhook.public_id}"
    shown = text(client.get(address))
    assert f'<option value="{webhook.public_id}"' in shown
    delivery = Delivery.objects.filter(endpoint=webhook).latest("id")
    path = reverse("delivery", args=[delivery.public_id])
    assert path in shown
    assert reverse("webhook", args=[webhook.public_id]) in text(client.get(path))
    # Supervisors read the log, and are led nowhere they may not go.
    theirs = text(logged_in(house.supervisor).get(path))
    assert "Warehouse" in theirs
    assert reverse("webhook", args=[webhook.public_id]) not in theirs


def test_the_settings_lead_there_only_who_may_go_there(
    client: Client, house: SimpleNamespace
) -> None:
    assert reverse("webhooks") in text(client.get(reverse("profile")))
    assert reverse("webhooks") not in text(logged_in(house.person).get(reverse("profile")))
