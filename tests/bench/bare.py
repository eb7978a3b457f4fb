"""The floor of an API call: a DRF view of the same process that inserts one row and does nothing else.

`python -m tests.bench.bare ROUNDS` in the product's environment prints, for this view and for saying something by
Chatwoot's API, how many a second one thread gets done: in turns, so that both have the same machine.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

ROUND = 20
# So many that no limit of theirs is reached.
SPEAKERS = 20


def main(rounds: int) -> None:
    import django

    django.setup()
    from tests.bench.repliers import replier

    bare = _bare()
    speakers = [_speaker(replier(f"speaker-{time.time_ns()}")) for _ in range(SPEAKERS)]
    spent = {"bare": 0.0, "ours": 0.0}
    for n in range(-1, rounds):  # the first round is not counted
        for name, act in (("bare", bare), ("ours", speakers[n % SPEAKERS])):
            began = time.perf_counter()
            for _ in range(ROUND):
                act()
            if n >= 0:
                spent[name] += time.perf_counter() - began
    sys.stdout.write(json.dumps({name: rounds * ROUND / taken for name, taken in spent.items()}))


def _bare() -> Callable[[], None]:
    from rest_framework import serializers
    from rest_framework.generics import CreateAPIView
    from rest_framework.test import APIRequestFactory

    from accounts.models import LocalLetter

    class LetterSerializer(serializers.ModelSerializer[LocalLetter]):
        class Meta:
            model = LocalLetter
            fields = ["id", "to", "subject", "body", "sent_at"]

    class Letters(CreateAPIView[LocalLetter]):
        serializer_class = LetterSerializer
        authentication_classes = ()
        permission_classes = ()

    view, factory = Letters.as_view(), APIRequestFactory()
    letter = {"to": "ana@example.test", "subject": "Hello", "body": "answer"}

    def insert() -> None:
        answer = view(factory.post("/letters/", letter, format="json")).render()
        assert answer.status_code == 201, answer.content

    return insert


def _speaker(replier: dict[str, Any]) -> Callable[[], None]:
    from django.test import Client

    account, number = replier["account"], replier["number"]
    path = f"/api/v1/accounts/{account}/conversations/{number}/messages"
    client = Client(SERVER_NAME="127.0.0.1", headers={"api-access-token": replier["token"]})

    def speak() -> None:
        answer = client.post(path, {"content": "answer"}, content_type="application/json")
        assert answer.status_code == 200, answer.content

    return speak


if __name__ == "__main__":
    main(int(sys.argv[1]))
