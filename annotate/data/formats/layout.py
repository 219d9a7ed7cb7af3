"""What one format says of itself: its name, what it can hold, how it is read and written."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.data.formats.pictures import Pictures
from partlab.errors import ConfigError
from partlab.schema import Dataset

if TYPE_CHECKING:
    from annotate.data.formats import Source


@dataclass(frozen=True, slots=True)
class Holds:
    """What becomes of each kind of thing in a format: nothing said, it is kept; else what happens.

    The words end the sentence that `annotate.data.formats.losses` says before anything is written.
    """

    pixels: str = ""  # of masks: exactly those that were drawn
    instances: str = ""  # of one part in one image
    holes: str = ""
    layers: str = ""  # masks that lie over each other
    names: str = ""  # objects and parts
    attributes: str = ""  # what is known of a mask beside its pixels, inclusions and discards
    splits: str = ""
    known: frozenset[str] = frozenset()  # fields under `partlab` that it keeps of a mask

    @classmethod
    def aspects(cls) -> tuple[str, ...]:
        """The kinds, in the order in which people ask for them."""
        return tuple(one.name for one in fields(cls) if one.name != "known")


class Layout:
    """One format; a module makes one object of its subclass and calls it `layout`.

    A subclass that does not say how to write is read only, and the other way round.
    """

    title = ""  # how people call it
    holds = Holds()
    numbers_only = False  # label maps, of which a list of names is needed
    one_split = True  # folders called like splits are read one by one
    one_folder = False  # and yet splits are written into one

    @property
    def reads(self) -> bool:
        """Whether it can be read."""
        return type(self).read is not Layout.read

    @property
    def writes(self) -> bool:
        """Whether it can be written."""
        return type(self).write is not Layout.write

    @property
    def note(self) -> str:
        """One sentence on what it does not keep."""
        lost = {name: words for name in Holds.aspects() if (words := getattr(self.holds, name))}
        told = "; ".join(f"{name}: {words}" for name, words in lost.items())
        return f"{self.title} keeps {f'not all; {told}' if told else 'all'}"

    def took(self, path: Path) -> str:
        """What a source is taken for, in words."""
        return self.title

    def fits(self, path: Path) -> bool:
        """Whether a path looks like this format, at a glance."""
        return False

    def read(self, source: Source) -> dict[str, Dataset]:
        """The data sets by split name; broken records are kept in `Dataset.broken`.

        Raises:
            NotFoundError: nothing of this format is there.
            SchemaError: a file cannot be read at all.
            ConfigError: this format is written only.
        """
        raise ConfigError(f"{self.title} can be written, not read")

    def write(self, dataset: Dataset, out: Path, split: str, pictures: Pictures) -> None:
        """Write one split into the existing folder `out`.

        Raises:
            ConfigError: this format is read only.
        """
        raise ConfigError(
            f"{self.title} can be read, not written",
            hint="export to coco, which every tool reads; partlab studio create and push bring "
            "pictures and masks into Label Studio",
        )
