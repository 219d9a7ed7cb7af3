"""Pictures to work on: those that the app was given, as a strip of buttons, or one's own.

strip = gr.HTML(js_on_load=PICK, apply_default_css=False)
strip.click(picked, …)            # `event.picture` is the picture's name (`site.library.find`)
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PillowImage

from app.serve.calls import decoded
from app.serve.settings import ServeSettings
from app.web.toolkit import gr, markup
from partlab.errors import DatasetError, PartlabError
from partlab.images import load_image
from segmenter.protocol import Pixels

if TYPE_CHECKING:
    from app.web.library import Offered
    from app.web.site import Site

_THUMB = (152, 116)
_STRIP = """
<div class="pl-offered" role="group" aria-label="Pictures to try">
{% for each, address in offered %}
<button type="button" data-picture="{{ each.name }}" title="{{ each.name }}"
 aria-pressed="{{ 'true' if each.name == here else 'false' }}"><img src="{{ address }}"
 alt="{{ each.name }}" width="72" height="56"><span>{{ each.object or each.path.name }}</span>
</button>
{% endfor %}
</div>
"""
EMPTY = '<p class="pl-empty pl-soft">Choose a picture, or drop one of your own.</p>'
"""What stands in place of an answer before a picture is chosen."""
PICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-picture]');
  if (button) trigger('click', {picture: button.dataset.picture});
});
"""
"""What a component of HTML needs so that a click on `data-picture` reaches its `click` event."""


def strip(site: "Site", here: str) -> str:
    """Some pictures of each place; `here` is the one that is chosen. "" where there are none."""
    offered = [(each, thumbnail(site, each)) for each in site.library.offered()]
    shown = [(each, address) for each, address in offered if address]
    return markup(_STRIP, offered=shown, here=here) if shown else ""


def own_file(elem_id: str) -> gr.File:
    """Where a picture of one's own is dropped."""
    return gr.File(
        label="A picture of your own",
        file_types=["image"],
        type="filepath",
        height=128,
        show_label=False,
        elem_id=elem_id,
    )


def thumbnail(site: "Site", offered: "Offered") -> str | None:
    """Address of a small picture; None where the file cannot be read."""
    try:
        with PillowImage.open(offered.path) as opened:
            opened.draft("RGB", _THUMB)
        picture = PillowImage.fromarray(load_image(offered.path))
    except (PartlabError, OSError):
        return None
    picture.thumbnail(_THUMB)
    return site.shown.picture(np.asarray(picture), "thumbnail.png")


def uploaded(path: Path) -> Pixels:
    """A picture from elsewhere; errors name it as its sender does."""
    try:
        return decoded(path.read_bytes(), ServeSettings().picture_pixels)
    except DatasetError as error:
        raise DatasetError(f"{path.name}: {error.message}", hint=error.hint) from error
