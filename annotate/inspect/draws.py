"""Drawing the images of a round that inspectors see: by a plan, from those with masks (Q-01)."""

from collections.abc import Collection, Mapping
from shlex import quote
from typing import Any

from annotate.inspect.overlaps import need_no_overlaps
from annotate.inspect.plan import Plan
from annotate.inspect.rounds import sample_of, with_masks
from annotate.inspect.sampling import Sample, round_seed
from annotate.work import Batch, MovedOnError, Work, open_images
from partlab.errors import ConfigError, StateError


def check_not_too_late(
    work: Work, batch: Batch, plan: Plan | None, suspicion: Mapping[int, float] | None
) -> None:
    """See that nothing is asked of a drawn round but what was drawn.

    Raises:
        ConfigError: an audit is named, or another plan.
    """
    sample = sample_of(work, batch)
    drawn = sample.plan.name if sample else None
    if suspicion is not None or (plan is not None and plan.name != drawn):
        raise ConfigError(
            f"{batch.object} round {batch.round} is drawn already, by the plan {drawn}: "
            "another plan, or an audit, comes too late",
            hint="leave them out to see what was drawn",
        )


def still_drawn(work: Work, batch: Batch) -> StateError:
    """What is said of a round that annotators have not finished."""
    with work.read() as session:
        open_, all_ = open_images(session, batch), work.tasks(batch.object, batch.round)
    since = f"at the last pull, {batch.cursor[:16]}" if batch.cursor else "and nothing was pulled"
    folder = quote(str(work.folder))
    return StateError(
        f"{batch.object} round {batch.round} is still being drawn: {len(open_)} of {len(all_)} "
        f"pictures were open {since}",
        hint=f"fetch what was drawn since: partlab studio pull {folder}",
    )


def draw(
    work: Work,
    batch: Batch,
    who: str,
    plan: Plan,
    suspicion: Mapping[int, float] | None,
    overlaps: Collection[str],
) -> None:
    """Draw the images of a submitted round and record which.

    Raises:
        StateError: nothing has masks, or parts lie over each other undeclared and not accepted.
        MovedOnError: an answer came in at the same time.
    """
    basis = work.hash_of(batch.object)
    seed = round_seed(work.settings.seed, batch.object, batch.round)
    images = with_masks(work, batch)
    if not images:
        raise StateError(f"{batch.object} round {batch.round} has no image with masks")
    accepted = need_no_overlaps(work, batch, overlaps)
    sample = Sample.draw(plan, seed, images, suspicion)
    suspects = {str(image): score for image, score in sample.suspects.items()}
    data: dict[str, Any] = {"seed": seed, "plan": plan.name, "images": sample.images}
    data |= {"rules": plan.model_dump(mode="json"), "suspects": suspects}
    data |= {"overlaps": accepted} if accepted else {}
    key: dict[str, Any] = {"object": batch.object, "round": batch.round}
    try:
        work.record("sampled", who=who, **key, data=data, basis=basis)
    except (StateError, MovedOnError):
        if work.batch(**key).state != "sampled":  # else another process was quicker
            raise
