"""Who: the account, its people and members, their roles and tokens, and what they did."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import PublicId
from accounts.permissions import Role
from accounts.tenancy import AccountModel


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser, PermissionsMixin):
    """Somebody who logs in, by e-mail. What they may do in an account is their `Member`'s role."""

    email = models.EmailField(_("e-mail"), unique=True)
    name = models.CharField(_("name"), max_length=120, blank=True)
    language = models.CharField(max_length=10, default="en-gb")
    time_zone = models.CharField(max_length=60, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(_("support staff"), default=False)
    # Rises with every change of password, role or second factor; sessions made before it end.
    auth_version = models.PositiveIntegerField(default=1)
    shortcuts_enabled = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)

    objects = UserManager()
    public_id = PublicId("usr")

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("user")

    def __str__(self) -> str:
        return self.name or self.email

    def get_full_name(self) -> str:
        return str(self)

    def get_short_name(self) -> str:
        return str(self).split(" ")[0]


class Plan(models.Model):
    """What an account may use. `entitlements` maps a feature to true or to a number."""

    name = models.CharField(max_length=60, unique=True)
    entitlements = models.JSONField(default=dict, blank=True)

    def __str__(self) -> str:
        return self.name


class Account(models.Model):
    """The tenant: one business."""

    class OnUncertain(models.TextChoices):
        RESEND_ONCE = "resend_once", _("send it once more")
        HOLD = "hold_for_human", _("leave it to a person")

    class PeopleSee(models.TextChoices):
        ALL = "all", _("every conversation")
        TEAMS = "teams", _("those of their teams")
        OWN = "own", _("their own")

    name = models.CharField(_("name"), max_length=120)
    slug = models.SlugField(unique=True)
    locale = models.CharField(max_length=10, default="en-gb")
    time_zone = models.CharField(max_length=60, default="Europe/Bucharest")
    country = models.CharField(max_length=2, default="RO")
    languages = ArrayField(models.CharField(max_length=10), default=list, blank=True)
    plan = models.ForeignKey(Plan, on_delete=models.SET_NULL, null=True, blank=True)
    # Staff may enter only while this is on; the owner can switch it off (SX-10).
    support_access = models.BooleanField(default=True)
    # Whose conversations people below admin see; `permissions.sight_of` reads it.
    people_see = models.CharField(
        max_length=5, choices=PeopleSee, default=PeopleSee.ALL, db_default=PeopleSee.ALL.value
    )
    # Owners and admins without a second factor get no page but the one to switch it on (SX-43).
    factor_required = models.BooleanField(default=False, db_default=False)
    agents_paused = models.BooleanField(default=False)
    # What happens to a plain text of which nobody knows whether it arrived (DL-42).
    on_uncertain = models.CharField(
        max_length=14,
        choices=OnUncertain,
        default=OnUncertain.RESEND_ONCE,
        db_default=OnUncertain.RESEND_ONCE.value,
    )
    # Since when more waits here than the soft limit allows; the courier writes it (DL-93).
    overloaded_since = models.DateTimeField(null=True, blank=True, editable=False)
    settings = models.JSONField(default=dict, blank=True)
    # Conversations are numbered per account; `conversations.services.inbound` counts.
    conversation_counter = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    public_id = PublicId("acc")

    def __str__(self) -> str:
        return self.name

    def entitled(self, feature: str) -> bool:
        """Accounts without a plan may use everything (self-hosted default)."""
        return self.plan is None or bool(self.plan.entitlements.get(feature))


class MemberQuerySet(models.QuerySet["Member"]):
    def people(self) -> MemberQuerySet:
        return self.filter(kind=Member.Kind.PERSON)

    def agents(self) -> MemberQuerySet:
        return self.filter(kind=Member.Kind.AGENT)

    def active(self) -> MemberQuerySet:
        return self.filter(active=True)


class Member(models.Model):
    """Anybody who can hold a conversation in one account: a person or an AI agent.

    Without row level security, because a login or a token must find it before the account is known
    (SX-05); `of(account)` is the way to list members.
    """

    class Kind(models.TextChoices):
        PERSON = "person", _("person")
        AGENT = "agent", _("AI agent")

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="members")
    kind = models.CharField(max_length=6, choices=Kind, default=Kind.PERSON)
    user = models.ForeignKey(
        User, on_delete=models.CASCADE, null=True, blank=True, related_name="memberships"
    )
    role = models.CharField(max_length=12, choices=Role.choices(), default=Role.PERSON)
    name = models.CharField(_("name"), max_length=120)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MemberQuerySet.as_manager()
    public_id = PublicId("mem")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "user"], condition=Q(user__isnull=False), name="member_once"
            ),
            models.CheckConstraint(
                condition=Q(kind="person", user__isnull=False) | Q(kind="agent", user__isnull=True),
                name="member_is_person_or_agent",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_agent(self) -> bool:
        return self.kind == self.Kind.AGENT

    @property
    def is_person(self) -> bool:
        return self.kind == self.Kind.PERSON


class Team(AccountModel):
    """A named group of members that conversations can be given to."""

    name = models.CharField(_("name"), max_length=120)
    description = models.CharField(max_length=250, blank=True)
    members = models.ManyToManyField(Member, through="TeamMembership", related_name="teams")
    created_at = models.DateTimeField(auto_now_add=True)

    public_id = PublicId("tem")

    class Meta(AccountModel.Meta):
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="team_name_once")]

    def __str__(self) -> str:
        return self.name


class TeamMembership(AccountModel):
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="team_memberships")

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["account", "team", "member"], name="team_member_once")
        ]

    def __str__(self) -> str:
        return f"{self.member} in {self.team}"


class ApiToken(models.Model):
    """A key for the API: found by its clear `key_id`, proved by the SHA-256 of the whole string."""

    class Kind(models.TextChoices):
        PERSONAL = "pat", _("personal")
        INTEGRATION = "int", _("integration")
        AGENT = "agt", _("AI agent")

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="tokens")
    # Whom the token acts as: its person, or its agent.
    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="tokens")
    kind = models.CharField(max_length=3, choices=Kind)
    name = models.CharField(_("name"), max_length=120)
    key_id = models.CharField(max_length=8, unique=True)
    sha256 = models.BinaryField(max_length=32)
    scopes = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    created_by = models.ForeignKey(
        Member, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    public_id = PublicId("tok")

    def __str__(self) -> str:
        return f"sb_{self.kind}_{self.key_id}…"


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def awaited(self) -> InvitationQuerySet:
        """Open, to somebody who is no member yet, and with the number they will have."""
        here = Member.objects.people().active().filter(account=models.OuterRef("account"))
        return self.filter(
            ~models.Exists(here.filter(user__email=models.OuterRef("email"))),
            accepted_at__isnull=True,
            withdrawn_at__isnull=True,
            expires_at__gt=timezone.now(),
            member_number__isnull=False,
        )


class Invitation(models.Model):
    """An offer to join an account with a role; the link carries the token, the row its hash."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField(_("e-mail"))
    role = models.CharField(max_length=12, choices=Role.choices(), default=Role.PERSON)
    # What they are called until they come and say it themselves.
    name = models.CharField(_("name"), max_length=120, blank=True, default="", db_default="")
    # The id their membership will have, so that who was told it before they came need not ask again.
    member_number = models.BigIntegerField(null=True, editable=False)
    token_sha256 = models.BinaryField(max_length=32, unique=True)
    invited_by = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    objects = InvitationQuerySet.as_manager()
    public_id = PublicId("inv")

    def __str__(self) -> str:
        return f"{self.email} as {self.role}"

    @property
    def open(self) -> bool:
        return (
            self.accepted_at is None
            and self.withdrawn_at is None
            and self.expires_at > timezone.now()
        )


class SupportSession(models.Model):
    """Support staff inside one account: with a reason, for an hour, listed to the owner (SX-10)."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="support_sessions")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="support_sessions")
    reason = models.CharField(_("reason"), max_length=250)
    started_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.user} in {self.account}"


class AuditEntry(AccountModel):
    """What somebody did; append-only (the app role may insert and read, a trigger refuses the rest)."""

    at = models.DateTimeField(default=timezone.now)
    # user, token, agent, system, support, stranger, program
    actor_kind = models.CharField(max_length=12)
    actor_name = models.CharField(max_length=250, blank=True)
    member = models.ForeignKey(
        Member, on_delete=models.DO_NOTHING, null=True, related_name="+", db_constraint=False
    )
    action = models.CharField(max_length=80)
    object_kind = models.CharField(max_length=40, blank=True)
    object_id = models.CharField(max_length=60, blank=True)
    object_name = models.CharField(max_length=250, blank=True)
    changes = models.JSONField(default=dict)
    reason = models.CharField(max_length=250, blank=True)
    ip = models.CharField(max_length=45, blank=True)

    class Meta(AccountModel.Meta):
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["account", "-at"], name="audit_by_time")]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor_name}"


class IdempotencyKey(AccountModel):
    """The stored answer to a POST, for 24 hours."""

    token_key = models.CharField(max_length=80)
    key = models.CharField(max_length=200)
    body_sha256 = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField(default=0)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["account", "token_key", "key"], name="idempotency_key_once"
            )
        ]

    def __str__(self) -> str:
        return self.key


class RateBucket(models.Model):
    """A token bucket; one atomic statement takes from it (SX-61). The key carries the account id."""

    key = models.CharField(primary_key=True, max_length=200)
    tokens = models.FloatField()
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.key


class LocalLetter(models.Model):
    """A letter kept for the local mailbox page, on machines without a mail server."""

    to = models.CharField(max_length=500)
    subject = models.CharField(max_length=500)
    body = models.TextField()
    sent_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.subject
