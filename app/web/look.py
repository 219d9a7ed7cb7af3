"""How every page looks: the theme, the head, the one style sheet and the one script."""

from functools import cache
from pathlib import Path
from typing import Any

from app.web.given import Given
from app.web.page import Page, pages
from app.web.people import Person
from partlab.pages import render


def theme() -> Any:
    """Gradio's plain theme in the system's letters and our blue."""
    from app.web.toolkit import gr

    blue = gr.themes.Color(
        "#f2f6fd", "#e0eafb", "#c5d8f7", "#9dbdf1", "#6d9ae8", "#2563c9", "#1f56b0", "#1a4791",
        "#163a76", "#122f5f", "#0c1f40",
    )  # fmt: skip
    return gr.themes.Default(
        primary_hue=blue,
        secondary_hue=blue,
        neutral_hue=gr.themes.colors.slate,
        font=["system-ui", "DejaVu Sans", "sans-serif"],
        font_mono=["ui-monospace", "DejaVu Sans Mono", "monospace"],
        radius_size=gr.themes.sizes.radius_md,
    ).set(
        button_primary_background_fill="#2563c9",
        button_primary_background_fill_hover="#1a4791",
        button_primary_background_fill_dark="#2563c9",
        button_primary_text_color="white",
        body_text_color_subdued="#55606e",
        body_text_color_subdued_dark="#a9b4c2",
        block_info_text_color="#55606e",
        block_info_text_color_dark="#a9b4c2",
    )


@cache
def css() -> str:
    """`look.css`, and the sheets of pages."""
    return _joined("css")


@cache
def scripts() -> str:
    """What stands in the head of the document: `look.js` and the scripts of pages."""
    return f"<script>\n{_joined('js')}\n</script>"


def _joined(suffix: str) -> str:
    here = Path(__file__).parent
    found = [here / f"look.{suffix}", *sorted(here.glob(f"pages/*/*.{suffix}"))]
    return "\n".join(each.read_text(encoding="utf-8") for each in found)


def head(page: Page, person: Person | None, given: Given | None = None) -> str:
    """Navigation, help with the keys, and who is signed in; before that is known all pages."""
    seen = [each for each in pages() if person is None or person.may(each.role)]
    return render(
        "app.web",
        "head.html",
        filters={},
        pages=[(each.path or "./", each.title) for each in seen],
        here=page.path or "./",
        keys=page.keys,
        person=person,
        given=given.told() if given else "",
    )


def empty(page: Page, missing: str) -> str:
    """What a page says that has nothing to show."""
    return render("app.web", "empty.html", filters={}, page=page, missing=missing)
