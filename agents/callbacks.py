"""An agent's later answer through the secret address in an event (delivery.md 12)."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import ApiToken
from agents import dialects
from agents.answers import apply_answer, withhold
from agents.models import Agent
from agents.pushing import SERVING
from conversations.errors import DeskError, NotHolderError
from conversations.models import CallbackToken, Conversation, Message


class CallbackOverError(DeskError):
    """The address is too old, or its agent is not there any more."""

    code = "callback_expired"

    def default_message(self) -> str:
        return _("This reply address is no longer valid.")


def agent_of(callback: CallbackToken) -> Agent:
    """The agent that may use this address. Raises `CallbackOverError`.

    The address dies with the agent, and with an API token of the agent that is revoked after the address
    was made (DL-103). Both are asked for here, so nobody who revokes a token has to know of callbacks.
    """
    agent = Agent.objects.select_related(*SERVING).filter(endpoint=callback.endpoint_id).first()
    over = callback.revoked_at is not None or callback.expires_at <= timezone.now()
    if over or agent is None or agent.state == Agent.State.DELETED:
        raise CallbackOverError
    if agent.dialect not in {dialect.slug for dialect in dialects.all_dialects()}:
        raise CallbackOverError(_("The dialect of this AI agent is not installed any more."))
    revoked = ApiToken.objects.filter(
        member=agent.member_id, kind=ApiToken.Kind.AGENT, revoked_at__gte=callback.created_at
    )
    if revoked.exists():
        raise CallbackOverError
    return agent


def answer(
    callback: CallbackToken,
    conversation: Conversation,
    agent: Agent,
    *,
    headers: Mapping[str, str],
    body: bytes,
) -> list[Message]:
    """Do what the body asks for, as if it were the answer to the event; returns the messages it made.

    Conversation and callback are locked. It goes to the callback's own conversation, whatever the body
    names. Raises `UnreadableAnswerError`, and `NotHolderError` when somebody else has the conversation
    by now: then the words are kept as drafts for them (DL-63), and whoever catches it commits.
    Raises as `apply_answer` otherwise.
    """
    wanted = dialects.get(agent.dialect).read_answer(200, headers, body)
    try:
        said = apply_answer(
            conversation,
            agent,
            wanted,
            epoch=callback.epoch,
            client_prefix=f"callback:{callback.pk}:{callback.uses}",
        )
    except NotHolderError:
        withhold(conversation, agent, wanted, reason="stale_epoch")
        raise
    callback.uses += 1
    callback.save(update_fields=["uses"])
    return said
