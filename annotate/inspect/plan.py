"""Sampling plans: which images of a category to inspect next, and when that is enough.

`paper` is the rule of the PartImageNet++ authors (Q-01, Q-02): ten random images at once,
rejected when two fail. It passes a category with 20 % bad images 36 % of the time (Q-05).
`sequential` and `ranked` look at one image after the other and stop as soon as they know;
`annotate.inspect.curve` computes what each plan lets through and what it costs, and
`annotate.inspect.design` is the search their numbers come from.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from partlab.config import Config, load_config, validate
from partlab.counts import counted
from partlab.errors import UnknownNameError

Decision = Literal["accept", "reject", "continue"]


class Limits(Config):
    """When the random part of an inspection ends, by the number of bad images in it.

    With `b` bad ones among the `n` random images inspected so far: accept once
    `n >= accept[b]`; reject while `n <= reject[b]` (0, or left out: never for that alone).
    """

    accept: tuple[PositiveInt, ...]
    reject: tuple[NonNegativeInt, ...] = ()


class State(NamedTuple):
    """How far an inspection is: counts of images, and of bad ones among them."""

    suspects: int = 0
    bad_suspects: int = 0
    random: int = 0
    bad_random: int = 0

    @property
    def inspected(self) -> int:
        """Images with a verdict."""
        return self.suspects + self.random

    @property
    def bad(self) -> int:
        """Bad images found."""
        return self.bad_suspects + self.bad_random


class Plan(Config):
    """A sampling plan for one category of images; the verdicts decide when it ends.

    `suspects`: at most so many images are first taken from the top of an audit's ranking
    (`annotate.inspect.audit`), until `clean_suspects` of them turned out good. All others are
    random. `limits[x]` holds for the random ones after `x` bad suspects. `reject_at` bad
    images in all (in a category of fewer: all of them) reject at any time. `together` images
    are shown at once: nothing is decided before all of them have a verdict.
    """

    name: str = Field(min_length=1)
    reject_at: int = Field(ge=1)
    limits: tuple[Limits, ...] = Field(min_length=1)
    together: int = Field(default=1, ge=1)
    suspects: int = Field(default=0, ge=0)
    clean_suspects: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        most_bad = min(self.suspects, self.reject_at - 1)
        if len(self.limits) != most_bad + 1:
            raise ValueError(f"limits are needed for 0 to {most_bad} bad suspects")
        for bad, limits in enumerate(self.limits):
            if len(limits.accept) != self.reject_at - bad:
                raise ValueError(
                    f"limits[{bad}].accept must have {self.reject_at - bad} numbers: one for "
                    "each number of bad images that does not reject by itself"
                )
            if any(limits.reject[:1]):
                raise ValueError(f"limits[{bad}].reject must begin with 0: no bad image, no fault")
        if self.suspects and not self.clean_suspects:
            raise ValueError("clean_suspects must be at least 1 where there are suspects")
        return self

    @property
    def max_images(self) -> int:
        """The most images this plan ever inspects."""
        most = max(max(limits.accept) for limits in self.limits)
        return max(self.together, self.suspects + most)

    def settled(self, state: State, size: int = 100) -> Decision:
        """What follows from a state; `size` is the number of images in the category.

        When all images were inspected and nothing rejected the category, it is accepted.
        """
        if state.inspected < min(self.together, size):
            return "continue"
        limits, bad = self.limits[min(state.bad_suspects, len(self.limits) - 1)], state.bad_random
        window = limits.reject[bad] if bad < len(limits.reject) else 0
        if state.bad >= min(self.reject_at, size) or 0 < state.random <= window:
            return "reject"
        enough = self.source(state) == "random" and state.random >= limits.accept[bad]
        return "accept" if enough or state.inspected >= size else "continue"

    def source(self, state: State) -> Literal["suspect", "random"]:
        """Where the next image comes from, if there is to be one."""
        clean = state.suspects - state.bad_suspects
        more = not state.random and state.suspects < self.suspects and clean < self.clean_suspects
        return "suspect" if more else "random"

    def after(self, state: State, bad: bool) -> State:
        """The state once the next image has its verdict."""
        if self.source(state) == "suspect":
            return state._replace(
                suspects=state.suspects + 1, bad_suspects=state.bad_suspects + bad
            )
        return state._replace(random=state.random + 1, bad_random=state.bad_random + bad)

    def replay(self, seen: Iterable[bool], size: int = 100) -> tuple[State, Decision]:
        """Where the verdicts (True: bad), in the order of inspection, have led.

        Verdicts after a decision change nothing.
        """
        state = State()
        decision = self.settled(state, size)
        for bad in seen:
            if decision != "continue":
                break
            state = self.after(state, bad)
            decision = self.settled(state, size)
        return state, decision

    def decide(self, seen: Iterable[bool], size: int = 100) -> Decision:
        """What follows from the verdicts (True: bad) in the order the images were inspected."""
        return self.replay(seen, size)[1]

    def next_images(
        self,
        candidates: Sequence[int],
        verdicts: Mapping[int, bool],
        suspicion: Mapping[int, float] | None = None,
    ) -> list[int]:
        """Ids to inspect next; empty once the plan has decided.

        `candidates` are all images of the category in random (seeded) order; `verdicts` says
        of each inspected image whether it is bad, in the order of inspection; `suspicion` is
        the audit's score (higher: more likely wrong). Without it every image is a random one:
        the plan keeps its risks, it only loses its head start.
        """
        state, decision = self.replay(verdicts.values(), len(candidates))
        if decision != "continue":
            return []
        rest = [image for image in candidates if image not in verdicts]
        if suspicion is not None and self.source(state) == "suspect":
            return [max(rest, key=lambda image: suspicion.get(image, float("-inf")))]
        return rest[: max(self.together - state.inspected, 1)]


def single(draw: int, reject_at: int, name: str = "single") -> Plan:
    """The classical plan: `draw` random images at once, rejected when `reject_at` are bad.

    Raises:
        ConfigError: a number is below 1.
    """
    limits = [{"accept": [draw] * reject_at}]
    values = {"name": name, "reject_at": reject_at, "limits": limits, "together": draw}
    return validate(Plan, values, "the plan")


def _limits(*pairs: tuple[tuple[int, ...], tuple[int, ...]]) -> tuple[Limits, ...]:
    return tuple(Limits(accept=accept, reject=reject) for accept, reject in pairs)


PAPER = single(10, 2, "paper")
SEQUENTIAL = Plan(name="sequential", reject_at=3, limits=_limits(((11, 20, 28), (0, 2, 12))))
RANKED = Plan(
    name="ranked",
    reject_at=3,
    suspects=3,
    clean_suspects=1,
    limits=_limits(((11, 19, 29), (0, 2, 12)), ((11, 20), (0, 4)), ((11,), (0,))),
)
PLANS: Mapping[str, Plan] = {plan.name: plan for plan in (PAPER, SEQUENTIAL, RANKED)}


def get_plan(choice: str | Mapping[str, Any] | Plan) -> Plan:
    """A plan by name (paper, sequential, ranked), by its settings, or by a file of them.

    Raises:
        UnknownNameError: no plan has this name.
        NotFoundError: there is no such file (its name ends in .json or .toml).
        ConfigError: the settings do not make a plan.
    """
    if isinstance(choice, Plan):
        return choice
    if not isinstance(choice, str):
        return validate(Plan, dict(choice), "the inspection plan")
    if choice.lower().endswith((".json", ".toml")):
        return load_config(Plan, choice)
    if choice not in PLANS:
        raise UnknownNameError("inspection plan", choice, PLANS)
    return PLANS[choice]


def as_setting(plan: Plan) -> str | dict[str, Any]:
    """What `get_plan` makes the plan of again: its name, or its numbers."""
    known = PLANS.get(plan.name) == plan
    return plan.name if known else plan.model_dump(mode="json", exclude_defaults=True)


def in_words(plan: Plan, images: int = 100) -> list[str]:
    """The plan as sentences for people, for a category with so many images to look at."""
    lines, few = [], images < plan.max_images
    if plan.together > 1:
        lines.append(f"look at {counted(min(plan.together, images), 'random image')} at once")
    if plan.suspects:
        lines.append(
            f"first images from the top of the audit's ranking, at most {plan.suspects}, until "
            f"{plan.clean_suspects} of them turned out good; then random images, one by one"
        )
    elif plan.together == 1:
        lines.append("look at random images, one by one")
    when = "when" if plan.together > 1 else "as soon as"
    most = min(plan.reject_at, images)
    lines.append(f"reject {when} {most} {'image is' if most == 1 else 'images are'} bad")
    for bad, limits in enumerate(plan.limits):
        lead = f"after {bad} bad from the top: " if plan.suspects else ""
        left = images - min(plan.suspects, bad + plan.clean_suspects)
        if ends := "; ".join(_ends(limits, left)):
            lines.append(lead + ends)
    if few:
        lines.append(
            f"it has {counted(images, 'image')}: accept when all were seen and nothing rejects it"
        )
    return lines


def _ends(limits: Limits, left: int) -> Iterable[str]:
    """When it ends before the `left` images that can be drawn at random were all seen."""
    said = [(count, f"{bad}") for bad, count in enumerate(limits.accept)]
    if len(set(limits.accept)) == 1:
        said = [(limits.accept[0], "none" if len(said) == 1 else f"at most {len(said) - 1}")]
    words = [
        f"{counted(count, 'random image')} with {bad} bad" for count, bad in said if count <= left
    ]
    if words:
        yield "accept after " + ", ".join(words)
    for bad, count in enumerate(limits.reject):
        if count and bad <= left:
            yield f"reject at {bad} bad within the first {min(count, left)}"
