"""Inboxes: the connected channel accounts of a tenant."""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from collections.abc import Mapping

from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.ids import PublicId
from accounts.models import Account, Team
from accounts.sealing import seal, unseal
from accounts.tenancy import AccountManager, AccountModel, AccountQuerySet
from conversations import channels


class InboxQuerySet(AccountQuerySet["Inbox"]):
    def present(self) -> InboxQuerySet:
        """Those that were not removed: where something may still come in, or be set up."""
        return self.filter(removed_at__isnull=True)


class Inbox(AccountModel):
    """One connected channel account: a WhatsApp number, a sandbox phone, …"""

    class State(models.TextChoices):
        ACTIVE = "active", _("active")
        DISABLED = "disabled", _("switched off")
        NEEDS_REAUTH = "needs_reauthorization", _("needs new credentials")

    platform = models.CharField(max_length=30)
    name = models.CharField(_("name"), max_length=120)
    state = models.CharField(max_length=24, choices=State, default=State.ACTIVE)
    # What is not secret: ids, display number, api base.
    config = models.JSONField(default=dict, blank=True)
    credentials_sealed = models.BinaryField(default=b"", editable=False)
    row_key = models.UUIDField(default=uuid.uuid4, editable=False)
    # Where conversations go when nobody else may have them.
    fallback_team = models.ForeignKey(
        Team, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    # What the hook door and the connection test last saw, shown as the inbox's health.
    health = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    # Nothing comes in or goes out any more, for good; what was said in it stays (integrations/removing.py).
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = AccountManager.from_queryset(InboxQuerySet)()  # type: ignore[misc]  # narrower
    public_id = PublicId("inb")

    class Meta(AccountModel.Meta):
        verbose_name_plural = "inboxes"
        indexes = [models.Index(fields=["account", "platform"], name="inbox_by_platform")]

    def __str__(self) -> str:
        if self.removed_at is not None:
            return gettext("%(name)s (removed)") % {"name": self.name}
        return self.name

    @property
    def channel(self) -> channels.Channel:
        return channels.get(self.platform)

    @property
    def credentials(self) -> dict[str, str]:
        """Decrypted; never put into an answer, a form or a log."""
        if not self.credentials_sealed:
            return {}
        plain = unseal(self.credentials_sealed, context=self._seal_context)
        return dict(json.loads(plain))

    @credentials.setter
    def credentials(self, values: Mapping[str, str]) -> None:
        plain = json.dumps(dict(values)).encode()
        self.credentials_sealed = seal(plain, context=self._seal_context)

    @property
    def _seal_context(self) -> str:
        return f"inbox.credentials:{self.account_id}:{self.row_key}"

    def as_config(self) -> channels.InboxConfig:
        """What a channel gets to see of this inbox."""
        return channels.InboxConfig(
            id=self.pk,
            account_id=self.account_id,
            platform=self.platform,
            credentials=self.credentials,
            config=self.config,
        )


class InboxRoute(models.Model):
    """The secret part of an inbox's webhook address.

    Without row level security: it tells the account, so it is read before the account is known
    (SX-05). It holds a hash and ids only; the clear token stands sealed in the inbox's credentials.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    inbox_id = models.BigIntegerField(db_index=True)
    platform = models.CharField(max_length=30)
    token_sha256 = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.platform} route of inbox {self.inbox_id}"

    @staticmethod
    def digest(token: str) -> bytes:
        return hashlib.sha256(token.encode()).digest()

    @staticmethod
    def new_token() -> str:
        return secrets.token_urlsafe(24)
