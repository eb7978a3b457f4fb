"""Be Meta: send signed WhatsApp webhooks to a running Switchboard.

    python manage.py demo --json > demo.json
    python examples/whatsapp/webhooks.py demo.json text            # one kind
    python examples/whatsapp/webhooks.py demo.json                 # every kind, one after the other
    python examples/whatsapp/webhooks.py demo.json text --say "Do you ship to Cluj?"
    python examples/whatsapp/webhooks.py demo.json text --curl     # print the call instead

The samples stand in tests/integrations/whatsapp/fixtures/; each gets fresh ids and times, so that it
is a new message every time. Nothing but the standard library is needed.
"""

import argparse
import hashlib
import hmac
import json
import re
import secrets
import shlex
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

SAMPLES = Path(__file__).parents[2] / "tests/integrations/whatsapp/fixtures"
# The number our samples are for.
SAMPLE_NUMBER = "200000000000001"


def kinds() -> list[str]:
    return [path.stem.removeprefix("in_") for path in sorted(SAMPLES.glob("in_*.json"))]


def webhook(kind: str, options: argparse.Namespace, number: str) -> bytes:
    """The body of a sample with new ids, present times, our number and the wanted customer."""
    text = (SAMPLES / f"in_{kind}.json").read_text()
    fresh = secrets.token_hex(6).upper()
    text = text.replace(SAMPLE_NUMBER, number)
    text = re.sub(r"wamid\.(?!OUT|IN0)(\w+)", rf"wamid.{fresh}\1", text)
    text = re.sub(r'"timestamp": "\d+"', f'"timestamp": "{int(time.time())}"', text)
    text = text.replace("40721000111", options.sender)
    text = text.replace("RO.90000000000000000001", f"RO.9{options.sender}")
    if options.message:
        text = re.sub(r"wamid\.(OUT\d+|IN0)", options.message, text)
    body = json.loads(text)["body"]
    if options.say:
        for entry in body["entry"]:
            for change in entry["changes"]:
                for message in change["value"].get("messages", []):
                    if isinstance(message, dict) and "text" in message:
                        message["text"]["body"] = options.say
    return json.dumps(body, ensure_ascii=False).encode()


def sign(body: bytes, app_secret: str) -> str:
    return "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()


def post(url: str, body: bytes, signature: str) -> int:
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - the reader's own
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError as error:
        sys.exit(f"Nothing answers at {url}: {error.reason}. Is `make run` running?")


def main() -> int:
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.description = __doc__
    parser.add_argument("demo", help="the output of manage.py demo --json, in a file; - reads it")
    parser.add_argument("kind", nargs="*", help=f"one of: {', '.join(kinds())}")
    parser.add_argument("--say", help="other words for a text")
    parser.add_argument("--sender", default="40721000111", help="the customer's number")
    parser.add_argument("--message", help="the id of an earlier message, for statuses and replies")
    parser.add_argument("--curl", action="store_true", help="print the call instead of making it")
    options = parser.parse_args()
    demo = json.loads(sys.stdin.read() if options.demo == "-" else Path(options.demo).read_text())
    inbox = demo["inboxes"]["whatsapp"]
    refused = 0
    for kind in options.kind or kinds():
        if kind not in kinds():
            parser.error(f"there is no sample {kind}; there are {', '.join(kinds())}")
        body = webhook(kind, options, inbox["phone_number_id"])
        signature = sign(body, inbox["app_secret"])
        if options.curl:
            print(
                f"curl -i {shlex.quote(inbox['hook_url'])} -H 'Content-Type: application/json' "
                f"-H 'X-Hub-Signature-256: {signature}' --data-binary {shlex.quote(body.decode())}"
            )
            continue
        answer = post(inbox["hook_url"], body, signature)
        refused += answer != 200
        print(f"{answer}  {kind}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
