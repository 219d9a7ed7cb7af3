"""The rule on several splits: no picture in two of them."""

from collections.abc import Iterator, Mapping

from annotate.data.checks.kinds import KINDS
from partlab.places import real_name
from partlab.schema import Dataset, Finding, Image


class SplitCheck:
    """Compares splits by file name and, where known, by the pictures' contents."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[str, str]] = {}  # file or hash -> split, file name

    def __call__(
        self, split: str, dataset: Dataset, hashes: Mapping[str, Image]
    ) -> Iterator[Finding]:
        """Images of `split` that an earlier split has; `hashes` are of the pictures read."""
        read = {image.file_name: digest for digest, image in hashes.items()}
        found: dict[str, tuple[str, str]] = {}
        for image in dataset.images:
            digest = image.sha256 or read.get(image.file_name)
            keys = [_place(dataset, image), *([f"sha256 {digest}"] if digest else [])]
            if earlier := next((self.seen[key] for key in keys if key in self.seen), None):
                what = f"also in the split {earlier[0]}, as {earlier[1]}"
                yield KINDS["split_leak"].at(what, image=image)
            found |= dict.fromkeys(keys, (split, image.file_name))
        self.seen = {**found, **self.seen}


def _place(dataset: Dataset, image: Image) -> str:
    """The file that is read; what is nowhere is told apart by its stated name."""
    found = dataset.pictures.find(image.file_name)
    return f"file {real_name(found.path) if found.rule else image.file_name}"
