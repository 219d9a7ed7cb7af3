"""Pseudo labels on their way to training: a store becomes the label-map file that `train` reads."""

from collections.abc import Sequence
from pathlib import Path

from partlab.files import sha256_json
from partlab.places import located


def maps_of_stores(stores: Sequence[Path], cache: Path) -> list[Path]:
    """One label-map file in the folder `cache` for each store, made again when it has changed.

    A place that is a file is taken as one already (`partlab pseudolabel cache` makes them).

    Raises:
        NotFoundError: a place is neither a store nor a file.
    """
    places = [located(store) for store in stores]
    return [each if each.is_file() else _made(each, cache) for each in places]


def _made(store: Path, cache: Path) -> Path:
    from pseudolabel.maps import label_maps
    from pseudolabel.store import Store

    Store.open(store)  # says what is wrong with a folder that is none
    name = f"{store.resolve().name}-{sha256_json(str(store.resolve()))[:8]}.arrow"
    return label_maps(store, cache / name).path
