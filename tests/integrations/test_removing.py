"""Removing an inbox: gone from where things are set up, and what was said in it stays."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from agents import services as agents
from agents.forms import AgentForm
from agents.models import Agent
from agents.rules import names_of_targets
from conversations import services as desk
from conversations.channels import Learnt
from conversations.errors import CannotSendError
from conversations.messages import Content
from conversations.models import Conversation, Delivery, Inbox, InboxRoute, Message
from integrations import attention, removing, routes, tasks
from tests import factories
from tests.accounts.test_entry import logged_in
from tests.integrations import couriers

Status = Conversation.Status


def of(house: SimpleNamespace) -> Inbox:
    """The house's inbox as it is now."""
    return Inbox.objects.get(pk=house.inbox.pk)


def removed(house: SimpleNamespace) -> Inbox:
    removing.remove_inbox(house.inbox, by=house.owner)
    return of(house)


def finish(house: SimpleNamespace) -> int:
    return tasks.finish_removing(house.account.pk, house.inbox.pk)


def test_the_page_removes_it_and_it_is_nowhere_to_be_set_up(
    house: SimpleNamespace, django_capture_on_commit_callbacks
) -> None:
    token = routes.create_route(house.inbox)
    client = logged_in(house.admin)
    with django_capture_on_commit_callbacks() as jobs:
        answer = client.post(reverse("remove_inbox", args=[house.inbox.public_id]))
    assert answer["Location"] == reverse("inboxes")
    assert len(jobs) == 1
    assert of(house).removed_at is not None
    for name in ("inbox_settings", "change_inbox", "check_state"):
        assert client.get(reverse(name, args=[house.inbox.public_id])).status_code == 404
    for name in ("switch_inbox", "check_inbox", "rotate_address", "remove_inbox"):
        assert client.post(reverse(name, args=[house.inbox.public_id])).status_code == 404
    assert house.inbox.public_id not in client.get(reverse("inboxes")).content.decode()
    assert routes.inbox_at("sandbox", token) is None
    assert not InboxRoute.objects.exists()
    [entry] = AuditEntry.objects.filter(action="inbox.removed")
    assert (entry.member, entry.object_name) == (house.admin, house.inbox.name)


@pytest.mark.parametrize("who", ["supervisor", "person"])
def test_who_may_not(house: SimpleNamespace, who: str) -> None:
    client = logged_in(getattr(house, who))
    path = reverse("remove_inbox", args=[house.inbox.public_id])
    page = client.get(reverse("inbox_settings", args=[house.inbox.public_id])).content.decode()
    assert path not in page
    assert client.post(path).status_code == 403
    assert of(house).removed_at is None


def test_over_rest(house: SimpleNamespace) -> None:
    from tests.api import caller

    path = f"/v1/inboxes/{house.inbox.public_id}/"
    assert caller(house.person).delete(path).status_code == 403
    assert caller(house.outsider).delete(path).status_code == 404
    admin = caller(house.admin)
    assert admin.delete(path).status_code == 204
    assert (admin.get(path).status_code, admin.delete(path).status_code) == (404, 404)
    assert admin.get("/v1/inboxes/").json()["results"] == []


def test_what_is_open_is_resolved_and_the_secrets_are_forgotten(house: SimpleNamespace) -> None:
    house.inbox.credentials = {"access_token": "EAAsecret"}
    house.inbox.save()
    one = factories.make_conversation(house.inbox, "Hello")
    other = factories.make_conversation(house.inbox, "Good day")
    desk.assign(other, to=house.person, by=None)
    elsewhere = factories.make_conversation(factories.make_inbox(house.account))
    removed(house)
    assert finish(house) == 2
    assert of(house).credentials == {}
    for pk in (one.pk, other.pk):
        conversation = Conversation.objects.get(pk=pk)
        assert (conversation.status, conversation.assignee) == (Status.RESOLVED, None)
        line = Message.objects.filter(conversation=pk, direction="system").latest("pk")
        assert "the inbox was removed" in line.text
        assert Message.objects.filter(conversation=pk, direction="inbound").exists()
    assert Conversation.objects.get(pk=elsewhere.pk).status == Status.OPEN
    assert finish(house) == 0


def test_a_job_that_was_lost_is_made_up_for(house: SimpleNamespace) -> None:
    factories.make_conversation(house.inbox)
    assert tasks.finish_leftovers() == 0
    removed(house)
    assert tasks.finish_leftovers() == 1
    assert list(removing.unfinished()) == []


def test_what_is_opened_again_late_is_ended_too(house: SimpleNamespace) -> None:
    conversation = factories.make_conversation(house.inbox)
    removed(house)
    finish(house)
    Conversation.objects.filter(pk=conversation.pk).update(status=Status.OPEN)
    assert tasks.finish_leftovers() == 1
    assert Conversation.objects.get(pk=conversation.pk).status == Status.RESOLVED


def test_a_test_that_ends_late_brings_no_secrets_back(house: SimpleNamespace) -> None:
    removed(house)
    finish(house)
    learnt = Learnt(credentials={"bot_token": "late"}, config={})
    tasks._keep(house.account.pk, house.inbox.pk, learnt)
    assert of(house).credentials == {}


def test_nothing_can_be_answered_and_the_page_says_why(house: SimpleNamespace) -> None:
    conversation = factories.make_conversation(house.inbox)
    removed(house)
    conversation = Conversation.objects.get(pk=conversation.pk)
    with pytest.raises(CannotSendError, match="removed"):
        desk.post_message(conversation, content=Content(text="Hello"), author=house.person)
    page = logged_in(house.person).get(reverse("conversation", args=[conversation.public_id]))
    assert "This inbox was removed, so nothing can be answered in it" in page.content.decode()
    assert "(removed)" in page.content.decode()


def test_an_agent_that_was_for_it_is_not_for_every_inbox_afterwards(
    house: SimpleNamespace,
) -> None:
    agents.attach(house.agent, [house.inbox])
    other = factories.make_inbox(house.account, name="Other")
    gone = removed(house)
    form = AgentForm(agent=house.agent)
    assert set(form.fields["inboxes"].queryset) == {gone, other}  # type: ignore[attr-defined]
    assert form.initial["inboxes"] == [gone.pk]
    another = factories.make_agent(house.account)
    assert set(AgentForm(agent=another).fields["inboxes"].queryset) == {other}  # type: ignore[attr-defined]
    page = logged_in(house.admin).get(reverse("change_agent", args=[house.agent.public_id]))
    assert "Sandbox (removed)" in page.content.decode()
    assert set(Agent.objects.get(pk=house.agent.pk).inboxes.all()) == {gone}


def test_rules_still_know_what_it_was_called(house: SimpleNamespace) -> None:
    removed(house)
    assert names_of_targets()[house.inbox.public_id] == "Sandbox (removed)"


def test_nothing_about_it_needs_attention(house: SimpleNamespace) -> None:
    from tests.integrations.test_attention import failed

    failed(house.inbox)
    Inbox.objects.update(state=Inbox.State.NEEDS_REAUTH)
    assert len(attention.things()) == 2
    removed(house)
    assert attention.things() == []


@pytest.mark.usefixtures("clean_database")
def test_what_waited_to_be_sent_fails_and_says_why() -> None:
    with couriers.Server(couriers.takes) as channel:
        house = couriers.make_house(channel_url=channel.url)
        conversation = factories.make_conversation(house.inbox)
        owner = factories.make_person(house.account, "owner")
        with house.inside():
            message = desk.post_message(conversation, content=Content(text="Hello"), author=None)
            removing.remove_inbox(house.inbox, by=owner)
        with couriers.courier():
            dead = Delivery.all_accounts.filter(kind="send", state=Delivery.State.DEAD)
            couriers.wait_for(dead.exists)
        assert [one for one in channel.requests if one.path == "/send"] == []
    with house.inside():
        message.refresh_from_db()
        assert (message.status, message.error_code) == ("failed", "inbox_removed")
