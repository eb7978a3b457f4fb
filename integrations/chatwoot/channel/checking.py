"""Connecting to a Chatwoot account, step by step, and leaving it (contract, 8).

Every run comes to the same end: a bot of ours that stands already is used again, told by its address.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from conversations.channels import (
    CheckStep,
    ErrorClass,
    HttpClient,
    InboxConfig,
    Learnt,
    SendError,
)
from integrations.addresses import unreachable
from integrations.chatwoot.channel.client import ChatwootClient
from integrations.chatwoot.channel.naming import is_number

BOT_NAME = "Switchboard"
MOST_NAMED = 50
# How a call ends that nobody answered (integrations/http.py).
NO_ANSWER = frozenset(
    {"timeout_connect", "timeout_read", "dns", "tls", "refused", "disconnected", "blocked_address"}
)
Found = Mapping[str, Any]


class StepFailedError(Exception):
    """A step that found something wrong by itself; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Theirs:
    """An inbox of the Chatwoot account."""

    number: str
    name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.number} {self.name}".strip()


class Check:
    """One run over one inbox of ours."""

    def __init__(self, inbox: InboxConfig, http: HttpClient, *, hook_url: str) -> None:
        self.client = ChatwootClient(inbox, http)
        self.inbox = inbox
        self.hook_url = hook_url
        self.all: list[Theirs] = []
        self.chosen: list[Theirs] = []
        self.present: dict[str, str] = {}
        self.bot: dict[str, Any] = {}

    async def run(self) -> AsyncIterator[CheckStep | Learnt]:
        """Step by step, stopping at the first that fails."""
        steps: tuple[tuple[str, str, Callable[[], Awaitable[str]]], ...] = (
            ("account", _("Account and token"), self.account),
            ("inboxes", _("Inboxes"), self.inboxes),
            ("other_bots", _("No other bot answers there"), self.other_bots),
            ("bot", _("Our bot"), self.our_bot),
            ("attached", _("Our bot gets what customers write"), self.attach),
            ("signature", _("Events are signed"), self.signature),
        )
        for name, title, step in steps:
            try:
                detail = await step()
            except (SendError, StepFailedError) as error:
                yield CheckStep(name, ok=False, title=title, detail=_why(error))
                return
            if name == "bot":
                yield self.learnt()  # before the first event can come
            yield CheckStep(name, ok=True, title=title, detail=detail)

    async def account(self) -> str:
        """The token is an administrator's of this account."""
        profile = _mapping(await self.client.profile())
        accounts = [one for one in _list(profile.get("accounts")) if isinstance(one, dict)]
        ours = next((one for one in accounts if str(one.get("id")) == self.client.account), None)
        if ours is None:
            raise StepFailedError(
                _("%(name)s is no member of the account %(number)s. Look at the address of your "
                  "Chatwoot: the number stands after /accounts/.")
                % {"name": _text(profile, "name"), "number": self.client.account}
            )  # fmt: skip
        if ours.get("role") != "administrator":
            raise StepFailedError(
                _("%(name)s is no administrator there, and only administrators set up bots.")
                % {"name": _text(profile, "name")}
            )
        return _text(ours, "name")

    async def inboxes(self) -> str:
        """Those that are asked for; without any the step ends with what there is to choose."""
        self.all = await inboxes_of(self.client)
        wanted = numbers_in(str(self.inbox.config.get("inboxes", "")))
        named = ", ".join(str(one) for one in self.all[:MOST_NAMED])
        if not wanted:
            raise StepFailedError(
                _("Enter the numbers of those that should come here: %(names)s.")
                % {"names": named or _("there are none")}
            )
        known = {one.number: one for one in self.all}
        unknown = [number for number in wanted if number not in known]
        if unknown:
            raise StepFailedError(
                _("There is no inbox %(numbers)s. There are: %(names)s.")
                % {"numbers": ", ".join(unknown), "names": named}
            )
        self.chosen = [known[number] for number in wanted]
        return ", ".join(one.name for one in self.chosen)

    async def other_bots(self) -> str:
        """One inbox has one bot; another's is never replaced."""
        bots = _list(await self.client.as_user("GET", "agent_bots"))
        self.bot = next((bot for bot in bots if self._is_ours(bot)), {})
        ours = str(self.bot.get("id", ""))
        for one in self.all:
            bot = await bot_of(self.client, one.number)
            if bot is not None:
                self.present[one.number] = str(bot.get("id"))
        taken = [one for one in self.chosen if self.present.get(one.number, ours) != ours]
        if taken:
            raise StepFailedError(
                _("Another bot answers in %(names)s. Take it away there, or leave the inbox out "
                  "here: an inbox has one bot.")
                % {"names": ", ".join(str(one) for one in taken)}
            )  # fmt: skip
        return ""

    def _is_ours(self, bot: Any) -> bool:
        """By the number that we keep, else by the address, which nobody else knows."""
        if not isinstance(bot, dict):
            return False
        known = str(self.inbox.config.get("bot_id", ""))
        kept = bool(known) and str(bot.get("id")) == known
        return kept or bot.get("outgoing_url") == self.hook_url

    async def our_bot(self) -> str:
        """Made once; its address, token and secret are brought up to date."""
        said = {"name": BOT_NAME, "outgoing_url": self.hook_url}
        if not self.bot:
            self.bot = _mapping(await self.client.as_user("POST", "agent_bots", said))
        elif self.bot.get("outgoing_url") != self.hook_url:
            path = f"agent_bots/{self.bot.get('id')}"
            self.bot |= _mapping(await self.client.as_user("PATCH", path, said))
        number = str(self.bot.get("id", ""))
        if not is_number(number):
            raise StepFailedError(_("Chatwoot's answer names no bot. Is it up to date?"))
        if not self._token():
            again = await self.client.as_user("POST", f"agent_bots/{number}/reset_access_token")
            self.bot |= _mapping(again)
        if not self._token():
            raise StepFailedError(_("Chatwoot gave no token for our bot."))
        if not self._secret():  # shown once only, or a server that signs nothing
            again = await _unless_gone(
                self.client.as_user("POST", f"agent_bots/{number}/reset_secret")
            )
            self.bot |= _mapping(again)
        return f"{_text(self.bot, 'name')} {number}"

    def learnt(self) -> Learnt:
        return Learnt(
            credentials={"bot_token": self._token(), "bot_secret": self._secret()},
            config={
                "bot_id": str(self.bot.get("id", "")),
                "inbox_types": sorted({one.kind for one in self.chosen}),
            },
        )

    async def attach(self) -> str:
        """Ours in what was chosen, and in nothing else any more."""
        ours = str(self.bot.get("id", ""))
        chosen = {one.number for one in self.chosen}
        for one in self.all:
            has_it = self.present.get(one.number) == ours
            if one.number in chosen and not has_it:
                await set_bot(self.client, one.number, int(ours))
            elif one.number not in chosen and has_it:
                await set_bot(self.client, one.number, None)
        return _("New conversations start as pending there, until people open them.")

    async def signature(self) -> str:
        """A warning and no failure: older servers cannot do better."""
        if self._secret():
            return ""
        return _(
            "This Chatwoot signs nothing (it is older than 4.13). The secret address of this inbox "
            "is the only proof that events come from it: keep it to yourself, and update Chatwoot."
        )

    def _token(self) -> str:
        return _text(self.bot, "access_token") or self._kept("bot_token")

    def _secret(self) -> str:
        return _text(self.bot, "secret") or self._kept("bot_secret")

    def _kept(self, name: str) -> str:
        """What we know of this very bot from before: some servers show it once only."""
        same = str(self.bot.get("id", "")) == str(self.inbox.config.get("bot_id", ""))
        return self.inbox.credentials.get(name, "") if same else ""


async def leave(inbox: InboxConfig, http: HttpClient) -> Learnt:
    """Our bot is taken from every inbox and deleted; what is gone already is fine. Raises `SendError`."""
    ours = str(inbox.config.get("bot_id", ""))
    if ours:
        client = ChatwootClient(inbox, http)
        for one in await inboxes_of(client):
            bot = await bot_of(client, one.number)
            if bot is not None and str(bot.get("id")) == ours:
                await set_bot(client, one.number, None)
        await _unless_gone(client.as_user("DELETE", f"agent_bots/{ours}"))
    return Learnt(credentials={"bot_token": "", "bot_secret": ""}, config={"bot_id": ""})


async def inboxes_of(client: ChatwootClient) -> list[Theirs]:
    found = _mapping(await client.as_user("GET", "inboxes"))
    return [
        Theirs(str(one["id"]), _text(one, "name"), _text(one, "channel_type"))
        for one in _list(found.get("payload"))
        if isinstance(one, dict) and is_number(str(one.get("id")))
    ]


async def bot_of(client: ChatwootClient, number: str) -> Found | None:
    """The bot of an inbox; without one the key is empty or missing, and some versions say 404."""
    found = await _unless_gone(client.as_user("GET", f"inboxes/{number}/agent_bot"))
    bot = _mapping(found).get("agent_bot")
    return bot if isinstance(bot, dict) and bot.get("id") else None


async def set_bot(client: ChatwootClient, number: str, bot: int | None) -> None:
    await client.as_user("POST", f"inboxes/{number}/set_agent_bot", {"agent_bot": bot})


async def _unless_gone(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except SendError as error:
        if error.error_class is ErrorClass.UNREACHABLE:
            return None
        raise


def numbers_in(text: str) -> list[str]:
    """Numbers of inboxes as people write them, each once. Raises `StepFailedError`."""
    words = list(dict.fromkeys(text.replace(",", " ").split()))
    wrong = next((word for word in words if not is_number(word)), None)
    if wrong is not None:
        raise StepFailedError(_("“%(word)s” is no number of an inbox.") % {"word": wrong[:40]})
    return [str(int(word)) for word in words]


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(found: Found, key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _why(error: SendError | StepFailedError) -> str:
    """Where nothing answered, in one sentence whatever the reason: the test is no scanner of ports."""
    silent = isinstance(error, SendError) and error.code in NO_ANSWER
    return unreachable() if silent else str(error)
