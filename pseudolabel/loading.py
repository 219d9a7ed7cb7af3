"""From entries to batches of decoded images, in worker processes.

Which images share a batch follows from the contents of their shard alone, so the number of
workers, a kill and a resume, or the number of processes never change what a network sees.
(torch itself adds in another order with another number of threads: scores then differ in the
sixth digit. `torchrun` sets one thread per process unless OMP_NUM_THREADS says otherwise.)
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from partlab.deadline import within
from partlab.errors import PartlabError
from partlab.images import image_size, load_image
from partlab.workers import end_with_parent
from pseudolabel.inputs import Entry
from pseudolabel.settings import Settings
from segmenter.protocol import Pixels

SAME_SHAPE = 1.25  # aspect ratios in one batch differ by less than this factor


@dataclass(frozen=True, slots=True)
class Sample:
    """One image on its way to the network; `pixels` is None where `reason` says why."""

    entry: Entry
    pixels: Pixels | None
    reason: str | None = None


def plan(entries: Iterable[Entry], root: Path, settings: Settings) -> list[list[Entry]]:
    """Cut one shard into batches of like shapes; reads only the headers of the pictures."""
    shaped = []
    for entry in entries:
        width, height = _size(root / entry.path, settings.picture_seconds)
        shaped.append((width / height, height, entry.image_id, entry))
    batches: list[list[Entry]] = []
    first, pixels = 0.0, 0.0
    for aspect, height, _, entry in sorted(shaped, key=lambda each: each[:3]):
        pixels += aspect * height * height
        full = not batches or len(batches[-1]) == settings.batch_size
        if full or pixels > settings.batch_pixels or aspect > first * SAME_SHAPE:
            batches.append([])
            first, pixels = aspect, aspect * height * height
        batches[-1].append(entry)
    return batches


def _size(path: Path, seconds: float) -> tuple[int, int]:
    """(width, height) as the header says; 1, 1 where it cannot be read, decoding says why."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return within(seconds, image_size, path)
        except Exception:
            return 1, 1


@dataclass(frozen=True)
class Decoder:
    """Decodes entries; a picture that cannot be read becomes a sample with the reason."""

    root: Path
    seconds: float

    def __getitem__(self, entry: Entry) -> Sample:
        path = self.root / entry.path
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about sizes and odd metadata
            try:
                return Sample(entry, within(self.seconds, load_image, path))
            except TimeoutError:
                return Sample(entry, None, f"cannot be read within {self.seconds:g} s")
            except PartlabError as error:
                return Sample(entry, None, error.message.replace(f" {path}", "", 1))
            except Exception as error:  # one odd file must not end a run of a million
                return Sample(entry, None, f"cannot read image: {type(error).__name__}: {error}")


def batches(
    plans: Iterable[list[Entry]], root: Path, workers: int, seconds: float
) -> Iterator[list[Sample]]:
    """Decode planned batches, in order; with workers ahead of the network, 2 batches each.

    A picture that is not read within `seconds` is one that cannot be read.

    Raises:
        PartlabError: a worker process died, most likely for want of memory.
    """
    from torch.utils.data import DataLoader

    loader: DataLoader[list[Sample]] = DataLoader(
        Decoder(root, seconds),  # type: ignore[arg-type]
        batch_sampler=plans,
        num_workers=workers,
        collate_fn=list,
        worker_init_fn=end_with_parent,
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise PartlabError(
            "a process that decodes images was killed, perhaps for want of memory",
            hint="run the same command again with fewer --workers or a smaller --batch-size",
        ) from error
