"""What may come in as a file (SX-80, SX-82, bad inputs 55 and 56)."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.files import (
    FileTooLargeError,
    RefusedFileError,
    check_upload,
    clean_name,
    pixels_of,
    recognise,
    served_as,
)
from conversations.messages import Kind
from tests import pictures

OGG = b"OggS\x00\x02" + bytes(20)
WEBM = b"\x1a\x45\xdf\xa3" + bytes(30)
ZIP = b"PK\x03\x04" + bytes(30)
MP4 = b"\x00\x00\x00\x20ftypisom" + bytes(20)


@pytest.mark.parametrize(
    ("content", "name", "claimed", "mime", "kind"),
    [
        (pictures.png(), "a.png", "image/png", "image/png", Kind.IMAGE),
        (pictures.jpeg(), "a.JPG", "image/jpeg", "image/jpeg", Kind.IMAGE),
        (pictures.webp(), "a.webp", "", "image/webp", Kind.IMAGE),
        (pictures.gif(), "a.gif", "image/gif", "image/gif", Kind.IMAGE),
        (OGG, "voice.ogg", "audio/ogg; codecs=opus", "audio/ogg", Kind.AUDIO),
        (WEBM, "voice.webm", "audio/webm;codecs=opus", "audio/webm", Kind.AUDIO),
        (WEBM, "film.webm", "video/webm", "video/webm", Kind.VIDEO),
        (MP4, "film.mp4", "video/mp4", "video/mp4", Kind.VIDEO),
        (MP4, "voice.mp4", "audio/mp4", "audio/mp4", Kind.AUDIO),
        (b"\xff\xfb\x90\x00" + bytes(20), "song.mp3", "audio/mpeg", "audio/mpeg", Kind.AUDIO),
        (b"%PDF-1.7 ...", "offer.pdf", "application/pdf", "application/pdf", Kind.DOCUMENT),
        (ZIP, "all.zip", "", "application/zip", Kind.DOCUMENT),
        ("preț;oraș\n".encode(), "prices.csv", "text/csv", "text/csv", Kind.DOCUMENT),
        (b"hello", "", "", "text/plain", Kind.DOCUMENT),
    ],
)
def test_a_file_is_what_its_bytes_say(content, name, claimed, mime, kind):
    checked = check_upload(content, filename=name, claimed=claimed)
    assert (checked.mime, checked.kind) == (mime, kind)
    assert checked.content == content


def test_an_office_file_is_told_from_a_zip_by_its_name():
    assert check_upload(ZIP, filename="offer.docx").mime.endswith("wordprocessingml.document")


@pytest.mark.parametrize(
    "content",
    [
        b"<html><script>alert(1)</script></html>",
        b"<!DOCTYPE html><p>hello",
        b'\n\n <svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        b"<?php system($_GET['c']); ?>",
        b"<?xml version='1.0'?><a/>",
        b"#!/bin/sh\nrm -rf /",
        b"MZ\x90\x00" + bytes(60),
        b"\x7fELF" + bytes(60),
        b"hello <script>alert(1)</script>",
        "<html>".encode("utf-16"),
        bytes(100),
    ],
)
def test_what_could_run_is_refused_whatever_it_is_called(content):
    for name in ("x.jpg", "x.txt", "x.html", ""):
        with pytest.raises(RefusedFileError) as refusal:
            check_upload(content, filename=name, claimed="image/jpeg")
        assert refusal.value.status == 415


@pytest.mark.parametrize(
    ("content", "name", "claimed"),
    [
        (pictures.png(), "a.jpg", ""),
        (pictures.png(), "a.html", ""),
        (pictures.png(), "a.png", "application/pdf"),
        (b"%PDF-1.7", "a.exe", ""),
        (OGG, "a.png", "image/png"),
    ],
)
def test_name_and_content_must_agree(content, name, claimed):
    with pytest.raises(RefusedFileError):
        check_upload(content, filename=name, claimed=claimed)


def test_a_picture_with_too_many_pixels_is_refused_without_decoding_it():
    """Bad input 55: 50,000 x 50,000."""
    for make in (pictures.png, pictures.jpeg, pictures.gif):
        with pytest.raises(RefusedFileError):
            check_upload(make(50_000, 50_000))
    assert check_upload(pictures.png(10_000, 5_000)).kind == Kind.IMAGE


def test_a_picture_without_a_whole_header_is_refused():
    for content in (pictures.png()[:20], pictures.jpeg()[:12], b"RIFF\x10\x00\x00\x00WEBPVP8 "):
        with pytest.raises(RefusedFileError):
            check_upload(content)


def test_pixels_are_read_from_every_header():
    for content in (pictures.png(12, 34), pictures.jpeg(12, 34), pictures.gif(12, 34)):
        (found,) = recognise(content)
        assert pixels_of(content, found) == 12 * 34
    for form in ("VP8 ", "VP8L", "VP8X"):
        content = pictures.webp(12, 34, form)
        assert pixels_of(content, recognise(content)[0]) == 12 * 34


def test_a_file_over_the_limit_is_too_large(settings):
    settings.MAX_UPLOAD_BYTES = 10
    with pytest.raises(FileTooLargeError) as refusal:
        check_upload(b"12345678901", filename="a.txt")
    assert refusal.value.status == 413


def test_an_empty_file_is_refused():
    with pytest.raises(RefusedFileError):
        check_upload(b"", filename="a.txt")


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\offer.pdf", "offer.pdf"),
        ("a\x00b\r\n.txt", "ab.txt"),
        ("‮gpj.exe", "gpj.exe"),
        ("...", ""),
        ("ofertă bună.pdf", "ofertă bună.pdf"),
    ],
)
def test_names_are_cleaned_for_showing(given_name, shown):
    """Bad input 56."""
    assert clean_name(given_name) == shown


def test_a_long_name_keeps_its_ending():
    name = clean_name("a" * 4096 + ".pdf")
    assert len(name) <= 120
    assert name.endswith(".pdf")


@given(st.binary(max_size=200), st.text(max_size=40))
def test_nothing_breaks_the_check(content, name):
    try:
        checked = check_upload(content, filename=name)
    except RefusedFileError:
        return
    assert checked.mime != "application/octet-stream"
    assert "/" not in checked.filename


def test_only_listed_types_are_shown_inline():
    """SX-81."""
    assert served_as("image/png") == ("image/png", True)
    assert served_as("text/html") == ("application/octet-stream", False)
    assert served_as("image/svg+xml") == ("application/octet-stream", False)
    assert served_as("text/plain")[1] is False


def test_our_own_sample_picture_is_a_real_one():
    content = pictures.png(3, 2)
    (length,) = struct.unpack(">I", content[33:37])
    assert len(zlib.decompress(content[41 : 41 + length])) == 2 * (1 + 3 * 3)
