"""Attributes of contacts and conversations: setting them, and what an account defines of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.audit import audit
from accounts.models import Member
from conversations.attributes import misfit
from conversations.errors import FieldError, TakenError
from conversations.models import AttributeDefinition, Contact, Conversation
from conversations.services import events
from conversations.services.holding import check_may_act
from conversations.services.knowing import known_of, tell_changed
from conversations.services.locking import lock

MOST_VALUES = 200
LONGEST_VALUE = 250
_KEY = re.compile(r"[\w.-]{1,60}")
_FIELDS = frozenset({"name", "description", "kind", "values"})


# --- Setting -------------------------------------------------------------------------------------


@transaction.atomic
def set_attributes(
    conversation: Conversation,
    values: Mapping[str, Any],
    *,
    by: Member | None,
    on: str = "contact",
) -> Conversation:
    """Merge `values` into the contact's (or with `on="conversation"` its own) attributes.

    A value of None removes the key. Raises `FieldError` for what does not fit its definition.
    """
    return _change(conversation, values, by=by, on=on)


@transaction.atomic
def replace_attributes(
    conversation: Conversation,
    values: Mapping[str, Any],
    *,
    by: Member | None,
    on: str = "conversation",
) -> Conversation:
    """These attributes and no others; the event names those that are gone with None.

    Raises `FieldError` for what does not fit its definition.
    """
    conversation = lock(conversation)
    had = conversation.contact.attributes if on == "contact" else conversation.attributes
    return _change(conversation, {**dict.fromkeys(had), **values}, by=by, on=on)


def _change(
    conversation: Conversation, values: Mapping[str, Any], *, by: Member | None, on: str
) -> Conversation:
    conversation = lock(conversation)
    check_may_act(conversation, by)
    check_fit(on, values)
    before: dict[str, Any] = {}
    if on == "contact":
        contact = Contact.objects.select_for_update().get(pk=conversation.contact_id)
        was = known_of(contact)
        contact.attributes = merge(contact.attributes, values)
        contact.save(update_fields=["attributes", "updated_at"])
        tell_changed(contact, was)
        conversation.contact = contact
    else:
        before["attributes"] = conversation.attributes
        conversation.attributes = merge(conversation.attributes, values)
        conversation.save(update_fields=["attributes", "updated_at"])
    events.record(
        conversation,
        "conversation.updated",
        actor=by,
        attributes={on: dict(values)},
        before=before,
    )
    return conversation


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """`old` with what is `new`; None removes."""
    return {name: value for name, value in {**old, **new}.items() if value is not None}


def check_fit(on: str, values: Mapping[str, Any]) -> None:
    """Raises `FieldError` for the first value that does not fit what the account has defined."""
    given = [key for key, value in values.items() if value is not None]
    if not given:
        return
    for definition in AttributeDefinition.objects.filter(of=on, key__among=given).order_by("key"):
        if sentence := misfit(definition, values[definition.key]):
            raise FieldError("attributes", sentence)


# --- Defining ------------------------------------------------------------------------------------


@transaction.atomic
def define_attribute(*, of: str, key: str, by: Member, **fields: Any) -> AttributeDefinition:
    """Say what the attribute `key` of contacts or conversations is: `name`, `kind`, `description`,
    `values` of a list. What stands there already stays. Raises `FieldError`, `TakenError`."""
    definition = AttributeDefinition(of=AttributeDefinition.Of(of), key=key.strip())
    if not _KEY.fullmatch(definition.key):
        raise FieldError("key", _("A key has up to 60 letters, digits and underscores."))
    _write(definition, fields)
    audit("attribute.defined", by=by, target=definition)
    return definition


@transaction.atomic
def update_definition(
    definition: AttributeDefinition, *, by: Member, **changes: Any
) -> AttributeDefinition:
    """Everything but its key may change. Raises `FieldError`."""
    definition = AttributeDefinition.objects.select_for_update().get(pk=definition.pk)
    _write(definition, changes)
    audit("attribute.changed", by=by, target=definition, changes={"changed": sorted(changes)})
    return definition


@transaction.atomic
def delete_definition(definition: AttributeDefinition, *, by: Member) -> None:
    """Its values stay where they are, and may be anything from now on."""
    audit("attribute.deleted", by=by, target=definition)
    definition.delete()


def _write(definition: AttributeDefinition, values: dict[str, Any]) -> None:
    if unknown := values.keys() - _FIELDS:
        raise TypeError(f"not a column to change: {', '.join(sorted(unknown))}")
    for name, value in values.items():
        setattr(definition, name, value)
    definition.name = definition.name.strip() or definition.key
    is_list = definition.kind == AttributeDefinition.Kind.LIST
    offered = [value.strip() for value in definition.values if value.strip()] if is_list else []
    definition.values = list(dict.fromkeys(offered))
    if is_list and not 0 < len(definition.values) <= MOST_VALUES:
        raise FieldError("values", _("A list offers between 1 and 200 values."))
    if any(len(value) > LONGEST_VALUE for value in definition.values):
        # The database would cut it off without a word.
        raise FieldError("values", _("A value of a list has up to 250 letters."))
    try:
        with transaction.atomic():
            definition.save()
    except IntegrityError as error:
        if "attribute_definition_once" not in str(error):
            raise
        raise TakenError("key", _("This attribute is defined already.")) from error
