"""Who sees which conversations: role by setting by kind of conversation (security.md 2, "T" and "O")."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts import services as people
from accounts.models import Account, AuditEntry, Member, TeamMembership
from accounts.permissions import Role
from accounts.tenancy import account_context
from agents.models import Decision
from conversations import services
from conversations.models import Attachment, Conversation, Delivery, Event, Lane, Message
from tests import factories
from tests.accounts.test_entry import logged_in
from tests.api import caller
from tests.factories import make_conversation

ALL, TEAMS, OWN = Account.PeopleSee.values
KINDS: dict[str, Callable[[SimpleNamespace, Member], Conversation]] = {
    "mine": lambda house, viewer: given(house, viewer),
    "my team's": lambda house, viewer: given(house, house.team),
    "a colleague's, in my team": lambda house, viewer: given(house, house.team, house.colleague),
    "an agent's, in my team": lambda house, viewer: given(house, house.team, house.agent.member),
    "a colleague's": lambda house, viewer: given(house, house.colleague),
    "another team's": lambda house, viewer: given(house, house.other_team),
    "an agent's": lambda house, viewer: given(house, house.agent.member),
    "nobody's": lambda house, viewer: given(house),
    "nobody's, snoozed": lambda house, viewer: snoozed(given(house)),
    "mine, resolved": lambda house, viewer: resolved(given(house, viewer)),
    "my team's, resolved": lambda house, viewer: resolved(given(house, house.team)),
    "a colleague's, resolved": lambda house, viewer: resolved(given(house, house.colleague)),
    "another team's, resolved": lambda house, viewer: resolved(given(house, house.other_team)),
    "nobody's, resolved": lambda house, viewer: resolved(given(house)),
    "a colleague's, resolved and open again": lambda house, viewer: services.reopen(
        resolved(given(house, house.colleague)), by=house.owner
    ),
}
EVERYTHING = set(KINDS)
FREE = {
    "nobody's", "nobody's, snoozed", "nobody's, resolved", "a colleague's, resolved and open again",
}  # fmt: skip
MINE = FREE | {"mine", "mine, resolved"}
MY_TEAMS = MINE | {
    "my team's", "a colleague's, in my team", "an agent's, in my team", "my team's, resolved",
}  # fmt: skip
TABLE: dict[tuple[str, str], set[str]] = {
    (ALL, "owner"): EVERYTHING,
    (ALL, "admin"): EVERYTHING,
    (ALL, "supervisor"): EVERYTHING,
    (ALL, "person"): EVERYTHING,
    (TEAMS, "owner"): EVERYTHING,
    (TEAMS, "admin"): EVERYTHING,
    (TEAMS, "supervisor"): MY_TEAMS,
    (TEAMS, "person"): MY_TEAMS,
    (OWN, "owner"): EVERYTHING,
    (OWN, "admin"): EVERYTHING,
    (OWN, "supervisor"): MY_TEAMS,
    (OWN, "person"): MINE,
}


def given(house: SimpleNamespace, *holders: Any) -> Conversation:
    """A conversation that `holders` got, one after the other."""
    conversation = make_conversation(house.inbox, "Hello there")
    for holder in holders:
        conversation = services.assign(conversation, to=holder, by=house.owner)
    return conversation


def resolved(conversation: Conversation) -> Conversation:
    return services.resolve(conversation, by=None)


def snoozed(conversation: Conversation) -> Conversation:
    return services.snooze(conversation, by=None, until=timezone.now() + timedelta(hours=1))


@pytest.fixture
def staffed(house: SimpleNamespace) -> SimpleNamespace:
    """The house with a team of its supervisor and person, and a colleague in another one."""
    TeamMembership.objects.create(team=house.team, member=house.supervisor)
    house.colleague = factories.make_person(house.account, Role.PERSON, "Carl")
    house.other_team = factories.make_team(house.account, "Other", members=(house.colleague,))
    return house


def choose(house: SimpleNamespace, setting: str) -> None:
    people.update_account(house.account, by=house.owner, people_see=setting)


@pytest.mark.parametrize(("setting", "role"), TABLE, ids=str)
def test_each_role_sees_what_the_account_chose(
    staffed: SimpleNamespace, setting: str, role: str
) -> None:
    choose(staffed, setting)
    viewer = Member.objects.get(pk=getattr(staffed, role).pk)
    made = {kind: make(staffed, viewer).pk for kind, make in KINDS.items()}
    seen = set(Conversation.objects.visible_to(viewer).values_list("pk", flat=True))
    assert {kind for kind, pk in made.items() if pk in seen} == TABLE[setting, role]


def test_an_ai_agent_sees_what_it_holds_whatever_the_account_chose(
    staffed: SimpleNamespace,
) -> None:
    """SX-23"""
    held = given(staffed, staffed.agent.member)
    given(staffed)
    for setting in (ALL, TEAMS, OWN):
        choose(staffed, setting)
        agent = Member.objects.get(pk=staffed.agent.member.pk)
        assert list(Conversation.objects.visible_to(agent)) == [held]


# --- Doors ---------------------------------------------------------------------------------------


@pytest.fixture
def two(staffed: SimpleNamespace) -> SimpleNamespace:
    """`hidden` (another team's) and `shown` (their team's), with everything that hangs on each."""
    staffed.hidden = furnished(staffed, staffed.other_team, "kanarienvogel")
    staffed.shown = furnished(staffed, staffed.team, "spatz")
    choose(staffed, TEAMS)
    return staffed


def furnished(house: SimpleNamespace, team: Any, word: str) -> Conversation:
    conversation = make_conversation(house.inbox, f"{word} said", contact_name=f"{word} contact")
    services.assign(conversation, to=team, by=house.owner)
    Attachment.objects.create(
        message=Message.objects.get(conversation=conversation, direction="inbound"),
        kind="document", mime="text/plain", filename="x.txt", path="nowhere", state="ready",
    )  # fmt: skip
    Decision.objects.create(
        conversation=conversation, event_id="evt_1", event_type="message.created", outcome=word,
        facts={}, trace=[],
    )  # fmt: skip
    lane = Lane.objects.create(kind="agent", destination_id=1, key=word)
    delivery = Delivery(
        lane=lane, kind="agent", schedule="live", wire_id=word, sequence=1, due_at=timezone.now(),
        endpoint=house.agent.endpoint, conversation=conversation,
    )  # fmt: skip
    delivery.body = b"{}"
    delivery.save()
    Event.objects.filter(conversation=conversation).update(
        occurred_at=timezone.now() - timedelta(minutes=1)
    )
    return Conversation.objects.get(pk=conversation.pk)


def pages_of(conversation: Conversation) -> dict[str, str]:
    """Every page of the dashboard that belongs to one conversation."""
    found = Attachment.objects.get(message__conversation=conversation)
    delivery = Delivery.objects.filter(conversation=conversation, kind="agent").first()
    assert delivery is not None
    return {
        "thread": reverse("conversation", args=[conversation.public_id]),
        "pane": reverse("conversation_pane", args=[conversation.public_id]),
        "file": reverse("attachment", args=[found.public_id]),
        "delivery": reverse("delivery", args=[delivery.public_id]),
    }


def test_what_is_out_of_sight_is_a_404_on_every_page(two: SimpleNamespace) -> None:
    hidden, shown = pages_of(two.hidden), pages_of(two.shown)
    for member in (two.supervisor, two.person):
        client = logged_in(member)
        for name in hidden:
            if name == "delivery" and member == two.person:
                continue  # not for this role at all
            assert client.get(hidden[name]).status_code == 404, name
            if name != "file":  # its bytes are nowhere
                assert client.get(shown[name]).status_code == 200, name
    client = logged_in(two.admin)
    assert client.get(hidden["thread"]).status_code == 200


@pytest.mark.parametrize(
    "act",
    ["assign", "take_over", "give_back", "resolve", "reopen", "snooze", "label", "read", "reply"],
)
def test_no_act_reaches_what_is_out_of_sight(two: SimpleNamespace, act: str) -> None:
    before = Conversation.objects.filter(pk=two.hidden.pk).values().get()
    client = logged_in(two.person)
    path = reverse(act, args=[two.hidden.public_id])
    values = {"to": two.person.public_id, "name": "x", "text": "x", "mode": "reply"}
    assert client.post(path, values).status_code == 404
    assert Conversation.objects.filter(pk=two.hidden.pk).values().get() == before


def test_lists_counts_and_searches_hold_nothing_out_of_sight(two: SimpleNamespace) -> None:
    for member in (two.supervisor, two.person):
        client = logged_in(member)
        addresses = [
            "/", "/?tab=unassigned", "/?q=kanarienvogel", "/inbox/rows/",
            "/inbox/find/?q=kanarienvogel", f"/agents/{two.agent.public_id}/",
        ]  # fmt: skip
        if member == two.supervisor:
            addresses += ["/deliveries/", f"/deliveries/?conversation={two.hidden.number}"]
        for address in addresses:
            page = client.get(address).content.decode()
            assert "kanarienvogel said" not in page, address
            assert "kanarienvogel contact" not in page, address
            assert two.hidden.public_id not in page, address
        page = client.get("/").content.decode()
        assert "spatz contact" in page
        tabs = client.get("/").context["tabs"]
        assert {tab.slug: tab.count for tab in tabs}["all"] == "1"


def test_a_rule_shows_what_it_did_where_the_reader_sees_it(two: SimpleNamespace) -> None:
    from agents import rules

    rule = rules.create_rule(name="r", actions=[{"type": "resolve"}], by=two.owner)
    Decision.objects.update(trace=[{"rule": rule.public_id, "matched": True, "name": "r"}])
    page = logged_in(two.supervisor).get(reverse("rule", args=[rule.public_id])).content.decode()
    assert "spatz contact" in page
    assert "kanarienvogel" not in page


def test_the_api_answers_404_for_what_is_out_of_sight(two: SimpleNamespace) -> None:
    for member in (two.supervisor, two.person):
        api = caller(member, scopes=[])
        for conversation, status in ((two.hidden, 404), (two.shown, 200)):
            base = f"/v1/conversations/{conversation.public_id}/"
            contact = f"/v1/contacts/{conversation.contact.public_id}/"
            for path in (base, f"{base}messages/", f"{base}decisions/", contact):
                assert api.get(path).status_code == status, path
            for act, body in (
                ("take_over", {}), ("labels", {"add": ["x"], "remove": []}), ("resolve", {}),
                ("messages", {"text": "hi"}),
            ):  # fmt: skip
                if status == 404:
                    assert api.post(f"{base}{act}/", body).status_code == 404, act


def test_lists_of_the_api_hold_nothing_out_of_sight(two: SimpleNamespace) -> None:
    api = caller(two.supervisor)
    for path in ("conversations", "contacts", "events", "deliveries"):
        text = api.get(f"/v1/{path}/").content.decode()
        assert two.hidden.public_id not in text, path
        assert "kanarienvogel" not in text, path
        assert two.shown.public_id in text or "spatz" in text, path
    admin = caller(two.admin)
    assert two.hidden.public_id in admin.get("/v1/conversations/").content.decode()
    assert admin.get("/v1/contacts/").json()["results"][1:]


# --- Giving it away ------------------------------------------------------------------------------


def test_who_gives_it_out_of_their_sight_is_back_at_the_list(two: SimpleNamespace) -> None:
    path = reverse("assign", args=[two.shown.public_id])
    values = {"to": two.other_team.public_id}
    answer = logged_in(two.person).post(path, values, headers={"HX-Request": "true"})
    assert answer["HX-Redirect"] == "/"
    conversation = services.assign(two.shown, to=two.team, by=two.owner)
    assert conversation.team == two.team
    client = logged_in(two.person)
    answer = client.post(path, values, follow=True)
    assert answer.redirect_chain[-1][0] == "/"
    page = answer.content.decode()
    assert f"Assigned to {two.other_team.name}" in page
    assert f"{path}?to=" not in page  # no way back is offered that would be a 404


def test_a_pane_whose_conversation_went_away_leads_to_the_list(two: SimpleNamespace) -> None:
    client = logged_in(two.person)
    path = reverse("conversation_pane", args=[two.hidden.public_id])
    answer = client.get(path, headers={"HX-Request": "true"})
    assert (answer.status_code, answer["HX-Redirect"]) == (404, "/")
    assert "with others now" in client.get("/").content.decode()


# --- The setting ---------------------------------------------------------------------------------


def test_the_setting_is_chosen_on_the_settings_page_and_the_log_says_so(
    house: SimpleNamespace,
) -> None:
    values = {
        "name": "Shop", "locale": "ro", "time_zone": "Europe/Bucharest", "country": "ro",
        "people_see": TEAMS,
    }  # fmt: skip
    client = logged_in(house.owner)
    client.post(reverse("settings"), values)
    house.account.refresh_from_db()
    assert house.account.people_see == TEAMS
    entry = AuditEntry.objects.filter(action="account.changed").latest("pk")
    assert entry.changes["people_see"] == [ALL, TEAMS]
    del values["people_see"]
    client.post(reverse("settings"), values)
    house.account.refresh_from_db()
    assert house.account.people_see == TEAMS
    page = logged_in(house.admin).get(reverse("settings")).content.decode()
    assert "those of their teams" in page


def test_the_api_shows_and_changes_the_setting(api: SimpleNamespace) -> None:
    assert api.person.get("/v1/account/").json()["people_see"] == ALL
    assert api.owner.patch("/v1/account/", {"people_see": OWN}).json()["people_see"] == OWN
    assert api.owner.patch("/v1/account/", {"people_see": "x"}).status_code == 400
    assert api.admin.patch("/v1/account/", {"people_see": ALL}).status_code == 403


def test_a_narrow_sight_costs_no_further_query(two: SimpleNamespace) -> None:
    pages = {"/": logged_in(two.person), pages_of(two.shown)["thread"]: logged_in(two.person)}
    pages["/v1/conversations/"] = caller(two.person).client
    for path, client in pages.items():
        client.get(path)
        counts = []
        for setting in (ALL, TEAMS, OWN):
            with account_context(two.account):
                services.assign(two.shown, to=two.person, by=two.owner)
            Account.objects.update(people_see=setting)
            with CaptureQueriesContext(connection) as found:
                assert client.get(path).status_code == 200
            counts.append(len(found))
        assert len(set(counts)) == 1, (path, counts)
