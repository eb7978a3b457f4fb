"""What a session remembers of its login: whose membership, since when, and when last proved."""

from __future__ import annotations

import time
from datetime import timedelta

from django.contrib.sessions.backends.base import SessionBase

SESSION_MEMBER = "member_id"
SESSION_VERSION = "auth_version"
BEGAN = "began_at"
SEEN = "seen_at"
PROVED = "factor_at"

# security.md 3: half a day without a page, or two weeks in all, and one logs in again.
IDLE = timedelta(hours=12).total_seconds()
WHOLE = timedelta(days=14).total_seconds()
# SX-43: a sensitive act wants a proof that is not older than this.
FRESH = timedelta(minutes=10).total_seconds()
NOTED_EVERY = 600


def is_over(session: SessionBase) -> bool:
    """Whether a session has been idle or open for too long; notes its use, now and then."""
    now = int(time.time())
    began, seen = session.get(BEGAN, now), session.get(SEEN, now)
    if now - seen > IDLE or now - began > WHOLE:
        return True
    if SEEN not in session or now - seen > NOTED_EVERY:
        session[BEGAN], session[SEEN] = began, now
    return False


def mark_proved(session: SessionBase) -> None:
    """Whoever holds the session has just shown that they are its person."""
    session[PROVED] = int(time.time())


def is_fresh(session: SessionBase) -> bool:
    """Whether that was at most ten minutes ago; a login counts."""
    proved: int = session.get(PROVED, session.get(BEGAN, 0))
    return time.time() - proved <= FRESH
