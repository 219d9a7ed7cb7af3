"""Chosen pictures of an evaluation: clean, as attacks left them, and where the model sees parts."""

import io
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from partlab.files import write_bytes, write_json
from train.evaluate.chunk import Chunk
from train.evaluate.outcomes import stem
from train.evaluate.victim import Victim

logger = logging.getLogger(__name__)
FOLDER, INDEX, MAPS = "pictures", "index.json", ".parts"
"""Its folder; which pictures it has; and what the name of a part map ends with."""


def chosen(labels: Sequence[str], count: int) -> tuple[int, ...]:
    """Positions of `count` pictures, of as many classes as there can be.

    They depend on the labels alone, so that all models on one list show the same pictures, and a
    larger count keeps those of a smaller one.
    """
    seen, ranked = Counter[str](), list[tuple[int, int, int]]()
    for at in np.random.default_rng(0).permutation(len(labels)).tolist():
        ranked.append((seen[labels[at]], len(ranked), at))
        seen[labels[at]] += 1
    return tuple(at for _, _, at in sorted(ranked)[:count])


@dataclass(frozen=True, slots=True)
class Album:
    """The pictures at `positions` of a list, each in a sub-folder of `folder`, as PNG."""

    folder: Path
    positions: tuple[int, ...]

    def files(self, stems: Sequence[str]) -> list[Path]:
        """All that may be there under conditions with these stems."""
        names = [name for one in stems for name in (f"{one}.png", f"{one}{MAPS}.png")]
        return [self._home(at) / name for at in self.positions for name in names]

    def keep(self, victim: Victim, chunk: Chunk, points: Tensor, name: str) -> None:
        """The chosen of a chunk as they are in `points` (n, 3, H, W), under a condition's stem.

        Where the points are the pictures themselves, nothing was found, and nothing is kept.

        Raises:
            PartlabError: the disk is full or the folder cannot be written to.
        """
        place = {at: n for n, at in enumerate(chunk.places)}
        for at in self.positions:
            if (n := place.get(at)) is None:
                continue
            if name == "clean" or not torch.equal(points[n], chunk.images[n]):
                self._write(victim, points[n], self._home(at) / name)

    def finish(self, names: Sequence[str], table: Any) -> None:
        """Write the index, and say what cannot be shown: `table` has the outcomes."""
        there = [at for at in self.positions if (self._home(at) / "clean.png").is_file()]
        index = [{"image": names[at], "key": self._home(at).name} for at in there]
        write_json(self.folder / INDEX, index)
        place = {names[at]: at for at in self.positions}
        columns = (table[name].to_pylist() for name in ("image", "threat", "attack", "broken_by"))
        lost = [
            image
            for image, threat, attack, by in zip(*columns, strict=True)
            if image in place and by not in (None, "clean")
            if not (self._home(place[image]) / f"{stem(threat, attack)}.png").is_file()
        ]
        if lost:
            logger.info(
                "%d attacked pictures are not kept, since their attacks ran before with fewer "
                "--pictures; another --out has them all",
                len(lost),
            )

    def _home(self, at: int) -> Path:
        return self.folder / f"{at:07d}"

    def _write(self, victim: Victim, point: Tensor, path: Path) -> None:
        pixels = (255 * point).round().byte().permute(1, 2, 0).cpu().numpy()
        write_bytes(path.with_name(f"{path.name}.png"), _png(pixels))
        if victim.has_parts:
            write_bytes(path.with_name(f"{path.name}{MAPS}.png"), _part_map(victim, point))


def _part_map(victim: Victim, point: Tensor) -> bytes:
    """The likeliest part of each cell, in colours; which is which stands in the PNG's text."""
    with torch.no_grad():
        cells = victim(point[None], parts=True).parts[0][0].argmax(0).cpu().numpy()
    return _png(*painted(cells, part_names(victim.network)))


def painted(cells: Any, names: Sequence[str]) -> tuple[Any, dict[str, str]]:
    """Part cells (h, w) in colours (h, w, 3), and the colour of each part that is there.

    0 is background, white; n is `names[n - 1]`, whose colour is the same in every map.
    """
    from annotate.draw import palette

    colours = palette([f"any:{name}" for name in range(len(names))])  # else objects share them
    pixels = np.array([(255, 255, 255), *colours], np.uint8)[cells]
    seen = [int(n) - 1 for n in np.unique(cells) if n]
    return pixels, {names[n]: "#{:02x}{:02x}{:02x}".format(*colours[n]) for n in seen}


def part_names(network: Any) -> list[str]:
    """What the part outputs tell apart, without background: parts, objects or the foreground."""
    if network.parts:
        return list(network.parts)
    return list(network.classes) if network.part_channels > 2 else ["object"]


def _png(pixels: Any, legend: dict[str, str] | None = None) -> bytes:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    told, buffer = PngInfo(), io.BytesIO()
    if legend is not None:
        told.add_itxt("parts", json.dumps(legend, ensure_ascii=False))
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=told)
    return buffer.getvalue()
