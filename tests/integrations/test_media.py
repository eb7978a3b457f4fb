"""Files are served from signed addresses that end, with headers that let nothing in them run."""

from __future__ import annotations

import time

import pytest
import time_machine
from django.core.files.storage import default_storage

from accounts.tenancy import account_context
from conversations.file_addresses import signed_url
from conversations.file_serving import byte_range
from conversations.models import Attachment, Message
from conversations.services import media as storage
from tests import factories, pictures


@pytest.fixture(autouse=True)
def _own_media_root(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path


def keep(house, content: bytes, mime: str, **fields) -> Attachment:
    conversation = factories.make_conversation(house.inbox)
    message = Message.objects.get(conversation=conversation, direction="inbound")
    return Attachment.objects.create(
        message=message,
        kind="document",
        mime=mime,
        path=fields.pop("path", None) or storage.store(content, account_id=house.account.pk),
        size=len(content),
        state=fields.pop("state", Attachment.State.READY),
        **fields,
    )


def content_of(response) -> bytes:
    return b"".join(response.streaming_content)


def test_a_picture_is_shown_inline_with_a_policy_that_runs_nothing(house, client):
    """SX-81."""
    kept = keep(house, pictures.png(), "image/png", filename="cană.png")
    response = client.get(signed_url(kept, absolute=False))
    assert content_of(response) == pictures.png()
    assert response["Content-Type"] == "image/png"
    assert response["Content-Disposition"].startswith("inline")
    assert response["Content-Security-Policy"].startswith("sandbox;")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Cache-Control"] == "private, max-age=3600"


def test_what_a_browser_could_run_is_only_offered_for_saving(house, client):
    """SX-80: it got in from a platform, so it is kept, but never shown."""
    kept = keep(house, b"<script>alert(1)</script>", "text/html", filename="x.html")
    response = client.get(signed_url(kept, absolute=False))
    assert content_of(response).startswith(b"<script>")
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"].startswith("attachment")


def test_a_part_of_a_recording_can_be_asked_for(house, client):
    kept = keep(house, bytes(range(100)), "audio/ogg")
    url = signed_url(kept, absolute=False)
    part = client.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, content_of(part)) == (206, bytes(range(10, 20)))
    assert part["Content-Range"] == "bytes 10-19/100"
    assert part["Content-Length"] == "10"
    assert client.get(url, headers={"Range": "bytes=100-"}).status_code == 416


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", (0, 100)),
        ("bytes=0-", (0, 100)),
        ("bytes=90-", (90, 100)),
        ("bytes=-5", (95, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=5-5", (5, 6)),
        ("bytes=5-1000", (5, 100)),
        ("bytes=-", (0, 100)),
        ("bytes=0-1,5-6", (0, 100)),
        ("lines=1-2", (0, 100)),
        ("bytes=100-", None),
        ("bytes=7-3", None),
        ("bytes=-0", None),
        ("bytes=" + "9" * 5000 + "-", (0, 100)),
    ],
)
def test_ranges_are_read_as_browsers_mean_them(header, expected):
    assert byte_range(header, 100) == expected


def test_a_file_that_is_still_being_fetched_says_when_to_ask_again(house, client):
    kept = keep(house, b"", "image/png", state=Attachment.State.PENDING, path="-")
    response = client.get(signed_url(kept, absolute=False))
    assert (response.status_code, response["Retry-After"]) == (503, "2")


def test_a_file_that_could_not_be_fetched_or_is_gone_is_not_found(house, client):
    failed = keep(house, b"", "image/png", state=Attachment.State.FAILED, path="-")
    gone = keep(house, b"x", "image/png")
    default_storage.delete(gone.path)
    for kept in (failed, gone):
        assert client.get(signed_url(kept, absolute=False)).status_code == 404


def test_an_address_ends_and_cannot_be_changed(house, client):
    """Bad input 57."""
    kept = keep(house, b"x", "image/png")
    other = keep(house, b"y", "image/png")
    url = signed_url(kept, absolute=False, hours=1)
    assert client.get(url.replace(kept.public_id, other.public_id)).status_code == 404
    assert client.get(url[:-1]).status_code == 404
    assert client.get("/media/x").status_code == 404
    with time_machine.travel(time.time() + 3 * 3600, tick=False):
        assert client.get(url).status_code == 403


def test_an_address_names_its_account_so_another_accounts_file_is_not_there(house, client):
    """Bad input 57: even a signature of ours cannot join a file with a foreign account."""
    kept = keep(house, b"secret", "image/png")
    kept.account_id = house.outsider_account.pk
    assert client.get(signed_url(kept, absolute=False)).status_code == 404


def test_the_address_stays_the_same_for_a_while_so_that_browsers_keep_the_file(house):
    kept = keep(house, b"x", "image/png")
    with time_machine.travel(1_700_000_000, tick=False):
        first = signed_url(kept, hours=1)
    with time_machine.travel(1_700_000_060, tick=False):
        assert signed_url(kept, hours=1) == first
    assert first.startswith("http://127.0.0.1:8000/media/att_")


def test_nothing_is_served_by_post(house, client):
    kept = keep(house, b"x", "image/png")
    assert client.post(signed_url(kept, absolute=False)).status_code == 405


def test_files_lie_under_random_names_in_their_accounts_folder(house):
    with account_context(house.account):
        kept = keep(house, b"x", "image/png", filename="../../etc/passwd")
    assert kept.path.startswith(f"{house.account.pk}/")
    assert "passwd" not in kept.path
