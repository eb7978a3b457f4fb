"""The forms of people, teams and settings. They check shape; services decide."""

from __future__ import annotations

from functools import cache
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.conf.locale import LANG_INFO
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _

from accounts import identity
from accounts.models import Account, ApiToken, Member, Team, User
from accounts.permissions import TABLE, Permission, Role, may_grant

ROLE_WORDS = {
    Role.OWNER: (_("Owner"), _("Everything, with plan and deletion of the account.")),
    Role.ADMIN: (_("Admin"), _("Everything but the account itself.")),
    Role.SUPERVISOR: (_("Supervisor"), _("Conversations, rules and teams; may pause AI agents.")),
    Role.PERSON: (_("Person"), _("Reads and answers conversations.")),
}
# Languages customers may write in that are worth offering; others are detected all the same.
CUSTOMER_LANGUAGES = (
    "ar bg cs da de el en es et fi fr he hi hr hu it lt lv nl pl pt ro ru sk sl sr sv tr uk"
)


@cache
def time_zones() -> list[tuple[str, str]]:
    areas = ("Africa", "America", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
    names = sorted(zone for zone in available_timezones() if zone.partition("/")[0] in areas)
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in names)]


def customer_languages() -> list[tuple[str, str]]:
    return [(code, LANG_INFO[code]["name_local"]) for code in CUSTOMER_LANGUAGES.split()]


def new_password(**attributes: Any) -> forms.CharField:
    return forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=128,
        help_text=_("At least ten characters; a few words are better than one with symbols."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        **attributes,
    )


def present_password(label: Any = None) -> forms.CharField:
    return forms.CharField(
        label=label or _("Present password"),
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


def code_field(label: Any = None) -> forms.CharField:
    return forms.CharField(
        label=label or _("Code"),
        max_length=40,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True}
        ),
    )


class SignUpForm(forms.Form):
    account_name = forms.CharField(
        label=_("Business"),
        max_length=120,
        help_text=_("The name your colleagues know."),
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    name = forms.CharField(
        label=_("Your name"), max_length=120, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    email = forms.EmailField(
        label=_("E-mail"), widget=forms.EmailInput(attrs={"autocomplete": "username"})
    )
    password = new_password()

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("password"):
            person = User(email=data.get("email", ""), name=data.get("name", ""))
            try:
                validate_password(data["password"], person)
            except ValidationError as error:
                self.add_error("password", error)
        return data


class AccountNameForm(forms.Form):
    name = forms.CharField(label=_("Business"), max_length=120)


class JoinForm(forms.Form):
    """An invited person without a login."""

    name = forms.CharField(
        label=_("Your name"), max_length=120, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    password = new_password()

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password)
        return password


class LoginForm(forms.Form):
    email = forms.EmailField(
        label=_("E-mail"),
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class CodeForm(forms.Form):
    code = code_field()


class ProofForm(forms.Form):
    """The question before a sensitive act: a code of whoever has a second factor, else the password."""

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user, self.with_code = user, identity.has_second_factor(user)
        self.fields["proof"] = code_field() if self.with_code else present_password(_("Password"))
        self.fields["proof"].widget.attrs["autofocus"] = True


class ResetForm(forms.Form):
    email = forms.EmailField(
        label=_("E-mail"),
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )


class NewPasswordForm(forms.Form):
    password = new_password()


class ChangePasswordForm(forms.Form):
    current = present_password()
    password = new_password()


class ProveForm(forms.Form):
    """The present password, before the second factor changes."""

    current = present_password()


class FactorForm(ProveForm):
    code = code_field(_("Code of the app"))
    field_order = ("code", "current")


class ProfileForm(forms.ModelForm[User]):
    class Meta:
        model = User
        fields = ("name", "language", "time_zone", "shortcuts_enabled")
        labels = {
            "name": _("Your name"),
            "language": _("Language of these pages"),
            "time_zone": _("Time zone"),
            "shortcuts_enabled": _("Single-key shortcuts"),
        }
        help_texts = {
            "time_zone": _("Empty: the account's."),
            "shortcuts_enabled": _(
                "r to reply, t to take over, and so on. Ctrl K works in any case."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].required = True
        self.fields["language"] = forms.ChoiceField(
            label=self.fields["language"].label, choices=settings.LANGUAGES
        )
        self.fields["time_zone"] = forms.ChoiceField(
            label=self.fields["time_zone"].label,
            help_text=self.fields["time_zone"].help_text,
            choices=lazy(lambda: [("", "–"), *time_zones()], list)(),
            required=False,
        )


class AccountForm(forms.ModelForm[Account]):
    locale = forms.ChoiceField(
        label=_("Language of letters"),
        choices=settings.LANGUAGES,
        help_text=_("Of invitations, and of what is written for the account."),
    )
    time_zone = forms.ChoiceField(label=_("Time zone"), choices=time_zones)
    country = forms.CharField(
        label=_("Country"),
        max_length=2,
        min_length=2,
        help_text=_("Two letters, such as RO. Phone numbers without a prefix belong to it."),
    )
    languages = forms.MultipleChoiceField(
        label=_("Languages your customers write in"),
        choices=customer_languages,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("They are looked for first when a message's language is told."),
    )

    people_see = forms.ChoiceField(
        label=_("Which conversations people see"),
        choices=[
            (
                Account.PeopleSee.ALL,
                _("Every conversation. Right for most: everybody can help everybody."),
            ),
            (
                Account.PeopleSee.TEAMS,
                _("Their teams’: held by them, by a team of theirs, or by nobody."),
            ),
            (
                Account.PeopleSee.OWN,
                _("Their own: held by them, or by nobody. Supervisors see their teams’."),
            ),
        ],
        required=False,
        widget=forms.RadioSelect,
        help_text=_(
            "Owners and admins always see every one, and only they what an AI agent has without a"
            " team. What is resolved stays with those who had it last."
        ),
    )

    on_uncertain = forms.ChoiceField(
        label=_("When it is not known whether a text arrived"),
        choices=[
            (
                Account.OnUncertain.RESEND_ONCE,
                _("Send it once more, marked: better twice than not at all."),
            ),
            (
                Account.OnUncertain.HOLD,
                _("Leave it to a person: the conversation waits until somebody decides."),
            ),
        ],
        required=False,
        widget=forms.RadioSelect,
        help_text=_(
            "It happens when a channel breaks off in the middle of an answer. Files and templates always"
            " wait for a person."
        ),
    )

    class Meta:
        model = Account
        fields = (
            "name", "locale", "time_zone", "country", "languages", "people_see", "factor_required",
            "on_uncertain",
        )  # fmt: skip
        labels = {"factor_required": _("Owners and admins need a second factor")}
        help_texts = {
            "factor_required": _(
                "Whoever has none yet is asked to switch it on before anything else."
            )
        }

    def clean_country(self) -> str:
        return str(self.cleaned_data["country"]).upper()

    def clean_on_uncertain(self) -> str:
        return str(self.cleaned_data["on_uncertain"] or self.initial["on_uncertain"])

    def clean_people_see(self) -> str:
        """A form that does not ask leaves it as it is."""
        return str(self.cleaned_data["people_see"] or self.initial["people_see"])


class InviteForm(forms.Form):
    email = forms.EmailField(label=_("E-mail"))
    role = forms.ChoiceField(label=_("Role"))

    def __init__(self, *args: Any, by: Member, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"] = forms.ChoiceField(
            label=_("Role"), choices=grantable(by), initial=Role.PERSON
        )


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=[(role.value, words[0]) for role, words in ROLE_WORDS.items()])


def grantable(by: Member) -> list[tuple[str, Any]]:
    """The roles `by` may hand out, with their words."""
    return [
        (role.value, words[0]) for role, words in ROLE_WORDS.items() if may_grant(by.role, role)
    ]


class TeamForm(forms.ModelForm[Team]):
    members = forms.ModelMultipleChoiceField(
        label=_("Members"),
        queryset=Member.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = Team
        fields = ("name", "description")
        labels = {"description": _("What it is for")}

    def __init__(self, *args: Any, account: Account, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = Member.objects.active().people().filter(account=account).order_by("name")
        members = self.fields["members"]
        members.queryset = people  # type: ignore[attr-defined]  # of the field above
        if self.instance.pk:
            members.initial = list(self.instance.members.values_list("pk", flat=True))


class TokenForm(forms.Form):
    name = forms.CharField(
        label=_("What it is for"), max_length=120, help_text=_("For instance: nightly export.")
    )
    kind = forms.ChoiceField(label=_("Kind"), choices=())
    days = forms.TypedChoiceField(
        label=_("Works for"),
        coerce=int,
        choices=[(30, _("30 days")), (90, _("90 days")), (365, _("1 year"))],
        initial=365,
    )
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: all that you may do, and never more than that."),
    )

    def __init__(self, *args: Any, by: Member, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds = [(ApiToken.Kind.PERSONAL, _("Personal: acts as you"))]
        mine = TABLE[Role(by.role)]
        if Permission.TOKENS_WRITE in mine:
            kinds.append((ApiToken.Kind.INTEGRATION, _("Integration: a program of the account")))
        self.fields["kind"] = forms.ChoiceField(label=_("Kind"), choices=kinds)
        scopes = self.fields["scopes"]
        scopes.choices = [  # type: ignore[attr-defined]  # of the field above
            (permission.value, permission.value) for permission in Permission if permission in mine
        ]
