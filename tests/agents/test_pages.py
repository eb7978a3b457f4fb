"""The pages of agents, deliveries and rules, as people use them."""

from __future__ import annotations

import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from accounts.tenancy import account_context
from accounts.tokens import find_token
from agents import addresses, rules, system
from agents.models import Agent, AssignmentRule, RuleVersion
from conversations import services
from conversations.models import Attempt, Conversation, Delivery, Endpoint
from conversations.templatetags.desk import ending_reason
from tests import factories
from tests.accounts.test_entry import logged_in

NEW_AGENT = {
    "name": "Sales agent",
    "url": "https://93.184.215.14/hook",
    "dialect": "native",
    "patience_s": "60",
    "description": "",
    "fallback_text": "",
    "first": "on",
}


def held_by_agent(house: SimpleNamespace) -> Conversation:
    conversation = factories.make_conversation(house.inbox, "Hello")
    return services.assign(conversation, to=house.agent.member, by=house.owner)


# --- Agents --------------------------------------------------------------------------------------


def test_the_page_of_a_failing_agent_says_when_it_is_tried_again(house: SimpleNamespace) -> None:
    """DL-61: while its breaker is open, its customers are with people at once, for the same reason."""
    endpoint = house.agent.endpoint
    endpoint.breaker, endpoint.last_error = Endpoint.Breaker.OPEN, "http_error 500"
    endpoint.probe_at = timezone.now().replace(second=45) + timedelta(minutes=2)
    endpoint.save()
    when = timezone.localtime(endpoint.probe_at).strftime("%H:%M:%S %Z")
    page = logged_in(house.owner).get(reverse("agent", args=[house.agent.public_id]))
    # In the reader's time zone.
    assert re.search(r"tried again at \d\d:\d\d:45 \w+: http_error 500", page.content.decode())
    conversation = held_by_agent(house)
    conversation.refresh_from_db()
    assert conversation.assignee is None
    latest = conversation.assignments.latest("epoch")
    assert latest.reason == "agent_unreachable"
    assert latest.detail.endswith(f"tried again at {when}")


def test_a_new_agent_shows_token_and_secret_once_and_gets_new_chats(
    house: SimpleNamespace,
) -> None:
    client = logged_in(house.admin)
    shown = client.post(reverse("create_agent"), NEW_AGENT).content.decode()
    agent = Agent.objects.get(member__name="Sales agent")
    token = re.search(r"sb_agt_[a-z2-9]{8}_[A-Za-z0-9_-]{49}", shown)
    secret = re.search(r"whsec_[A-Za-z0-9+/=]{40,}", shown)
    assert token is not None
    assert secret is not None
    found = find_token(token[0])
    assert found is not None
    assert found.member == agent.member
    assert AssignmentRule.objects.count() == 2
    page = client.get(reverse("agent", args=[agent.public_id])).content.decode()
    assert token[0] not in page
    assert secret[0] not in page
    assert secret[0][-4:] in page


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://2130706433/",
        "https://0x7f.1/", "https://127.1/", "https://[::ffff:127.0.0.1]/", "https://0/",
        "https://169.254.169.254/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/",
        "https://user:pass@example.com/", "file:///etc/passwd", "gopher://example.com/",
        "ftp://example.com/", "https://example.com:6379/", "not an address",
    ],
)  # fmt: skip
def test_an_address_inside_is_refused_at_save(house: SimpleNamespace, url: str) -> None:
    """Bad inputs 43 and 47."""
    answer = logged_in(house.admin).post(reverse("create_agent"), NEW_AGENT | {"url": url})
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.content.decode()
    assert Agent.objects.count() == 1


def test_a_new_secret_and_a_new_token_are_shown_once(house: SimpleNamespace) -> None:
    client, agent = logged_in(house.admin), house.agent.public_id
    assert b"whsec_" in client.post(reverse("rotate_agent_secret", args=[agent])).content
    assert b"sb_agt_" in client.post(reverse("rotate_agent_token", args=[agent])).content
    page = client.get(reverse("agent", args=[agent])).content
    assert b"whsec_" not in page
    assert house.agent.endpoint.secrets.count() == 2


def test_deleting_moves_conversations_and_the_toast_takes_it_back(house: SimpleNamespace) -> None:
    conversation = held_by_agent(house)
    client, agent = logged_in(house.admin), house.agent.public_id
    page = client.post(reverse("delete_agent", args=[agent]), follow=True).content.decode()
    assert "1 conversation moved" in page
    undo = reverse("restore_agent", args=[agent])
    assert f'action="{undo}"' in page
    assert Conversation.objects.get(pk=conversation.pk).assignee is None
    assert client.get(reverse("agent", args=[agent])).status_code == 404
    client.post(undo)
    assert Conversation.objects.get(pk=conversation.pk).assignee == house.agent.member


def test_pausing_all_shows_a_red_banner_on_every_page(house: SimpleNamespace) -> None:
    held_by_agent(house)
    client = logged_in(house.supervisor)
    client.post(reverse("pause_all_agents"))
    assert "Every AI agent is paused" in client.get(reverse("team")).content.decode()
    assert client.post(reverse("resume_all_agents")).status_code == 403
    logged_in(house.admin).post(reverse("resume_all_agents"))
    assert "Every AI agent is paused" not in client.get(reverse("team")).content.decode()


def test_a_supervisor_pauses_but_does_not_change(house: SimpleNamespace) -> None:
    client, agent = logged_in(house.supervisor), house.agent.public_id
    assert client.post(reverse("pause_agent", args=[agent])).status_code == 302
    assert client.post(reverse("rotate_agent_token", args=[agent])).status_code == 403
    assert client.get(reverse("change_agent", args=[agent])).status_code == 403
    assert logged_in(house.person).post(reverse("pause_agent", args=[agent])).status_code == 403


def test_changing_an_agent_keeps_its_address_unasked(house: SimpleNamespace) -> None:
    """Its address was let through by whoever allowed local targets; a new name must not undo that."""
    values = NEW_AGENT | {"name": "Renamed", "url": house.agent.endpoint.url}
    path = reverse("change_agent", args=[house.agent.public_id])
    assert logged_in(house.admin).post(path, values).status_code == 302
    assert Agent.objects.get(pk=house.agent.pk).name == "Renamed"


@pytest.mark.usefixtures("clean_database")
def test_no_transaction_waits_for_a_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """DL-03 in spirit; the address is judged all the same, and for nobody who may not make agents."""
    house = factories.make_house()
    asked: list[tuple[str, bool]] = []

    def slow(url: str) -> str:
        asked.append((url, connection.in_atomic_block))
        return "Not there."

    monkeypatch.setattr(addresses, "_checks", [slow])
    create = reverse("create_agent")
    change = reverse("change_agent", args=[house.agent.public_id])
    for path in (create, change):
        answer = logged_in(house.admin).post(path, NEW_AGENT)
        assert (answer.status_code, "Not there." in answer.content.decode()) == (422, True)
        assert logged_in(house.supervisor).post(path, NEW_AGENT).status_code == 403
    assert asked == [(NEW_AGENT["url"], False)] * 2
    unchanged = NEW_AGENT | {"url": house.agent.endpoint.url}
    assert logged_in(house.admin).post(change, unchanged).status_code == 302
    assert len(asked) == 2


def test_the_health_of_an_agent_counts_the_last_day(house: SimpleNamespace) -> None:
    held_by_agent(house)
    delivery = Delivery.objects.filter(endpoint=house.agent.endpoint).first()
    assert delivery is not None
    now = timezone.now()
    for n, (outcome, latency) in enumerate([("ok", 100), ("http_error", 300)], start=1):
        Attempt.objects.create(
            delivery=delivery,
            n=n,
            started_at=now,
            ended_at=now,
            outcome=outcome,
            latency_ms=latency,
        )
    page = logged_in(house.owner).get(reverse("agents")).content.decode()
    assert "1 of 2" in page
    assert "over 290 ms" in page
    assert "1 open conversation" in page


def test_what_is_another_accounts_is_not_there(house: SimpleNamespace) -> None:
    """SX-08"""
    held_by_agent(house)
    delivery = Delivery.objects.filter(endpoint=house.agent.endpoint).first()
    rule = rules.create_default_rules(house.account, house.agent)[0]
    assert delivery is not None
    client = logged_in(house.outsider)
    with account_context(house.outsider_account):
        for name, public_id in [
            ("agent", house.agent.public_id),
            ("change_agent", house.agent.public_id),
            ("test_agent", house.agent.public_id),
            ("delivery", delivery.public_id),
            ("rule", rule.public_id),
            ("change_rule", rule.public_id),
        ]:
            assert client.get(reverse(name, args=[public_id])).status_code == 404, name
        for name in ("pause_agent", "delete_agent", "rotate_agent_token"):
            path = reverse(name, args=[house.agent.public_id])
            assert client.post(path).status_code == 404, name
        assert client.get(reverse("agent", args=["agn_nonsense"])).status_code == 404


# --- Offered by the installation -----------------------------------------------------------------


def offer(name: str = "Everybody's", **fields: str) -> system.NewSystemAgent:
    url = "https://93.184.215.14/kept-quiet"
    return system.define(**{"name": name, "url": url, "dialect": "chatwoot", **fields})


CHOSEN = {"patience_s": "44", "fallback_text": "", "stale_gate": ""}


def test_an_agent_of_the_installation_is_taken_in_like_an_own_one(house: SimpleNamespace) -> None:
    made = offer(description="Knows every parcel")
    client, take_in = logged_in(house.admin), reverse("take_in_agent", args=[made.system.public_id])
    assert take_in in client.get(reverse("agents")).content.decode()
    form = client.get(take_in).content.decode()
    assert "Knows every parcel" in form
    assert "belongs to the installation" in form
    assert Agent.objects.count() == 1  # to look at it makes nothing
    wrong = client.post(take_in, {**CHOSEN, "patience_s": "9999"})
    assert (wrong.status_code, Agent.objects.count()) == (422, 1)

    inboxes = [str(house.inbox.pk)]
    page = client.post(
        take_in, {**CHOSEN, "inboxes": inboxes, "first": "on", "name": "Mine"}, follow=True
    ).content.decode()
    assert "Everybody&#x27;s works here now." in page
    agent = system.present(made.system.pk)
    assert agent is not None
    assert (agent.name, agent.patience_s, list(agent.inboxes.all())) == (
        "Everybody's", 44, [house.inbox],
    )  # fmt: skip
    conversation = factories.make_conversation(house.inbox, "Hello")
    assert conversation.assignee == agent.member
    for html in (form, page):
        assert "kept-quiet" not in html
        assert made.secret not in html
    # It is offered once, and leads to what the account has of it.
    assert take_in not in client.get(reverse("agents")).content.decode()
    answer = client.get(take_in)
    assert answer["Location"] == reverse("agent", args=[agent.public_id])


def test_what_is_withdrawn_or_refused_is_not_taken_in(house: SimpleNamespace) -> None:
    made = offer()
    take_in = reverse("take_in_agent", args=[made.system.public_id])
    assert take_in not in logged_in(house.supervisor).get(reverse("agents")).content.decode()
    assert logged_in(house.supervisor).post(take_in, CHOSEN).status_code == 403
    system.withdraw(made.system)
    client = logged_in(house.admin)
    assert take_in not in client.get(reverse("agents")).content.decode()
    assert client.post(take_in, CHOSEN).status_code == 404
    unknown = offer(dialect="nowhere").system
    answer = client.post(reverse("take_in_agent", args=[unknown.public_id]), CHOSEN)
    assert answer.status_code == 422
    assert "There is no such dialect" in answer.content.decode()
    assert Agent.objects.count() == 1


def test_who_was_sent_away_is_offered_again(house: SimpleNamespace) -> None:
    made = offer()
    agent = system.agent_of(made.system, by=house.owner)
    take_in = reverse("take_in_agent", args=[made.system.public_id])
    client = logged_in(house.admin)
    assert take_in not in client.get(reverse("agents")).content.decode()
    client.post(reverse("delete_agent", args=[agent.public_id]))
    assert take_in in client.get(reverse("agents")).content.decode()
    client.post(take_in, CHOSEN)
    assert system.present(made.system.pk) == agent


# --- Deliveries ----------------------------------------------------------------------------------


def test_deliveries_are_narrowed_by_state_agent_and_conversation(house: SimpleNamespace) -> None:
    conversation = held_by_agent(house)
    client, path = logged_in(house.owner), reverse("deliveries")
    everything = client.get(path).content.decode()
    assert "conversation.assigned" in everything
    number = f"#{conversation.number}"
    assert "conversation.assigned" in client.get(path, {"conversation": number}).content.decode()
    assert "conversation.assigned" not in client.get(path, {"conversation": "#99"}).content.decode()
    assert "conversation.assigned" not in client.get(path, {"state": "dead"}).content.decode()
    assert "conversation.assigned" in client.get(path, {"state": "waiting"}).content.decode()
    end = house.agent.endpoint.public_id
    assert "conversation.assigned" in client.get(path, {"endpoint": end}).content.decode()
    assert "conversation.assigned" not in client.get(path, {"endpoint": "end_x"}).content.decode()


def test_a_delivery_shows_its_request_answer_timing_and_a_curl_without_secrets(
    house: SimpleNamespace,
) -> None:
    held_by_agent(house)
    delivery = Delivery.objects.filter(event_type="conversation.assigned").first()
    assert delivery is not None
    now = timezone.now()
    Attempt.objects.create(
        delivery=delivery, n=1, started_at=now, ended_at=now, outcome="http_error", status=500,
        latency_ms=77, response_body="<b>down</b>",
        request_headers={"webhook-id": delivery.wire_id, "webhook-signature": "[hidden]"},
    )  # fmt: skip
    Delivery.objects.filter(pk=delivery.pk).update(state="retry_wait")
    page = logged_in(house.owner).get(reverse("delivery", args=[delivery.public_id]))
    text = page.content.decode()
    assert "&quot;type&quot;: &quot;conversation.assigned&quot;" in text
    assert "&lt;b&gt;down&lt;/b&gt;" in text
    assert "77 ms" in text
    assert "The last try failed" in text
    assert "curl -X POST" in text
    assert "webhook-signature: " not in text.partition("curl -X POST")[2].partition("</pre>")[0]


def test_a_delivery_that_was_given_up_says_why_and_nothing_else(house: SimpleNamespace) -> None:
    held_by_agent(house)
    delivery = Delivery.objects.filter(event_type="conversation.assigned").first()
    assert delivery is not None
    Delivery.objects.filter(pk=delivery.pk).update(state="dead", dead_reason="agent_unreachable")
    page = logged_in(house.owner).get(reverse("delivery", args=[delivery.public_id]))
    banner = (
        page.content.decode().partition('class="banner banner-danger"')[2].partition("</div>")[0]
    )
    assert "Given up" in banner
    assert "The AI agent could not be reached" in banner
    assert "Send this event again?" not in banner


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("agent_rejected", "the AI agent refused"),
        ("http_error 500", "the address answered 500"),
        ("timeout_read", "the address did not answer in time"),
        ("no_such_code", "no such code"),
        ("window_closed: It could not be sent: too late.", "It could not be sent: too late."),
        ("an earlier part was not sent", "an earlier part was not sent"),
        ("", ""),
    ],
)
def test_reasons_of_deliveries_are_words(reason: str, words: str) -> None:
    assert ending_reason(reason) == words


# --- Rules ---------------------------------------------------------------------------------------


def form(**changes: Any) -> dict[str, Any]:
    values = {
        "do": "save", "name": "Orders", "event": "message.created", "stop": "1", "enabled": "1",
        "kind-0": "all", "kind-0.0": "leaf", "not-0.0": "", "field-0.0": "text",
        "op-0.0": "contains", "value-0.0": "order", "action-0": "label", "text-0": "orders, shop",
    }  # fmt: skip
    return values | changes


def test_a_rule_is_written_changed_and_deleted_without_script(house: SimpleNamespace) -> None:
    client = logged_in(house.supervisor)
    client.post(reverse("create_rule"), form())
    rule = AssignmentRule.objects.get()
    assert rule.condition == {"all": [{"field": "text", "op": "contains", "value": "order"}]}
    assert rule.actions == [{"type": "label", "names": ["orders", "shop"]}]
    path = reverse("change_rule", args=[rule.public_id])
    client.post(path, form(name="Orders and bills", stop=""))
    rule.refresh_from_db()
    assert (rule.name, rule.stop, rule.version) == ("Orders and bills", False, 2)
    assert RuleVersion.objects.filter(rule=rule).count() == 2
    page = client.get(reverse("rule", args=[rule.public_id])).content.decode()
    assert "Version 2" in page
    client.post(reverse("delete_rule", args=[rule.public_id]))
    assert not AssignmentRule.objects.exists()


def test_adding_a_row_keeps_what_was_typed_and_saves_nothing(house: SimpleNamespace) -> None:
    answer = logged_in(house.admin).post(reverse("create_rule"), form(do="add-leaf:0"))
    page = answer.content.decode()
    assert answer.status_code == 200
    assert 'name="field-0.1"' in page
    assert 'value="order"' in page
    assert not AssignmentRule.objects.exists()


def test_htmx_gets_the_editor_alone(house: SimpleNamespace) -> None:
    answer = logged_in(house.admin).post(
        reverse("create_rule"),
        form(do="redraw"),
        headers={"HX-Request": "true", "HX-Target": "editor"},
    )
    assert b"<html" not in answer.content
    assert b'id="editor"' in answer.content


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"name": ""}, "rule-name-error"),
        ({"value-0.0": ""}, "tree-leaf"),
        ({"action-0": "assign", "target-0": ""}, "tree-leaf"),
        ({"op-0.0": "matches", "value-0.0": "(a+)+$"}, "tree-leaf"),
    ],
)
def test_a_wrong_rule_comes_back_with_the_reason_in_its_place(
    house: SimpleNamespace, wrong: dict[str, str], place: str
) -> None:
    answer = logged_in(house.admin).post(reverse("create_rule"), form(**wrong))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "errorlist" in page[page.index(place) :]
    assert not AssignmentRule.objects.exists()


def test_rules_are_moved_and_switched(house: SimpleNamespace) -> None:
    first, second = rules.create_default_rules(house.account, house.agent)
    client = logged_in(house.admin)
    client.post(reverse("move_rule", args=[second.public_id]), {"to": "up"})
    assert list(AssignmentRule.objects.all()) == [second, first]
    client.post(reverse("move_rule", args=[second.public_id]), {"to": "up"})
    assert list(AssignmentRule.objects.all()) == [second, first]
    client.post(reverse("switch_rule", args=[first.public_id]), {"on": "0"})
    first.refresh_from_db()
    assert first.enabled is False


def test_a_rule_tells_what_it_did_lately(house: SimpleNamespace) -> None:
    _asks, chats = rules.create_default_rules(house.account, house.agent)
    conversation = factories.make_conversation(house.inbox, "Hello")
    page = logged_in(house.admin).get(reverse("rule", args=[chats.public_id])).content.decode()
    assert reverse("conversation", args=[conversation.public_id]) in page


def test_people_do_not_see_rules_and_deliveries(house: SimpleNamespace) -> None:
    client = logged_in(house.person)
    assert client.get(reverse("rules")).status_code == 403
    assert client.get(reverse("deliveries")).status_code == 403
