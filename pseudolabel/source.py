"""A pseudo-label store as a source of label maps (`partlab.labelmap_sources`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from partlab.files import sha256_file, sha256_json
from partlab.inclusions import Inclusions
from partlab.labelmap_sources import Item
from pseudolabel.store import Row, Store


@dataclass(frozen=True)
class StoreSource:
    """A pseudo-label store; images that could not be read are left out."""

    store: Store
    human: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for each label."""
        return self.store.names

    @property
    def inclusions(self) -> Inclusions:
        """Per object category: inner part -> outer part."""
        return self.store.inclusions

    @property
    def root(self) -> Path:
        """Where the labelled pictures lie."""
        return self.store.image_root

    def fingerprint(self) -> str:
        """Hash of the shards' bytes."""
        shards = {number: sha256_file(path) for number, path in self.store.shards.items()}
        return sha256_json([self.store.manifest.identity, shards])

    def items(self) -> Iterator[Item]:
        """The store's readable images in store order."""
        for row in self.store.rows():
            if row.status != "unreadable":
                yield self._item(row)

    def _item(self, row: Row) -> Item:
        size = row.height, row.width
        return Item(row.file_name, row.object, size, self.store.layers(row), True)

    def __len__(self) -> int:
        return len(self.store)
