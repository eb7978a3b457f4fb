"""Who follows a conversation."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Member
from conversations.errors import FieldError
from conversations.models import Conversation, Participant, sees_all


@transaction.atomic
def change_participants(
    conversation: Conversation, *, add: Iterable[Member] = (), remove: Iterable[Member] = ()
) -> None:
    """Some begin to follow, some cease to; who does already, or did not, is passed over.

    Raises `FieldError` for somebody who cannot.
    """
    wanted = {member.pk for member in add}
    _add(conversation, wanted)
    going = {member.pk for member in remove} - wanted
    Participant.objects.filter(conversation=conversation, member__in=going).delete()


@transaction.atomic
def set_participants(conversation: Conversation, members: Iterable[Member]) -> None:
    """They and nobody else. Raises `FieldError` for somebody who cannot."""
    wanted = {member.pk for member in members}
    _add(conversation, wanted)
    following = Participant.objects.filter(conversation=conversation)
    following.exclude(member__in=wanted).delete()


def _add(conversation: Conversation, pks: Collection[int]) -> None:
    following = Participant.objects.filter(conversation=conversation, member__in=pks)
    new = set(pks) - set(following.values_list("member", flat=True))
    _check(conversation, new)
    rows = [Participant(conversation=conversation, member_id=pk) for pk in sorted(new)]
    Participant.objects.bulk_create(rows, ignore_conflicts=True)


def _check(conversation: Conversation, pks: Collection[int]) -> None:
    """Only active people of the account who see the conversation without following it."""
    people = Member.objects.people().active().select_related("account")
    found = list(people.filter(account=conversation.account_id, pk__in=pks))
    if len(found) < len(pks) or not all(_sees(member, conversation) for member in found):
        raise FieldError(
            "participants", _("Only active people who see the conversation can follow it.")
        )


def _sees(member: Member, conversation: Conversation) -> bool:
    if sees_all(member):
        return True
    seen = Conversation.objects.visible_to(member).filter(pk=conversation.pk)
    return bool(seen.exists())


def participants_of(conversation: Conversation) -> list[Member]:
    """Who follows it, by name; without those who have left."""
    people = Member.objects.people().active().filter(account=conversation.account_id)
    following = people.filter(participations__conversation=conversation)
    return list(following.select_related("user").order_by("name", "pk"))
