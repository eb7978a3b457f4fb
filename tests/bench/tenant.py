"""Another account beside the demo, with agents at given addresses: `python -m tests.bench.tenant URL…`
in the product's environment. Prints the ids of the account and of the agents' endpoints."""

from __future__ import annotations

import json
import os
import sys
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def main(urls: list[str]) -> None:
    import django

    django.setup()
    from accounts.models import Account
    from tests import factories

    account = Account.objects.create(name="Bench", slug=f"bench-{time.time_ns()}")
    endpoints = [factories.make_agent(account, url=url).endpoint_id for url in urls]
    sys.stdout.write(json.dumps({"account": account.pk, "endpoints": endpoints}))


if __name__ == "__main__":
    main(sys.argv[1:])
