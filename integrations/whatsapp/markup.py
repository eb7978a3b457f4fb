"""Markdown, as agents write it, in WhatsApp's own marks: *bold* _italic_ ~struck~ and code.

The result is never longer than the Markdown, so a text that was measured before still fits.
"""

from __future__ import annotations

import re

_CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)
_FENCE_LANGUAGE = re.compile(r"^```[\w+-]+\n")
_LINK = re.compile(r"!?\[([^\]\n]*)\]\((\S+?)\)")
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_BULLET = re.compile(r"^([ \t]*)\*[ \t]+", re.MULTILINE)
# Stands for WhatsApp's bold mark until Markdown's single star has become italic.
_BOLD = "\x02"


def _between(mark: str) -> re.Pattern[str]:
    """Text between two marks that touch it inside, and no word or address outside."""
    quoted, own = re.escape(mark), re.escape(mark[0])
    begin, end = (
        rf"(?<![\w/{own}]){quoted}(?=[^\s{own}])",
        rf"(?<=[^\s{own}]){quoted}(?![\w/{own}])",
    )
    return re.compile(f"{begin}(.+?){end}")


_BOLD_ITALIC = _between("***")
_STRONG = (_between("**"), _between("__"))
_STRUCK = _between("~~")
_EMPHASIS = _between("*")


def to_whatsapp(text: str) -> str:
    """The text with WhatsApp's marks; code stays as it is."""
    parts = _CODE.split(text)
    return "".join(
        _FENCE_LANGUAGE.sub("```\n", part) if index % 2 else _words(part)
        for index, part in enumerate(parts)
    )


def _words(text: str) -> str:
    text = _LINK.sub(_link, text)
    text = _BULLET.sub(r"\1- ", text)
    text = _HEADING.sub(_heading, text)
    text = _BOLD_ITALIC.sub(rf"{_BOLD}_\1_{_BOLD}", text)
    for strong in _STRONG:
        text = strong.sub(rf"{_BOLD}\1{_BOLD}", text)
    text = _STRUCK.sub(r"~\1~", text)
    text = _EMPHASIS.sub(r"_\1_", text)
    return text.replace(_BOLD, "*")


def _link(match: re.Match[str]) -> str:
    label, address = match.groups()
    return address if label in ("", address) else f"{label} ({address})"


def _heading(match: re.Match[str]) -> str:
    return f"{_BOLD}{match.group(1).replace('**', '').replace('__', '')}{_BOLD}"
