"""Message text becomes safe HTML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.marks import to_html

REL = 'target="_blank" rel="noopener nofollow ugc"'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "plain"),
        ("*bold* _italic_ ~gone~", "<b>bold</b> <i>italic</i> <s>gone</s>"),
        ("2*3*4 snake_case_name", "2*3*4 snake_case_name"),
        ("* not * bold", "* not * bold"),
        ("`*raw*`", "<code>*raw*</code>"),
        ("```a\nb```", "<code>a\nb</code>"),
        ("<b>x</b>", "&lt;b&gt;x&lt;/b&gt;"),
        ("see https://a.example/x_y_z.", f'see <a href="https://a.example/x_y_z" {REL}>https://a.example/x_y_z</a>.'),
        ("https://a.example/?a=1&b=2", f'<a href="https://a.example/?a=1&amp;b=2" {REL}>https://a.example/?a=1&amp;b=2</a>'),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ('https://a.example/"onmouseover=x', f'<a href="https://a.example/&quot;onmouseover=x" {REL}>https://a.example/&quot;onmouseover=x</a>'),
    ],
)  # fmt: skip
def test_marks_and_links(text: str, html: str) -> None:
    assert to_html(text) == html


@given(st.text(alphabet="<>&\"'*_~`\x000 ahtps:/.\n", max_size=60))
def test_nothing_but_our_own_tags_comes_out(text: str) -> None:
    """SX-72"""
    html = str(to_html(text))
    for tag in ("b", "i", "s", "code", "a"):
        html = html.replace(f"</{tag}>", "").replace(f"<{tag}>", "")
    rest = html.split("<a href=")
    assert "<" not in rest[0]
    for anchor in rest[1:]:
        address = anchor.split('"')[1]
        assert address.startswith(("http://", "https://", "tel:", "mailto:"))
        assert "<" not in anchor.split(">", 1)[1]
