"""Fonts for names in any script: part names are in the language of the annotators."""

import logging
from functools import cache, lru_cache
from pathlib import Path

from PIL import ImageFont

log = logging.getLogger(__name__)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=1024)
def font_for(text: str, size: int) -> Font:
    """A font that has the letters of a text; `size` in pixels.

    Plain English is drawn in the font that comes with Pillow, so the same input gives the same
    bytes everywhere. DejaVu, which comes with matplotlib, has the Latin, Greek, Cyrillic, Arabic
    and Hebrew letters; for others a font of this machine is looked for. Letters that no font has
    become boxes, with a warning.
    """
    path = None if text.isascii() else _find(frozenset("a" + "".join(filter(_special, text))))
    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)


def _special(letter: str) -> bool:
    return not letter.isascii()


@cache
def _find(letters: frozenset[str]) -> str | None:
    best: str | None = None
    lacking = letters
    for path in _candidates():
        lacks = letters - _letters_of(path)
        if len(lacks) < len(lacking):
            best, lacking = path, lacks
        if not lacking:
            return best
    log.warning(
        "no font on this machine has %s: pictures show boxes there; install one, such as Noto",
        " ".join(sorted(lacking)),
    )
    return best


@cache
def _candidates() -> tuple[str, ...]:
    """DejaVu, then the fonts of this machine by name, plain ones first."""
    from matplotlib import font_manager, get_data_path

    def fancy(path: str) -> tuple[bool, str]:
        name = Path(path).name.lower()
        return any(style in name for style in ("bold", "italic", "oblique", "mono")), name

    own = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return str(own), *sorted(font_manager.findSystemFonts(), key=fancy)


@cache
def _letters_of(path: str) -> frozenset[str]:
    """What a font can draw at any size; nothing if it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        face = FT2Font(path)
        return frozenset(map(chr, face.get_charmap())) if face.scalable else frozenset()
    except (OSError, RuntimeError, ValueError):
        return frozenset()
