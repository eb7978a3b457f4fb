"""Deleting an inbox by their API: gone from it at once, and what was said stays."""

from __future__ import annotations

from types import SimpleNamespace

from accounts.tenancy import account_context
from conversations.models import Conversation, Inbox
from integrations import tasks
from tests.factories import make_inbox
from tests.integrations.chatwoot.compat import contract

DELETED = {"message": str}


def test_an_inbox_is_deleted_and_what_was_said_in_it_stays(
    woot: SimpleNamespace, held: Conversation
) -> None:
    inbox = woot.house.inbox.pk
    body = woot.admin.delete(f"inboxes/{inbox}").json()
    contract.check(body, DELETED)
    assert "deletion request" in body["message"]
    assert woot.admin.get("inboxes").json() == {"payload": []}
    assert tasks.finish_removing(woot.account_id, inbox) == 1
    shown = woot.admin.get(f"conversations/{held.number}").json()
    contract.check(shown, contract.CONVERSATION)
    assert (shown["status"], shown["inbox_id"]) == ("resolved", inbox)
    said = woot.admin.get(f"conversations/{held.number}/messages").json()["payload"]
    assert "Hello, I need help" in [one["content"] for one in said]
    refused = woot.admin.post(f"conversations/{held.number}/messages", {"content": "Hello?"})
    assert (refused.status_code, refused.json()) == (422, {"error": "This inbox was removed."})


def test_nothing_can_be_begun_or_set_there(woot: SimpleNamespace, held: Conversation) -> None:
    inbox, contact = woot.house.inbox.pk, held.contact_id
    [address] = woot.admin.get(f"contacts/{contact}").json()["payload"]["contact_inboxes"]
    woot.admin.delete(f"inboxes/{inbox}")
    for response in (
        woot.admin.get(f"inboxes/{inbox}"),
        woot.admin.patch(f"inboxes/{inbox}", {"name": "Back"}),
        woot.admin.delete(f"inboxes/{inbox}"),
        woot.admin.get(f"inboxes/{inbox}/agent_bot"),
        woot.admin.post(f"inboxes/{inbox}/set_agent_bot", {"agent_bot": woot.bot_id}),
        woot.admin.post(f"agent_bots/{woot.bot_id}/agent_bot_inboxes", {"inbox_id": inbox}),
        woot.admin.get(f"inbox_members/{inbox}"),
        woot.admin.get("assignable_agents", **{"inbox_ids[]": inbox}),
        woot.admin.post(f"contacts/{contact}/contact_inboxes", {"inbox_id": inbox}),
        woot.admin.post("conversations", {"inbox_id": inbox, "contact_id": contact}),
    ):
        assert response.status_code == 404, response.request["PATH_INFO"]
    assert woot.admin.get(f"contacts/{contact}").json()["payload"]["contact_inboxes"] == []
    able = woot.admin.get(f"contacts/{contact}/contactable_inboxes").json()
    assert able == {"payload": []}
    by_name = {"source_id": address["source_id"], "contact_id": contact}
    assert woot.admin.post("conversations", by_name).status_code in (404, 422)


def test_only_administrators_delete(woot: SimpleNamespace) -> None:
    path = f"inboxes/{woot.house.inbox.pk}"
    for caller in (woot.bot, woot.person, woot.supervisor, woot.outsider):
        assert caller.delete(path).status_code == 401
    foreign = make_inbox(woot.house.outsider_account)
    assert woot.owner.delete(f"inboxes/{foreign.pk}").status_code == 404
    for account in (woot.house.account, woot.house.outsider_account):
        with account_context(account):
            assert Inbox.objects.present().exists()
