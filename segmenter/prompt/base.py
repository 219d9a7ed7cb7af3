"""What all prompters do alike: prompts inside the picture, one look at it, a mask that obeys."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from partlab.masks import encode
from segmenter.objects import Objects
from segmenter.prompt.bend import Logits, bent
from segmenter.prompt.cache import LookCache, Weighed, key_of
from segmenter.prompt.prompts import PromptAnswer, Prompts
from segmenter.protocol import Pixels

L = TypeVar("L", bound=Weighed)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: prompts inside the picture; the rest as `Prompter.answer` is given it."""

    prompts: Prompts
    part: str | None
    objects: Objects
    key: str


@dataclass(frozen=True, slots=True)
class Guess:
    """A mask as a prompter takes it to be, before clicks it disobeys; the rest is the answer's."""

    logits: Logits
    part: str | None
    score: float
    way: str


class PrompterBase(ABC, Generic[L]):
    """A `Prompter` that looks at a picture once, and guesses a mask for each question about it.

    Prompts that say nowhere what is inside (negative clicks alone) have no answer.
    """

    called: str | None = None
    """See `Prompter.called`."""

    def __init__(self, cache_bytes: int) -> None:
        self.cache: LookCache[L] = LookCache(cache_bytes)

    @abstractmethod
    def look(self, pixels: Pixels) -> L:
        """What is kept of a picture between questions."""

    @abstractmethod
    def guess(self, look: L, pixels: Pixels, asked: Asked) -> Guess | None:
        """The mask that is meant; None where there is none."""

    def answer(
        self,
        pixels: Pixels,
        prompts: Prompts,
        *,
        part: str | None = None,
        objects: Objects = None,
        key: str | None = None,
    ) -> PromptAnswer | None:
        """See `Prompter.answer`."""
        prompts = prompts.within(*pixels.shape[:2])
        if not prompts.positive and prompts.box is None:
            return None
        asked = Asked(prompts, part, objects, key or key_of(pixels))
        look = self.cache.get(asked.key, lambda: self.look(pixels))
        guess = self.guess(look, pixels, asked)
        obeying = None if guess is None else bent(guess.logits, pixels, prompts)
        if guess is None or obeying is None or not (obeying > 0).any():
            return None
        score = min(max(guess.score, 0.0), 1.0)
        return PromptAnswer(encode(obeying > 0), guess.part, score, guess.way)
