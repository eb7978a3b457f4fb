"""The judge itself: it must turn red on doctored ledgers, or its green would mean nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.judge import Expectation, Verdict, judge
from tests.chaos.ledgers import ECHO, Asked, Books, Brought, Fault, Seen, Sent, Stored, text_of

ANA, BOB = "40700100001", "40700100002"
KEYS = [(ANA, 1), (BOB, 1), (ANA, 2), (BOB, 2), (ANA, 3), (BOB, 3)]


def seen(conversation: str, n: int, *, at: float, wire_id: str = "", sequence: int = 0) -> Seen:
    return Seen(
        at=at,
        endpoint="agent",
        conversation=conversation,
        event_type="message.created",
        wire_id=wire_id or f"evt_{conversation}_{n}",
        sequence=sequence or n,
        attempt=1,
        verified_by=("first",),
        text=text_of(conversation, n),
        from_contact=True,
        status=200,
        ended_at=at + 0.01,
    )


def clean_books() -> Books:
    """Two customers, three messages each: taken, stored, brought, answered, in order."""
    rows = list(enumerate(KEYS))
    inbound = [Stored(at, who, "inbound", text_of(who, n)) for at, (who, n) in rows]
    outbound = [Stored(at + 50, who, "outbound", ECHO + text_of(who, n)) for at, (who, n) in rows]
    return Books(
        sent=[Sent(who, n, f"wamid.{at}", at, at + 0.1, [200]) for at, (who, n) in rows],
        seen=[seen(who, n, at=at + 0.2) for at, (who, n) in rows],
        asked=[
            Asked(at + 0.3, who, ECHO + text_of(who, n), f"m{at}", True) for at, (who, n) in rows
        ],
        stored=[*inbound, *outbound],
        brought=[Brought(at, "agent", "delivered", who, n, 1, f"evt{at}") for at, (who, n) in rows],
    )


def reasons(books: Books, expected: Expectation | None = None) -> str:
    return "; ".join(judge(books, expected).reasons)


def test_clean_ledgers_are_green():
    verdict = judge(clean_books())
    assert not verdict.red
    assert verdict == Verdict()


def test_a_message_that_is_not_in_the_database_is_lost():
    books = clean_books()
    books.stored = books.stored[1:]
    assert "1 lost: 40700100001:1 not in the database" in reasons(books)


def test_a_message_that_no_agent_saw_is_lost_unless_none_was_to_see_it():
    books = clean_books()
    books.seen = books.seen[:-1]
    assert "40700100002:3 not at the agent" in reasons(books)
    assert not judge(books, Expectation(to_agent=False)).red


@pytest.mark.parametrize("status", [500, 0])
def test_a_request_that_the_agent_refused_or_never_answered_brought_nothing(status):
    books = clean_books()
    books.seen = [*books.seen[:-1], replace(books.seen[-1], status=status)]
    assert "40700100002:3 not at the agent" in reasons(books)


def test_an_answer_that_the_channel_did_not_take_is_lost():
    books = clean_books()
    books.asked = [*books.asked[:-1], replace(books.asked[-1], taken=False)]
    assert "40700100002:3 not at the customer" in reasons(books)
    assert not judge(books, Expectation(to_customer=False)).red


def test_what_the_platform_was_not_thanked_for_may_be_missing():
    books = clean_books()
    books.sent = [*books.sent, Sent(ANA, 4, "wamid.x", 9.0, None, [503, 0])]
    assert not judge(books).red


def test_what_never_came_to_its_end_is_lost():
    books = clean_books()
    books.brought = [*books.brought, Brought(99, "send", "retry_wait", ANA, 9, 3, "evt99")]
    assert "send delivery 99 still retry_wait" in reasons(books)
    assert not judge(books, Expectation(may_stay_open=frozenset({"send"}))).red
    books = clean_books()
    books.unread = 2
    assert "2 receipts never read" in reasons(books)


def test_two_swapped_messages_at_the_agent_are_red():
    books = clean_books()
    books.seen = [
        replace(one, at={1: 4.2, 2: 2.2, 3: 0.2}[one.sequence]) if one.conversation == ANA else one
        for one in books.seen
    ]
    assert "message.created 2 after 3" in reasons(books)


def test_two_swapped_answers_at_the_customer_are_red():
    books = clean_books()
    books.asked = [replace(one, at=-one.at) for one in books.asked]
    assert "at the customer after" in reasons(books)


def test_two_swapped_messages_in_the_database_are_red():
    books = clean_books()
    books.stored = [replace(one, pk=-one.pk) for one in books.stored]
    assert "stored after" in reasons(books)


def test_conversations_are_not_ordered_among_each_other():
    books = clean_books()
    books.seen = [
        replace(one, at=one.at + 100) if one.conversation == ANA else one for one in books.seen
    ]
    assert not judge(books).red


def test_the_same_wire_id_again_is_counted_and_allowed():
    books = clean_books()
    books.seen = [*books.seen, replace(books.seen[-1], at=90.0)]
    verdict = judge(books)
    assert (verdict.red, verdict.repeats) == (False, 1)


def test_an_old_event_again_after_newer_ones_is_out_of_order_unless_it_is_expected():
    books = clean_books()
    books.seen = [*books.seen, replace(books.seen[0], at=90.0)]
    assert "message.created 1 after 3" in reasons(books)
    assert not judge(books, Expectation(late_repeats=True)).red


def test_a_replay_is_not_out_of_order():
    books = clean_books()
    books.seen = [*books.seen, replace(books.seen[0], at=90.0, is_replay=True)]
    assert not judge(books).red


def test_one_fact_under_two_wire_ids_is_red():
    books = clean_books()
    books.seen = [*books.seen, replace(books.seen[-1], at=90.0, wire_id="evt_other", sequence=4)]
    assert "1 two wire ids" in reasons(books)


def test_a_double_at_the_customer_is_red_unless_the_database_marks_it():
    books = clean_books()
    books.asked = [*books.asked, replace(books.asked[-1], at=90.0)]
    assert "1 doubled unmarked: 40700100002:3 x 2" in reasons(books)
    books.stored = [
        replace(one, possible_duplicate=one.direction == "outbound" and one.key == (BOB, 3))
        for one in books.stored
    ]
    verdict = judge(books)
    assert (verdict.red, verdict.doubled_marked) == (False, ["40700100002:3 x 2"])


def test_a_third_copy_is_red_whatever_the_database_says():
    books = clean_books()
    books.asked = [*books.asked, *(replace(books.asked[-1], at=at) for at in (90.0, 91.0))]
    books.stored = [replace(one, possible_duplicate=True) for one in books.stored]
    assert "40700100002:3 x 3" in reasons(books)


def test_one_webhook_with_two_effects_is_red():
    books = clean_books()
    books.stored = [*books.stored, replace(books.stored[5], pk=99)]
    assert "40700100002:3 inbound x 2" in reasons(books)


def test_unverifiable_requests_open_leases_and_waiting_customers_are_red():
    books = clean_books()
    books.seen = [replace(books.seen[0], verified_by=()), *books.seen[1:]]
    books.open_leases, books.over_patience = 2, [7]
    assert reasons(books) == (
        "1 unverifiable requests; 2 open leases; 1 conversations over patience"
    )


def test_recovery_counts_the_wait_after_the_fault_of_those_it_held_up():
    books = clean_books()
    books.seen = [replace(one, at=one.at + 6) if one.at > 3.5 else one for one in books.seen]
    books.faults = [Fault("kill", 3.0, 5.0), Fault("never over", 3.0)]
    assert [round(wait, 1) for wait in judge(books).recovery] == [0.0, 5.2]
