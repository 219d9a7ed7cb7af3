"""One error tree. Every error is a sentence (what, where) and a hint (what to do).

The exit codes are part of the command line's contract: 1 failed, 2 usage, 3 not found,
4 something needed is missing, 5 bad data (130 is the shell's own code for Ctrl-C).
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class PartlabError(Exception):
    """Something the user can understand and act on."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes, whatever their own arguments were."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[PartlabError], args: tuple[Any, ...], facts: dict[str, Any]) -> PartlabError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class OutputExistsError(PartlabError):
    """The output is already there; nothing was overwritten."""


class BusyError(PartlabError):
    """Another partlab process is writing to the same place."""


class StateError(PartlabError):
    """The work is not in a state in which this may be done; the hint says what comes first."""


class ConfigError(PartlabError):
    """A setting is unknown or has a value that cannot be used."""

    exit_code = 2


class NotFoundError(PartlabError):
    """A file, folder or record that was named does not exist."""

    exit_code = 3


class UnknownNameError(NotFoundError):
    """A name is not registered, or not in the data set; near names are suggested."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        begun = [one for one in known if name and one.casefold().startswith(name.casefold())]
        near = get_close_matches(name, known, n=3) or begun[:3]
        shown = near or known[:10]
        more = "" if near or len(known) <= 10 else f" and {len(known) - 10} more"
        lead = "did you mean" if near else "known names:"
        hint = f"{lead} {', '.join(shown)}{more}" + ("?" if near else "") if known else None
        super().__init__(f"unknown {kind} {name!r}", hint=hint)
        self.name = name


class BackendUnavailableError(PartlabError):
    """An optional part is not installed; the hint is the line that gets it."""

    exit_code = 4


class PlaceError(PartlabError):
    """An object store cannot be reached, or refused what was asked of it."""

    exit_code = 4


class StudioError(PartlabError):
    """The Label Studio server cannot be reached, or refused what was asked of it."""

    exit_code = 4


class DatasetError(PartlabError):
    """The data is not what it should be."""

    exit_code = 5


class SchemaError(DatasetError):
    """A file does not follow its format."""


class MaskError(DatasetError):
    """A mask cannot be decoded, or does not fit its image."""
