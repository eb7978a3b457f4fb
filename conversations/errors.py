"""What can go wrong in the desk's own acts. Every error has a code for programs and a sentence."""

from __future__ import annotations

from django.utils.translation import gettext as _


class DeskError(Exception):
    """Base of the errors people and programs see; `code` is stable, `message` is a sentence."""

    code = "error"

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.default_message())
        self.message = message or self.default_message()

    def default_message(self) -> str:
        return _("That did not work.")


class NotHolderError(DeskError):
    """A write by somebody who does not hold the conversation (any more)."""

    code = "not_assigned"

    def default_message(self) -> str:
        return _("This conversation is no longer assigned to you.")


class HolderChangedError(DeskError):
    """Somebody was faster: the expected assignee is not the current one."""

    code = "assignee_changed"

    def default_message(self) -> str:
        return _("Somebody else has changed who holds this conversation. Look again first.")


class CannotHoldError(DeskError):
    """The member or team cannot take conversations (inactive, paused, another account)."""

    code = "cannot_hold"

    def default_message(self) -> str:
        return _("This member cannot take conversations now.")


class WindowClosedError(DeskError):
    """The channel does not allow free text any more."""

    code = "window_closed"

    def default_message(self) -> str:
        return _(
            "The reply window of this channel is closed: the customer wrote more than 24 hours ago."
        )


class CannotSendError(DeskError):
    """The channel cannot carry this, the inbox is off, or the contact is blocked."""

    code = "cannot_send"


class WrongStateError(DeskError):
    """The act makes no sense in the conversation's present state."""

    code = "wrong_state"


class BusyError(WrongStateError):
    """Somebody is writing there at this very moment."""

    code = "busy"

    def default_message(self) -> str:
        return _("Somebody is writing in one of these conversations just now. Try again.")


class FieldError(DeskError):
    """Something cannot be kept so; `field` names what is wrong."""

    code = "invalid"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class TakenError(FieldError):
    """Something of this name is there already."""

    code = "already_exists"


class NotReplayableError(WrongStateError):
    """What ended cannot be brought once more."""

    code = "not_replayable"


class ConfirmationNeededError(WrongStateError):
    """It may do harm, so whoever asks has to say that they mean it."""

    code = "confirmation_needed"
