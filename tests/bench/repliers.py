"""Accounts whose agents answer through the REST API: `python -m tests.bench.repliers N` in the product's
environment. Prints for each its token and its conversation: no token may call more than ten times a second
for long, nor an account more than fifty times (SX-61), so many share the load."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def main(n: int) -> None:
    import django

    django.setup()
    sys.stdout.write(json.dumps([replier(f"replier-{time.time_ns()}") for _ in range(n)]))


def replier(slug: str) -> dict[str, Any]:
    from accounts.models import Account
    from accounts.tenancy import account_context
    from accounts.tokens import create_token
    from conversations import services
    from tests import factories

    account = Account.objects.create(name="Bench", slug=slug)
    agent = factories.make_agent(account)
    conversation = factories.make_conversation(factories.make_inbox(account))
    with account_context(account):
        services.assign(conversation, to=agent.member, by=None)
        _row, token = create_token(agent.member, kind="agt", name="bench")
    return {
        "token": token,
        "account": account.pk,
        "conversation": conversation.public_id,
        "number": conversation.number,
    }


if __name__ == "__main__":
    main(int(sys.argv[1]))
