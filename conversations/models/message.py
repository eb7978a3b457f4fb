"""Messages and their files."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import PublicId
from accounts.models import Member
from accounts.tenancy import AccountModel, account_key
from conversations.messages import MEDIA_KINDS, DeliveryStatus
from conversations.models.conversation import Conversation
from conversations.models.inbox import Inbox


class Message(AccountModel):
    """One thing said.

    `content` holds what a kind needs beyond text, in the canonical shapes of `messages.py`:

        buttons    [{id, title}]
        list       {button, sections [{title, rows [{id, title, description}]}]}
        carousel   [{title, description, image_url, actions [{kind: link, title, url} |
                    {kind: postback, title, id}]}]
        fields     [{name, label, type: text | email | text_area | select, placeholder, default,
                    required, pattern, error, options [{id, title}]}]: a form
        input      {type: text | email | text_area, placeholder}: one value that is asked for
        articles   [{title, description, link}]
        location   {latitude, longitude, name, address}
        cards      [{name, phones []}]: people
        header, footer, emoji
        choice     {id, title}: what the customer chose
        form       {name: answer}: what the customer filled in
        referral, forwarded, target
        attributes {…}: what the author's own program keeps with it

    What is empty is left out. A message that was answered keeps `submitted`, and a later answer replaces
    it: of a choice [{title, value}] with the id as the value, of a form [{name, title, value}] with the
    label as the title, of an asked value [{value}]. System messages carry `code` and the values of their
    sentence.
    """

    class Direction(models.TextChoices):
        INBOUND = "inbound", _("from the customer")
        OUTBOUND = "outbound", _("to the customer")
        NOTE = "note", _("private note")
        SYSTEM = "system", _("system line")
        DRAFT = "draft", _("draft")

    account = account_key(db_index=False)
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        related_name="messages",
        db_index=False,  # `message_thread` begins with it
    )
    inbox = models.ForeignKey(Inbox, on_delete=models.CASCADE, related_name="+")
    direction = models.CharField(max_length=8, choices=Direction)
    kind = models.CharField(max_length=14, default="text")
    text = models.TextField(blank=True)
    content = models.JSONField(default=dict, blank=True)
    # Who said it: a member, or (inbound) the contact. Null on outbound: the system itself.
    author = models.ForeignKey(
        Member, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    external_id = models.CharField(max_length=250, blank=True)
    reply_to = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    status = models.CharField(
        max_length=9,
        choices=[(status.value, status.value) for status in DeliveryStatus],
        default=DeliveryStatus.QUEUED,
    )
    error_code = models.CharField(max_length=40, blank=True)
    error_text = models.CharField(max_length=500, blank=True)
    possible_duplicate = models.BooleanField(default=False)
    # The client's own id, for exactly one effect of a repeated call.
    client_id = models.CharField(max_length=120, blank=True)
    # Set on a draft: which late or withheld answer it is.
    draft_reason = models.CharField(max_length=40, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    edited_at = models.DateTimeField(null=True, blank=True)
    # The platform's time, for display and for the window.
    sent_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    public_id = PublicId("msg")

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["account", "inbox", "external_id"],
                condition=~Q(external_id=""),
                name="message_external_once",
            ),
            models.UniqueConstraint(
                fields=["account", "conversation", "client_id"],
                condition=~Q(client_id=""),
                name="message_client_once",
            ),
        ]
        indexes = [models.Index(fields=["conversation", "-id"], name="message_thread")]

    def __str__(self) -> str:
        return f"{self.direction} {self.kind} {self.pk}"

    @property
    def files(self) -> Sequence[Attachment]:
        """Its files in order; a kind that carries none asks no database."""
        return list(self.attachments.all()) if self.kind in MEDIA_KINDS else ()

    @property
    def visible_to_customer(self) -> bool:
        return self.direction in (self.Direction.INBOUND, self.Direction.OUTBOUND)


class Attachment(AccountModel):
    """A file of a message. Inbound files are fetched by a job; until then `state` is pending."""

    class State(models.TextChoices):
        PENDING = "pending", _("being fetched")
        READY = "ready", _("ready")
        FAILED = "failed", _("could not be fetched")

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="attachments")
    kind = models.CharField(max_length=14)
    mime = models.CharField(max_length=120, blank=True)
    size = models.PositiveBigIntegerField(null=True, blank=True)
    filename = models.CharField(max_length=250, blank=True)
    # Random name inside MEDIA_ROOT, never the customer's.
    path = models.CharField(max_length=250, blank=True)
    remote_ref = models.CharField(max_length=2000, blank=True)
    state = models.CharField(max_length=7, choices=State, default=State.PENDING)
    error = models.CharField(max_length=250, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    public_id = PublicId("att")

    def __str__(self) -> str:
        return self.filename or self.kind


class UnsentText(AccountModel):
    """What a person has begun to write in a conversation and not sent yet; nobody else reads it. An AI
    agent's late answer is a message, and another matter (`Message.Direction.DRAFT`)."""

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="unsent_texts"
    )
    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="unsent_texts")
    text = models.TextField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["account", "conversation", "member"], name="unsent_text_once"
            )
        ]

    def __str__(self) -> str:
        return f"unsent text of {self.member_id} in {self.conversation_id}"
