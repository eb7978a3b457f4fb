"""Questions that the ORM writes once give what it would give, in every account and with all that hangs on it."""

from __future__ import annotations

import pytest
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet

from accounts.models import Team
from accounts.prepared import KEY, KEYS, WORD, WORDS, fetched, prepared
from accounts.tenancy import NoAccountError, account_context
from conversations.models import (
    AddressIdentifier,
    Conversation,
    ConversationLabel,
    Label,
    Message,
)
from tests import factories

pytestmark = pytest.mark.django_db


@prepared(KEYS)
def conversations_of(pks) -> QuerySet[Conversation]:
    rows = Conversation.objects.select_related("contact", "assignee", "address__inbox")
    return rows.filter(pk__among=pks).order_by("id")


@prepared(WORDS, KEY)
def named(values, inbox_id) -> QuerySet[AddressIdentifier]:
    """The values come in another order than the function names them."""
    return AddressIdentifier.objects.filter(inbox_id=inbox_id, value__among=values)


@prepared(WORD)
def team_names(name) -> QuerySet[Team, tuple[int, str]]:
    return Team.objects.filter(name=name).values_list("pk", "name")


@prepared(KEYS)
def labelled(pks) -> QuerySet[Conversation]:
    texts = Message.objects.filter(conversation=OuterRef("pk")).values("text")
    rows = Conversation.objects.select_related("contact").with_labels()
    return rows.annotate(said=ArraySubquery(texts)).filter(pk__among=pks)


@prepared(KEYS)
def prefetching(pks) -> QuerySet[Conversation]:
    return Conversation.objects.prefetch_related("labels").filter(pk__among=pks)


@prepared(KEYS)
def useless(pks) -> QuerySet[Team]:
    return Team.objects.all()


@pytest.fixture
def two():
    """One conversation in each of two accounts."""
    made = []
    for _ in range(2):
        account = factories.make_account()
        with account_context(account):
            conversation = factories.make_conversation(factories.make_inbox(account))
            Conversation.objects.filter(pk=conversation.pk).update(attributes={"order": ["A", 1]})
        made.append((account, conversation))
    return made


def test_models_are_what_the_orm_gives(two):
    account, conversation = two[0]
    with account_context(account):
        [found] = conversations_of([conversation.pk])
        [same] = Conversation.objects.select_related(
            "contact", "assignee", "address__inbox"
        ).filter(pk=conversation.pk)
        for field in Conversation._meta.concrete_fields:
            assert getattr(found, field.attname) == getattr(same, field.attname)
        assert found.attributes == {"order": ["A", 1]}
        assert found.assignee is None
        assert found.address.inbox == same.address.inbox
        assert not found._state.adding


def test_what_was_selected_with_it_is_not_asked_for_again(two, django_assert_num_queries):
    account, conversation = two[0]
    with account_context(account):
        conversations_of([conversation.pk])
        with django_assert_num_queries(1):
            [found] = conversations_of({conversation.pk})
            assert found.contact.pk == conversation.contact_id
            assert found.address.inbox.pk == conversation.inbox_id


def test_each_account_sees_its_own_rows_only(two):
    pks = [conversation.pk for _account, conversation in two]
    for account, conversation in two:
        with account_context(account):
            assert conversations_of(pks) == [conversation]


def test_nobody_is_asked_without_an_account(two):
    with pytest.raises(NoAccountError):
        conversations_of([two[0][1].pk])


def test_what_was_annotated_comes_with_it(two, django_assert_num_queries):
    account, conversation = two[0]
    with account_context(account):
        for name in ("vip", "Größe"):
            label = Label.objects.create(name=name)
            ConversationLabel.objects.create(conversation=conversation, label=label)
        labelled([conversation.pk])
        with django_assert_num_queries(1):
            [found] = labelled([conversation.pk])
            assert set(found.known_labels or ()) == {"Größe", "vip"}
            assert vars(found)["said"] == ["Hello"]
            assert found.contact.pk == conversation.contact_id


def test_several_values_go_where_they_belong(two):
    account, conversation = two[0]
    with account_context(account):
        identifiers = list(conversation.address.identifiers.all())
        values = {one.value for one in identifiers}
        assert named(values, conversation.inbox_id) == identifiers
        assert named(values, conversation.inbox_id + 1) == []
        assert named([], conversation.inbox_id) == []


def test_values_of_columns_come_as_tuples(two):
    account = two[0][0]
    with account_context(account):
        team = Team.objects.create(name="Sales “%s”")
        assert team_names("Sales “%s”") == [(team.pk, team.name)]
        assert team_names("Support") == []


def test_a_question_that_does_not_ask_for_its_value_is_refused(two):
    with account_context(two[0][0]), pytest.raises(ValueError, match="no use"):
        useless([1])


def test_prefetching_is_refused(two):
    with account_context(two[0][0]), pytest.raises(ValueError, match="prefetching"):
        prefetching([1])


def test_rows_of_an_own_statement_become_models_whatever_the_order_of_their_columns(two):
    account, conversation = two[0]
    with account_context(account):
        Message.objects.update(content={"emoji": "🙂"})
        [found] = fetched(
            Message,
            "SELECT content, text, id FROM conversations_message WHERE conversation_id = %s",
            [conversation.pk],
        )
        assert (found.text, found.content) == ("Hello", {"emoji": "🙂"})
        assert found.pk == Message.objects.get().pk
        assert found.direction == Message.objects.get().direction  # read when it is asked for
