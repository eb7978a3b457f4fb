"""The Romanian texts: all of them, with the same placeholders, and on the page."""

from __future__ import annotations

import gettext
import io
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import translation

from config import catalogues

ROOT = Path(settings.BASE_DIR)
ROMANIAN = ROOT / "locale" / "ro" / "LC_MESSAGES" / "django.po"
SOURCES = (
    "accounts", "agents", "config", "conversations", "integrations", "locale", "templates",
    "manage.py", "pyproject.toml",
)  # fmt: skip
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%|\{\w+\}|</?\w+>")
SMALL = r"""
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\n"

# A comment.
#: a.py
msgctxt "rule"
msgid "on"
msgstr "activă"

msgid "on"
msgstr ""
"por"
"nit\n"

#, fuzzy
msgid "off"
msgstr "guess"

msgid "empty"
msgstr ""
"""


def romanian() -> list[catalogues.Entry]:
    return list(catalogues.entries(ROMANIAN.read_text(encoding="utf-8")))[1:]


def test_every_text_of_the_product_is_in_the_catalogue_and_translated(tmp_path: Path) -> None:
    if shutil.which("xgettext") is None:
        pytest.skip("no xgettext on this machine; install the package gettext")
    for name in SOURCES:
        source = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__", "migrations", "*.mo")
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(source, tmp_path / name)
    command = [sys.executable, "manage.py", "makemessages", "--locale", "ro", "--no-wrap"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    text = (tmp_path / ROMANIAN.relative_to(ROOT)).read_text(encoding="utf-8")
    wanting = [entry.msgid for entry in catalogues.entries(text) if not entry.usable]
    assert not wanting, "translate these: run `make messages`, then fill locale/ro"
    gone = [line for line in text.splitlines() if line.startswith("#~ msgid")]
    assert not gone, "nothing says these any more: run `make messages`"


def test_nothing_is_missing_or_only_guessed() -> None:
    assert len(romanian()) > 1000
    assert not [entry.msgid for entry in romanian() if not entry.usable]


def test_translations_have_the_placeholders_of_their_texts() -> None:
    wrong = [
        (entry.msgid, said)
        for entry in romanian()
        for said in entry.translations
        if sorted(PLACEHOLDER.findall(said)) != sorted(PLACEHOLDER.findall(entry.msgid))
    ]
    assert not wrong


def test_what_counts_has_the_three_forms_of_romanian() -> None:
    counting = [entry for entry in romanian() if entry.msgid_plural]
    assert counting
    assert {len(entry.translations) for entry in counting} == {3}
    with translation.override("ro"):
        said = [
            translation.ngettext("%(n)s conversation", "%(n)s conversations", n) % {"n": n}
            for n in (0, 1, 2, 19, 20, 101, 120)
        ]
    assert said == [
        "0 conversații", "1 conversație", "2 conversații", "19 conversații", "20 de conversații",
        "101 conversații", "120 de conversații",
    ]  # fmt: skip


def test_letters_and_quotation_marks_are_romanian_ones() -> None:
    """ș and ț with a comma below, „these” around what is quoted."""
    said = "".join("".join(entry.translations) for entry in romanian())
    assert not set("ŞşŢţ“") & set(said)


def test_a_catalogue_is_compiled_for_gettext() -> None:
    made = gettext.GNUTranslations(io.BytesIO(catalogues.compiled(SMALL)))
    assert made.pgettext("rule", "on") == "activă"
    assert made.gettext("on") == "pornit\n"
    assert made.gettext("off") == "off"
    assert made.gettext("empty") == "empty"


def test_the_whole_catalogue_comes_through_djangos_gettext() -> None:
    with translation.override("ro"):
        for entry in romanian():
            if entry.msgid_plural:
                said = translation.npgettext(entry.msgctxt, entry.msgid, entry.msgid_plural, 20)
                assert said == entry.translations[2]
            elif entry.msgctxt:
                assert translation.pgettext(entry.msgctxt, entry.msgid) == entry.translations[0]
            else:
                assert translation.gettext(entry.msgid) == entry.translations[0]


@pytest.mark.parametrize("text", ["<<<<<<< HEAD", '"nobody asked"', "msgid x", 'msgstr "'])
def test_what_is_no_catalogue_is_said_with_its_line(text: str) -> None:
    with pytest.raises(catalogues.CatalogueError, match="line 2 "):
        list(catalogues.entries(f"\n{text}\n"))


def test_a_catalogue_is_compiled_when_it_changes_and_only_then(tmp_path: Path) -> None:
    source = tmp_path / "ro" / "LC_MESSAGES" / "django.po"
    source.parent.mkdir(parents=True)
    source.write_text(SMALL, encoding="utf-8")
    assert catalogues.refresh([tmp_path]) == [source]
    assert catalogues.refresh([tmp_path]) == []
    os.utime(source, ns=(0, 1_000_000_000))  # an older one, put back
    assert catalogues.refresh([tmp_path]) == [source]
    assert [file.name for file in source.parent.iterdir() if file != source] == ["django.mo"]


def test_looking_takes_no_time_when_nothing_changed() -> None:
    catalogues.refresh(settings.LOCALE_PATHS)
    started = time.perf_counter()
    assert catalogues.refresh(settings.LOCALE_PATHS) == []
    assert time.perf_counter() - started < 0.1


def test_a_directory_that_cannot_be_written_costs_the_language_not_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "ro" / "LC_MESSAGES" / "django.po"
    (source.parent / f"django.mo.{os.getpid()}").mkdir(parents=True)  # in the way
    source.write_text(SMALL, encoding="utf-8")
    assert catalogues.refresh([tmp_path]) == []
    assert "was not compiled" in caplog.text


@pytest.mark.django_db
def test_a_stranger_reads_the_language_of_the_browser(client: Client) -> None:
    page = client.get(reverse("login"), headers={"accept-language": "ro-RO,ro;q=0.9,en;q=0.5"})
    assert '<html lang="ro"' in page.text
    assert "Ați uitat parola?" in page.text
    assert "Forgot the password?" in client.get(reverse("login")).text


def test_a_person_reads_the_language_of_their_profile(
    house: SimpleNamespace, client: Client
) -> None:
    house.person.user.language = "ro"
    house.person.user.save()
    client.force_login(house.person.user, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get("/", headers={"accept-language": "en"})
    assert "Ale mele" in page.text
    assert "Unassigned" not in page.text
