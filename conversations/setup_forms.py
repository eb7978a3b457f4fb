"""Forms of what an account sets up for its desk."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Member, Team
from conversations.models import AttributeDefinition, Label, SavedReply
from conversations.models.saved_reply import teams_for


class SavedReplyForm(forms.ModelForm[SavedReply]):
    team = forms.ModelChoiceField(
        label=_("Team"),
        queryset=Team.objects.none(),
        required=False,
        empty_label=_("Everybody"),
        help_text=_("Only this team is offered it."),
    )

    class Meta:
        model = SavedReply
        fields = ("code", "text")
        labels = {"code": _("Short code"), "text": _("Text")}
        help_texts = {
            "code": _("What is typed after / in the composer, for instance: hours."),
            "text": _(
                "Filled in when it is chosen: {{contact.name}}, {{contact.first_name}},"
                " {{contact.phone}}, {{contact.email}}, {{conversation.number}}, {{member.name}},"
                " {{member.first_name}}, {{account.name}}, {{contact.attributes.…}} and"
                " {{conversation.attributes.…}}."
            ),
        }
        widgets = {"text": forms.Textarea(attrs={"rows": 6, "dir": "auto", "maxlength": 10_000})}

    def __init__(self, *args: Any, member: Member, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        team: Any = self.fields["team"]
        team.queryset, team.initial = teams_for(member).order_by("name"), self.instance.team_id

    def validate_unique(self) -> None:
        """The service knows; asking here would say it in other words."""


class LabelSetupForm(forms.ModelForm[Label]):
    class Meta:
        model = Label
        fields = ("name", "colour", "description", "in_filters")
        labels = {
            "name": _("Name"),
            "colour": _("Colour"),
            "description": _("What it is for"),
            "in_filters": _("Offer it as a filter of the inbox"),
        }
        widgets = {"colour": forms.TextInput(attrs={"type": "color"})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The colour field of browsers knows digits only.
        self.initial["colour"] = self.instance.shade

    def validate_unique(self) -> None:
        """The service knows; asking here would say it in other words."""


class DefinitionForm(forms.ModelForm[AttributeDefinition]):
    """A new one; `of` and `key` of one that is there stay as they are."""

    values = forms.CharField(
        label=_("Values of the list"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_("One on each line, for “one of a list” only."),
    )

    class Meta:
        model = AttributeDefinition
        fields = ("of", "key", "name", "description", "kind")
        labels = {
            "of": _("Of"),
            "key": _("Key"),
            "name": _("Name"),
            "description": _("What it is for"),
            "kind": _("Kind"),
        }
        help_texts = {"key": _("As programs write it, for instance: order_number.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            del self.fields["of"], self.fields["key"]
            self.initial["values"] = "\n".join(self.instance.values)

    def clean_values(self) -> list[str]:
        return str(self.cleaned_data["values"]).splitlines()

    def validate_unique(self) -> None:
        """The service knows; asking here would say it in other words."""
