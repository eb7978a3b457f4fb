"""Another account beside the demo, with agents at given addresses: `python -m tests.bench.tenant URL…`
in the product's environment. Prints the ids of the account and of the agents' endpoints."""

from __future__ import annotations

import json
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def main(urls: list[str]) -> None:
    import django

    django.setup()
    from tests import factories

    account = factories.make_account("Bench")
    endpoints = [factories.make_agent(account, url=url).endpoint_id for url in urls]
    sys.stdout.write(json.dumps({"account": account.pk, "endpoints": endpoints}))


if __name__ == "__main__":
    main(sys.argv[1:])
