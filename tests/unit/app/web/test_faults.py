"""Errors as HTML: escaped, with addresses as links."""

from app.web.faults import fault_html, linked
from partlab.errors import StudioError


def test_addresses_are_links_and_all_else_is_text() -> None:
    words = 'see "http://127.0.0.1:8080/a?b=1&c=<i>", or (https://x.org/y). Not ftp://z.'
    assert linked(words) == (
        'see &quot;<a href="http://127.0.0.1:8080/a?b=1&amp;c=" target="_blank" rel="noopener">'
        "http://127.0.0.1:8080/a?b=1&amp;c=</a>&lt;i&gt;&quot;, or ("
        '<a href="https://x.org/y" target="_blank" rel="noopener">https://x.org/y</a>). '
        "Not ftp://z."
    )


def test_a_fault_has_its_hint_and_no_tag_of_somebody_else() -> None:
    told = fault_html(StudioError("no <b>x</b>", hint='"<script>"'))
    assert "no &lt;b&gt;x&lt;/b&gt;<br><small>&quot;&lt;script&gt;&quot;</small>" in told
