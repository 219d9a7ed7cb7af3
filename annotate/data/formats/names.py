"""Object names and the file or folder names that stand for them."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from partlab.errors import SchemaError
from partlab.schema import Dataset

WNID = re.compile(r"n\d{8}")


def display_names(stems: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    """File stem (wnid) -> object name, unique and without a colon.

    Two wnids of one name (ImageNet has two kinds of crane) are told apart by their wnid.
    """
    names = {stem: known.get(stem, stem).replace(":", " ") for stem in stems}
    shared = Counter(names.values())
    return {s: f"{name} ({s})" if shared[name] > 1 else name for s, name in names.items()}


def object_folders(dataset: Dataset) -> dict[str, str]:
    """Object name -> wnid, or a file-safe form of the name; sorted by it (requirement B3).

    Raises:
        SchemaError: two objects would share a folder.
    """
    wnids = {c.object: c.wnid for c in reversed(dataset.categories) if c.wnid}
    stated = [image.object for image in dataset.images if image.object]
    names = dict.fromkeys([*dataset.objects, *stated])
    folders = {name: wnids.get(name) or file_safe(name) for name in names}
    if twice := [folder for folder, n in Counter(folders.values()).items() if n > 1]:
        raise SchemaError(
            f"several object categories would be written as {twice[0]!r}",
            hint="give them different names or WordNet ids",
        )
    return dict(sorted(folders.items(), key=lambda item: item[1]))


def file_safe(name: str) -> str:
    """The name with what a file name cannot hold replaced by `_`."""
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name).strip(" .") or "_"
