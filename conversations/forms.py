"""What the desk's forms bring."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class ManyFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """Any number of files; the value is a list."""

    widget = ManyFilesInput

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[Any]]:
        return [super(ManyFilesField, self).clean(one, initial) for one in data or ()]


class ReplyForm(forms.Form):
    """The composer: a reply to the customer, or a note for colleagues."""

    mode = forms.ChoiceField(choices=[("reply", _("Reply")), ("note", _("Private note"))])
    text = forms.CharField(max_length=10_000, required=False, strip=True)
    attached = ManyFilesField(required=False)
    client_id = forms.CharField(max_length=60, required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not data.get("text") and not data.get("attached"):
            self.add_error("text", _("Write something first."))
        if data.get("mode") == "note" and data.get("attached"):
            self.add_error(
                "attached", _("Notes carry text only. Remove the files or send a reply.")
            )
        if len(data.get("attached") or ()) > 10:
            self.add_error("attached", _("Send at most ten files at once."))
        return data


class SnoozeForm(forms.Form):
    until = forms.DateTimeField(input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])

    def clean_until(self) -> Any:
        until = self.cleaned_data["until"]
        if until <= timezone.now():
            raise forms.ValidationError(_("Choose a time in the future."))
        return until


class LabelForm(forms.Form):
    name = forms.CharField(max_length=60, strip=True)
    remove = forms.BooleanField(required=False)
