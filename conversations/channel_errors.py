"""The root of what can go wrong with a channel, beside the port that raises the rest."""

from __future__ import annotations


class ChannelError(Exception):
    """Anything that goes wrong between us and a platform."""


class UnsupportedMessageError(ChannelError):
    """The channel has no way to say this; the sentence is shown to whoever wanted to send it."""
