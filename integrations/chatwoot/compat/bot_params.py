"""What requests say of a bot, the same in an account and over the platform API."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from agents import addresses
from conversations.files import CheckedFile
from integrations.chatwoot import avatars
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.view import TheirView
from integrations.chatwoot.errors import invalid

DIALECT = "chatwoot"
MAX_URL = 2048
MAX_DESCRIPTION = 250
# Their names of what ours are called otherwise.
FIELDS = {"outgoing_url": "url", "name": "name", "description": "description"}


class BotParams(TheirView):
    """A view that takes bots."""

    judges_address = False

    def before_transaction(self) -> None:
        """A name server takes its time, so an address is judged before the transaction opens."""
        method = str(self.request.method).lower()
        if not self.judges_address or method not in ("post", "patch", "put"):
            return
        for name in ("outgoing_url", "avatar_url"):
            url = self.given(name, most=MAX_URL)
            if url and not url.startswith(("http://", "https://")):
                words = name.replace("_", " ").capitalize()
                raise invalid(name, f"{words} must start with http:// or https://")
            if url and (sentence := addresses.problem(url)):
                raise invalid(name, sentence)

    def given(self, name: str, *, most: int = 250) -> str:
        """A parameter, bare or inside `agent_bot`, as their server wraps it."""
        return params.text(self.fields, name, most=most).strip()

    @property
    def fields(self) -> params.Params:
        return params.inside(self.params, "agent_bot")

    def changes(self) -> dict[str, Any]:
        """What the request says anew, by our names."""
        changes: dict[str, Any] = {
            ours: self.given(theirs, most=MAX_URL)
            for theirs, ours in FIELDS.items()
            if theirs in self.fields
        }
        if len(changes.get("description", "")) > MAX_DESCRIPTION:
            raise invalid("description", "Description is too long (maximum is 250 characters)")
        return changes

    def picture(self) -> CheckedFile | None:
        """The file `avatar`, where there is one. Raises `ChatwootError` (422)."""
        given = self.fields.get("avatar")
        if isinstance(given, UploadedFile):
            return avatars.read_upload(given)
        if given:
            raise avatars.refusal(_("Send the avatar as a file of multipart/form-data."))
        return None

    def check_type(self) -> None:
        """Only `webhook`, or its number."""
        if self.fields.get("bot_type") not in (None, "", "webhook", 0, "0"):
            raise invalid("bot_type", "Bot type can only be webhook")
