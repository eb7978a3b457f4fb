"""Contacts as their API makes and changes them: one e-mail, one number and one identifier each."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import OuterRef, Prefetch, Q, QuerySet, Subquery
from django.utils.translation import gettext as _

from accounts.audit import audit
from accounts.models import Member
from accounts.rest.filters import search_words
from conversations import services
from conversations.models import Address, Contact, Conversation, sees_all
from conversations.serializers import ContactChangeSerializer
from conversations.services.attributes import merge
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.params import Params
from integrations.chatwoot.errors import invalid
from integrations.chatwoot.shapes import IDENTIFIER

Rows = QuerySet[Contact]
SORTS = {
    "name": "name",
    "email": "email",
    "phone_number": "phone",
    "created_at": "created_at",
    "last_activity_at": "last_activity",
}
TAKEN = {
    "phone": ("phone_number", "Phone number has already been taken"),
    "email": ("email", "Email has already been taken"),
}


# --- Which ones ----------------------------------------------------------------------------------


def seen_by(member: Member) -> Rows:
    """The contacts this person may see, but for erased ones."""
    rows = Contact.objects.filter(erased_at__isnull=True)
    if sees_all(member):
        return rows
    return rows.filter(pk__in=Conversation.objects.visible_to(member).values("contact"))


def whole(rows: Rows) -> Rows:
    """With what is shown of one, inboxes too."""
    latest = Conversation.objects.filter(contact=OuterRef("pk")).order_by("-last_activity_at")
    addresses = Address.objects.select_related("inbox").order_by("pk")
    return rows.annotate(
        last_activity=Subquery(latest.values("last_activity_at")[:1])
    ).prefetch_related(Prefetch("addresses", addresses), "addresses__identifiers")


def ordered(rows: Rows, given: Params) -> Rows:
    """By `sort`, with a minus in front the other way round. Raises 422."""
    wanted = params.text(given, "sort") or "name"
    name = wanted.removeprefix("-")
    params.choice({"sort": name}, "sort", SORTS)
    return rows.order_by(f"-{SORTS[name]}" if wanted.startswith("-") else SORTS[name], "pk")


def matching(rows: Rows, words: str) -> Rows:
    """Those with these words in name, e-mail, number or identifier."""
    text = search_words(words)
    return rows.filter(
        Q(name__icontains=text)
        | Q(email__icontains=text)
        | Q(phone__contains=text.replace(" ", ""))
        | Q(**{f"attributes__{IDENTIFIER}__icontains": text})
    )


# --- Making and changing -------------------------------------------------------------------------


@transaction.atomic
def create(given: Params, *, by: Member) -> Contact:
    """A new contact. Raises `ChatwootError` (422) for what is taken or cannot be."""
    changes = _changes(given)
    _check_free(changes)
    attributes = merge({}, changes.pop("attributes", {}))
    contact = Contact.objects.create(attributes=attributes, **changes)
    audit("contact.created", by=by, target=contact)
    return contact


@transaction.atomic
def update(contact: Contact, given: Params, *, by: Member) -> Contact:
    """Attributes are merged. Raises `ChatwootError` (422)."""
    changes = _changes(given)
    _check_free(changes, but=contact)
    return services.update_contact(contact, by=by, **changes) if changes else contact


def _changes(given: Params) -> dict[str, Any]:
    """What the request says, under our names."""
    said: dict[str, Any] = {}
    for theirs, ours in (("name", "name"), ("email", "email"), ("phone_number", "phone")):
        if theirs in given:
            said[ours] = params.text(given, theirs).strip()
    if given.get("blocked") is not None:
        said["blocked"] = params.flag(given, "blocked")
    attributes = params.mapping(given, "custom_attributes")
    if "identifier" in given:
        attributes = {**attributes, IDENTIFIER: params.text(given, "identifier").strip() or None}
    if attributes:
        said["attributes"] = attributes
    read = ContactChangeSerializer(data=said, partial=True)
    read.is_valid(raise_exception=True)
    values: dict[str, Any] = read.validated_data
    return values


def _check_free(changes: dict[str, Any], *, but: Contact | None = None) -> None:
    others = Contact.objects.filter(erased_at__isnull=True)
    if but is not None:
        others = others.exclude(pk=but.pk)
    for ours, (theirs, sentence) in TAKEN.items():
        if changes.get(ours) and others.filter(**{f"{ours}__iexact": changes[ours]}).exists():
            raise invalid(theirs, sentence)
    identifier = changes.get("attributes", {}).get(IDENTIFIER)
    if identifier and others.filter(attributes__contains={IDENTIFIER: identifier}).exists():
        raise invalid("identifier", "Identifier has already been taken")


# --- Filter rows ---------------------------------------------------------------------------------

_COLUMNS = {"name": "name", "email": "email", "phone_number": "phone"}


def condition(key: str, operator: str, values: list[Any]) -> Q:
    """One row of a filter. Raises 422."""
    if key == "blocked":
        test = Q(blocked=bool(values) and values[0] in (True, "true"))
        return ~test if operator == "not_equal_to" else test
    column = _COLUMNS.get(key)
    texts = [str(value)[:250] for value in values]
    empty = Q(**{column: ""}) if column else ~Q(attributes__has_key=key)
    found = Q(pk__in=[])
    for value, plain in zip(values, texts, strict=True):
        if operator in ("contains", "does_not_contain") and column:
            found |= Q(**{f"{column}__icontains": plain})
        else:
            found |= (
                Q(**{f"{column}__iexact": plain})
                if column
                else Q(attributes__contains={key: value})
            )
    match operator:
        case "equal_to" | "contains":
            return found
        case "not_equal_to" | "does_not_contain":
            return ~found
        case "is_present":
            return ~empty
        case "is_not_present":
            return empty
    raise invalid("filter_operator", _("This operator is not known here."))
