"""Going on from another run's weights, though the parts may have changed since."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from partlab.errors import ConfigError
from segmenter.runs import read_run
from segmenter.weights import need_finite, read_state

log = logging.getLogger(__name__)


def carry_over(
    network: nn.Module, names: Sequence[str], run: Path, before: Mapping[str, str], checkpoint: str
) -> int:
    """Fill a new network with the weights of a run; how many of its parts were known there.

    Parts are matched by name, or by what they were called there (`before`: new name -> old name),
    so that a part that was renamed, split or merged begins with what was learnt of it. The others
    begin as in any new network.

    Raises:
        NotFoundError: there is no such run, or it has no such checkpoint.
        DatasetError: the checkpoint is damaged.
        ConfigError: this kind of network cannot go on from another run, or that run's network has
            another shape.
    """
    rows: Mapping[str, int] | None = getattr(network, "part_rows", None)
    if rows is None:
        raise ConfigError(
            "this backend cannot go on from another run's weights", hint="leave train.start out"
        )
    label = {name: at for at, name in enumerate(read_run(run)["names"])}
    known = {at: label.get(before.get(name, name)) for at, name in enumerate(names)}
    pairs = {at: old for at, old in known.items() if old is not None}
    state, mine = read_state(run / f"{checkpoint}.safetensors"), network.state_dict()
    need_finite(state, str(run))
    filled = {
        key: _rows(value, state[key], pairs, rows[key], len(label)) if key in rows else state[key]
        for key, value in mine.items()
        if key in state
    }
    _need_fitting(run, mine, filled)
    network.load_state_dict(filled)
    new = [name for at, name in enumerate(names) if at not in pairs]
    more = f"; new: {', '.join(new[:5])}{' …' if len(new) > 5 else ''}" if new else ""
    log.info("going on from %s, which knows %d of %d parts%s", run, len(pairs), len(names), more)
    return len(pairs)


def _rows(mine: Tensor, theirs: Tensor, pairs: Mapping[int, int], first: int, parts: int) -> Tensor:
    """A tensor with `first` rows for all and then one for each part; others are as they are."""
    if len(theirs) != first + parts or theirs.shape[1:] != mine.shape[1:]:
        return theirs  # one mask for all parts, or a network of another shape
    filled = mine.clone()
    filled[:first] = theirs[:first]
    new, old = (torch.tensor(side, dtype=torch.long) for side in (list(pairs), [*pairs.values()]))
    filled[first + new] = theirs[first + old].to(filled)
    return filled


def _need_fitting(run: Path, mine: Mapping[str, Any], filled: Mapping[str, Any]) -> None:
    wrong = [key for key, value in mine.items() if key not in filled
             or filled[key].shape != value.shape]  # fmt: skip
    if wrong:
        raise ConfigError(
            f"the network of {run} has another shape than the new one ({wrong[0]})",
            hint="train with the model settings of that run: --config RUN/config.json",
        )
