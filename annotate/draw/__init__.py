"""Pictures of part masks: overlays, sheets, and one call that shows them in a notebook."""

from annotate.draw.pictures import (
    Colour,
    Style,
    contact_sheet,
    layers_of,
    overlay,
    palette,
    with_legend,
)

__all__ = [
    "Colour",
    "Style",
    "contact_sheet",
    "layers_of",
    "overlay",
    "palette",
    "with_legend",
]
