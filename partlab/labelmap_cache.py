"""The fast cache of composite masks: built from any number of sources, rebuilt when they change.

Canonical data stay the COCO files and a store's shards; the cache can be deleted at any time.
Reading it is `partlab.labelmaps.LabelMaps`.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from partlab.counts import counted
from partlab.errors import ConfigError, OutputExistsError, PartlabError
from partlab.files import make_folder, may_be_same, remove_leftovers, sha256_json
from partlab.labelmap_sources import Source, composites, joined
from partlab.labelmaps import (
    VERSION,
    Entry,
    Header,
    LabelMaps,
    read_header,
    relative_root,
    write_label_maps,
)
from partlab.parts import Parts
from partlab.places import located, need_local
from partlab.progress import track

logger = logging.getLogger(__name__)

MAX_CHANNELS = 127


@dataclass(frozen=True)
class Built:
    """The cache and what happened; `made` is False where it was already up to date."""

    maps: LabelMaps
    made: bool
    counts: dict[str, int] = field(default_factory=dict)


def open_cache(
    path: str | Path,
    sources: Sequence[Source],
    *,
    channels: int = 1,
    force: bool = False,
) -> Built:
    """Open the label maps of these sources, making or remaking the file if it is not theirs.

    An image in several sources is taken once: from people rather than from a network, else
    from the earlier source. Several processes may ask at once; one builds, the others wait.

    Raises:
        ConfigError: no source, or an impossible number of channels.
        OutputExistsError: `path` holds something that is not a label-map file.
        SchemaError: the sources' inclusions contradict each other.
    """
    if not sources or not 1 <= channels <= MAX_CHANNELS:
        raise ConfigError(f"a cache needs a source and 1 to {MAX_CHANNELS} channels")
    path, ordered = (
        need_local(located(path), "a label-map file"),
        sorted(sources, key=lambda source: not source.human),
    )
    parts, lock = joined(ordered), FileLock(_lock_path(path))
    header = _header(path, ordered, parts, channels)
    with lock:
        total = sum(len(source) for source in ordered)
        if not force and _current(path, header):
            return _told(Built(LabelMaps(path), made=False), total)
        remove_leftovers([path])
        counts: Counter[str] = Counter()
        entries = _entries(ordered, parts, channels, counts)
        write_label_maps(path, header, track(entries, "label maps", total))
    return _told(Built(LabelMaps(path), made=True, counts=dict(counts)), total)


def _told(built: Built, total: int) -> Built:
    """Say, at each opening, what of the sources is not in the label maps."""
    if masks := int(built.maps.left_out.sum()):
        images = int((built.maps.left_out > 0).sum())
        are, where = counted(masks, "mask is", "masks are"), counted(images, "image")
        what = "%s: %s left out in %s, for nothing can be read there (see: partlab data check)"
        logger.warning(what, built.maps.path, are, where)
    if lost := total - len(built.maps):
        again = built.counts.get("in an earlier source", 0)
        why = f", {again:,} of them are in an earlier source" if again else ""
        if not built.made:
            why = ": in an earlier source, or not readable"
        of, have = counted(total, "image"), "has" if lost == 1 else "have"
        what = "%s: %d of %s %s no label map%s"
        logger.warning(what, built.maps.path, lost, of, have, why)
    return built


def _lock_path(path: Path) -> Path:
    return make_folder(path.parent) / f".{path.name}.lock"


def _header(path: Path, sources: Sequence[Source], parts: Parts, channels: int) -> Header:
    roots = tuple(relative_root(source.root, path) for source in sources)
    content = [source.fingerprint() for source in sources]
    key = sha256_json([VERSION, channels, content, parts.names, parts.inclusions])
    return Header(key, parts.names, parts.objects, roots, channels, parts.inclusions)


def _current(path: Path, wanted: Header) -> bool:
    """Whether the file is there and made from the same; a foreign file is not overwritten."""
    if not path.exists():
        return False
    try:
        found = read_header(path)
        return (found.key, found.roots) == (wanted.key, wanted.roots)
    except PartlabError as error:
        if _is_arrow(path):
            return False  # an older or damaged one: derived, so made again
        raise OutputExistsError(
            f"{path} already exists and is not a label-map file", hint="choose another --out"
        ) from error


def _is_arrow(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as handle:
        return handle.read(6) == b"ARROW1"


def _entries(
    sources: Sequence[Source], parts: Parts, channels: int, counts: Counter[str]
) -> Iterator[Entry]:
    place = {name: position for position, name in enumerate(parts.objects)}
    taken: dict[str, list[Path]] = {}
    for root, source in enumerate(sources):
        folder = source.root.absolute()
        for item, composite in composites(source, parts, channels=channels):
            if _seen(item.file_name, folder, taken, several=len(sources) > 1):
                counts["in an earlier source"] += 1
                continue
            counts["pseudo" if composite.pseudo else "human"] += 1
            counts["blank"] += composite.blank
            owner = place.get(item.object or "", -1)
            yield Entry(item.file_name, root, owner, composite, item.left_out)


def _seen(name: str, folder: Path, taken: dict[str, list[Path]], *, several: bool) -> bool:
    """Whether a source before had this image: same name, and same file, bytes or no file."""
    if not several:
        return False
    folders = taken.setdefault(name, [])
    if any(may_be_same(folder / name, other / name) for other in folders):
        return True
    folders.append(folder)
    return False
