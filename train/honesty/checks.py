"""Checks of a model before its robust figures are believed (RK-09, RK-10, RK-12).

Hidden gradients make an attack fail and a model look robust (Athalye et al., 2018; Carlini et
al., 2019). Each check looks for one of their signs and gives one finding. They are made to be
cheap and to spare honest models; `benchmarks/honesty.py` measures both.
"""

from itertools import pairwise

import torch
from torch import Tensor

from partlab.counts import counted
from train.attacks.ball import Ball
from train.attacks.modes import as_evaluated, bare
from train.honesty.finding import Finding
from train.honesty.trial import STEPS, Trial

FEW = 0.05
"""Share of the images that may speak against a model: PGD misses an image or two that another
attack finds, also on honest models (at most 2 of 62 on 80 of them)."""
RARE = 0.01
"""Share of images that honest models show at most, and how seldom chance may flag them."""


def by_chance(share: float, images: int) -> float:
    """Largest share of so many images that chance makes of `share`; more is seen once in a hundred.

    A share of few images is told by few: where one in ten of all images speaks against a model,
    10 of 62 do so now and then.
    """
    from scipy.stats import binom

    return float(binom.isf(RARE, images, share)) / images


def few(images: int) -> float:
    """Share of so many images that may speak against a model: `FEW`, of few images more.

    Below 40 images, two are more than `FEW`, and no more than chance makes of `RARE`.
    """
    return max(FEW, by_chance(RARE, images))


def train_mode(trial: Trial) -> Finding:
    """Layers in training mode; none may be.

    BatchNorm would mix the images of a batch and dropout draw lots: neither is the model that
    is used. An attack refuses such a model; the other checks see it in evaluation mode.
    """
    wrong = [name for name, m in bare(trial.network).named_modules() if m.training]
    first = next((name for name in wrong if name), "the model itself")
    return Finding.of(
        "train_mode",
        len(wrong),
        0,
        "every layer is in evaluation mode",
        f"{counted(len(wrong), 'layer is', 'layers are')} in training mode, e.g. {first}: "
        "call model.eval()",
    )


def randomness(trial: Trial) -> Finding:
    """Largest difference of logits between one pass and three others, as a share of their spread.

    Threshold 1e-3: kernels of a GPU that add in another order, or in TF32, stay below it; the
    noise of a random defence has to be above it to change any prediction.
    """
    with as_evaluated(trial.network), torch.no_grad():
        one, *others = (trial.network(trial.images).float() for _ in range(4))
    return Finding.of(
        "randomness",
        max(_apart(one, other) for other in others),  # two alone may draw the same by luck
        1e-3,
        "two passes over the same images agree",
        "two passes over the same images differ: one pass is no verdict, and one gradient no "
        "attack; evaluate train.honesty.eot.EoT(model), which averages over draws",
    )


def batch(trial: Trial) -> Finding:
    """Largest difference of an image's logits in twos and among all, as a share of the spread.

    Threshold 1e-2: other sizes of batch choose other kernels, in TF32 with errors near 1e-3;
    BatchNorm with the statistics of the batch is above 0.1.
    """
    few = trial.images[:8]
    with as_evaluated(trial.network), torch.no_grad():
        whole = trial.network(trial.images)[: len(few)].float()
        alone = torch.cat([trial.network(few[n : n + 2]).float() for n in range(0, len(few), 2)])
    return Finding.of(
        "batch",
        _apart(whole, alone),
        1e-2,
        "what is said of an image does not depend on the others of its batch",
        "what is said of an image depends on the others of its batch, as with BatchNorm in "
        "training mode: verdicts then depend on how images are batched",
    )


def _apart(one: Tensor, other: Tensor) -> float:
    spread = (one.amax() - one.amin()).clamp(min=1e-30)
    return float((one - other).abs().amax() / spread)


def fgsm(trial: Trial) -> Finding:
    """Share of images that one step breaks and twenty do not.

    Twenty small steps follow the loss better than one large one, unless the loss has no shape
    to follow. Threshold: `few`.
    """
    missed = trial.stands(1.0) & ~trial.white_box(trial.ball, 1)
    return Finding.of(
        "fgsm",
        share(missed),
        few(len(missed)),
        "one large step breaks nothing that twenty small ones do not",
        f"one large step breaks {_percent(missed)} of the images that stand {STEPS} small ones: "
        "following the gradient does not help, so it is hidden",
    )


def more_steps(trial: Trial) -> Finding:
    """By how much more steps raise robust accuracy: 5, then 20.

    Never, but for luck with the step size. Threshold: `few`.
    """
    early, late = trial.white_box(trial.ball, 5), trial.stands(1.0)
    told = f"{share(early):.3f} after 5, {share(late):.3f} after {STEPS}"
    return Finding.of(
        "more_steps",
        _rise(early, late),
        few(len(early)),
        f"more steps of PGD never help the model: {told}",
        f"more steps of PGD help the model: {told}; its gradient leads nowhere",
    )


def black_box(trial: Trial) -> Finding:
    """Share of images that Square breaks, without any gradient, and PGD does not.

    Square knows less, so it cannot do more where gradients tell the truth. Looked for with ε and,
    since so few queries do little there, with 4 ε; the larger share counts. Threshold: `few`.
    """
    shares = [share(trial.stands(factor) & ~trial.stands_square(factor)) for factor in (1.0, 4.0)]
    at = "ε" if shares[0] >= shares[1] else "4 ε"
    return Finding.of(
        "black_box",
        max(shares),
        few(len(trial.images)),
        "an attack without gradients (Square) breaks nothing more than PGD",
        f"with {at} an attack without gradients (Square) breaks {100 * max(shares):.0f} % of the "
        "images that PGD does not: the gradient is hidden, and PGD's figure an illusion",
    )


def eps_monotone(trial: Trial) -> Finding:
    """By how much a larger ball raises robust accuracy, over ε / 2, ε, 2 ε and 4 ε.

    The larger ball holds the smaller one. Threshold: `few`, for luck of the search.
    """
    ladder = [trial.stands(factor) for factor in (0.5, 1.0, 2.0, 4.0)]
    told = ", ".join(f"{share(each):.3f}" for each in ladder)
    return Finding.of(
        "eps_monotone",
        max(_rise(a, b) for a, b in pairwise(ladder)),
        few(len(trial.images)),
        f"accuracy does not rise with ε: {told} at ε / 2, ε, 2 ε, 4 ε",
        f"accuracy rises with ε: {told} at ε / 2, ε, 2 ε, 4 ε, which only a failing attack shows",
    )


def large_eps(trial: Trial) -> Finding:
    """Accuracy in a ball that reaches mid-grey from every image.

    There all images can be made alike, so nobody is better than chance. ℓ∞ 0.5 does that; under
    ℓ2 half the diagonal of the cube of colours. Threshold: what chance makes of one in the number
    of classes (`by_chance`), or `few` if that is more.
    """
    norm = trial.ball.norm
    radius = 0.5 if norm == "linf" else 0.5 * trial.images[0].numel() ** 0.5
    with as_evaluated(trial.network), torch.no_grad():
        classes = trial.network(trial.images[:2]).shape[1]
    left = share(trial.white_box(Ball(norm, radius, large_eps=True), STEPS))
    images = len(trial.images)
    most = max(by_chance(1 / classes, images), few(images))
    return Finding.of(
        "large_eps",
        left,
        most,
        f"with ε as large as the colours go, accuracy is {left:.3f}",
        f"with ε as large as the colours go, PGD leaves accuracy at {left:.3f}, above {most:.3f}: "
        "it does not find what is surely there",
    )


def share(which: Tensor) -> float:
    """Of (B,) bool, exact: a share of so many images equals the threshold of as many."""
    return int(which.sum()) / len(which)


def _rise(before: Tensor, after: Tensor) -> float:
    return (int(after.sum()) - int(before.sum())) / len(before)


def _percent(which: Tensor) -> str:
    return f"{100 * share(which):.0f} %"
