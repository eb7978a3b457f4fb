"""Their addresses, from the root."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path

from conversations.reports import By
from integrations.chatwoot import avatars
from integrations.chatwoot.compat import (
    agent_bots,
    agents,
    assignments,
    attribute_definitions,
    automation_rules,
    bulk,
    canned_responses,
    contact_notes,
    contacts,
    conversations,
    custom_filters,
    draft_messages,
    listing,
    messages,
    participants,
    people,
    report_lists,
    reports,
    settings,
    webhooks,
)
from integrations.chatwoot.compat.base import END, CompatView, Nowhere
from integrations.chatwoot.compat.profile import Profile

ID = r"\d{1,18}"
CONVERSATION = rf"conversations/(?P<number>{ID})"
BOT = rf"agent_bots/(?P<bot_id>{ID})"
INBOX = rf"inboxes/(?P<inbox_id>{ID})"

CONTACT = rf"contacts/(?P<contact_id>{ID})"
RULE = rf"automation_rules/(?P<rule_id>{ID})"
TEAM = rf"teams/(?P<team_id>{ID})"


def at(below: str, view: type[CompatView], *, version: int = 1, **options: object) -> URLPattern:
    """An address below an account."""
    route = rf"^api/v{version}/accounts/(?P<account_id>{ID})/{below}{END}"
    return re_path(route, view.as_view(**options))


urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("integrations.chatwoot.api_inbox.urls")),
    path("", include("integrations.chatwoot.platform.urls")),
    re_path(rf"^api/v1/profile{END}", Profile.as_view()),
    at("conversations", listing.Conversations),
    at("conversations/meta", listing.Meta),
    at("conversations/search", listing.Search),
    at("conversations/filter", listing.Filter),
    at("bulk_actions", bulk.BulkActions),
    at(CONVERSATION, conversations.OneConversation),
    at(f"{CONVERSATION}/toggle_status", conversations.ToggleStatus),
    at(f"{CONVERSATION}/toggle_priority", conversations.TogglePriority),
    at(f"{CONVERSATION}/toggle_typing_status", conversations.ToggleTyping),
    at(f"{CONVERSATION}/custom_attributes", conversations.CustomAttributes),
    at(f"{CONVERSATION}/labels", conversations.Labels),
    at(f"{CONVERSATION}/assignments", assignments.Assignments),
    at(f"{CONVERSATION}/update_last_seen", conversations.UpdateLastSeen),
    at(f"{CONVERSATION}/unread", conversations.Unread),
    at(f"{CONVERSATION}/transcript", conversations.Transcript),
    at(f"{CONVERSATION}/mute", conversations.Muting),
    at(f"{CONVERSATION}/unmute", conversations.Muting, blocked=False),
    at(f"{CONVERSATION}/participants", participants.Participants),
    at(f"{CONVERSATION}/draft_messages", draft_messages.DraftMessages),
    at(f"{CONVERSATION}/messages", messages.Messages),
    at(f"{CONVERSATION}/attachments", messages.Attachments),
    at(rf"{CONVERSATION}/messages/(?P<message_id>{ID})", messages.OneMessage),
    at("agent_bots", agent_bots.Bots),
    at(BOT, agent_bots.Bot),
    at(f"{BOT}/avatar", agent_bots.BotAvatar),
    at(f"{BOT}/reset_access_token", agent_bots.ResetToken),
    at(f"{BOT}/reset_secret", agent_bots.ResetSecret),
    at(f"{BOT}/agent_bot_inboxes", agent_bots.BotInboxes),
    at(f"{INBOX}/agent_bot", agent_bots.InboxBot),
    at(f"{INBOX}/set_agent_bot", agent_bots.SetInboxBot),
    at("contacts", contacts.Contacts),
    at("contacts/search", contacts.ContactSearch),
    at("contacts/filter", contacts.ContactFilter),
    at(CONTACT, contacts.OneContact),
    at(f"{CONTACT}/destroy_custom_attributes", contacts.DestroyAttributes),
    at(f"{CONTACT}/labels", contacts.ContactLabels),
    at(f"{CONTACT}/notes", contact_notes.ContactNotes),
    at(rf"{CONTACT}/notes/(?P<note_id>{ID})", contact_notes.OneContactNote),
    at(f"{CONTACT}/conversations", contacts.ContactConversations),
    at(f"{CONTACT}/contact_inboxes", contacts.ContactInboxes),
    at(f"{CONTACT}/contactable_inboxes", contacts.ContactableInboxes),
    at("actions/contact_merge", contacts.ContactMerge),
    at("inboxes", settings.Inboxes),
    at(INBOX, settings.OneInbox),
    at(rf"inbox_members/(?P<inbox_id>{ID})", people.InboxMembers),
    at("assignable_agents", people.AssignableAgents),
    at("agents", agents.Agents),
    at(rf"agents/(?P<agent_id>{ID})", agents.OneAgent),
    at("teams", people.Teams),
    at(TEAM, people.OneTeam),
    at(f"{TEAM}/team_members", people.TeamMembers),
    at("labels", settings.AccountLabels),
    at(rf"labels/(?P<label_id>{ID})", settings.OneLabel),
    at("canned_responses", canned_responses.CannedResponses),
    at(rf"canned_responses/(?P<reply_id>{ID})", canned_responses.OneCannedResponse),
    at("custom_attribute_definitions", attribute_definitions.Definitions),
    at(
        rf"custom_attribute_definitions/(?P<definition_id>{ID})",
        attribute_definitions.OneDefinition,
    ),
    at("automation_rules", automation_rules.AutomationRules),
    at(RULE, automation_rules.OneAutomationRule),
    at(f"{RULE}/clone", automation_rules.CloneAutomationRule),
    at("custom_filters", custom_filters.CustomFilters),
    at(rf"custom_filters/(?P<filter_id>{ID})", custom_filters.OneCustomFilter),
    at("webhooks", webhooks.Webhooks),
    at(rf"webhooks/(?P<webhook_id>{ID})", webhooks.OneWebhook),
    at("reports", reports.Series, version=2),
    at("reports/summary", reports.Summary, version=2),
    at("reports/conversations", reports.Standings, version=2),
    at("reports/bot_metrics", reports.BotMetrics, version=2),
    *(
        at(f"reports/{name}", report_lists.Table, version=2, by=by)
        for by, name in report_lists.NAMES.items()
    ),
    at("summary_reports/agent", report_lists.SummaryList, version=2, by=By.MEMBER),
    at("summary_reports/inbox", report_lists.SummaryList, version=2, by=By.INBOX),
    at("summary_reports/label", report_lists.SummaryList, version=2, by=By.LABEL),
    at("summary_reports/team", report_lists.SummaryList, version=2, by=By.TEAM),
    at("summary_reports/channel", report_lists.SummaryOfChannels, version=2),
    path("agent-bots/avatars/<str:signed>", avatars.serve, name=avatars.ROUTE),
    # What is not above is not there, in their words; other platforms have other `/api/` paths.
    re_path(r"^api/v1/(?:accounts|profile)(?:[/.].*)?$", Nowhere.as_view()),
    re_path(r"^api/v2/accounts(?:[/.].*)?$", Nowhere.as_view()),
]
