"""Labels: which there are, and which stand on a conversation or a contact."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext as _

from accounts.audit import audit
from accounts.models import Member
from conversations.errors import FieldError, TakenError
from conversations.models import Contact, ContactLabel, Conversation, ConversationLabel, Label
from conversations.services import events
from conversations.services.contacts import lock_present
from conversations.services.holding import check_may_act
from conversations.services.lines import add_line
from conversations.services.locking import lock

LONGEST = 60
_COLOUR = re.compile(r"[a-z]{1,12}|#[0-9a-f]{6}")
_FIELDS = frozenset({"name", "colour", "description", "in_filters"})
# The ORM has no word for the weakest lock.
_KEEP = "SELECT 1 FROM conversations_label WHERE id = %s FOR KEY SHARE"


# --- Which there are -----------------------------------------------------------------------------


@transaction.atomic
def create_label(*, by: Member, **fields: Any) -> Label:
    """A label by `name`, with `colour`, `description`, `in_filters`. Raises `FieldError`, `TakenError`."""
    label = Label()
    _write(label, fields)
    audit("label.created", by=by, target=label)
    return label


@transaction.atomic
def update_label(label: Label, *, by: Member, **changes: Any) -> Label:
    """Rename it everywhere, or change how it looks. Raises `FieldError`, `TakenError`."""
    label = Label.objects.select_for_update().get(pk=label.pk)
    before = {name: getattr(label, name) for name in changes}
    _write(label, changes)
    changed = {
        name: [old, new] for name, old in before.items() if (new := getattr(label, name)) != old
    }
    if changed:
        audit("label.changed", by=by, target=label, changes=changed)
    return label


@transaction.atomic
def delete_label(label: Label, *, by: Member) -> None:
    """It comes off everything that has it. Who adds it at this moment is waited for."""
    label = Label.objects.select_for_update().get(pk=label.pk)
    audit("label.deleted", by=by, target=label)
    label.delete()


def _write(label: Label, values: dict[str, Any]) -> None:
    if unknown := values.keys() - _FIELDS:
        raise TypeError(f"not a column to change: {', '.join(sorted(unknown))}")
    for name, value in values.items():
        setattr(label, name, value.strip() if isinstance(value, str) else value)
    if not 0 < len(label.name) <= LONGEST:
        raise FieldError("name", _("A label's name has up to 60 letters."))
    label.colour = label.colour.lower()
    if not _COLOUR.fullmatch(label.colour):
        raise FieldError("colour", _("A colour is a name such as blue, or six digits: #1f93ff."))
    try:
        with transaction.atomic():
            label.save()
    except IntegrityError as error:
        if "label_name_once" not in str(error):
            raise
        raise TakenError("name", _("There is a label of this name already.")) from error


# --- On conversations ----------------------------------------------------------------------------


@transaction.atomic
def add_labels(
    conversation: Conversation, names: Iterable[str], *, by: Member | None
) -> Conversation:
    """Add labels by name; unknown ones are made. Adding one that is there changes nothing."""
    conversation = lock(conversation)
    check_may_act(conversation, by)
    for label in _labels(clean(names)):
        if _put_on(conversation, label, by=by):
            events.record(conversation, "conversation.updated", actor=by, labels_added=[label.name])
    return conversation


@transaction.atomic
def remove_labels(
    conversation: Conversation, names: Iterable[str], *, by: Member | None
) -> Conversation:
    """Take labels off; those that are not there are passed over."""
    conversation = lock(conversation)
    check_may_act(conversation, by)
    for name in clean(names):
        if _take_off(conversation, name, by=by):
            events.record(conversation, "conversation.updated", actor=by, labels_removed=[name])
    return conversation


@transaction.atomic
def set_labels(
    conversation: Conversation, names: Iterable[str], *, by: Member | None
) -> Conversation:
    """These labels and no others, told in one event; unknown ones are made."""
    conversation = lock(conversation)
    check_may_act(conversation, by)
    wanted = clean(names)
    had = set(conversation.labels.values_list("name", flat=True))
    added = [name for name in wanted if name not in had]
    removed = sorted(had - set(wanted))
    for label in _labels(added):
        _put_on(conversation, label, by=by)
    for name in removed:
        _take_off(conversation, name, by=by)
    changes = {"labels_added": added, "labels_removed": removed}
    told: dict[str, Any] = {key: value for key, value in changes.items() if value}
    if told:
        events.record(conversation, "conversation.updated", actor=by, **told)
    return conversation


def _put_on(conversation: Conversation, label: Label, *, by: Member | None) -> bool:
    _link, added = ConversationLabel.objects.get_or_create(conversation=conversation, label=label)
    if added:
        add_line(conversation, "labelled", by=by, label=label.name)
    return added


def _take_off(conversation: Conversation, name: str, *, by: Member | None) -> bool:
    removed, _rows = ConversationLabel.objects.filter(
        conversation=conversation, label__name=name
    ).delete()
    if removed:
        add_line(conversation, "unlabelled", by=by, label=name)
    return bool(removed)


# --- On contacts ---------------------------------------------------------------------------------


def add_contact_labels(contact: Contact, names: Iterable[str]) -> Contact:
    """Add labels by name; unknown ones are made. Raises `WrongStateError` for an erased contact."""
    return _relabel(contact, add=clean(names))


def remove_contact_labels(contact: Contact, names: Iterable[str]) -> Contact:
    """Take labels off; those that are not there are passed over. Raises `WrongStateError`."""
    return _relabel(contact, remove=clean(names))


@transaction.atomic
def set_contact_labels(contact: Contact, names: Iterable[str]) -> Contact:
    """These labels and no others; unknown ones are made. Raises `WrongStateError`."""
    contact = lock_present(contact)
    wanted = clean(names)
    had = set(contact.labels.values_list("name", flat=True))
    return _relabel(contact, add=wanted, remove=sorted(had - set(wanted)))


@transaction.atomic
def _relabel(contact: Contact, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Contact:
    contact = lock_present(contact)
    changed = 0
    for label in _labels(add):
        _link, added = ContactLabel.objects.get_or_create(contact=contact, label=label)
        changed += added
    if remove:
        links = ContactLabel.objects.filter(contact=contact, label__name__in=remove)
        changed += links.delete()[0]
    if changed:
        contact.save(update_fields=["updated_at"])
    return contact


def _labels(names: Sequence[str]) -> list[Label]:
    """The labels of these names in their order. Missing ones are made in one order everywhere, before
    anything hangs on them, so that two calls never wait for each other."""
    found = {name: _label(name) for name in sorted(names)}
    return [found[name] for name in names]


def _label(name: str) -> Label:
    """The label of this name, made where there is none. Whoever deletes it waits for this transaction:
    the database looks at its foreign keys only when one is committed."""
    label, made = Label.objects.get_or_create(name=name)
    while not made and not _keeps(label):  # deleted while we waited for it
        label, made = Label.objects.get_or_create(name=name)
    return label


def _keeps(label: Label) -> bool:
    """Whether it is still there, and then stays; others may keep it at the same time."""
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [label.pk])
        return cursor.fetchone() is not None


def clean(names: Iterable[str]) -> list[str]:
    """Names as they are kept, each once and in this order."""
    return list(dict.fromkeys(name for raw in names if (name := raw.strip()[:LONGEST])))
