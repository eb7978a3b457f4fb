"""Contacts as their API makes and changes them: one e-mail, one number and one identifier each."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import OuterRef, Prefetch, Q, QuerySet, Subquery
from django.utils.translation import gettext as _

from accounts.models import Member
from accounts.rest.filters import search_words
from conversations import services
from conversations.models import Address, Contact, ContactLabel, Conversation, sees_all
from conversations.serializers import ContactChangeSerializer
from integrations.chatwoot import comparing
from integrations.chatwoot.comparing import any_of
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.params import Params
from integrations.chatwoot.errors import invalid

Rows = QuerySet[Contact]
LAST_ACTIVITY = "last_activity"
SORTS = {
    "name": "name",
    "email": "email",
    "phone_number": "phone",
    "created_at": "created_at",
    "last_activity_at": LAST_ACTIVITY,
}
# Our name of a column → theirs. No two contacts have the same in one of them.
COLUMNS = {"email": "email", "phone": "phone_number", "identifier": "identifier"}
TAKEN = {
    "email": "Email has already been taken",
    "phone": "Phone number has already been taken",
    "identifier": "Identifier has already been taken",
}


# --- Which ones ----------------------------------------------------------------------------------


def seen_by(member: Member) -> Rows:
    """The contacts this person may see, but for erased ones, and for those who are somebody else now."""
    rows = present()
    if sees_all(member):
        return rows
    return rows.filter(pk__in=Conversation.objects.visible_to(member).values("contact"))


def present() -> Rows:
    """Everybody who is still somebody: neither erased nor merged into another."""
    rows: Rows = Contact.objects.present().filter(erased_at__isnull=True)
    return rows


def labelled(rows: Rows, names: list[str]) -> Rows:
    """Those with any of these labels; all of them where none is named."""
    return rows.filter(_has_label(names)) if names else rows


def _has_label(names: list[str]) -> Q:
    return Q(pk__in=ContactLabel.objects.filter(label__name__in=names).values("contact"))


def present_id(pk: int) -> int:
    """Of somebody who was merged, the id of the one they are now."""
    merged = Contact.objects.filter(pk=pk).exclude(merged_into=None)
    return merged.values_list("merged_into", flat=True).first() or pk


def whole(rows: Rows) -> Rows:
    """With what is shown of one, inboxes too."""
    addresses = Address.objects.select_related("inbox").filter(inbox__removed_at=None)
    return with_activity(rows).prefetch_related(
        Prefetch("addresses", addresses.order_by("pk")), "addresses__identifiers"
    )


def with_activity(rows: Rows) -> Rows:
    """With `last_activity`: when something was last said with them."""
    latest = Conversation.objects.filter(contact=OuterRef("pk")).order_by("-last_activity_at")
    return rows.annotate(**{LAST_ACTIVITY: Subquery(latest.values("last_activity_at")[:1])})


def ordered(rows: Rows, given: Params) -> Rows:
    """By `sort`, with a minus in front the other way round. Raises 422."""
    wanted = params.text(given, "sort") or "name"
    name = wanted.removeprefix("-")
    params.choice({"sort": name or wanted}, "sort", SORTS)
    return rows.order_by(f"-{SORTS[name]}" if wanted.startswith("-") else SORTS[name], "pk")


def matching(rows: Rows, words: str) -> Rows:
    """Those with these words in name, e-mail, number or identifier."""
    found: Rows = rows.matching(search_words(words))  # type: ignore[attr-defined]  # of contacts
    return found


# --- Making and changing -------------------------------------------------------------------------


@transaction.atomic
def create(given: Params, *, by: Member) -> Contact:
    """A new contact. Raises `ChatwootError` (422) for what is taken or cannot be, `FieldError` for
    nobody."""
    changes = changes_of(given)
    _check_free(changes)
    return services.create_contact(by=by, **changes)


@transaction.atomic
def update(contact: Contact, given: Params, *, by: Member) -> Contact:
    """Attributes are merged. Raises `ChatwootError` (422)."""
    changes = changes_of(given)
    _check_free(changes, but=contact)
    return services.update_contact(contact, by=by, **changes) if changes else contact


def changes_of(given: Params) -> dict[str, Any]:
    """What the request says, under our names."""
    said: dict[str, Any] = {}
    for ours, theirs in {"name": "name", **COLUMNS}.items():
        if theirs in given:
            said[ours] = params.text(given, theirs).strip()
    if given.get("blocked") is not None:
        said["blocked"] = params.flag(given, "blocked")
    attributes = params.mapping(given, "custom_attributes")
    if attributes:
        said["attributes"] = attributes
    read = ContactChangeSerializer(data=said, partial=True)
    read.is_valid(raise_exception=True)
    values: dict[str, Any] = read.validated_data
    return values


def _check_free(changes: dict[str, Any], *, but: Contact | None = None) -> None:
    others = present() if but is None else present().exclude(pk=but.pk)
    for ours, sentence in TAKEN.items():
        if changes.get(ours) and others.filter(_same(ours, changes[ours])).exists():
            raise invalid(COLUMNS[ours], sentence)


def _same(column: str, value: str) -> Q:
    """E-mails whatever their case, numbers with or without their plus; equality is what an index finds."""
    if column == "email":
        return Q(email__iexact=value)
    if column == "phone":
        return Q(phone=value) | Q(phone=value.removeprefix("+"))
    return Q(identifier=value)


# --- Filter rows ---------------------------------------------------------------------------------

_COLUMNS = {
    "name": "name",
    "email": "email",
    "phone_number": "phone",
    "identifier": "identifier",
}
_TIMES = {"created_at": "created_at", "last_activity_at": LAST_ACTIVITY}


def condition(key: str, operator: str, values: list[Any]) -> Q:
    """One row of a filter, of contacts `with_activity`. Raises 422."""
    if key in _COLUMNS:
        return _by_column(key, operator, [str(value)[:250] for value in values])
    if key in _TIMES:
        return comparing.time(_TIMES[key], key, operator, values)
    if key == "blocked":
        so = bool(values) and values[0] in (True, "true")
        return comparing.same_or_not(operator, Q(blocked=so))
    if key == "labels":
        return _by_label(operator, [str(value)[:60] for value in values])
    return comparing.attribute(key, operator, values)


def _by_column(key: str, operator: str, texts: list[str]) -> Q:
    column = _COLUMNS[key]
    match operator:
        case "equal_to" | "not_equal_to":
            found = any_of(_equal(column, text) for text in texts)
        case "contains" | "does_not_contain":
            found = any_of(Q(**{f"{column}__icontains": text}) for text in texts)
        case "starts_with":
            found = any_of(_beginning(column, text) for text in texts)
        case "is_present" | "is_not_present":
            found = ~Q(**{column: ""})
        case _:
            raise invalid("filter_operator", _("This operator is not known here."))
    return ~found if "not" in operator else found


def _equal(column: str, text: str) -> Q:
    """Numbers with or without their plus, everything else whatever its case."""
    return _same(column, _number(text)) if column == "phone" else Q(**{f"{column}__iexact": text})


def _beginning(column: str, text: str) -> Q:
    return Q(**{f"{column}__istartswith": _number(text) if column == "phone" else text})


def _number(text: str) -> str:
    """A phone number, or how one begins, as we write it."""
    return f"+{text.removeprefix('+')}"


def _by_label(operator: str, names: list[str]) -> Q:
    any_at_all = Q(pk__in=ContactLabel.objects.values("contact"))
    match operator:
        case "equal_to" | "contains":
            return _has_label(names)
        case "not_equal_to" | "does_not_contain":
            return ~_has_label(names)
        case "is_present":
            return any_at_all
        case "is_not_present":
            return ~any_at_all
    raise comparing.unknown(operator, ("equal_to", "not_equal_to", "is_present", "is_not_present"))
