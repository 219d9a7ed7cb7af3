"""A change of the vocabulary that was cut off: until it ends nothing else touches the projects."""

from pathlib import Path

from annotate.work.store import MIGRATING, Work
from partlab.errors import StateError


def need_settled(work: Work) -> None:
    """See that no change of the vocabulary is half done.

    Raises:
        StateError: one is; the projects have labels of two versions.
    """
    if marker(work).exists():
        raise StateError(
            f"a change of the vocabulary of {work.folder} was cut off, or is under way",
            hint="run the same `partlab vocabulary migrate` again: it goes on where it stopped",
        )


def marker(work: Work) -> Path:
    """Where the vocabulary lies that the work is on its way to."""
    return work.folder / MIGRATING
