"""Texts that people send again and again."""

from __future__ import annotations

from django.db import models
from django.db.models import Case, Q, QuerySet, Value, When
from django.utils.translation import gettext_lazy as _

from accounts.ids import PublicId
from accounts.models import Member, Team
from accounts.permissions import Role
from accounts.tenancy import AccountManager, AccountModel, AccountQuerySet


def teams_for(member: Member) -> QuerySet[Team]:
    """The teams that `member` may keep a reply for: their own; owners and admins, all."""
    if member.role in (Role.OWNER, Role.ADMIN):
        return Team.objects.all()
    return Team.objects.filter(memberships__member=member)


class SavedReplyQuerySet(AccountQuerySet["SavedReply"]):
    def usable_by(self, member: Member) -> SavedReplyQuerySet:
        """Everybody's and those of the member's teams; owners and admins see all.

        Whoever may write them at all writes these and no others (security.md 2: T).
        """
        if member.role in (Role.OWNER, Role.ADMIN):
            return self
        return self.filter(Q(team=None) | Q(team__in=teams_for(member)))

    def matching(self, text: str) -> SavedReplyQuerySet:
        """With `text` in the code or in the words."""
        return self.filter(Q(code__icontains=text) | Q(text__icontains=text))

    def best_first(self, text: str) -> SavedReplyQuerySet:
        """Those whose code begins with `text`, then the others; each by code."""
        begins = Case(When(code__istartswith=text, then=Value(0)), default=Value(1))
        return self.order_by(begins, "code")


class SavedReply(AccountModel):
    """What is put into the composer when somebody types `/` and its code.

    The text may hold placeholders such as `{{contact.name}}` (`conversations.placeholders`).
    """

    code = models.CharField(_("short code"), max_length=60)
    text = models.TextField(_("text"))
    # Offered to this team only; to everybody without one.
    team = models.ForeignKey(
        Team, on_delete=models.SET_NULL, null=True, blank=True, related_name="saved_replies"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = AccountManager.from_queryset(SavedReplyQuerySet)()  # type: ignore[misc]  # narrower
    public_id = PublicId("rep")

    class Meta(AccountModel.Meta):
        verbose_name_plural = "saved replies"
        constraints = [
            models.UniqueConstraint(fields=["account", "code"], name="saved_reply_code_once")
        ]

    def __str__(self) -> str:
        return f"/{self.code}"
