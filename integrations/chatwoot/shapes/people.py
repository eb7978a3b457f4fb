"""People, bots and teams."""

from __future__ import annotations

from collections.abc import Collection

from django.utils import timezone

from accounts.models import Account, Invitation, Member, Team
from accounts.permissions import Role
from agents.models import Agent, SystemAgent
from integrations.chatwoot import avatars
from integrations.chatwoot.models import BotSettings
from integrations.chatwoot.shapes.parts import Json, iso


def role_word(role: str) -> str:
    return "administrator" if role in (Role.OWNER, Role.ADMIN) else "agent"


def role_of(member: Member) -> str:
    return role_word(member.role)


def availability(member: Member) -> str:
    """We do not ask people to say that they are there; who is a member can be given something."""
    return "online" if member.active else "offline"


def person_id(member: Member | None) -> int | None:
    """The id of a human holder."""
    return member.pk if member is not None and member.is_person else None


def assignee_type(member: Member | None) -> str | None:
    if member is None:
        return None
    return "AgentBot" if member.is_agent else "User"


def agent_json(member: Member) -> Json:
    """A person of the account: what they call an agent."""
    return {
        "id": member.pk,
        "account_id": member.account_id,
        "availability_status": availability(member),
        "auto_offline": False,
        "confirmed": True,
        "email": member.user.email if member.user else "",
        "provider": "email",
        "available_name": member.name,
        "name": member.name,
        "role": role_of(member),
        "thumbnail": "",
    }


def invited_json(invitation: Invitation) -> Json:
    """Somebody who has not come yet, by the number they will have."""
    name = invitation.name or invitation.email
    return {
        "id": invitation.member_number,
        "account_id": invitation.account_id,
        "availability_status": "offline",
        "auto_offline": False,
        "confirmed": False,
        "email": invitation.email,
        "provider": "email",
        "available_name": name,
        "name": name,
        "role": role_word(invitation.role),
        "thumbnail": "",
    }


def profile_json(member: Member, account: Account, clear_token: str) -> Json:
    """Who asks. The token is the one that was sent: we keep none that could be told."""
    return {
        "access_token": clear_token,
        "account_id": account.pk,
        "available_name": member.name,
        "avatar_url": "",
        "confirmed": True,
        "display_name": member.name,
        "message_signature": None,
        "email": member.user.email if member.user else "",
        "id": member.pk,
        "inviter_id": None,
        "name": member.name,
        "provider": "email",
        "pubsub_token": None,
        "custom_attributes": {},
        "role": role_of(member),
        "ui_settings": {},
        "uid": member.user.email if member.user else "",
        "type": None,
        "accounts": [
            {
                "id": account.pk,
                "name": account.name,
                "status": "active",
                "active_at": iso(timezone.now()),
                "role": role_of(member),
                "permissions": [role_of(member)],
                "availability": availability(member),
                "availability_status": availability(member),
                "auto_offline": False,
            }
        ],
    }


def user_push(member: Member) -> Json:
    return {
        "id": member.pk,
        "name": member.name,
        "available_name": member.name,
        "avatar_url": "",
        "type": "user",
        "availability_status": availability(member),
        "thumbnail": "",
    }


def bot_id(agent: Agent) -> int:
    """By which number they know it: an account's agent of a system bot goes by that one's in every account.
    Both are numbered by one sequence."""
    return agent.system_id or agent.pk


def bot_push(agent: Agent, name: str) -> Json:
    picture = avatars.address_of(agent)
    return {"id": bot_id(agent), "name": name, "avatar_url": picture, "type": "agent_bot"}


def member_push(member: Member) -> Json:
    """A person or a bot, as the author of something; needs `agent` and its settings read with it."""
    return bot_push(member.agent, member.name) if member.is_agent else user_push(member)


def bot_json(agent: Agent, **shown_once: str) -> Json:
    """A bot. `access_token` and `secret` are shown where they are made, and never again (SX-31)."""
    if agent.system is not None:
        return system_bot_json(agent.system, avatars.address_of(agent))
    return {
        "id": agent.pk,
        "name": agent.name,
        "description": agent.description,
        "thumbnail": avatars.address_of(agent),
        "outgoing_url": agent.endpoint.url,
        "bot_type": "webhook",
        "bot_config": config_of(agent),
        "account_id": agent.account_id,
        "system_bot": False,
        **shown_once,
    }


def system_bot_json(system: SystemAgent, picture: str, **shown_to_its_app: str) -> Json:
    """A bot of the installation, as accounts see it: without where it is reached."""
    return {
        "id": system.pk,
        "name": system.name,
        "description": system.description,
        "thumbnail": picture,
        "bot_type": "webhook",
        "bot_config": {},
        "account_id": None,
        "system_bot": True,
        **shown_to_its_app,
    }


def config_of(agent: Agent) -> Json:
    kept: BotSettings | None = getattr(agent, "bot_settings", None)
    return dict(kept.config) if kept is not None else {}


def slim_bot(agent: Agent) -> Json:
    """A bot as an assignee."""
    shown = {
        "id": bot_id(agent),
        "name": agent.name,
        "description": agent.description,
        "thumbnail": avatars.address_of(agent),
        "outgoing_url": agent.endpoint.shown_url,
        "bot_type": "webhook",
    }
    if agent.endpoint.hidden:
        del shown["outgoing_url"]
    return shown


def team_json(team: Team, mine: Collection[int]) -> Json:
    """`mine` are the teams of whoever asks."""
    return {
        "id": team.pk,
        "name": team.name,
        "description": team.description or None,
        "allow_auto_assign": False,
        "account_id": team.account_id,
        "is_member": team.pk in mine,
    }


def raw_team(team: Team) -> Json:
    """A team as the answer to an assignment: its columns."""
    return {
        "id": team.pk,
        "name": team.name,
        "description": team.description or None,
        "allow_auto_assign": False,
        "account_id": team.account_id,
        "created_at": iso(team.created_at),
        "updated_at": iso(team.created_at),
    }
