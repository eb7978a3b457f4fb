"""Saved replies: keeping them, who is offered which, and what is put in for the customer."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry, TeamMembership
from accounts.tenancy import account_context
from conversations import placeholders, services
from conversations.errors import FieldError, TakenError
from conversations.models import SavedReply
from conversations.placeholders import Filling
from tests.api import attrs_of, code_of
from tests.conversations.test_views import logged_in
from tests.factories import make_conversation, make_team


def saved(house: SimpleNamespace, code: str = "hours", text: str = "9 to 17", **fields):
    return services.create_saved_reply(code=code, text=text, by=house.owner, **fields)


def test_what_is_known_is_put_in_and_the_rest_leaves_nothing_behind(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox, contact_name="Ion Popescu")
    services.set_attributes(conversation, {"order": 1017}, by=None)
    conversation.contact.refresh_from_db()
    filling = Filling(conversation, house.person, house.account)
    text = (
        "Hello {{ contact.first_name }} ({{contact.name}}, {{contact.phone}}), order"
        " {{contact.attributes.order}}{{conversation.attributes.x}}. {{member.name}}, {{account.name}}"
    )
    assert placeholders.unknown_in(text) == []
    assert placeholders.fill(text, filling) == (
        "Hello Ion (Ion Popescu, ), order 1017. Petra, Shop"
    )


def test_a_misspelt_placeholder_never_reaches_a_customer(house: SimpleNamespace) -> None:
    for text in ("{{contact.nick}}", "{{}}", "{{contact.attributes.}}", "{{contact.__class__}}"):
        with pytest.raises(FieldError, match="no placeholder"):
            saved(house, text=text)
    assert not SavedReply.objects.exists()


def test_ten_thousand_blanks_are_read_at_once(house: SimpleNamespace) -> None:
    for text in ("{{" + " " * 10_000, "{{" + " " * 10_000 + "x", "{{ " * 3_000):
        begun = time.process_time()
        assert placeholders.unknown_in(text) == []
        assert time.process_time() - begun < 1
    assert placeholders.unknown_in("{{" + "\t \n" * 3_000 + "nick }}") == ["nick"]


@pytest.mark.parametrize("code", ["", " ", "two words", "a/b", "x" * 61])
def test_a_code_is_one_word(house: SimpleNamespace, code: str) -> None:
    with pytest.raises(FieldError):
        saved(house, code=code)


def test_a_code_is_given_once(house: SimpleNamespace) -> None:
    saved(house, "/hours")
    assert SavedReply.objects.get().code == "hours"
    with pytest.raises(TakenError):
        saved(house, "hours")
    other = saved(house, "address")
    with pytest.raises(TakenError):
        services.update_saved_reply(other, by=house.owner, code="hours")


def test_what_is_done_with_them_is_in_the_audit_log(house: SimpleNamespace) -> None:
    reply = saved(house)
    services.update_saved_reply(reply, by=house.owner, text="10 to 18")
    services.delete_saved_reply(reply, by=house.owner)
    actions = AuditEntry.objects.order_by("pk").values_list("action", "object_name")
    assert list(actions)[-3:] == [
        ("saved_reply.created", "/hours"),
        ("saved_reply.changed", "/hours"),
        ("saved_reply.deleted", "/hours"),
    ]


def test_a_team_s_reply_is_offered_to_the_team_and_to_admins(
    house: SimpleNamespace,
) -> None:
    saved(house, "all")
    saved(house, "ours", team=house.team)
    saved(house, "theirs", team=make_team(house.account))

    def codes(member) -> set[str]:
        return set(SavedReply.objects.usable_by(member).values_list("code", flat=True))

    assert codes(house.person) == {"all", "ours"}
    assert codes(house.supervisor) == {"all"}
    assert codes(house.admin) == {"all", "ours", "theirs"}


# --- The composer --------------------------------------------------------------------------------


def test_the_composer_is_offered_them_filled_in_and_the_best_first(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox, contact_name="Ion <b>")
    saved(house, "yours", "Open at nine, {{contact.name}}")
    saved(house, "open", "9 to 17")
    saved(house, "refund", "In two days")
    client = logged_in(house.person)
    address = f"/inbox/{conversation.public_id}/replies/"
    page = client.get(address, {"q": "OPEN"}).content.decode()
    assert page.index("/open") < page.index("/yours")
    assert "refund" not in page
    assert 'data-inserts="Open at nine, Ion &lt;b&gt;"' in page
    assert "refund" in client.get(address).content.decode()
    assert "No saved reply has" in client.get(address, {"q": "/nothing"}).content.decode()
    assert logged_in(house.outsider).get(address).status_code == 404


def test_offering_takes_the_same_number_of_queries_for_any_number(house: SimpleNamespace) -> None:
    conversation = make_conversation(house.inbox)
    client, address = logged_in(house.person), f"/inbox/{conversation.public_id}/replies/"
    client.get(address)
    counts = []
    for number in range(2):
        for each in range(3):
            saved(house, f"code{number}-{each}", "Hello {{contact.name}}", team=house.team)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- Pages ---------------------------------------------------------------------------------------


def test_a_supervisor_writes_changes_and_deletes_one(house: SimpleNamespace) -> None:
    TeamMembership.objects.create(team=house.team, member=house.supervisor)
    client = logged_in(house.supervisor)
    assert b"No saved replies yet" in client.get("/settings/replies/").content
    made = client.post("/settings/replies/new/", {"code": "hours", "text": "9 to 17", "team": ""})
    assert made.status_code == 302
    reply = SavedReply.objects.get()
    again = client.post("/settings/replies/new/", {"code": "hours", "text": "x", "team": ""})
    assert again.status_code == 422
    assert b"already" in again.content
    address = f"/settings/replies/{reply.public_id}/"
    client.post(address, {"code": "hours", "text": "10 to 18", "team": house.team.pk})
    reply.refresh_from_db()
    assert (reply.text, reply.team) == ("10 to 18", house.team)
    wrong = client.post(address, {"code": "hours", "text": "{{x}}", "team": ""})
    assert wrong.status_code == 422
    listed = client.get("/settings/replies/", {"q": "18"}).content.decode()
    assert "/hours" in listed
    assert b"Nothing found" in client.get("/settings/replies/", {"q": "zzz"}).content
    client.post(address + "delete/")
    assert not SavedReply.objects.exists()


def test_a_supervisor_leaves_the_replies_of_other_teams_alone(house: SimpleNamespace) -> None:
    other = make_team(house.account)
    TeamMembership.objects.create(team=house.team, member=house.supervisor)
    theirs, open_to_all = saved(house, "theirs", team=other), saved(house, "all")
    for act in (
        lambda: services.update_saved_reply(theirs, by=house.supervisor, text="x"),
        lambda: services.delete_saved_reply(theirs, by=house.supervisor),
    ):
        with pytest.raises(SavedReply.DoesNotExist):
            act()
    for act in (
        lambda: services.update_saved_reply(open_to_all, by=house.supervisor, team=other),
        lambda: services.create_saved_reply(code="x", text="x", team=other, by=house.supervisor),
    ):
        with pytest.raises(FieldError, match="no team of yours"):
            act()
    client = logged_in(house.supervisor)
    assert "/theirs" not in client.get("/settings/replies/").content.decode()
    address = f"/settings/replies/{theirs.public_id}/"
    assert client.get(address).status_code == client.post(address + "delete/").status_code == 404
    offered = client.get("/settings/replies/new/").content.decode()
    assert house.team.name in offered
    assert other.name not in offered
    given = {"code": "mine", "text": "x", "team": other.pk}
    assert client.post("/settings/replies/new/", given).status_code == 422
    assert SavedReply.objects.count() == 2


def test_a_person_reads_them_and_writes_none(house: SimpleNamespace) -> None:
    reply = saved(house)
    client = logged_in(house.person)
    page = client.get("/settings/replies/").content.decode()
    assert "/hours" in page
    assert "New saved reply" not in page
    assert client.get(f"/settings/replies/{reply.public_id}/").status_code == 403
    assert client.post(f"/settings/replies/{reply.public_id}/delete/").status_code == 403


# --- REST ----------------------------------------------------------------------------------------


def test_they_are_kept_over_rest(api: SimpleNamespace) -> None:
    made = api.supervisor.post("/v1/saved_replies/", {"code": "hours", "text": "9 to 17"})
    assert made.status_code == 201
    body = made.json()
    assert (body["code"], body["text"], body["team"]) == ("hours", "9 to 17", None)
    address = f"/v1/saved_replies/{body['id']}/"
    taken = api.supervisor.post("/v1/saved_replies/", {"code": "hours", "text": "x"})
    assert (taken.status_code, code_of(taken), attrs_of(taken)) == (400, "already_exists", {"code"})
    team = api.house.team.public_id
    assert api.owner.patch(address, {"team": team}).json()["team"] == team
    assert api.person.get(address).json()["text"] == "9 to 17"
    assert api.person.patch(address, {"text": "x"}).status_code == 403
    assert api.agent.get(address).status_code == 403
    for call in (api.outsider.get, api.outsider.delete):
        assert call(address).status_code == 404
    assert api.outsider.patch(address, {"text": "x"}).status_code == 404
    assert api.owner.delete(address).status_code == 204
    assert api.owner.get(address).status_code == 404


def test_over_rest_too_a_supervisor_keeps_those_of_their_teams(api: SimpleNamespace) -> None:
    house = api.house
    with account_context(house.account):
        theirs = saved(house, "theirs", team=house.team)
    address = f"/v1/saved_replies/{theirs.public_id}/"
    assert api.supervisor.patch(address, {"text": "x"}).status_code == 404
    assert api.supervisor.delete(address).status_code == 404
    body = {"code": "x", "text": "x", "team": house.team.public_id}
    refused = api.supervisor.post("/v1/saved_replies/", body)
    assert (refused.status_code, attrs_of(refused)) == (400, {"team"})
    assert api.admin.patch(address, {"text": "x"}).status_code == 200
    with account_context(house.account):
        TeamMembership.objects.create(team=house.team, member=house.supervisor)
    assert api.supervisor.patch(address, {"text": "y"}).json()["text"] == "y"
    assert api.supervisor.delete(address).status_code == 204


def test_the_list_is_filtered_and_keeps_other_teams_replies_back(api: SimpleNamespace) -> None:
    house = api.house
    with account_context(house.account):
        saved(house, "open", "9 to 17")
        saved(house, "ours", "Ask Ana", team=house.team)
        theirs = saved(house, "theirs", "secret", team=make_team(house.account))

    def codes(caller, **query: str) -> list[str]:
        response = caller.get("/v1/saved_replies/", **query)
        assert response.status_code == 200, response.content
        return [row["code"] for row in response.json()["results"]]

    assert codes(api.owner) == ["theirs", "ours", "open"]
    assert codes(api.person) == ["ours", "open"]
    assert codes(api.person, q="ana") == codes(api.person, team=house.team.public_id) == ["ours"]
    assert codes(api.person, code="open") == ["open"]
    assert codes(api.outsider) == []
    assert api.person.get(f"/v1/saved_replies/{theirs.public_id}/").status_code == 404
    assert api.person.get("/v1/saved_replies/?qq=1").status_code == 400
