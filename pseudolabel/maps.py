"""Label maps of stores and part data sets by their place on disk: one call for a notebook."""

from collections.abc import Sequence
from pathlib import Path

from partlab.coco import read_dataset
from partlab.folders import is_store
from partlab.labelmap_cache import open_cache
from partlab.labelmap_sources import DatasetSource, Source
from partlab.labelmaps import LabelMaps
from partlab.places import is_remote
from pseudolabel.source import StoreSource
from pseudolabel.store import Store

Place = str | Path


def label_maps(
    places: Place | Sequence[Place],
    out: Place,
    *,
    split: str | None = None,
    channels: int = 1,
    force: bool = False,
) -> LabelMaps:
    """The label maps of pseudo-label stores and part data sets, kept in the file `out` (P-05).

    A file that is there already and made from the same content is only opened. Of an image in
    several places people's masks count, else the earlier place. `split` is the one to take of a
    data set folder with several; `channels` as in `open_cache`.

    Raises:
        NotFoundError: a place is neither a store nor a data set, or has no such split.
        OutputExistsError: `out` is something else.
        SchemaError: the places' inclusions contradict each other.
    """
    listed = [places] if isinstance(places, str | Path) or is_remote(places) else places
    sources = [_source(place, split) for place in listed]
    return open_cache(out, sources, channels=channels, force=force).maps


def _source(place: Place, split: str | None) -> Source:
    if is_store(place):
        return StoreSource(Store.open(place))
    return DatasetSource(read_dataset(place, split))
