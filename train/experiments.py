"""Names of Berkeley's experiments, `<SEGTYPE>-<MODELTYPE>[-<MODELARGS>][-no_bg][-semi]` (N-01).

A name says which settings it changes in a recipe, and nothing else; importing this needs no torch.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from partlab.errors import ConfigError, UnknownNameError

log = logging.getLogger(__name__)

SegType = Literal["part", "object", "fg"]
SEGTYPES: Mapping[SegType, str] = {"part": "parts", "object": "objects", "fg": "foreground"}
"""Which masks the segmenter learns (N-02), and what `part.targets` calls them."""
SHARE = 0.5
"""c_seg of `-semi` (T-08: `--seg-const-trn 0.5`)."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model type: its kind, what each word after it sets, and whether a number must follow.

    `drops` says what `-no_bg` comes to: the classifier `can` do without the background channel,
    it `never` reads it, or it reads no mask at all (`none`). `predicts`: it has masks or boxes of
    its own, which `-semi` lets it learn.
    """

    kind: str
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    number: str = ""
    drops: Literal["can", "never", "none"] = "none"
    predicts: bool = True


MODELS: Mapping[str, Model] = {
    "pooling": Model("pooling", {"bn": ("model.reads.norm", "true")}, "model.reads.pool", "can"),
    "wbbox": Model(
        "wbbox",
        {
            "norm_img": ("model.reads.norm_img", "true"),
            "no_score": ("model.reads.score", "false"),
            "conv1d": ("model.reads.conv1d", "true"),
            "centroid": ("model.reads.centroid", "true"),
        },
        drops="never",
    ),
    "2heads_e": Model("2heads_e"),
    "2heads_d": Model("2heads_d"),
    "pixel": Model(
        "pixel",
        {
            "logits_mask": ("model.reads.pixels", "logits_mask"),
            "softmax_mask": ("model.reads.pixels", "softmax_mask"),
            "hard": ("model.reads.hard", "true"),
        },
        drops="never",
    ),
    "mask": Model(
        "mask",
        {"inpt": ("model.reads.picture", "true"), "hard": ("model.reads.hard", "true")},
        drops="can",
    ),
    "groundtruth": Model(
        "groundtruth", {"inpt": ("model.reads.picture", "true")}, drops="can", predicts=False
    ),
    "sim": Model(
        "sim",
        {"learn_mask": ("model.masked.matrix", "learned"), "1layer": ("model.masked.layers", "1")},
    ),
    "seq": Model("seq", {"queries": ("model.detector.softmax", "queries")}),
    "2heads": Model("2heads"),
    "normal": Model("vanilla", predicts=False),
}
NOT_HERE = ("seg", "seg_cat", "cat", "clean", "fc", "bbox", "bbox_2heads_d", "detach")
"""Words of the released code that partlab has no model for."""
_NO_BG = ("no_bg", "nobg")


@dataclass(frozen=True, slots=True)
class Experiment:
    """A name, taken apart. `str` gives it back, with `no_bg` for either spelling.

    `semi`: masks and class are learnt together (N-05); without it the class alone.
    """

    segtype: SegType
    model: str
    number: int | None = None
    words: tuple[str, ...] = ()
    background: bool = True
    semi: bool = False

    def __str__(self) -> str:
        numbers = () if self.number is None else (str(self.number),)
        ends = (*(() if self.background else ("no_bg",)), *(("semi",) if self.semi else ()))
        return "-".join((self.segtype, self.model, *numbers, *self.words, *ends))

    def overrides(self) -> list[str]:
        """The settings it changes, each `a.b=c` as `--set` takes it."""
        model = MODELS[self.model]
        found = [f"model.kind={model.kind}"]
        if model.kind == "vanilla":
            return found
        found.append(f"part.targets={SEGTYPES[self.segtype]}")
        if self.number is not None:
            found.append(f"{model.number}={self.number}")
        found += ["=".join(model.words[word]) for word in self.words]
        if not self.background and model.drops == "can":
            found.append("model.reads.background=false")
        return [*found, f"part.share={SHARE if self.semi else 0.0}"]


def parse_experiment(name: str) -> Experiment:
    """Take a name apart.

    Raises:
        UnknownNameError: a word is none of the grammar's; near ones are suggested.
        ConfigError: a word is missing, twice, in the wrong place, or is of a model that
            partlab has not.
    """
    words = name.strip().split("-")
    if words == ["normal"]:
        return Experiment("part", "normal")
    segtype = next((each for each in SEGTYPES if each == words[0]), None)
    if segtype is None:
        raise _unknown(name, words[0], SEGTYPES)
    if len(words) < 2:
        raise ConfigError(
            f"experiment {name!r} names no model",
            hint=f"{name}-pooling-4-semi, for example; models are {', '.join(MODELS)}",
        )
    if words[1] not in MODELS:
        raise _unknown(name, words[1], MODELS)
    return _with_words(name, segtype, words[1], words[2:])


def _with_words(name: str, segtype: SegType, model: str, words: Sequence[str]) -> Experiment:
    left, semi = _taken(list(words), ("semi",))
    left, bare = _taken(left, _NO_BG)
    number = None
    if MODELS[model].number:
        number, left = _number(name, model, left)
    for place, word in enumerate(left):
        if word not in MODELS[model].words:
            raise _unknown(name, word, [*MODELS[model].words, "no_bg", "semi"])
        if word in left[:place]:
            raise ConfigError(f"experiment {name!r} says {word!r} twice", hint="say it once")
    _one_of_pixels(name, model, left)
    if bare and MODELS[model].drops == "none":
        raise ConfigError(
            f"experiment {name!r} drops a background that {model} does not read",
            hint="leave out no_bg: the class is not made of masks there",
        )
    return Experiment(segtype, model, number, tuple(left), not bare, bool(semi))


def _taken(words: list[str], ends: Sequence[str]) -> tuple[list[str], str | None]:
    """Without the last word, if it is one of these."""
    return (words[:-1], words[-1]) if words and words[-1] in ends else (words, None)


def _number(name: str, model: str, words: list[str]) -> tuple[int, list[str]]:
    if not words or not words[0].isdecimal() or int(words[0]) < 1:
        raise ConfigError(
            f"experiment {name!r} does not say to what size {model} shrinks masks",
            hint=f"write {model}-4: 4 x 4 cells",
        )
    return int(words[0]), words[1:]


def _one_of_pixels(name: str, model: str, words: Sequence[str]) -> None:
    ways = [word for word in words if MODELS[model].words[word][0] == "model.reads.pixels"]
    if len(ways) > 1:
        raise ConfigError(
            f"experiment {name!r} says both {' and '.join(ways)}", hint="name one of them"
        )
    if model == "pixel" and ways and "hard" in words:
        raise ConfigError(
            f"experiment {name!r} says both {ways[0]} and hard", hint="name one of them"
        )


def _unknown(name: str, word: str, known: Iterable[str]) -> ConfigError:
    """What to say of a word that does not belong where it stands; exit code 2."""
    if word in NOT_HERE:
        return ConfigError(
            f"experiment {name!r}: partlab has no {word!r} of the released code",
            hint=f"it has {', '.join(MODELS)}",
        )
    if word in (*_NO_BG, "semi"):
        return ConfigError(
            f"experiment {name!r} has {word!r} in the wrong place",
            hint="the order is SEGTYPE-MODELTYPE[-MODELARGS][-no_bg][-semi]",
        )
    error = UnknownNameError("word", word, known)
    return ConfigError(f"experiment {name!r}: {error.message}", hint=error.hint)


def tell(experiment: Experiment, name: str) -> None:
    """Say in the log what the released code did otherwise, where this name meets it (N-04)."""
    if not experiment.background and MODELS[experiment.model].drops == "can":
        log.info(
            "the classifier does not read the background channel (no_bg and nobg are the same "
            "here; the released code did nothing on no_bg)"
        )
    elif not experiment.background:
        log.warning("no_bg changes nothing: %s never reads the background", experiment.model)
    if MODELS[experiment.model].predicts and not experiment.semi:
        log.warning(
            "%s learns the class alone, its masks are not supervised: add -semi to learn both",
            name,
        )
