"""Taking in what a customer says: kept as a receipt and read at once, so that the app gets its message."""

from __future__ import annotations

from conversations.messages import Kind
from conversations.models import Address, Inbox, Message
from conversations.services import media
from conversations.uploads import store
from integrations.chatwoot.api_inbox.saying import Saying, file_of
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.params import Params
from integrations.chatwoot.content import MAX_CONTENT, files_of
from integrations.chatwoot.errors import BROKEN, ChatwootError, unprocessable
from integrations.chatwoot.shapes.contacts import source_of
from integrations.models import Receipt
from integrations.posting import take_in_now


def saying_of(given: Params, address: Address, *, name: str) -> Saying:
    """A text, or files with one. Raises `ChatwootError` (422), `CannotSendError`."""
    text = params.text(given, "content", most=MAX_CONTENT)
    files = [store(file, account_id=address.account_id) for file in files_of(given)]
    if not files and not text.strip():
        raise unprocessable("Content can't be blank")
    return Saying(
        contact=source_of(address),
        id=name,
        kind=str(files[0].kind) if files else Kind.TEXT,
        text=text,
        files=[file_of(file) for file in files],
        answers=_quoted(given, address),
    )


def _quoted(given: Params, address: Address) -> str:
    """The channel's name of what it quotes; empty for what the customer has not seen, as theirs passes
    it over."""
    attributes = params.mapping(given, "content_attributes")
    pk, name = (attributes.get(key) for key in ("in_reply_to", "in_reply_to_external_id"))
    number = params.as_number(pk)
    if number is None and not isinstance(name, str):
        return ""
    said = (Message.Direction.INBOUND, Message.Direction.OUTBOUND)
    thread = Message.objects.filter(conversation__address=address, direction__in=said)
    found = thread.filter(external_id=name) if number is None else thread.filter(pk=number)
    return found.values_list("external_id", flat=True).first() or ""


def known(inbox: Inbox, name: str) -> Message | None:
    """What was said under this id before."""
    return Message.objects.filter(inbox=inbox, external_id=name).first()


def hear(inbox: Inbox, said: Saying) -> Message | ChatwootError:
    """The message that it is. An error that is returned, and not raised, leaves the receipt standing."""
    body = said.encoded()
    receipt = take_in_now(inbox, body)
    if receipt.state == Receipt.State.IGNORED or receipt.body != body:
        # Nobody reads it, or its first copy has files of its own: no row names these.
        media.drop(file["path"] for file in said.files)
    message = known(inbox, said.id)
    if message is not None:
        return message
    if receipt.state == Receipt.State.IGNORED:
        return unprocessable(receipt.result.removeprefix("ignored: ").capitalize())
    return ChatwootError(500, BROKEN)
