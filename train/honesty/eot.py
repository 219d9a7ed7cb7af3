"""A random model made one that can be attacked and judged: expectation over transformations."""

import torch
from torch import Tensor, nn

from partlab.errors import ConfigError


class EoT(nn.Module):
    """The mean opinion of a random model over fixed draws (Athalye et al., 2018; RK-09).

    Each image is shown alone, `samples` times, with torch's generators seeded by `seed` and the
    number of the draw: verdicts repeat, and depend neither on batches nor on order. It costs
    `samples` passes for each image, one image at a time. With few samples it says what these
    draws do, not what the model does on average: raise them until the figure stays.

    Raises:
        ConfigError: less than one sample.
    """

    def __init__(self, network: nn.Module, samples: int = 20, seed: int = 0) -> None:
        super().__init__()
        if samples < 1:
            raise ConfigError(f"a mean over {samples} draws", hint="give samples=20 or so")
        self.network, self.samples, self.seed = network, samples, seed
        self.train(network.training)

    def forward(self, images: Tensor) -> Tensor:
        """Logarithms of mean probabilities (B, C)."""
        if not len(images):
            empty: Tensor = self.network(images)
            return empty
        drawn = [self._draw(images, self.seed * self.samples + n) for n in range(self.samples)]
        mean = torch.stack(drawn).log_softmax(-1).logsumexp(0)
        return mean - torch.tensor(self.samples).log().to(mean)

    def _draw(self, images: Tensor, seed: int) -> Tensor:
        devices = [images.device] if images.device.type == "cuda" else []
        said = []
        with torch.random.fork_rng(devices):
            for image in images:
                torch.manual_seed(seed)
                said.append(self.network(image[None]))
        return torch.cat(said)
