"""What a file is, decided by its first bytes and never by its name (SX-80, SX-82).

A closed list: what is not recognised here is refused, so HTML, SVG, scripts and programs never get
in, whatever they are called. Nothing is decoded or unpacked; the size of a picture is read from its
header.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext as _

from conversations.errors import DeskError
from conversations.messages import Kind

MAX_PIXELS = 50_000_000
MAX_NAME = 120


class RefusedFileError(DeskError):
    """The file may not come in. `status` is the HTTP status that says so."""

    code = "file_refused"
    status = 415


class FileTooLargeError(RefusedFileError):
    code = "file_too_large"
    status = 413


@dataclass(frozen=True, slots=True)
class FileType:
    """A type we take: how it is sent (`kind`), and the endings its name may have."""

    mime: str
    kind: Kind
    endings: tuple[str, ...]
    # Shown in the browser; everything else is offered for saving (SX-81).
    inline: bool = False


PNG = FileType("image/png", Kind.IMAGE, ("png",), inline=True)
JPEG = FileType("image/jpeg", Kind.IMAGE, ("jpg", "jpeg"), inline=True)
WEBP = FileType("image/webp", Kind.IMAGE, ("webp",), inline=True)
GIF = FileType("image/gif", Kind.IMAGE, ("gif",))
MP3 = FileType("audio/mpeg", Kind.AUDIO, ("mp3",), inline=True)
AAC = FileType("audio/aac", Kind.AUDIO, ("aac",))
AMR = FileType("audio/amr", Kind.AUDIO, ("amr",))
WAV = FileType("audio/wav", Kind.AUDIO, ("wav",))
OGG = FileType("audio/ogg", Kind.AUDIO, ("ogg", "oga", "opus"), inline=True)
AUDIO_MP4 = FileType("audio/mp4", Kind.AUDIO, ("m4a", "mp4"), inline=True)
AUDIO_WEBM = FileType("audio/webm", Kind.AUDIO, ("webm", "weba"))
MP4 = FileType("video/mp4", Kind.VIDEO, ("mp4", "m4v"), inline=True)
QUICKTIME = FileType("video/quicktime", Kind.VIDEO, ("mov",))
THREE_GP = FileType("video/3gpp", Kind.VIDEO, ("3gp",))
WEBM = FileType("video/webm", Kind.VIDEO, ("webm",))
PDF = FileType("application/pdf", Kind.DOCUMENT, ("pdf",), inline=True)
_OFFICE = "application/vnd.openxmlformats-officedocument"
DOCX = FileType(f"{_OFFICE}.wordprocessingml.document", Kind.DOCUMENT, ("docx",))
XLSX = FileType(f"{_OFFICE}.spreadsheetml.sheet", Kind.DOCUMENT, ("xlsx",))
PPTX = FileType(f"{_OFFICE}.presentationml.presentation", Kind.DOCUMENT, ("pptx",))
DOC = FileType("application/msword", Kind.DOCUMENT, ("doc",))
XLS = FileType("application/vnd.ms-excel", Kind.DOCUMENT, ("xls",))
PPT = FileType("application/vnd.ms-powerpoint", Kind.DOCUMENT, ("ppt",))
ZIP = FileType("application/zip", Kind.DOCUMENT, ("zip",))
TEXT = FileType("text/plain", Kind.DOCUMENT, ("txt", "log", "md"))
CSV = FileType("text/csv", Kind.DOCUMENT, ("csv",))

ALL_TYPES = (
    PNG, JPEG, WEBP, GIF, MP3, AAC, AMR, WAV, OGG, AUDIO_MP4, AUDIO_WEBM, MP4, QUICKTIME, THREE_GP,
    WEBM, PDF, DOCX, XLSX, PPTX, DOC, XLS, PPT, ZIP, TEXT, CSV,
)  # fmt: skip
BY_MIME = {known.mime: known for known in ALL_TYPES}
# Containers: the bytes say "one of these", the name or the sender says which.
_CONTAINERS: tuple[tuple[bytes, tuple[FileType, ...]], ...] = (
    (b"PK\x03\x04", (ZIP, DOCX, XLSX, PPTX)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", (DOC, XLS, PPT)),
    (b"\x1a\x45\xdf\xa3", (WEBM, AUDIO_WEBM)),
)
_PREFIXES: tuple[tuple[bytes, FileType], ...] = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"ID3", MP3),
    (b"#!AMR", AMR),
    (b"OggS", OGG),
    (b"%PDF-", PDF),
)
_BRANDS = {b"qt  ": QUICKTIME, b"M4A ": AUDIO_MP4, b"M4B ": AUDIO_MP4}
# What a browser, a shell or a server might run if it ever got the chance.
_ACTIVE = re.compile(
    rb"<\s*(?:!doctype|html|head|body|script|svg|iframe|object|embed|\?)|^#!|<%|javascript:", re.I
)


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file that may be stored: its true type, and a name that is safe to show."""

    content: bytes
    mime: str
    kind: Kind
    filename: str


def check_upload(content: bytes, *, filename: str = "", claimed: str = "") -> CheckedFile:
    """Let a file in, or raise `RefusedFileError` with the sentence for whoever sent it.

    `claimed` is the sender's Content-Type. The ending of the name must fit what the bytes are.
    """
    if not content:
        raise RefusedFileError(_("The file is empty."))
    check_size(len(content))
    name = clean_name(filename)
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    candidates = recognise(content)
    if not candidates:
        raise RefusedFileError(_("Files of this type are not taken."))
    found = _choose(candidates, ending, claimed.partition(";")[0].strip().lower())
    if found is None:
        raise RefusedFileError(_("The file is not what its name says."))
    if found.kind == Kind.IMAGE:
        check_pixels(content, found)
    return CheckedFile(content, found.mime, found.kind, name or f"file.{found.endings[0]}")


def check_size(size: int) -> None:
    """Raises `FileTooLargeError`; also for whoever would rather not read it into memory first."""
    if size > settings.MAX_UPLOAD_BYTES:
        limit = settings.MAX_UPLOAD_BYTES // 1024**2
        raise FileTooLargeError(_("Files may have up to %(limit)s MB.") % {"limit": limit})


def recognise(content: bytes) -> tuple[FileType, ...]:
    """What the bytes can be; empty for what we do not take."""
    head = content[:16]
    for prefix, found in _PREFIXES:
        if head.startswith(prefix):
            return (found,)
    for prefix, group in _CONTAINERS:
        if head.startswith(prefix):
            return group
    if head[:4] == b"RIFF":
        return {b"WEBP": (WEBP,), b"WAVE": (WAV,)}.get(head[8:12], ())
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand.startswith(b"3g"):
            return (THREE_GP,)
        return (_BRANDS[brand],) if brand in _BRANDS else (MP4, AUDIO_MP4)
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return (AAC,)
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:  # a frame of layer III
        return (MP3,)
    return (TEXT, CSV) if _is_plain_text(content) else ()


def pixels_of(content: bytes, found: FileType) -> int | None:
    """Width times height by the picture's header; None when the header is not whole."""
    try:
        if found is PNG:
            width, height = struct.unpack(">II", content[16:24])
        elif found is GIF:
            width, height = struct.unpack("<HH", content[6:10])
        elif found is WEBP:
            width, height = _webp_size(content)
        else:
            width, height = _jpeg_size(content)
    except (struct.error, IndexError, ValueError):
        return None
    return int(width) * int(height)


def check_pixels(content: bytes, found: FileType) -> None:
    """Raise `RefusedFileError` for a picture that would fill a viewer's memory."""
    pixels = pixels_of(content, found)
    if not pixels:
        raise RefusedFileError(_("This picture is damaged."))
    if pixels > MAX_PIXELS:
        raise RefusedFileError(_("This picture has too many pixels."))


def clean_name(filename: str) -> str:
    """The name without folders, control and direction marks, shortened; never used as a path."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    name = "".join(c for c in name if unicodedata.category(c)[0] != "C").strip(" .")
    if len(name) <= MAX_NAME:
        return name
    stem, dot, ending = name.rpartition(".")
    return stem[: MAX_NAME - 12] + dot + ending[:11] if dot else name[:MAX_NAME]


def served_as(mime: str) -> tuple[str, bool]:
    """The Content-Type a stored file is served with, and whether it may be shown inline."""
    found = BY_MIME.get(mime.partition(";")[0].strip().lower())
    return (found.mime, found.inline) if found else ("application/octet-stream", False)


def _choose(candidates: tuple[FileType, ...], ending: str, claimed: str) -> FileType | None:
    fitting = [one for one in candidates if not ending or ending in one.endings]
    said = BY_MIME.get(claimed)
    if said is not None and said not in candidates and said.kind != candidates[0].kind:
        return None
    return said if said in fitting else next(iter(fitting), None)


def _is_plain_text(content: bytes) -> bool:
    if b"\x00" in content or _ACTIVE.search(content.lstrip()[:4096]):
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _jpeg_size(content: bytes) -> tuple[int, int]:
    position = 2
    while True:
        if content[position] != 0xFF:
            raise ValueError("not a marker")
        marker = content[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        # Start of frame: C0 to CF without the tables C4, C8 and CC.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[position + 5 : position + 9])
            return width, height
        (length,) = struct.unpack(">H", content[position + 2 : position + 4])
        position += 2 + length


def _webp_size(content: bytes) -> tuple[int, int]:
    form = content[12:16]
    if form == b"VP8X":
        width = int.from_bytes(content[24:27], "little") + 1
        height = int.from_bytes(content[27:30], "little") + 1
        return width, height
    if form == b"VP8L":
        (bits,) = struct.unpack("<I", content[21:25])
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    width, height = struct.unpack("<HH", content[26:30])
    return width & 0x3FFF, height & 0x3FFF
