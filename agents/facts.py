"""What a condition can ask about a conversation, fetched only when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agents.conditions import FIELDS, field_of
from conversations.models import Conversation, Message


class Facts(Mapping[str, Any]):
    """The facts of a conversation and, where there is one, of the message that was said.

    `seen` holds those that a decision has looked at: what stands in the stored Decision.
    """

    def __init__(self, conversation: Conversation, message: Message | None = None) -> None:
        self.seen: dict[str, Any] = {}
        self._conversation = conversation
        self._message = message
        self._readers: dict[str, Callable[[], Any]] = {
            "text": lambda: message.text if message else "",
            "message.kind": lambda: message.kind if message else None,
            "first_message": lambda: message is not None and conversation.inbound_count == 1,
            "channel": lambda: conversation.inbox.platform,
            "inbox": lambda: [conversation.inbox.name, conversation.inbox.public_id],
            "holder": lambda: holder_words(conversation),
            "labels": lambda: conversation.label_names,
            "status": lambda: conversation.status,
            "priority": lambda: conversation.priority,
            "language": lambda: conversation.language,
            "contact.name": lambda: conversation.contact.name,
            "contact.phone": lambda: conversation.contact.phone,
            "contact.language": lambda: conversation.contact.language,
        }

    def __getitem__(self, name: str) -> Any:
        if name not in self.seen:
            value = self._read(name)
            self.seen[name] = value[:500] if isinstance(value, str) else value
            return value
        return self.seen[name] if name != "text" else self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def _read(self, name: str) -> Any:
        if name in self._readers:
            return self._readers[name]()
        field = field_of(name)
        if field is None:
            raise KeyError(name)
        owner = (
            self._conversation.contact
            if field is FIELDS["contact.attributes"]
            else self._conversation
        )
        return owner.attributes.get(name.removeprefix(f"{field.name}."))


def holder_words(conversation: Conversation) -> list[str]:
    """Everything the holder can be called by: `agent`, `person`, `team` or `none`, and the ids."""
    words = []
    if conversation.assignee is not None:
        words += [conversation.assignee.kind, conversation.assignee.public_id]
    if conversation.team is not None:
        words += ["team", conversation.team.public_id]
    return words or ["none"]
