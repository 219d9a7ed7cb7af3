"""What went wrong, as HTML: in a toast, on a page, in the answer that a script shows."""

import re
from html import escape

from partlab.errors import PartlabError

_ADDRESS = re.compile(r"https?://[^\s<>\"'`]*[^\s<>\"'`.,;:!?)\]]")


def told(error: PartlabError) -> str:
    """The sentence and its hint; both are escaped, and addresses in them are links."""
    hint = f"<br><small>{linked(error.hint)}</small>" if error.hint else ""
    return f"{linked(error.message)}{hint}"


def fault_html(error: PartlabError) -> str:
    """The same, to stay on a page."""
    return f'<p class="pl-note" role="alert">{told(error)}</p>'


def linked(text: str) -> str:
    """Text as HTML, with a link in place of each address."""
    made, end = "", 0
    for found in _ADDRESS.finditer(text):
        address = escape(found[0])
        made += escape(text[end : found.start()])
        made += f'<a href="{address}" target="_blank" rel="noopener">{address}</a>'
        end = found.end()
    return made + escape(text[end:])
