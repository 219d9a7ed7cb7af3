"""What formats have in common that are read only."""

from pathlib import Path

from annotate.data.formats.pictures import Pictures
from partlab.errors import ConfigError
from partlab.schema import Dataset


class ReadOnly:
    """A format of another tool; `name` is how people call it."""

    name = ""

    def write(self, dataset: Dataset, out: Path, split: str, pictures: Pictures) -> None:
        """Nothing.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"{self.name} can be read, not written",
            hint="export to coco, which every tool reads; partlab studio create and push bring "
            "pictures and masks into Label Studio",
        )
