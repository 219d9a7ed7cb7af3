"""N-FGSM (de Jorge et al., 2022): one step, from stronger noise, not projected."""

from torch import Tensor

from train.attacks.ball import Ball
from train.attacks.modes import attacked
from train.attacks.pgd import plain, warmth
from train.attacks.situation import Situation


def nfgsm(situation: Situation) -> dict[str, Tensor]:
    """The objective on images moved by noise of `noise` · ε and one step of ε.

    They are clamped to 0…1 and not projected to the ball: that is what keeps one step from
    overfitting. `steps` and `best` mean nothing here; `step_size` may stand for ε.
    """
    return situation.objective(situation.outputs(noisy_step(situation)))


def noisy_step(situation: Situation) -> Tensor:
    """The images that are trained on: (B, 3, H, W)."""
    config = situation.config
    full = config.step_size if config.step_size is not None else config.eps
    size = full * warmth(config, situation.progress)
    noise = Ball(config.norm, config.noise * config.eps, large_eps=True)
    with attacked(situation.network):
        point = noise.start(plain(situation.images))
        gradient, _ = situation.ascent(situation.network, point, situation.class_loss)
        return noise.step(point, gradient, size).clamp_(0, 1)
