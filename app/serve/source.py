"""A model that is to be served: its name, and what loads it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.serve.run_of import RunOf
from app.serve.served import Load
from partlab.errors import ConfigError
from partlab.folders import is_work


@dataclass(frozen=True, slots=True)
class Source:
    """A model that is to be served: its name, and what loads it.

    `newest`, of a model that may become another while it is served, says which it is by now;
    `earlier` gives what loads the version that a server called so, None if there was none.
    """

    name: str
    load: Load
    newest: Callable[[], str] | None = None
    earlier: Callable[[str], Load | None] | None = None

    @classmethod
    def of_run(cls, run: str, *, checkpoint: str = "best", device: str | None = None) -> "Source":
        """A run folder, an exported recognition model, or NAME=FOLDER to call it otherwise.

        Of an annotation work its loop's version, now and as it changes (`app.serve.loop_of`).

        Raises:
            ConfigError: a name that could not stand in an address.
        """
        name, equals, folder = run.partition("=")
        if not equals or Path(run).exists():
            name, folder = Path(run).resolve().name, run
        if not name or set(name) & set("/@?#%:") or name != name.strip():
            raise ConfigError(
                f"{name!r} cannot be a model's name", hint="name it without / @ ? # % and colons"
            )
        if is_work(folder):
            from app.serve.loop_of import LoopOf

            loop = LoopOf(Path(folder), device)
            return cls(name, loop, loop.newest, loop.earlier)
        return cls(name, RunOf(Path(folder), checkpoint, device))
