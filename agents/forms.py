"""The form of an agent; agents.services decides, this checks shape."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Team
from agents import dialects
from agents.addresses import AddressForm
from agents.models import Agent
from agents.services import OF_DEFINITION
from conversations.models import Inbox


def dialect_choices() -> list[tuple[str, str]]:
    return [(dialect.slug, str(dialect.name)) for dialect in dialects.all_dialects()]


class AgentForm(AddressForm):
    name = forms.CharField(
        label=_("Name"), max_length=120, help_text=_("Colleagues see it beside the AI mark.")
    )
    description = forms.CharField(label=_("What it is for"), max_length=250, required=False)
    url = forms.CharField(
        label=_("Address"),
        max_length=2000,
        help_text=_("Where we send what happens, such as https://agent.example.com/hook."),
        widget=forms.URLInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    dialect = forms.ChoiceField(
        label=_("Dialect"),
        choices=dialect_choices,
        help_text=_("The shape of requests and answers it was written for."),
    )
    patience_s = forms.IntegerField(
        label=_("Patience in seconds"),
        min_value=10,
        max_value=1800,
        initial=90,
        help_text=_("Without an answer in this time, people get the conversation."),
    )
    fallback_team = forms.ModelChoiceField(
        label=_("Fallback team"),
        queryset=Team.objects.none(),
        required=False,
        empty_label=_("The inbox's, else everybody"),
    )
    fallback_text = forms.CharField(
        label=_("What the customer reads then"),
        max_length=1000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Sent when people take over after silence; at most once a day. May be empty."),
    )
    stale_gate = forms.TypedChoiceField(
        label=_("What it says after losing a conversation"),
        choices=[
            ("", _("As is usual in its dialect")),
            ("on", _("Is kept as a draft")),
            ("off", _("Is sent, and marked as late")),
        ],
        coerce=lambda chosen: chosen == "on",
        empty_value=None,
        required=False,
        help_text=_("Kept as a draft, one speaker has the customer at a time."),
    )
    inboxes = forms.ModelMultipleChoiceField(
        label=_("Inboxes"),
        queryset=Inbox.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: every inbox."),
    )

    def __init__(self, *args: Any, agent: Agent | None = None, **kwargs: Any) -> None:
        super().__init__(*args, known=agent.endpoint.url if agent else "", **kwargs)
        self._offer("fallback_team", Team.objects.order_by("name"))
        # What it was for stays chosen when that was removed: without any, it is for every inbox.
        offered = Q(removed_at__isnull=True) | Q(agents=agent) if agent else Q(removed_at=None)
        self._offer("inboxes", Inbox.objects.filter(offered).distinct().order_by("name"))
        if agent is not None:
            self.initial = {
                "name": agent.name,
                "description": agent.description,
                "url": agent.endpoint.url,
                "dialect": agent.dialect,
                "patience_s": agent.patience_s,
                "fallback_team": agent.fallback_team_id,
                "fallback_text": agent.fallback_text,
                "stale_gate": "on" if agent.stale_gate else "off",
                "inboxes": list(agent.inboxes.values_list("pk", flat=True)),
            }
            if agent.system_id is not None:
                self._leave_out_definition()

    def _leave_out_definition(self) -> None:
        for name in OF_DEFINITION & self.fields.keys():
            del self.fields[name]

    def _offer(self, name: str, rows: Any) -> None:
        self.fields[name].queryset = rows  # type: ignore[attr-defined]  # a model choice field


class NewAgentForm(AgentForm):
    first = forms.BooleanField(
        label=_("New chats go to this agent"),
        required=False,
        initial=True,
        help_text=_("Makes two rules: new chats to it, and who asks for a person gets one."),
    )

    def __init__(self, *args: Any, has_rules: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if has_rules:
            del self.fields["first"]


class TakeInForm(NewAgentForm):
    """An agent of the installation: what the account chooses itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._leave_out_definition()
