"""Accounts to play with: each scenario has a house of its own, so that no ledger holds another's rows.

`python -m tests.chaos.houses <how many> <agents' url>` runs inside the product's environment and prints
them as JSON; no people are made beyond one owner and one colleague.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APP_SECRET = "the-secret-of-the-chaos-app"
FALLBACK_TEXT = "A colleague will answer you."


@dataclass(frozen=True)
class House:
    """An account with one agent (at `<agents' url>/<agent name>`), one WhatsApp number and a team."""

    number: int
    account_id: int
    owner_token: str
    person_id: str
    person_token: str
    team_id: str
    agent_id: str
    agent_name: str
    agent_token: str
    agent_secret: str
    endpoint_id: int
    inbox_id: str
    hook_url: str
    number_id: str
    waba: str
    app_secret: str


def make(environment: Mapping[str, str], *, count: int, agents_url: str) -> list[House]:
    """Make houses in the product that runs in `environment`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.houses", str(count), agents_url],
        cwd=ROOT,
        env={"DJANGO_SETTINGS_MODULE": "config.settings", **environment},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"no houses were made:\n{done.stderr[-2000:]}")
    return [House(**row) for row in json.loads(done.stdout)]


def main(count: int, agents_url: str) -> None:
    import django

    django.setup()
    from accounts.models import Account

    first = Account.objects.count() + 1  # a database that is kept has houses of earlier runs
    made = [_make_house(number, agents_url) for number in range(first, first + count)]
    sys.stdout.write(json.dumps([asdict(house) for house in made]))


def _make_house(number: int, agents_url: str) -> House:
    """Through the acts that the pages use, so that it is what a customer of ours has."""
    from django.db import transaction

    from accounts import services as accounts
    from accounts.models import ApiToken, Member, User
    from accounts.permissions import Role
    from accounts.tenancy import account_context
    from accounts.tokens import create_token
    from agents import services as agents
    from agents.rules import create_default_rules
    from integrations.routes import hook_url
    from integrations.services import connect_inbox

    with transaction.atomic():
        users = [
            User.objects.create_user(f"{who}{number}@chaos.example", None, name=who.title())
            for who in ("owner", "person")
        ]
        owner = accounts.create_account(f"Chaos {number}", owner=users[0])
        account = owner.account
        with account_context(account):
            person = Member.objects.create(
                account=account, user=users[1], role=Role.PERSON, name="Person"
            )
            team = accounts.create_team(name="Care", by=owner, members=[person])
            name = f"agent{number}"
            made = agents.create_agent(
                account,
                name=name,
                url=f"{agents_url}/{name}",
                by=owner,
                patience_s=90,
                timeout_s=10,
                fallback_team=team,
                fallback_text=FALLBACK_TEXT,
            )
            create_default_rules(account, made.agent, by=owner)
            values = {
                "phone_number_id": f"42{number:013d}",
                "waba_id": f"43{number:013d}",
                "access_token": f"token-of-{number}",
                "app_secret": APP_SECRET,
                # More than any load here: a number's own pace (DL-95) is not what is measured.
                "messages_per_second": "1000",
            }
            inbox = connect_inbox(
                platform="whatsapp", name="WhatsApp", values=values, by=owner, fallback_team=team
            )
            tokens = [
                create_token(member, kind=ApiToken.Kind.PERSONAL, name="chaos", created_by=member)[
                    1
                ]
                for member in (owner, person)
            ]
            return House(
                number=number,
                account_id=account.pk,
                owner_token=tokens[0],
                person_id=person.public_id,
                person_token=tokens[1],
                team_id=team.public_id,
                agent_id=made.agent.public_id,
                agent_name=name,
                agent_token=made.token,
                agent_secret=made.secret,
                endpoint_id=made.agent.endpoint_id,
                inbox_id=inbox.public_id,
                hook_url=hook_url(inbox),
                number_id=values["phone_number_id"],
                waba=values["waba_id"],
                app_secret=APP_SECRET,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
