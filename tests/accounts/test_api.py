"""The account, its people and tokens over REST, and what every resource has in common."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.models import (
    ApiToken,
    AuditEntry,
    IdempotencyKey,
    Invitation,
    Member,
    RateBucket,
    User,
)
from accounts.permissions import Role
from accounts.rest.views import PER_TOKEN
from accounts.services import issue_token
from accounts.tasks import forget_old_answers
from accounts.tenancy import account_context
from tests.api import Caller, attrs_of, caller, code_of, token_of
from tests.factories import PASSWORD, make_person, make_team

# --- Who asks ------------------------------------------------------------------------------------


def test_me_says_who_asks_and_what_they_may_do(api: SimpleNamespace) -> None:
    me = api.person.get("/v1/me/").json()
    assert me["member"]["id"] == api.house.person.public_id
    assert me["account"]["id"] == api.house.account.public_id
    assert "conversations:read" in me["permissions"]
    assert "members:write" not in me["permissions"]
    assert me["token"]["hint"].startswith("sb_pat_")


def test_without_a_token_nothing_is_told(api: SimpleNamespace) -> None:
    response = Caller().get("/v1/me/")
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert code_of(response) == "not_authenticated"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
        "Bearer sb_pat_aaaaaaaa_" + "x" * 43 + "000000",
        "Bearer " + "a" * 1_000_000,
        "Bearer ",
    ],
    ids=["jwt", "wrong checksum", "1 MB", "empty"],
)
def test_what_cannot_be_a_token_costs_no_query(db: None, header: str) -> None:
    """bad inputs 24, 25, 29; SX-32"""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = Client(headers={"authorization": header}).get("/v1/me/")
    assert response.status_code == 401
    assert not queries.captured_queries


def test_a_token_in_the_query_string_is_refused(api: SimpleNamespace) -> None:
    """bad input 26, SX-33"""
    response = Caller().get("/v1/me/", api_key=token_of(api.house.owner))
    assert response.status_code == 400
    assert code_of(response) == "token_in_query"


def test_a_removed_member_is_out_at_the_next_request(api: SimpleNamespace) -> None:
    """bad input 16"""
    assert api.person.get("/v1/me/").status_code == 200
    assert api.owner.delete(f"/v1/members/{api.house.person.public_id}/").status_code == 204
    assert api.person.get("/v1/me/").status_code == 401


def test_a_changed_role_counts_at_the_next_request(api: SimpleNamespace) -> None:
    """SX-24"""
    path = f"/v1/members/{api.house.supervisor.public_id}/"
    assert api.owner.patch(path, {"role": "person"}).json()["role"] == "person"
    assert api.supervisor.get("/v1/rules/").status_code == 403


def test_a_session_needs_the_csrf_token_to_write(api: SimpleNamespace) -> None:
    """bad input 23"""
    client = Client(enforce_csrf_checks=True)
    client.force_login(api.house.owner.user)
    assert client.get("/v1/me/").status_code == 200
    refused = client.post("/v1/teams/", "{}", content_type="application/json")
    assert refused.status_code == 403
    assert code_of(refused) == "permission_denied"


def test_scopes_narrow_a_token_and_its_maker_does_so_again(api: SimpleNamespace) -> None:
    """SX-22"""
    narrow = caller(api.house.admin, scopes=["members:read"], kind="int")
    assert narrow.get("/v1/members/").status_code == 200
    assert narrow.get("/v1/conversations/").status_code == 403
    assert narrow.get("/v1/me/").status_code == 403


# --- Bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "not_json"),
        (b"\xff", "not_json"),
        (b'{"name": "a", "name": "b"}', "duplicate_key"),
        (b'{"name": NaN}', "not_json"),
        (b'{"name": 1e999}', "not_json"),
        (b'{"name": "\\u0000"}', "unstorable_text"),
        (b'{"\\u0000": 1}', "unstorable_text"),
        (b'{"name": "\\ud800"}', "unstorable_text"),
        (b"[" * 100_000 + b"]" * 100_000, "too_deep"),
        (b"[" * 33 + b"]" * 33, "too_deep"),
        (json.dumps({str(n): 1 for n in range(10_001)}).encode(), "too_many_keys"),
    ],
    ids=[
        "cut",
        "bytes",
        "twice",
        "nan",
        "infinite",
        "nul",
        "nul key",
        "surrogate",
        "deep",
        "33",
        "keys",
    ],
)
def test_odd_json_is_refused(api: SimpleNamespace, body: bytes, code: str) -> None:
    """bad input 40"""
    response = api.owner.post("/v1/teams/", body)
    assert (response.status_code, code_of(response)) == (400, code)


def test_a_body_over_one_mebibyte_is_refused(api: SimpleNamespace) -> None:
    response = api.owner.post("/v1/teams/", {"name": "x" * 1_100_000})
    assert (response.status_code, code_of(response)) == (413, "too_large")


def test_unknown_and_read_only_fields_are_errors(api: SimpleNamespace) -> None:
    """bad input 6"""
    body = {"name": "Sales", "account_id": "acc_1", "tenant_id": 1, "id": "tem_1"}
    response = api.owner.post("/v1/teams/", body)
    assert response.status_code == 400
    assert attrs_of(response) == {"account_id", "tenant_id", "id"}
    assert code_of(response) == "unknown_field"


@pytest.mark.parametrize(
    "query",
    [
        "user__password__startswith=a", "account__name=Shop", "ordering=user__password", "kind=x",
        "limit=0", "limit=101", "limit=-1", "limit=1e3", "cursor=%00", "cursor=AAAA",
        "cursor=W1tdLGZhbHNlXQ", "active=%00",
    ],
)  # fmt: skip
def test_the_query_string_reaches_nothing_but_its_names(api: SimpleNamespace, query: str) -> None:
    """bad inputs 4, 60"""
    response = api.owner.get(f"/v1/members/?{query}")
    assert response.status_code == 400, response.content
    code_of(response)


def test_a_method_that_is_not_there_is_405_and_an_address_404(api: SimpleNamespace) -> None:
    assert api.owner.put("/v1/teams/").status_code == 405
    assert api.owner.client.options("/v1/teams/").status_code == 405
    response = api.owner.get("/v1/nothing/")
    assert (response.status_code, code_of(response)) == (404, "not_found")


@pytest.mark.parametrize("path", ["/v1/me", "/v1/teams", "/v1/account"])
def test_addresses_answer_without_their_slash_too(api: SimpleNamespace, path: str) -> None:
    assert api.owner.get(path).status_code == 200


# --- Pages ---------------------------------------------------------------------------------------


def test_pages_go_on_and_back_without_losing_or_repeating(api: SimpleNamespace) -> None:
    for number in range(7):
        make_team(api.house.account, f"Team {number}")
    every = [team["id"] for team in api.owner.get("/v1/teams/").json()["results"]]
    assert len(every) == 8
    seen, pages, address = [], [], "/v1/teams/?limit=3"
    while address:
        page = api.owner.get(address).json()
        pages.append([team["id"] for team in page["results"]])
        seen += pages[-1]
        last, address = page, page["next"]
    assert seen == every
    assert [len(page) for page in pages] == [3, 3, 2]
    back = api.owner.get(last["previous"]).json()
    assert [team["id"] for team in back["results"]] == pages[1]
    first = api.owner.get(back["previous"]).json()
    assert [team["id"] for team in first["results"]] == pages[0]
    assert first["previous"] is None


def test_a_row_written_meanwhile_moves_no_page(api: SimpleNamespace) -> None:
    for number in range(4):
        make_team(api.house.account, f"Team {number}")
    page = api.owner.get("/v1/teams/", limit=2).json()
    make_team(api.house.account, "Newest")
    following = api.owner.get(page["next"]).json()
    assert not {t["id"] for t in page["results"]} & {t["id"] for t in following["results"]}


@pytest.mark.parametrize("path", ["/v1/teams/", "/v1/members/", "/v1/tokens/", "/v1/invitations/"])
def test_lists_take_the_same_number_of_queries_at_any_length(
    api: SimpleNamespace, path: str
) -> None:
    def fill(count: int) -> None:
        for _number in range(count):
            member = make_person(api.house.account)
            make_team(api.house.account, members=(member, api.house.person))
            token_of(member)
            with account_context(api.house.account):
                Invitation.objects.create(
                    account=api.house.account,
                    email="x@example.test",
                    token_sha256=token_of(member).encode()[-32:],
                    invited_by=api.house.owner,
                    expires_at=timezone.now(),
                )

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert api.owner.get(path, limit=100).status_code == 200
        return len(captured)

    fill(5)
    queries()
    few = queries()
    fill(20)
    assert queries() == few


# --- Idempotency ---------------------------------------------------------------------------------


def test_the_same_key_has_one_effect_and_gets_the_first_answer(api: SimpleNamespace) -> None:
    first = api.owner.post("/v1/teams/", {"name": "Sales"}, key="k1")
    again = api.owner.post("/v1/teams/", {"name": "Sales"}, key="k1")
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first


def test_a_key_used_for_something_else_is_409(api: SimpleNamespace) -> None:
    api.owner.post("/v1/teams/", {"name": "Sales"}, key="k1")
    for path, body in (("/v1/teams/", {"name": "Other"}), ("/v1/labels/", {"name": "Sales"})):
        response = api.owner.post(path, body, key="k1")
        assert (response.status_code, code_of(response)) == (409, "idempotency_key_reused")


def test_keys_belong_to_their_token(api: SimpleNamespace) -> None:
    assert api.owner.post("/v1/teams/", {"name": "Sales"}, key="k1").status_code == 201
    assert api.admin.post("/v1/teams/", {"name": "Sales 2"}, key="k1").status_code == 201
    assert api.outsider.post("/v1/teams/", {"name": "Sales"}, key="k1").status_code == 201


def test_a_refused_call_leaves_its_key_free(api: SimpleNamespace) -> None:
    assert api.owner.post("/v1/teams/", {"name": ""}, key="k1").status_code == 400
    assert api.owner.post("/v1/teams/", {"name": "Sales"}, key="k1").status_code == 201


def test_a_key_is_forgotten_after_a_day(api: SimpleNamespace) -> None:
    api.owner.post("/v1/teams/", {"name": "Sales"}, key="k1")
    with account_context(api.house.account):
        IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert api.owner.post("/v1/teams/", {"name": "Other"}, key="k1").status_code == 201


def test_a_stored_answer_shows_no_secret_to_who_reads_the_table(api: SimpleNamespace) -> None:
    """SX-50"""
    made = api.owner.post("/v1/tokens/", {"name": "CI"}, key="k1").json()
    again = api.owner.post("/v1/tokens/", {"name": "CI"}, key="k1").json()
    assert again["token"] == made["token"]
    with account_context(api.house.account):
        assert made["token"] not in str(IdempotencyKey.objects.values_list("answer", flat=True))


def test_old_answers_are_deleted(api: SimpleNamespace) -> None:
    api.owner.post("/v1/teams/", {"name": "Old"}, key="old")
    with account_context(api.house.account):
        IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    api.owner.post("/v1/teams/", {"name": "New"}, key="new")
    assert forget_old_answers() == 1
    with account_context(api.house.account):
        assert IdempotencyKey.objects.get().key == "new"


@pytest.mark.parametrize("key", ["", "x" * 201, "a\x07b"])
def test_a_key_is_a_short_printable_text(api: SimpleNamespace, key: str) -> None:
    headers = {"idempotency-key": key}
    response = api.owner.post("/v1/teams/", {"name": "Sales"}, headers=headers)
    assert response.status_code == 400


# --- Limits --------------------------------------------------------------------------------------


def test_answers_say_what_is_left_and_when_it_is_too_much(api: SimpleNamespace) -> None:
    """security.md 6, SX-61"""
    response = api.owner.get("/v1/me/")
    assert int(response["RateLimit-Remaining"]) == PER_TOKEN.capacity - 1
    assert response["RateLimit-Limit"] == str(int(PER_TOKEN.capacity))
    RateBucket.objects.filter(key__startswith="api-token:").update(tokens=-100)
    response = api.owner.get("/v1/me/")
    assert (response.status_code, code_of(response)) == (429, "throttled")
    assert 1 <= int(response["Retry-After"]) <= 11
    assert response["RateLimit-Remaining"] == "0"
    assert api.admin.get("/v1/me/").status_code == 200


def test_an_account_has_one_limit_over_all_its_tokens(api: SimpleNamespace) -> None:
    api.owner.get("/v1/me/")
    RateBucket.objects.filter(key=f"api-account:{api.house.account.pk}").update(tokens=-100)
    assert api.owner.get("/v1/me/").status_code == 429
    assert api.admin.get("/v1/me/").status_code == 429
    assert api.outsider.get("/v1/me/").status_code == 200


# --- Account -------------------------------------------------------------------------------------


def test_the_owner_renames_the_account_and_it_is_written_down(api: SimpleNamespace) -> None:
    changed = api.owner.patch("/v1/account/", {"name": "New name", "time_zone": "Europe/London"})
    assert changed.json()["name"] == "New name"
    with account_context(api.house.account):
        entry = AuditEntry.objects.get(action="account.changed")
    assert set(entry.changes) == {"name", "time_zone"}
    assert api.admin.patch("/v1/account/", {"name": "x"}).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {"time_zone": "Mars/Base"},
        {"time_zone": "localtime"},
        {"slug": "x"},
        {"country": "xx"},
        {"languages": ["!"]},
    ],
)
def test_settings_that_make_no_sense_are_refused(api: SimpleNamespace, body: dict) -> None:
    assert api.owner.patch("/v1/account/", body).status_code == 400


# --- People --------------------------------------------------------------------------------------


def test_the_audit_log_names_the_token_and_the_network(api: SimpleNamespace) -> None:
    """security.md 10: who, with which key, from where."""
    api.admin.post("/v1/teams/", {"name": "Night"}, REMOTE_ADDR="203.0.113.9")
    client = Client(REMOTE_ADDR="198.51.100.7")
    client.force_login(api.house.admin.user)
    client.post("/team/teams/new/", {"name": "Day"})
    with account_context(api.house.account):
        made = AuditEntry.objects.filter(action="team.created").order_by("pk")
        assert list(made.values_list("actor_kind", "actor_name", "ip")) == [
            ("token", "Adam (test)", "203.0.113.0/24"),
            ("user", "Adam", "198.51.100.0/24"),
        ]


def test_members_are_listed_with_people_and_agents(api: SimpleNamespace) -> None:
    found = api.person.get("/v1/members/").json()["results"]
    assert {member["kind"] for member in found} == {"person", "agent"}
    assert {m["id"] for m in api.person.get("/v1/members/", kind="agent").json()["results"]} == {
        api.house.agent.member.public_id
    }


def test_inviting_writes_a_letter_and_shows_no_link(
    api: SimpleNamespace, mailoutbox: list, django_capture_on_commit_callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        body = {"email": "New@Example.test", "role": "person", "name": "Nina"}
        response = api.admin.post("/v1/members/", body)
    assert (response.status_code, response.json()["name"]) == (201, "Nina")
    assert mailoutbox[0].to == ["new@example.test"]
    token = mailoutbox[0].body.split("/invitation/")[1].split("/")[0]
    assert token not in response.content.decode()
    listed = api.admin.get("/v1/invitations/").json()["results"]
    assert [one["email"] for one in listed] == ["new@example.test"]
    path = f"/v1/invitations/{listed[0]['id']}/"
    assert api.admin.delete(path).status_code == 204
    assert api.admin.get(path).json()["open"] is False


def test_a_person_cannot_invite(api: SimpleNamespace, mailoutbox: list) -> None:
    """bad input 11"""
    response = api.person.post("/v1/members/", {"email": "new@example.test"})
    assert (response.status_code, mailoutbox) == (403, [])
    assert not Invitation.objects.exists()


def test_nobody_rises_above_their_own_role(api: SimpleNamespace) -> None:
    """bad input 12"""
    house = api.house
    refused = [
        api.admin.patch(f"/v1/members/{house.admin.public_id}/", {"role": "owner"}),
        api.admin.patch(f"/v1/members/{house.owner.public_id}/", {"role": "person"}),
        api.admin.delete(f"/v1/members/{house.owner.public_id}/"),
        api.admin.post("/v1/members/", {"email": "x@example.test", "role": "owner"}),
    ]
    assert [response.status_code for response in refused] == [403] * 4
    assert Member.objects.get(pk=house.owner.pk).role == Role.OWNER


def test_the_last_owner_stays(api: SimpleNamespace) -> None:
    """bad input 12"""
    path = f"/v1/members/{api.house.owner.public_id}/"
    for response in (api.owner.patch(path, {"role": "admin"}), api.owner.delete(path)):
        assert (response.status_code, code_of(response)) == (409, "last_owner")
    make_person(api.house.account, Role.OWNER)
    assert api.owner.patch(path, {"role": "admin"}).status_code == 200


def test_an_agent_is_no_person_to_promote(api: SimpleNamespace) -> None:
    path = f"/v1/members/{api.house.agent.member.public_id}/"
    assert api.owner.patch(path, {"role": "admin"}).status_code == 403
    assert api.owner.patch(path, {"role": "ai"}).status_code == 400
    assert api.owner.delete(path).status_code == 403


# --- Teams ---------------------------------------------------------------------------------------


def test_teams_are_made_changed_and_deleted(api: SimpleNamespace) -> None:
    person, admin = api.house.person.public_id, api.house.admin.public_id
    team = api.admin.post("/v1/teams/", {"name": "Sales", "members": [person]}).json()
    assert team["members"] == [person]
    path = f"/v1/teams/{team['id']}/"
    assert set(api.admin.put(f"{path}members/{admin}/").json()["members"]) == {person, admin}
    assert api.admin.delete(f"{path}members/{person}/").json()["members"] == [admin]
    assert api.admin.patch(path, {"name": "Shop"}).json()["name"] == "Shop"
    assert code_of(api.admin.post("/v1/teams/", {"name": "Shop"})) == "already_exists"
    assert api.admin.delete(path).status_code == 204
    assert api.admin.get(path).status_code == 404


def test_a_stranger_cannot_be_put_into_a_team(api: SimpleNamespace) -> None:
    """bad input 2"""
    stranger = api.house.outsider.public_id
    response = api.owner.post("/v1/teams/", {"name": "Sales", "members": [stranger]})
    assert (response.status_code, code_of(response)) == (400, "does_not_exist")
    team = api.house.team.public_id
    assert api.owner.put(f"/v1/teams/{team}/members/{stranger}/").status_code == 404


# --- Tokens --------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_works_until_it_is_revoked(api: SimpleNamespace) -> None:
    made = api.owner.post("/v1/tokens/", {"name": "CI", "scopes": ["members:read"]}).json()
    new = Caller(made["token"])
    assert new.get("/v1/members/").status_code == 200
    path = f"/v1/tokens/{made['id']}/"
    assert "token" not in api.owner.get(path).json()
    assert api.owner.delete(path).status_code == 204
    assert new.get("/v1/members/").status_code == 401


def test_a_token_cannot_make_one_that_can_do_more(api: SimpleNamespace) -> None:
    narrow = caller(api.house.owner, scopes=["tokens:own", "members:read"])
    assert narrow.post("/v1/tokens/", {"name": "x"}).json()["scopes"] == [
        "tokens:own",
        "members:read",
    ]
    response = narrow.post("/v1/tokens/", {"name": "x", "scopes": ["members:write"]})
    assert (response.status_code, code_of(response)) == (403, "not_allowed")


def test_a_token_makes_none_that_outlives_it(api: SimpleNamespace) -> None:
    ends = timezone.now() + timedelta(hours=1)
    short = caller(api.house.admin, expires_at=ends)
    for body in ({"name": "a"}, {"name": "b", "expires_at": "2999-01-01T00:00:00Z"}):
        made = short.post("/v1/tokens/", body)
        assert made.status_code == 201
        assert parse_datetime(made.json()["expires_at"]) == ends


def test_a_program_gets_at_no_people_and_no_keys(api: SimpleNamespace) -> None:
    """security.md 2: the column of integrations, whoever made the token."""
    program = caller(api.house.owner, kind="int")
    assert program.get("/v1/members/").status_code == 200
    for path in ("/v1/members/", "/v1/invitations/", "/v1/tokens/"):
        assert program.post(path, {}).status_code == 403
    assert program.patch("/v1/account/", {"name": "Theirs"}).status_code == 403
    body = {"name": "x", "kind": "int", "scopes": ["members:write"]}
    assert api.owner.post("/v1/tokens/", body).status_code == 403
    body["scopes"] = ["members:read"]
    assert api.owner.post("/v1/tokens/", body).status_code == 201
    assert api.supervisor.post("/v1/tokens/", body).status_code == 403


def test_a_token_dies_with_its_persons_login(api: SimpleNamespace) -> None:
    """SX-24, bad input 16: staff switched the login off."""
    User.objects.filter(pk=api.house.admin.user_id).update(is_active=False)
    assert api.admin.get("/v1/me/").status_code == 401


def test_nobody_makes_a_token_beyond_their_role(api: SimpleNamespace) -> None:
    response = api.supervisor.post("/v1/tokens/", {"name": "x", "scopes": ["members:write"]})
    assert response.status_code == 403


def test_a_person_makes_tokens_that_read(api: SimpleNamespace) -> None:
    """security.md 2: own (read scopes)"""
    made = api.person.post("/v1/tokens/", {"name": "x"}).json()
    assert made["scopes"]
    assert all(scope.endswith(":read") for scope in made["scopes"])
    response = api.person.post("/v1/tokens/", {"name": "x", "scopes": ["conversations:write"]})
    assert response.status_code == 403


def test_people_see_their_own_tokens_and_admins_all(api: SimpleNamespace) -> None:
    mine = api.person.get("/v1/tokens/").json()["results"]
    assert {token["member"] for token in mine} == {api.house.person.public_id}
    every = api.admin.get("/v1/tokens/").json()["results"]
    assert len({token["member"] for token in every}) == 5
    other = next(token for token in every if token["member"] != api.house.person.public_id)
    assert api.person.delete(f"/v1/tokens/{other['id']}/").status_code == 404


def test_agent_tokens_are_not_made_here(api: SimpleNamespace) -> None:
    assert api.owner.post("/v1/tokens/", {"name": "x", "kind": "agt"}).status_code == 400


def test_a_token_dies_when_its_maker_leaves(api: SimpleNamespace) -> None:
    """SX-22"""
    with account_context(api.house.account):
        _token, clear = issue_token(by=api.house.admin, kind=ApiToken.Kind.INTEGRATION, name="x")
    integration = Caller(clear)
    assert integration.get("/v1/members/").status_code == 200
    api.owner.delete(f"/v1/members/{api.house.admin.public_id}/")
    assert integration.get("/v1/members/").status_code == 401


def test_passwords_of_the_tests_are_not_in_any_answer(api: SimpleNamespace) -> None:
    for path in ("/v1/me/", "/v1/members/", "/v1/tokens/"):
        assert PASSWORD not in api.owner.get(path).content.decode()
