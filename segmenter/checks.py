"""What is looked at before hours of training, not after: pictures, masks, names of sides."""

import json
import logging
from collections.abc import Sequence, Sized

from partlab.counts import counted
from partlab.errors import DatasetError
from partlab.images import image_size
from partlab.objects import require_ids
from partlab.parts import Parts, split_name
from partlab.progress import track
from partlab.schema import Dataset, Image
from partlab.truth import count_masks, incomplete, need_masks

log = logging.getLogger(__name__)


def check_pictures(data: Dataset) -> None:
    """Look at every picture's header.

    Raises:
        NotFoundError, DatasetError: a picture is missing, damaged or of another size.
    """
    for image in track(data.images, "looking at the pictures", len(data.images)):
        fits(image, image_size(data.image_path(image)))


def fits(image: Image, size: tuple[int, int]) -> None:
    """See that a picture of `size` (width, height) is what its record says.

    Raises:
        DatasetError: it is not.
    """
    if size != (image.width, image.height):
        raise DatasetError(
            f"{image.file_name} is {size[0]}x{size[1]} pixels, "
            f"its record says {image.width}x{image.height}",
            hint="repair the data set: partlab data check DATA --fix OUT",
        )


def check_val(val: Dataset | None) -> None:
    """What would stop the first validation, an epoch from now, stops the run at once.

    Raises:
        NotFoundError, DatasetError: a picture or a mask cannot be read, or all are crowd.
        SchemaError: an id is two images or two categories.
    """
    if val is None:
        return
    require_ids(val)
    check_pictures(val)
    count = count_masks(val)
    need_masks(val, count)
    if words := count.sentence():
        log.warning("validation: %s", words)


def left_out(data: Dataset) -> tuple[frozenset[int], list[str]]:
    """Images that must not be trained on, and a sentence for each reason.

    What is drawn in an image but cannot be read would be learnt as background: so the whole
    image stays out if a mask of it cannot be decoded, has no pixels, has no category, or was
    set aside when the file was read.

    Raises:
        DatasetError: all masks are crowd regions.
        SchemaError: an id is two images or two categories.
    """
    require_ids(data)
    need_masks(data, count_masks(data))
    broken = incomplete(data)
    bare = {i.id for i in data.images if not data.annotations_of(i)} - broken.keys()
    crowd = {
        image.id
        for image in data.images
        if (own := data.annotations_of(image)) and all(a.iscrowd for a in own)
    } - broken.keys()
    names = {image.id: image.file_name for image in data.images}
    some = "; ".join(f"{names[id]}: {why}" for id, why in list(broken.items())[:3])
    more = f"; and {len(broken) - 3} more" if len(broken) > 3 else ""
    reasons = [
        f"{_images(broken)} left out of training, for what was drawn there and cannot be used "
        f"would be learnt as background ({some}{more}): partlab data check DATA"
        if broken
        else "",
        f"{_images(crowd)} left out of training: nothing but crowd regions" if crowd else "",
        f"{_images(bare)} left out of training: no masks" if bare else "",
    ]
    return frozenset({*broken, *crowd, *bare}), [reason for reason in reasons if reason]


def _images(found: Sized) -> str:
    return counted(len(found), "image is", "images are")


def tell_mirrors(parts: Parts, pairs: Sequence[tuple[str, str]]) -> None:
    """Warn of names that look like sides and would keep their name in a mirrored picture.

    Raises:
        UnknownNameError: a pair names a part that there is not.
        ConfigError: a part stands in two pairs.
    """
    if lonely := parts.one_sided(pairs):
        log.warning(
            "%d part names have a side and no partner (%s%s): mirrored pictures keep the name; "
            "if that is wrong: --set train.flip=0",
            len(lonely), ", ".join(lonely[:5]), ", …" if len(lonely) > 5 else "",
        )  # fmt: skip
    if likely := parts.likely_pairs(pairs):
        bare = dict.fromkeys((split_name(a)[1], split_name(b)[1]) for a, b in likely)
        line = json.dumps([*pairs, *bare], ensure_ascii=False, separators=(",", ":"))
        log.warning(
            "%s look like two sides, and keep their names in mirrored pictures; if they are "
            "sides: --set 'train.mirror=%s'",
            ", ".join(f"{a} and {b}" for a, b in list(bare)[:5]), line,
        )  # fmt: skip
