"""Invented conversations for `/ui/`: every kind of row and entry, without any database."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from conversations.desk import Row
from conversations.messages import (
    ActionKind,
    Article,
    CardAction,
    CarouselCard,
    Choice,
    FieldType,
    FormField,
)
from conversations.thread import Choices, Entry, File, Offer, Quote


class SampleForm(forms.Form):
    name = forms.CharField(label="Name", help_text="How customers and colleagues see it.")
    address = forms.URLField(label="Address", assume_scheme="https")
    kind = forms.ChoiceField(label="Dialect", choices=[("native", "Switchboard"), ("wati", "Wati")])
    text = forms.CharField(label="Greeting", widget=forms.Textarea, required=False)
    starts = forms.DateField(
        label="From", widget=forms.DateInput(attrs={"type": "date"}), required=False
    )
    role = forms.ChoiceField(
        label="Role",
        widget=forms.RadioSelect,
        choices=[("admin", "Admin"), ("person", "Person")],
        initial="person",
    )
    active = forms.BooleanField(
        label="Active", help_text="Takes new conversations.", required=False
    )


def context() -> dict[str, Any]:
    now = timezone.now()
    return {
        "form": SampleForm(),
        "wrong": SampleForm({"address": "not an address", "name": ""}),
        "looks": range(1, 9),
        "rows": rows(now),
        "entries": entries(now),
    }


def rows(now: datetime) -> list[Row]:
    """The list's states: unread, ours, with the AI, in a team's queue, snoozed, resolved."""

    def row(number: int, name: str, preview: str, holder: str, kind: str, **more: Any) -> Row:
        return Row(
            **{
                "id": f"sample-{number}",
                "url": "/ui/",
                "name": name,
                "seed": number,
                "preview": preview,
                "icon": "",
                "ours": False,
                "at": now - timedelta(minutes=number * number * 7),
                "unread": 0,
                "inbox": "WhatsApp",
                "holder": holder,
                "holder_kind": kind,
                **more,
            }
        )

    return [
        row(1, "Ion Popescu", "Vreau să vorbesc cu un om, vă rog", "Support RO", "team",
            unread=2, labels=("delivery", "impatient"), more_labels=1),
        row(2, "Maria Ionescu", "Mulțumesc! A ajuns coletul.", "Sales agent", "ai", current=True),
        row(3, "+40 744 555 010", "Voice note", "Unassigned", "none", icon="microphone", unread=14),
        row(4, "Acme Logistics", "We have corrected the VAT line.", "Ana Radu", "person", ours=True),
        row(9, "Priya Nair", "Photo", "Ana Radu", "person", icon="photo", status="snoozed"),
        row(15, "A customer whose name is far too long for any list", "…", "Unassigned", "none",
            status="resolved"),
    ]  # fmt: skip


def entries(now: datetime) -> list[Entry]:
    """The thread's kinds and states."""
    numbers = iter(range(1, 100))

    def entry(shape: str = "message", **more: Any) -> Entry:
        return Entry(**{"id": f"entry-{next(numbers)}", "shape": shape, "at": now, **more})

    def customer(**more: Any) -> Entry:
        return entry(author="Ion Popescu", by="customer", **more)

    def agent(**more: Any) -> Entry:
        return entry(author="Sales agent", by="ai", **more)

    def ana(**more: Any) -> Entry:
        return entry(author="Ana Radu", by="person", **more)

    return [
        entry("day", text="Today"),
        customer(text="Bună ziua! Comanda mea *#12345* nu a ajuns. https://shop.example/12345"),
        entry("line", text="Assigned to Sales agent by a rule: new chats go to the AI agent"),
        agent(
            text="A plecat ieri din depozit. Doriți să vă anunț?",
            status="read",
            reactions=("👍",),
            quote=Quote("entry-2", "Ion Popescu", "Comanda mea #12345 nu a ajuns."),
        ),
        agent(
            text="Which size?",
            kind="buttons",
            status="delivered",
            choices=(
                Choices("", ("Small parcel", "Large parcel", "Talk to a person"), "Talk to a person"),
            ),
        ),
        customer(text="Talk to a person", kind="button_reply"),
        agent(
            text="Pick a shop",
            kind="list",
            status="sent",
            choices=(Choices("Cluj", ("Centru", "Mănăștur")), Choices("Sibiu", ("Piața Mare",))),
        ),
        customer(kind="voice", files=(File("voice", "Voice note", "/static/mark.svg"),)),
        customer(
            kind="document",
            text="The invoice",
            files=(File("document", "invoice INV-20431.pdf", "/ui/", 48_211),),
        ),
        customer(kind="image", files=(File("image", "Photo"),)),
        customer(kind="video", files=(File("video", "Video", error="The file has expired."),)),
        customer(kind="location", place="O'Connell Street, Dublin", place_url="/ui/"),
        customer(kind="contacts", cards=(("Maria Ionescu", "+40 721 000 000"),)),
        agent(
            text="Two lamps that fit:",
            kind="carousel",
            status="read",
            offers=(
                Offer(
                    CarouselCard(
                        "Lampă de birou",
                        "129 lei, în stoc",
                        actions=(
                            CardAction(ActionKind.LINK, "See it", url="/ui/"),
                            CardAction(ActionKind.POSTBACK, "Order it", id="order:1"),
                        ),
                    ),
                    File("image", "Photo", "/static/mark.svg"),
                    "order:1",
                ),
                Offer(
                    CarouselCard(
                        "Lampadar",
                        actions=(CardAction(ActionKind.POSTBACK, "Order it", id="order:2"),),
                    ),
                    File("image", "Photo"),
                ),
            ),
        ),
        agent(
            text="Where do we send it?",
            kind="form",
            status="delivered",
            questions=(
                FormField("name", "Name", required=True, placeholder="Ion Popescu"),
                FormField(
                    "size", "Size", FieldType.SELECT, options=(Choice("m", "M"), Choice("l", "L"))
                ),
            ),
        ),
        agent(
            text="Your e-mail address?",
            kind="input",
            status="read",
            asks="Asks for an e-mail address",
            answer="ion@shop.example",
        ),
        agent(
            text="This may help:",
            kind="articles",
            status="sent",
            articles=(Article("Returns", "/ui/", "30 days, no questions"),),
        ),
        customer(kind="form_reply", facts=(("size", "L"), ("colour", "blue"))),
        customer(kind="unsupported"),
        customer(text="gone", deleted=True),
        entry("line", text="The AI agent did not answer in time; given to Support RO",
              code="agent_timeout", summary="Order 12345 is late.\nThe customer is impatient."),
        entry("note", author="Ana Radu", by="person", text="The hub is open until 18:00."),
        entry("draft", author="Sales agent", by="ai", text="Mâine după ora 10.",
              reason="This answer came after somebody else had taken over, so it was not sent."),
        ana(text="Da, până la 18.", status="queued"),
        ana(text="And the invoice is corrected.", status="delivered", joined=True, edited=True),
        ana(text="Your label is on its way.", status="failed", error="Not on WhatsApp (131026)"),
        ana(text="Once more?", status="sent", doubtful=True),
    ]  # fmt: skip
