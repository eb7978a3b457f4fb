"""“Why does my agent get nothing?”: every reason has its line, and the line says how it is mended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, ApiToken, Plan
from accounts.tenancy import account_context
from accounts.tokens import create_token
from agents import checklist, rules
from agents.checklist import Check
from agents.models import Agent, AgentInbox, AssignmentRule
from conversations.models import Endpoint, EndpointSecret, Inbox
from tests.accounts.test_entry import logged_in
from tests.factories import make_conversation, make_inbox


@pytest.fixture
def well(house: SimpleNamespace) -> SimpleNamespace:
    """The agent of the house with everything in order, chosen by a rule a moment ago."""
    create_token(house.agent.member, kind=ApiToken.Kind.AGENT, name="a")
    rules.create_default_rules(house.account, house.agent, by=house.owner)
    make_conversation(house.inbox)
    Endpoint.objects.update(last_success_at=timezone.now())
    return house


def checks_of(house: SimpleNamespace) -> dict[str, Check]:
    agent = Agent.objects.select_related("member", "endpoint").get(pk=house.agent.pk)
    account = Account.objects.get(pk=house.account.pk)
    return {check.key: check for check in checklist.of_agent(agent, account)}


def wrong(house: SimpleNamespace) -> dict[str, str]:
    """The checks that are not ok, with their tone."""
    return {key: check.tone for key, check in checks_of(house).items() if check.tone != "ok"}


def test_where_all_is_well_every_line_is_ok(well: SimpleNamespace) -> None:
    assert wrong(well) == {}
    assert len(checks_of(well)) == 11
    assert all(not check.url for check in checks_of(well).values())


def _plan(house: SimpleNamespace) -> None:
    Plan.objects.create(name="Pro", entitlements={"ai_agents": True})
    Account.objects.filter(pk=house.account.pk).update(plan=Plan.objects.create(name="Free"))


def _paused(house: SimpleNamespace) -> None:
    Agent.objects.update(state=Agent.State.PAUSED)


def _paused_everywhere(house: SimpleNamespace) -> None:
    Account.objects.filter(pk=house.account.pk).update(agents_paused=True)


def _one_inbox_off(house: SimpleNamespace) -> None:
    make_inbox(house.account, name="Second", state=Inbox.State.NEEDS_REAUTH)


def _attached_to_one_that_is_off(house: SimpleNamespace) -> None:
    inbox = make_inbox(house.account, name="Second", state=Inbox.State.DISABLED)
    AgentInbox.objects.create(agent=house.agent, inbox=inbox)


def _no_rule(house: SimpleNamespace) -> None:
    AssignmentRule.objects.update(enabled=False)


def _switched_off(house: SimpleNamespace) -> None:
    Endpoint.objects.update(state="disabled", disabled_reason="answered 410 Gone")


def _breaker_open(house: SimpleNamespace) -> None:
    Endpoint.objects.update(breaker="open")


def _breaker_half_open(house: SimpleNamespace) -> None:
    Endpoint.objects.update(breaker="half_open")


def _fails(house: SimpleNamespace) -> None:
    Endpoint.objects.update(consecutive_failures=1, last_error="certificate has expired")


def _never_called(house: SimpleNamespace) -> None:
    Endpoint.objects.update(last_success_at=None)


def _foreign_dialect(house: SimpleNamespace) -> None:
    Agent.objects.update(dialect="klingon")


def _no_secret(house: SimpleNamespace) -> None:
    EndpointSecret.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def _token_revoked(house: SimpleNamespace) -> None:
    ApiToken.objects.update(revoked_at=timezone.now())


def _token_expired(house: SimpleNamespace) -> None:
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


CASES: list[tuple[Callable[[SimpleNamespace], None], str, str, str]] = [
    (_plan, "plan", "warn", "Plans that do: Pro."),
    (_paused, "paused", "danger", "Resume it above"),
    (_paused_everywhere, "paused", "danger", "Every AI agent is paused"),
    (_one_inbox_off, "inboxes", "warn", "Second (needs new credentials)"),
    (_attached_to_one_that_is_off, "inboxes", "danger", "Second (switched off)"),
    (_no_rule, "rule", "warn", "No rule that is switched on"),
    (_switched_off, "endpoint", "danger", "answered 410 Gone"),
    (_breaker_open, "breaker", "danger", "failed so often"),
    (_breaker_half_open, "breaker", "warn", "two successes"),
    (_fails, "reachable", "danger", "certificate has expired"),
    (_never_called, "reachable", "warn", "never been called"),
    (_foreign_dialect, "dialect", "danger", "klingon"),
    (_no_secret, "secret", "danger", "new secret"),
    (_token_revoked, "token", "warn", "new token"),
    (_token_expired, "token", "warn", "new token"),
]


@pytest.mark.parametrize(
    ("breaks", "key", "tone", "said"), CASES, ids=[c[0].__name__ for c in CASES]
)
def test_each_reason_has_its_line_and_no_other(
    well: SimpleNamespace, breaks: Callable[..., None], key: str, tone: str, said: str
) -> None:
    breaks(well)
    assert wrong(well) == {key: tone}
    assert said in checks_of(well)[key].detail


def test_no_inbox_at_all_is_a_reason(well: SimpleNamespace) -> None:
    Inbox.objects.all().delete()
    assert checks_of(well)["attached"].tone == "danger"


def test_a_rule_that_names_the_member_leads_to_the_agent_too(house: SimpleNamespace) -> None:
    assert "No rule that is switched on" in checks_of(house)["rule"].detail
    act = {"type": "assign", "member": house.agent.member.public_id}
    rules.create_rule(name="By member", actions=[act], by=house.owner)
    assert "“By member” gives it" in checks_of(house)["rule"].detail
    assert "No rule has chosen it so far" in checks_of(house)["rule"].detail
    make_conversation(house.inbox)
    assert "It was chosen last on" in checks_of(house)["rule"].detail


def test_the_page_offers_mending_to_those_who_may(well: SimpleNamespace) -> None:
    _no_rule(well)
    _fails(well)
    path = reverse("agent", args=[well.agent.public_id])
    mend = reverse("change_agent", args=[well.agent.public_id])
    pages = {
        name: logged_in(getattr(well, name)).get(path).content.decode()
        for name in ("admin", "supervisor", "person")
    }
    for page in pages.values():
        assert "Why does my agent get nothing?" in page
        assert 'chip-danger">no<' in page
    assert f'href="{mend}">Mend it' in pages["admin"]
    assert f'href="{reverse("rules")}">Mend it' in pages["supervisor"]
    assert f'href="{mend}">Mend it' not in pages["supervisor"]
    assert "Mend it" not in pages["person"]
    test = reverse("test_address", args=[well.agent.public_id])
    assert test in pages["admin"]
    assert test not in pages["supervisor"]


def test_the_list_costs_the_same_however_much_there_is(well: SimpleNamespace) -> None:
    def price() -> int:
        agent = Agent.objects.select_related("member", "endpoint").get(pk=well.agent.pk)
        with CaptureQueriesContext(connection) as asked:
            checklist.of_agent(agent, well.account)
        return len(asked)

    before = price()
    for _n in range(3):
        make_inbox(well.account)
        rules.create_default_rules(well.account, well.agent, by=well.owner)
        create_token(well.agent.member, kind=ApiToken.Kind.AGENT, name="b")
    assert price() == before <= 6


def test_rest_gives_the_numbers_and_the_list(api: SimpleNamespace) -> None:
    house = api.house
    with account_context(house.account):
        _switched_off(house)
        listed = [(check.key, check.tone) for check in checks_of(house).values()]
    body = api.person.get(f"/v1/agents/{house.agent.public_id}/health/").json()
    assert [(check["key"], check["tone"]) for check in body["checks"]] == listed
    assert (body["attempts_last_day"], body["errors_last_day"], body["p95_ms"]) == (0, 0, None)
