"""Model help by a prompt head trained on one's own parts."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segmenter.prompt.base import Asked, Guess, PrompterBase
from segmenter.prompt.cache import DEFAULT_BYTES, MIB, LookCache
from segmenter.prompt.head import PromptHead
from segmenter.prompt.look import Floats, Look, Looker, Places, at_points, spread
from segmenter.prompt.network import NetworkPrompter, places_under
from segmenter.prompt.prompts import Click, Prompts
from segmenter.prompt.views import moved, views_of, windows_about
from segmenter.prompt.wanted import Wanted
from segmenter.protocol import Pixels
from segmenter.torchvision_backend import MaskRCNN

_DISOBEYED = 0.2  # of IoU: what a click that is not obeyed takes from a mask's estimate
_FRESH = 3  # clicks up to which all places are tried again; later ones correct the last mask
_TRIES_BYTES = 8 * MIB  # of masks after the clicks so far


@dataclass(frozen=True, slots=True)
class _Try:
    """A mask (SIDE, SIDE) in a window (4,), and what is thought of it."""

    window: Floats
    logits: Tensor
    rank: float
    quality: float
    place: int

    @property
    def nbytes(self) -> int:
        """Bytes of its logits and its key."""
        return self.logits.numel() * 4 + 1024


class TrainedPrompter(PrompterBase[Look]):
    """Answers from a prompt head (the `Prompter` protocol).

    It goes through the clicks in their order, as they were made: the first are tried at every
    place they may mean, and the mask is kept that is thought to fit best where the part is likely;
    each further one corrects it. What at last disobeys a click is bent. Of parts that the segmenter
    never learnt its own heads answer: measured there, the prompt head took more clicks.
    """

    def __init__(
        self, segmenter: MaskRCNN, head: PromptHead, *, cache_bytes: int = DEFAULT_BYTES
    ) -> None:
        super().__init__(cache_bytes)
        self.segmenter, self.looker = segmenter, Looker(segmenter)
        self.head = head.to(segmenter.device).eval()
        self.tries: LookCache[_Try] = LookCache(_TRIES_BYTES)
        self.own_heads = NetworkPrompter(segmenter, cache_bytes=0)

    def look(self, pixels: Pixels) -> Look:
        """Feature maps, and what the network proposes."""
        return self.looker.look(pixels)

    @torch.no_grad()
    def guess(self, look: Look, pixels: Pixels, asked: Asked) -> Guess | None:
        """The mask after all clicks."""
        wanted = Wanted.of(self.segmenter.parts, asked.part, asked.objects)
        if not wanted.labels:
            return self.own_heads.guess(look, pixels, asked)
        places = self._places(look, asked.prompts, wanted)
        if not len(places):
            return None
        best = self._best(look, places, asked.prompts, wanted, asked.key)
        whole = spread(best.logits.cpu().numpy(), best.window, look.size)
        label = wanted.likeliest(places.probabilities[[best.place]])[0]
        name = wanted.name(self.segmenter.parts, int(label))
        return Guess(whole, name, best.quality, "prompted")

    def _places(self, look: Look, prompts: Prompts, wanted: Wanted) -> Places:
        """With a box that box alone; else what may lie under the first positive click."""
        if prompts.box is not None:
            return self.looker.likely(look, np.array([prompts.box], np.float32))
        return places_under(self.looker, look, Prompts(prompts.positive[:1]), wanted, most=12)

    def _best(self, look: Look, places: Places, prompts: Prompts, wanted: Wanted, key: str) -> _Try:
        """The mask after all clicks: that after all but the last, corrected; kept for the next."""
        name = f"{key} {hash(wanted)} {prompts}"
        return self.tries.get(name, lambda: self._after(look, places, prompts, wanted, key))

    def _after(
        self, look: Look, places: Places, prompts: Prompts, wanted: Wanted, key: str
    ) -> _Try:
        tries: list[_Try] = []
        clicks = len(prompts.clicks)
        if clicks <= _FRESH:
            windows, every = windows_about(places.boxes), np.arange(len(places))
            tries += self._tried(look, windows, every, places, prompts, wanted, None)
        if clicks > 1 or (clicks and prompts.box is not None):
            before = Prompts(prompts.clicks[:-1], prompts.box)
            best = self._best(look, places, before, wanted, key)
            again, last = _windows_after(best, prompts)
            at = np.full(len(again), best.place)
            tries += self._tried(look, again, at, places, prompts, wanted, last)
        return max(tries, key=lambda one: one.rank)

    def _tried(
        self,
        look: Look,
        windows: Floats,
        at: NDArray[np.int64],
        places: Places,
        prompts: Prompts,
        wanted: Wanted,
        last: Tensor | None,
    ) -> list[_Try]:
        probabilities, count = places.probabilities[at], len(windows)
        any_part = probabilities.sum(1)
        known = wanted.part is not None and bool(wanted.labels)
        label = wanted.labels[0] if known else -1
        views = views_of(
            self.looker,
            look,
            windows,
            [prompts.clicks] * count,
            labels=np.full(count, label, np.int64),
            scores=np.stack([probabilities[:, label] if known else any_part, any_part], 1),
            box=[prompts.box] * count,
            last=last,
        )
        logits, judged = self.head(views)
        quality = judged.sigmoid().cpu().numpy()
        points = np.array([(c.x, c.y) for c in prompts.clicks], np.float32).reshape(-1, 2)
        held = at_points(logits.cpu().numpy(), windows, points) > 0
        wrong = (held != np.array([c.positive for c in prompts.clicks], bool)).sum(1)
        rank = quality + views.scores[:, 0].cpu().numpy() - _DISOBEYED * wrong
        return [
            _Try(windows[i], logits[i].clone(), float(rank[i]), float(quality[i]), int(at[i]))
            for i in range(count)
        ]


def _windows_after(best: _Try, prompts: Prompts) -> tuple[Floats, Tensor]:
    """The last mask's window, and the one that fits mask and clicks; the mask as each sees it."""
    windows = np.stack([best.window, window_of(best.logits, best.window, prompts.clicks)])
    logits = best.logits[None].expand(2, -1, -1)
    return windows, moved(logits, np.stack([best.window] * 2), windows)


def window_of(logits: Tensor, window: Floats, clicks: tuple[Click, ...] | list[Click]) -> Floats:
    """A window (4,) about the mask in an old one and the positive clicks; empty: the old one."""
    inside = (logits > 0).cpu().numpy()
    if not inside.any():
        return window
    side, span = len(inside), window[2:] - window[:2]
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    low = window[:2] + np.array([columns[0], rows[0]]) / side * span
    high = window[:2] + (np.array([columns[-1], rows[-1]]) + 1) / side * span
    points = np.array([(c.x, c.y) for c in clicks if c.positive], np.float32).reshape(-1, 2)
    low, high = np.vstack([low, points - 1]).min(0), np.vstack([high, points + 1]).max(0)
    found: Floats = windows_about(np.concatenate([low, high])[None].astype(np.float32))[0]
    return found
