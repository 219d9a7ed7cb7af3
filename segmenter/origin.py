"""Where a segmenter comes from: a run folder here, or a server that has it (`segmenter.remote`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from partlab.errors import NotFoundError, SchemaError
from partlab.files import sha256_file
from segmenter.protocol import Segmenter
from segmenter.runs import load_segmenter, read_run
from segmenter.tuning.file import told


class Origin(Protocol):
    """What is known of a segmenter before it is loaded, and the way to load it."""

    @property
    def name(self) -> str:
        """What suggestions and stores call it."""
        ...

    @property
    def place(self) -> str:
        """The run folder, or the server's address."""
        ...

    def description(self) -> dict[str, Any]:
        """`backend`, `config`, `names` and `inclusions`, as in a run's config.json."""
        ...

    def weights_sha256(self, checkpoint: str) -> str:
        """Of the weights file."""
        ...

    def load(self, checkpoint: str, device: str | None) -> Segmenter:
        """The segmenter itself."""
        ...


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run of `partlab segmenter train` on this machine."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's."""
        return self.path.resolve().name

    @property
    def place(self) -> str:
        """The folder as it was named."""
        return str(self.path)

    def description(self) -> dict[str, Any]:
        """Its config.json, and `tuning` if it was tuned (`segmenter.tuning.file.told`).

        Errors are those of `segmenter.runs.read_run` and `segmenter.tuning.file.read_tuning`.
        """
        return {**read_run(self.path), **told(self.path)}

    def weights_sha256(self, checkpoint: str) -> str:
        """Of the file of a checkpoint.

        Raises:
            NotFoundError: there is none (yet).
        """
        file = self.path / f"{checkpoint}.safetensors"
        try:
            return sha256_file(file)
        except FileNotFoundError:
            raise NotFoundError(f"no checkpoint {file}", hint="is the training finished?") from None

    def load(self, checkpoint: str, device: str | None) -> Segmenter:
        """The segmenter.

        Raises:
            SchemaError: the checkpoint is damaged, or does not fit its description; else as
                `segmenter.runs.load_segmenter`.
        """
        try:
            return load_segmenter(self.path, checkpoint=checkpoint, device=device)
        except (RuntimeError, ValueError, KeyError, OSError) as error:
            raise SchemaError(
                f"the checkpoint {checkpoint!r} of {self.path} cannot be loaded: {error}",
                hint="copy the run again, or train it again",
            ) from error


def origin_of(run: str | Path | Origin) -> Origin:
    """A run folder by its path; anything else as it is."""
    return RunFolder(Path(run)) if isinstance(run, str | Path) else run
