"""Honest small networks, and such as hide their gradients, for the honesty checks."""

import copy
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.attacks.pgd import pgd
from train.models.build import create_model

CLASSES, SIDE = 4, 24
EPS = 8 / 255
"""Of the attack, in training and in the checks."""


def pictures(count: int = 64, seed: int = 0, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Coloured waves: direction and colour tell the class, strength and phase vary."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=rng)
    y, x = torch.meshgrid(*[torch.linspace(0, 1, side)] * 2, indexing="ij")
    angle = (labels * torch.pi / CLASSES)[:, None, None]
    phase = 6.28 * torch.rand(count, 1, 1, generator=rng)
    wave = torch.sin(18 * (x * angle.cos() + y * angle.sin()) + phase)
    strength = 0.03 + 0.25 * torch.rand(count, 1, 1, generator=rng)
    colour = 0.5 + 0.5 * torch.rand(count, 3, 1, 1, generator=rng)
    noise = 0.08 * torch.randn(count, 3, side, side, generator=rng)
    return (0.5 + (wave * strength)[:, None] * colour + noise).clamp(0, 1), labels


class Plain(nn.Sequential):
    """Rectified units and max pooling, so with kinks everywhere."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(), nn.Linear(128, CLASSES),
        )  # fmt: skip


def rectified() -> nn.Module:
    """The small residual network with ReLU."""
    network = create_model("vanilla_small_resnet8", classes=CLASSES)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.GELU) or type(child).__name__ == "GELU":
                setattr(module, name, nn.ReLU())
    return network


MAKERS: dict[str, Callable[[], nn.Module]] = {
    "small_resnet8": lambda: create_model("vanilla_small_resnet8", classes=CLASSES),
    "relu": rectified,
    "plain": Plain,
    "two_stage": lambda: create_model("two_stage_small_resnet8", classes=CLASSES, parts=3),
}


@cache
def honest(name: str = "small_resnet8", seed: int = 0, eps: float = 0.0) -> nn.Module:
    """Trained for seconds, under attack where `eps` is not 0; in evaluation mode."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network = MAKERS[name]().train()
        steps = 60
        optimizer = torch.optim.AdamW(network.parameters(), 0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, steps)
        for step in range(steps):
            images, labels = pictures(64, seed=1000 * (seed + 1) + step)
            if eps:
                images = pgd(
                    network, images, lambda z, y=labels: F.cross_entropy(z, y),
                    norm="linf", eps=eps * min(1, 2 * step / steps), steps=2, step_size=eps,
                )  # fmt: skip
            loss = F.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return network.eval()


class Before(nn.Module):
    """Something done to the pictures, then the network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def change(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.change(images))


class Quantised(Before):
    """Colours rounded to 8 levels."""

    def change(self, images: Tensor) -> Tensor:
        return (images * 7).round() / 7


class StraightThrough(Before):
    """Rounded, with a gradient that pretends nothing was."""

    def change(self, images: Tensor) -> Tensor:
        return images + ((images * 7).round() / 7 - images).detach()


class Thermometer(Before):
    """The share of thresholds that a colour is above (Buckman et al., 2018)."""

    def change(self, images: Tensor) -> Tensor:
        levels = torch.linspace(0.05, 0.95, 10).to(images).view(-1, 1, 1, 1, 1)
        return (images > levels).to(images.dtype).mean(0)


class Jpeg(Before):
    """Coefficients of 8 x 8 cosine transforms, rounded as JPEG does."""

    def change(self, images: Tensor) -> Tensor:
        n = torch.arange(8).to(images)
        basis = torch.cos((n[None] + 0.5) * n[:, None] * torch.pi / 8) / 2
        basis[0] /= 2**0.5
        blocks = images.unfold(2, 8, 8).unfold(3, 8, 8)
        coefficients = ((basis @ blocks @ basis.T) / 0.05).round() * 0.05
        back = (basis.T @ coefficients @ basis).permute(0, 1, 2, 4, 3, 5)
        return back.reshape(images.shape)


class RandomResize(Before):
    """Resized to a random side, padded at a random place (Xie et al., 2018)."""

    def change(self, images: Tensor) -> Tensor:
        side = int(torch.randint(SIDE * 3 // 4, SIDE, ()))
        rest = SIDE - side
        left, top = (int(torch.randint(0, rest + 1, ())) for _ in range(2))
        small = F.interpolate(images, size=side, mode="bilinear")
        return F.pad(small, (left, rest - left, top, rest - top), value=0.5)


class Noise(Before):
    """Noise added each time."""

    def change(self, images: Tensor) -> Tensor:
        return images + 0.05 * torch.randn_like(images)


class Shattered(Before):
    """Ripples too fine to see, with slopes that drown the picture's."""

    def change(self, images: Tensor) -> Tensor:
        return images + 0.01 * torch.sin(2000 * images)


class After(nn.Module):
    """The network, then something done to its logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def change(self, logits: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        return self.change(self.network(images))


class Huge(After):
    """Logits so large that the softmax is 1 (as after distillation: Papernot et al., 2016)."""

    def change(self, logits: Tensor) -> Tensor:
        return logits * 1e4


class Saturated(After):
    """Squashed by a sigmoid that is full or empty nearly everywhere, and told apart again."""

    def change(self, logits: Tensor) -> Tensor:
        centred = logits - logits.topk(2, 1).values.mean(1, keepdim=True).detach()
        return torch.sigmoid(200 * centred)


class Argmax(After):
    """Only which class it is."""

    def change(self, logits: Tensor) -> Tensor:
        return F.one_hot(logits.argmax(1), logits.shape[1]).to(logits.dtype)


class Detached(nn.Module):
    """What decides carries no gradient; a side branch of no weight has one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.side = nn.Linear(3, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.detach()) + 0.05 * self.side(images.mean((2, 3)))


class Dropped(nn.Module):
    """Dropout of colours, at test time too."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(F.dropout(images, 0.1, training=True))


class BatchStatistics(nn.Module):
    """Normalised over the batch, whatever the mode says."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return F.batch_norm(self.network(images), None, None, training=True)


def training_mode(network: nn.Module) -> nn.Module:
    """A copy with its BatchNorm layers left in training mode."""
    network = copy.deepcopy(network)
    for module in network.modules():
        module.training = isinstance(module, nn.BatchNorm2d)
    return network


PLANTED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "quantised input": Quantised,
    "straight-through rounding": StraightThrough,
    "thermometer encoding": Thermometer,
    "JPEG-like rounding": Jpeg,
    "random resize": RandomResize,
    "random noise": Noise,
    "dropout at test time": Dropped,
    "shattered gradients": Shattered,
    "huge logits": Huge,
    "saturated sigmoid": Saturated,
    "class alone": Argmax,
    "detached branch": Detached,
    "batch statistics": BatchStatistics,
    "BatchNorm in train mode": training_mode,
}


def planted(kind: str, seed: int = 0, eps: float = 0.0) -> nn.Module:
    """A trained network whose gradients are hidden in this way."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        wrapped = PLANTED[kind](honest("small_resnet8", seed, eps))
    return wrapped if kind == "BatchNorm in train mode" else wrapped.eval()
