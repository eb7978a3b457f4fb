"""The desk's thread: offers, forms, asked values and articles, before and after they are answered."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conversations import services
from conversations.messages import (
    ActionKind,
    Article,
    CardAction,
    CarouselCard,
    Choice,
    Content,
    FieldType,
    FormField,
    Input,
    Kind,
    Section,
)
from conversations.models import Attachment, Conversation
from conversations.services.media import keep_fetched
from conversations.thread import Entry, read
from tests.factories import make_conversation, said
from tests.pictures import png

BUY = CardAction(ActionKind.POSTBACK, "Buy <b>", id="buy:1")
LOOK = CardAction(ActionKind.LINK, "Look", url="https://shop.example/?a=1&b=2")
OFFER = Content(
    Kind.CAROUSEL,
    carousel=(CarouselCard("Lamp", "129 lei", "https://shop.example/a.png", (BUY, LOOK)),),
)
SIZES = (Choice("m", "Medium"), Choice("l", "Large"))
FORM = Content(
    Kind.FORM,
    text="Please:",
    fields=(
        FormField("name", "Your name"),
        FormField("size", "Size", FieldType.SELECT, options=SIZES),
    ),
)


@pytest.fixture
def thread(house: SimpleNamespace) -> Conversation:
    return make_conversation(house.inbox, visitor="ana")


def say(thread: Conversation, house: SimpleNamespace, content: Content) -> None:
    services.post_message(thread, content=content, author=house.owner)


def last(thread: Conversation, by: str = "person") -> Entry:
    return next(entry for entry in reversed(read(thread).entries) if entry.by == by)


def test_a_card_shows_its_picture_and_what_was_chosen_of_it(
    house: SimpleNamespace, thread: Conversation, settings, tmp_path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    say(thread, house, OFFER)
    (offer,) = last(thread).offers
    assert offer.picture is not None
    assert (offer.picture.url, offer.chosen, last(thread).files) == ("", "", ())
    keep_fetched(Attachment.objects.get().pk, content=png(), mime="image/png", filename="")
    tapped = Choice("buy:1", "Buy <b>")
    reply = said("Buy <b>", visitor="ana", kind=Kind.BUTTON_REPLY, choice=tapped)
    services.receive(house.inbox, reply)
    (offer,) = last(thread).offers
    assert offer.picture is not None
    assert offer.picture.url
    assert offer.chosen == "buy:1"


def test_a_chosen_button_and_a_chosen_row_are_marked(
    house: SimpleNamespace, thread: Conversation
) -> None:
    buttons = tuple(Choice(one.id, one.title) for one in SIZES)
    sections = (Section("A", buttons[:1]), Section("B", buttons[1:]))
    for content in (
        Content(Kind.BUTTONS, text="Which?", buttons=buttons),
        Content(Kind.LIST, text="Which?", sections=sections),
    ):
        say(thread, house, content)
        assert {section.chosen for section in last(thread).choices} == {""}
        services.receive(house.inbox, said("large", visitor="ana"))
        assert last(thread).choices[-1].chosen == "Large"


def test_a_form_shows_its_questions_and_then_its_answers_in_words(
    house: SimpleNamespace, thread: Conversation
) -> None:
    say(thread, house, FORM)
    assert [field.name for field in last(thread).questions] == ["name", "size"]
    form = {"size": "m", "name": "Ana", "odd": 1}
    reply = said("", visitor="ana", kind=Kind.FORM_REPLY, form=form)
    services.receive(house.inbox, reply)
    assert last(thread).questions == ()
    assert last(thread).facts == (("Your name", "Ana"), ("Size", "Medium"))
    # It quotes nothing, so it is shown by the names that came.
    assert dict(last(thread, "customer").facts) == {"size": "m", "name": "Ana", "odd": "1"}


def test_an_asked_value_says_what_it_is_to_be_and_what_it_was(
    house: SimpleNamespace, thread: Conversation
) -> None:
    say(thread, house, Content(Kind.INPUT, text="Your e-mail?", input=Input(FieldType.EMAIL)))
    assert (last(thread).asks, last(thread).answer) == ("Asks for an e-mail address", "")
    services.receive(house.inbox, said("ana@shop.example", visitor="ana"))
    assert last(thread).answer == "ana@shop.example"


def test_the_page_prints_it_all_and_nothing_of_it_as_markup(
    house: SimpleNamespace, thread: Conversation, client
) -> None:
    article = Article("Returns <i>", "https://shop.example/r")
    for content in (OFFER, FORM, Content(Kind.ARTICLES, articles=(article,))):
        say(thread, house, content)
    assert house.owner.user is not None
    client.force_login(house.owner.user, backend="django.contrib.auth.backends.ModelBackend")
    html = client.get(f"/inbox/{thread.public_id}/").content.decode()
    for text in (
        "Buy &lt;b&gt;", "Returns &lt;i&gt;", "https://shop.example/?a=1&amp;b=2", "Medium / Large",
        'rel="noopener nofollow ugc"',
    ):  # fmt: skip
        assert text in html


def test_many_cards_ask_the_database_no_more_than_one(
    house: SimpleNamespace, thread: Conversation
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            read(thread)
        return len(found)

    say(thread, house, OFFER)
    one = queries()
    for content in (OFFER, FORM, OFFER):
        say(thread, house, content)
    assert queries() <= one
