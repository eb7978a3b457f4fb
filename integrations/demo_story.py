"""Past conversations of the demo account, so that the inbox is not empty at the first start.

All of it is invented. Each scene is played through the desk's own services, step by step, and set
back in time; what would still travel (to the channel, to the agent) is taken off its lanes again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import count

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Account, Member, Team
from agents.models import Agent, Decision
from conversations import services
from conversations.messages import Choice, Content, DeliveryStatus, Identifier, InboundMessage, Kind
from conversations.models import (
    Address,
    Assignment,
    Contact,
    Conversation,
    Delivery,
    Event,
    Inbox,
    Lane,
    Message,
    Timer,
)
from conversations.services import Reason


class Scene:
    """One customer's thread while it is played; every step happens at the scene's own time."""

    def __init__(
        self,
        inbox: Inbox,
        agent: Agent,
        *,
        phone: str,
        customer: str,
        language: str,
        ago: timedelta,
    ) -> None:
        self.inbox, self.agent, self.customer = inbox, agent.member, customer
        self.now = timezone.now() - ago
        self.phone = phone
        self.language = language
        self.last_said = self.now
        self.steps = count(1)
        self.id = 0

    @property
    def conversation(self) -> Conversation:
        return Conversation.objects.select_related("assignee", "inbox").get(pk=self.id)

    # --- What can happen ---------------------------------------------------------------------

    def says(self, text: str, *, after: float = 1, choice: Choice | None = None) -> None:
        """The customer writes, or presses a button."""
        said = InboundMessage(
            external_id=f"demo-{self.phone}-{next(self.steps)}",
            kind=Kind.BUTTON_REPLY if choice else Kind.TEXT,
            identifiers=(Identifier("phone", self.phone),),
            sent_at=timezone.now(),
            text=text,
            contact_name=self.customer,
            choice=choice,
        )
        self._happen(after, lambda: self._receive(said))
        self.last_said = self.now

    def answers(self, text: str, *, after: float = 0.1, buttons: Sequence[Choice] = ()) -> None:
        """The AI agent answers, being given the conversation first where no rule has."""
        if self.conversation.assignee_id != self.agent.pk:
            services.assign(self.conversation, to=self.agent, by=None, reason=Reason.RULE)
        kind = Kind.BUTTONS if buttons else Kind.TEXT
        content = Content(kind=kind, text=text, buttons=tuple(buttons))
        self._happen(after, lambda: self._post(content, self.agent))

    def replies(self, who: Member, text: str, *, after: float = 4) -> None:
        """A person answers."""
        self._happen(after, lambda: self._post(Content(text=text), who))

    def notes(self, who: Member, text: str, *, after: float = 1) -> None:
        self._happen(after, lambda: services.add_note(self.conversation, text=text, author=who))

    def hands_off(self, *, detail: str, summary: str, after: float = 0.1) -> None:
        """The agent gives it to people, unless a rule has done so already."""
        if self.conversation.held_by_agent:
            self._happen(
                after,
                lambda: services.hand_off(
                    self.conversation, by=self.agent, detail=detail, summary=summary
                ),
            )

    def falls_silent(self, *, detail: str, late: str) -> None:
        """The agent lets its patience pass; what it says too late is kept as a draft."""
        self._happen(
            0.5,
            lambda: services.hand_off(
                self.conversation, by=None, reason=Reason.AGENT_TIMEOUT, detail=detail
            ),
        )
        self._happen(
            0.2,
            lambda: services.keep_draft(
                self.conversation, content=Content(text=late), author=self.agent, reason="late"
            ),
        )

    def taken_over(self, who: Member, *, after: float = 3) -> None:
        self._happen(after, lambda: services.take_over(self.conversation, by=who))

    def given_back(self, who: Member, *, detail: str, after: float = 2) -> None:
        self._happen(after, lambda: services.give_back(self.conversation, by=who, detail=detail))

    def labelled(self, *names: str) -> None:
        self._happen(0, lambda: services.add_labels(self.conversation, names, by=None))

    def snoozed(self, who: Member, *, hours: float) -> None:
        until = timezone.now() + timedelta(hours=hours)
        self._happen(1, lambda: services.snooze(self.conversation, by=who, until=until))

    def resolved(self, who: Member | None, *, after: float = 2, detail: str = "") -> None:
        self._happen(after, lambda: services.resolve(self.conversation, by=who, detail=detail))

    def fails(self, *, code: str, text: str) -> None:
        """The channel refuses the last message."""
        last = self._messages().filter(direction=Message.Direction.OUTBOUND).latest("pk")
        last.status, last.error_code, last.error_text = DeliveryStatus.FAILED, code, text
        last.save(update_fields=["status", "error_code", "error_text"])

    # --- Its time ----------------------------------------------------------------------------

    def end(self) -> None:
        """Nothing of it travels any more; the columns that lists show get the scene's time."""
        conversation = self.conversation
        Delivery.objects.filter(conversation=conversation).delete()
        Lane.objects.filter(key=conversation.public_id).delete()
        Timer.objects.filter(conversation=conversation, kind=Timer.Kind.PATIENCE).delete()
        self._messages().filter(status=DeliveryStatus.QUEUED).update(status=DeliveryStatus.READ)
        first = self._messages().earliest("pk").sent_at or self.now
        Conversation.objects.filter(pk=self.id).update(
            synthetic=False,
            language=self.language,
            created_at=first,
            last_inbound_at=self.last_said,
            last_activity_at=self.now,
            updated_at=self.now,
            waiting_since=self.last_said if conversation.waiting_since else None,
            resolved_at=self.now if conversation.resolved_at else None,
        )
        Address.objects.filter(pk=conversation.address_id).update(
            last_inbound_at=self.last_said, created_at=first
        )
        Contact.objects.filter(pk=conversation.contact_id).update(
            language=self.language, created_at=first, updated_at=self.now
        )

    def _happen(self, minutes: float, step: Callable[[], object]) -> None:
        self.now += timedelta(minutes=minutes)
        before = self._newest()
        step()
        self._date_what_is_newer_than(before, self.now)

    def _receive(self, said: InboundMessage) -> None:
        services.receive(self.inbox, said)
        message = Message.objects.get(inbox=self.inbox, external_id=said.external_id)
        self.id = message.conversation_id

    def _post(self, content: Content, author: Member) -> None:
        message = services.post_message(self.conversation, content=content, author=author)
        Message.objects.filter(pk=message.pk).update(external_id=f"demo-{message.public_id}")

    def _messages(self) -> QuerySet[Message]:
        return Message.objects.filter(conversation_id=self.id)

    def _newest(self) -> tuple[int, int, int, int]:
        """The last message, event, epoch and decision so far."""
        if not self.id:
            return 0, 0, 0, 0
        conversation = self.conversation
        message = self._messages().order_by("-pk").values_list("pk", flat=True).first()
        decision = conversation.decisions.order_by("-pk").values_list("pk", flat=True).first()
        return (
            message or 0,
            conversation.last_sequence,
            conversation.assignment_epoch,
            decision or 0,
        )

    def _date_what_is_newer_than(self, before: tuple[int, int, int, int], at: datetime) -> None:
        message, sequence, epoch, decision = before
        self._messages().filter(pk__gt=message).update(sent_at=at, created_at=at)
        Event.objects.filter(conversation_id=self.id, sequence__gt=sequence).update(occurred_at=at)
        held = Assignment.objects.filter(conversation_id=self.id)
        held.filter(epoch__gt=epoch).update(started_at=at)
        held.filter(epoch__gte=epoch, ended_at__gt=at).update(ended_at=at)
        Decision.objects.filter(conversation_id=self.id, pk__gt=decision).update(created_at=at)


def tell(account: Account, *, agent: Agent, people: Sequence[Member], team: Team) -> None:
    """Play every scene, oldest first, in the account's context."""
    radu, ioana, mihai = people
    inbox = Inbox.objects.exclude(platform="sandbox").order_by("pk").first()
    inbox = inbox or Inbox.objects.order_by("pk").first()
    if inbox is None:
        return
    numbers = count(101)

    def scene(customer: str, language: str, **ago: float) -> Scene:
        phone = f"+40700000{next(numbers)}"
        return Scene(
            inbox, agent, phone=phone, customer=customer, language=language, ago=timedelta(**ago)
        )

    play = scene("Ioan Mureșan", "ro", days=3, hours=2)
    play.says("Bună seara, becurile LED sunt incluse la lampadarul Brad?")
    play.answers("Bună seara! Da, lampadarul Brad vine cu un bec LED E27 de 9 W, lumină caldă.")
    play.says("Și dacă se arde unul?", after=2)
    play.answers(
        "Fiecare lampă are garanție trei ani, cu bec cu tot: ne scrieți și trimitem altul."
    )
    play.says("Perfect, am comandat. Mulțumesc!", after=6)
    play.answers("Mulțumim și noi! Comanda pleacă mâine dimineață.")
    play.labelled("garanție")
    play.resolved(agent.member, detail="întrebare lămurită")
    play.end()

    play = scene("Priya Nair", "en", days=1, hours=9)
    play.says("Hello, can you engrave a name on the Pitic desk lamp?")
    play.answers("Hello! Let me ask a colleague: engraving is done by hand in our workshop.")
    play.hands_off(
        detail="Engraving is not in the catalogue",
        summary="Wants a name engraved on a Pitic desk lamp. Asked whether it is possible.",
    )
    play.replies(radu, "Hi Priya, yes, up to 12 letters. Which name shall we engrave?", after=35)
    play.says("Great, it is ANAYA please", after=12)
    play.replies(radu, "Done: your engraving is ready, here is the payment link.", after=1500)
    play.fails(code="131047", text="The customer wrote more than 24 hours ago.")
    play.labelled("custom order")
    play.end()

    play = scene("James Okafor", "en", days=1, hours=1)
    play.says("I'd like to send a lamp back, it is too big for my desk")
    play.answers(
        "No problem, you have 30 days. What would you like to do?",
        buttons=[Choice("return", "Return it"), Choice("exchange", "Exchange it")],
    )
    play.says("Return it", choice=Choice("return", "Return it"))
    play.answers("The courier collects it within two working days. The label is in your e-mail.")
    play.says("That was quick, thank you", after=3)
    play.resolved(agent.member, detail="return label sent")
    play.labelled("return")
    play.end()

    play = scene("Tom Becker", "en", hours=7)
    play.says("Do you have the Brad floor lamp in walnut?")
    play.answers("The Brad floor lamp is in stock in oak and in walnut, 449 lei each.")
    play.says("The shop in Cluj told me it is discontinued?", after=2)
    play.taken_over(mihai)
    play.replies(mihai, "Hi Tom, only the birch one is discontinued. Walnut stays.", after=1)
    play.given_back(mihai, detail="stock question answered")
    play.says("Good. And how much is shipping to Oradea?", after=5)
    play.answers("Yes, we ship to Oradea: 1 to 2 working days, 19 lei, free from 300 lei.")
    play.labelled("delivery")
    play.end()

    play = scene("Elena Dragomir", "ro", hours=5)
    play.says("Abajurul verde pentru Luna când revine în stoc?")
    play.answers("Întreb un coleg de la depozit și revenim cu un răspuns.")
    play.hands_off(
        detail="Termen de stoc necunoscut",
        summary="Vrea să știe când revine abajurul verde pentru lampa Luna.",
    )
    play.replies(radu, "Bună ziua! Furnizorul confirmă mâine data exactă, revin cu un mesaj.")
    play.snoozed(radu, hours=18)
    play.end()

    play = scene("Maria Stan", "ro", hours=3)
    play.says("Bună, comanda 2467 trebuia facturată pe firmă. Se mai poate schimba?")
    play.answers("Bună, Maria! Factura o poate schimba un coleg. Vă rog CUI-ul firmei.")
    play.says("RO00000017, Atelier Stan SRL", after=3)
    play.hands_off(
        detail="Schimbarea facturii cere un om",
        summary="Comanda 2467, factură nouă pe Atelier Stan SRL, CUI RO00000017.",
    )
    play.taken_over(ioana)
    play.notes(ioana, "Am cerut la contabilitate stornarea; o trimit azi până la 17.")
    play.replies(ioana, "Bună, sunt Ioana. Primiți factura nouă pe e-mail până la ora 17.")
    play.says("Mulțumesc mult!", after=2)
    play.labelled("factură")
    play.end()

    play = scene("Lukas Brandt", "en", minutes=50)
    play.says("My Luna lamp flickers when I dim it below half. Is that normal?")
    play.falls_silent(
        detail=f"{agent.name} did not answer within {agent.patience_s} s",
        late="Some older dimmers need a minimum load of 20 W. Which dimmer do you use?",
    )
    play.labelled("technical")
    play.end()

    play = scene("Andrei Popa", "ro", minutes=26)
    play.says("Bună! Livrați și în Cluj?")
    play.answers("Da, livrăm în Cluj: 1–2 zile lucrătoare, 19 lei, gratuit de la 300 lei.")
    play.says("Și pot plăti la livrare?", after=3)
    play.answers("Da, cu numerar sau cu cardul la curier.")
    play.labelled("livrare")
    play.end()

    play = scene("Sarah Whitfield", "en", minutes=12)
    play.says("Hi, my order 2481 arrived with a cracked shade")
    play.answers("I am sorry to hear that. Could you send a photo of the shade and of the box?")
    play.says("I'd rather talk to a person, please", after=2)
    play.hands_off(
        detail="The customer asked for a person",
        summary="Order 2481 arrived with a cracked shade. Was asked for a photo, wants a person.",
    )
    play.labelled("damaged")
    play.end()
