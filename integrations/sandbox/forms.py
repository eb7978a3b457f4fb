"""What the phone posts to Django: a message without script, and a file ahead of its message."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from conversations.files import CheckedFile, RefusedFileError, check_upload
from integrations.sandbox.channel import MAX_CHOICE, MAX_TEXT


class UploadForm(forms.Form):
    """`cleaned_data["file"]` is a `CheckedFile`."""

    file = forms.FileField(required=True, max_length=5000)
    voice = forms.BooleanField(required=False)

    # The HTTP status of the refusal: 413, 415, or 400 for a request without a file.
    status = 400

    def clean_file(self) -> CheckedFile | None:
        given: UploadedFile[bytes] | None = self.cleaned_data["file"]
        if given is None:
            return None
        try:
            return check_upload(
                given.read(), filename=given.name or "", claimed=given.content_type or ""
            )
        except RefusedFileError as error:
            self.status = error.status
            raise forms.ValidationError(error.message) from error


class SayForm(UploadForm):
    """A whole message from a browser without script: text, file, or a tapped choice."""

    file = forms.FileField(required=False, max_length=5000)
    text = forms.CharField(required=False, max_length=MAX_TEXT)
    choice_id = forms.CharField(required=False, max_length=MAX_CHOICE)
    choice_title = forms.CharField(required=False, max_length=MAX_CHOICE)
    choice_from = forms.CharField(required=False, max_length=10)
    reply_to = forms.CharField(required=False, max_length=250)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not (given.get("text") or given.get("file") or given.get("choice_id") or self.errors):
            raise forms.ValidationError(_("Write something first."))
        return given
