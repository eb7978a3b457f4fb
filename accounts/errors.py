"""What can go wrong with people, roles, tokens and teams. A code for programs, a sentence for people."""

from __future__ import annotations

from django.utils.translation import gettext as _


class AccountsError(Exception):
    """Base; `code` is stable, `message` is a sentence."""

    code = "error"

    def __init__(self, message: str = "") -> None:
        self.message = message or self.default_message()
        super().__init__(self.message)

    def default_message(self) -> str:
        return _("That did not work.")


class LastOwnerError(AccountsError):
    """An account always has an owner."""

    code = "last_owner"

    def default_message(self) -> str:
        return _("This is the last owner. Make somebody else owner first.")


class NotAllowedError(AccountsError):
    """The act is above the actor's own role."""

    code = "not_allowed"

    def default_message(self) -> str:
        return _("Your role does not allow this.")


class AlreadyThereError(AccountsError):
    """Somebody or something of this name is there already."""

    code = "already_exists"


class InvitationOverError(AccountsError):
    """The invitation was used, withdrawn, or is too old."""

    code = "invitation_over"

    def default_message(self) -> str:
        return _("This invitation is no longer valid. Ask for a new one.")
