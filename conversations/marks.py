"""Message text as safe HTML: escaped first, then WhatsApp's marks and links become tags.

Customer text is hostile (SX-72): nothing but the tags written here can come out, links are http(s),
mailto or tel only, and they never pass on where the reader came from.
"""

from __future__ import annotations

import re

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

_CODE = re.compile(r"```(.+?)```|`([^`\n]+)`", re.S)
_LINK = re.compile(r"\b(?:https?://|mailto:|tel:)[^\s<>\"']+", re.I)
_MARKS = [
    (
        re.compile(
            rf"(?<![\w{re.escape(mark)}]){re.escape(mark)}(\S(?:[^\n]*?\S)?){re.escape(mark)}(?![\w{re.escape(mark)}])"
        ),
        tag,
    )
    for mark, tag in (("*", "b"), ("_", "i"), ("~", "s"))
]
# What must not be read as marks waits behind a placeholder that no escaped text can contain.
_KEPT = re.compile("\x00(\\d+)\x00")


def to_html(text: str) -> SafeString:
    """`*bold* _italic_ ~struck~ `code`` and links, as HTML that is safe to print."""
    kept: list[str] = []

    def keep(html: str) -> str:
        kept.append(html)
        return f"\x00{len(kept) - 1}\x00"

    html = str(escape(text.replace("\x00", "")))
    html = _CODE.sub(lambda found: keep(f"<code>{found[1] or found[2]}</code>"), html)
    html = _LINK.sub(lambda found: keep(_anchor(found[0])), html)
    for pattern, tag in _MARKS:
        html = pattern.sub(rf"<{tag}>\1</{tag}>", html)
    return mark_safe(_KEPT.sub(lambda found: kept[int(found[1])], html))  # noqa: S308 - escaped above


def _anchor(escaped_url: str) -> str:
    url = escaped_url.rstrip(".,;:!?)")
    rest = escaped_url[len(url) :]
    # An entity cut at its semicolon would change the address.
    if rest.startswith(";") and "&" in url.rsplit("/", 1)[-1]:
        url, rest = url + ";", rest[1:]
    return f'<a href="{url}" target="_blank" rel="noopener nofollow ugc">{url}</a>{rest}'
