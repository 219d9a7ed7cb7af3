"""The reliability plot of a tuning: what scores say, and what came of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from partlab.files import replacing

FILE = "reliability.svg"


def write_plot(file: Path, held_out: Mapping[str, Any]) -> Path:
    """Mean share added over mean score in each tenth, before and after; the diagonal is perfect."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--")
    for name, marker in (("before", "o"), ("after", "s")):
        found = held_out[name]["reliability"]
        there = [at for at, masks in enumerate(found["masks"]) if masks]
        x, y = ([found[key][at] for at in there] for key in ("scores", "added"))
        axes.plot(x, y, marker=marker, label=f"{name}: off by {found['error']:.3f} on average")
    axes.set(xlabel="score", ylabel="right pixels it adds, share", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")
    with replacing(file) as scratch:
        figure.savefig(scratch, format="svg")
        scratch.chmod(0o644)
    return file
