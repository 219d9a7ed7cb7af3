"""The most suspicious images as one picture: what was drawn, beside what was found."""

from collections.abc import Sequence
from dataclasses import replace
from textwrap import shorten

from PIL import Image as PillowImage

from annotate.draw import Style, contact_sheet
from annotate.draw.sheet import draw_image
from annotate.inspect.audit import Suspect
from partlab.errors import DatasetError, PartlabError
from partlab.progress import track
from partlab.schema import Dataset

STYLE = Style(side=288, legend=True)
_SURE = 0.5  # lowest score of a found mask that is shown


def audit_sheet(
    dataset: Dataset,
    predictions: Dataset | None,
    suspects: Sequence[Suspect],
) -> PillowImage.Image:
    """Two pictures for each suspect: drawn masks, and found ones with a score of 0.5 or more.

    The captions tell the suspicion and the weightiest reason. Without predictions there are the
    drawn masks and the suspicion alone. An image that cannot be read becomes an empty cell.

    Raises:
        DatasetError: there is nothing to show, or none of the images can be read.
    """
    found = _found(dataset, predictions) if predictions is not None else None
    pictures, captions, unread = [], [], 0
    for suspect in track(suspects, "drawing", len(suspects)):
        image = dataset.image_by_id[suspect.image_id]
        why = f"{suspect.reasons[0].part}: {suspect.reasons[0].message}" if suspect.reasons else ""
        captions.append(f"{suspect.suspicion:.2f} {suspect.file_name}")
        try:
            pictures.append(draw_image(dataset, image, style=STYLE))
        except PartlabError:
            pictures.append(PillowImage.new("RGB", (STYLE.side, STYLE.side), (226, 228, 232)))
            unread += 1
            found_here = None
        else:
            found_here = found
        if found is not None:
            here = found_here and draw_image(found_here, image, style=STYLE)
            pictures.append(here or pictures[-1].copy())
            captions.append(shorten(why, 44, placeholder=" …"))
    if unread == len(suspects):
        raise DatasetError("none of the images can be read, so there is nothing to draw")
    return contact_sheet(pictures, captions, columns=4)


def _found(dataset: Dataset, predictions: Dataset) -> Dataset:
    """The predictions as masks of the data set's own images and part categories."""
    category = {c.name: c.id for c in dataset.categories}
    image = {i.file_name: i.id for i in dataset.images}
    names = {c.id: c.name for c in predictions.categories}
    files = {i.id: i.file_name for i in predictions.images}
    moved = [
        a.changed(image_id=image[files[a.image_id]], category_id=category[names[a.category_id]])
        for a in predictions.annotations
        if a.score >= _SURE
        and files.get(a.image_id) in image
        and names.get(a.category_id) in category
    ]
    return replace(dataset, annotations=moved)
