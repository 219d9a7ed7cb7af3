"""A trained dense segmenter, behind the protocol of all segmenters."""

from collections.abc import Sequence

from torch import Tensor

from partlab.training.amp import autocast
from segmenter.data import Size, pad_batch
from segmenter.dense.network import DenseNetwork
from segmenter.dense.regions import Asked, Enlarged, decided_at, detections, regions
from segmenter.dense.settings import DenseModelConfig
from segmenter.network_segmenter import Labels, NetworkSegmenter
from segmenter.protocol import Detections

BACKGROUND = 0


class DenseSegmenter(NetworkSegmenter):
    """Decides every pixel; what hangs together is a detection, scored by its mean probability.

    Where its category filter stands before the softmax, the probabilities under a filter are
    larger than without it; after it they are those without it, foreign parts zeroed (P-02).
    """

    network: DenseNetwork
    config: DenseModelConfig

    def build(self) -> DenseNetwork:
        """The network; called once."""
        return DenseNetwork(self.parts, self.config)

    def find(
        self,
        pictures: Sequence[Tensor],
        sizes: Sequence[Size],
        ways: Sequence[Sequence[Labels]],
        threshold: float,
    ) -> list[list[Detections]]:
        """See `NetworkSegmenter.find`; all but the last layer is computed once."""
        batch, shapes = pad_batch(pictures)
        padded = (int(batch.shape[2]), int(batch.shape[3]))
        filters = [[self._known(own) for own in each] for each in ways]
        with self._turn, autocast(self.device, self.amp):
            seen = self.network.seen(self.normalised(batch))
            features = [self.network.features(seen, each) for each in filters]
        reaches = [(shape[0] / padded[0], shape[1] / padded[1]) for shape in shapes]
        return [
            [
                self._detections(*one, threshold)
                for one in zip(maps, each, reaches, sizes, strict=True)
            ]
            for maps, each in zip(features, filters, strict=True)
        ]

    def _known(self, allowed: Labels) -> Labels:
        """What an image may hold, or None where that is everything."""
        return None if allowed is not None and len(allowed) == len(self.parts) else allowed

    def _detections(
        self,
        features: Tensor,
        allowed: Labels,
        reach: tuple[float, float],
        size: Size,
        threshold: float,
    ) -> Detections:
        at, asked, network = decided_at(size), self._asked(allowed), self.network
        outer = network.logits(features, [0, *(k + 1 for k in asked.outer)])
        inner = network.logits(features, [k + 1 for k in asked.inner])
        found = regions(
            Enlarged(outer, reach, at),
            Enlarged(inner, reach, at),
            asked,
            threshold=threshold,
            smallest=self.config.smallest_region,
        )
        return detections(found[: self.config.detections], len(self.parts), at, size)

    def _asked(self, allowed: Labels) -> Asked:
        network = self.network
        outer, inner = network.outer(allowed), network.inside(allowed)
        if allowed is None or self.config.category_filter == "before":
            return Asked(outer, inner, None, len(self.parts))
        every = network.outer(None)
        return Asked(every, inner, [every.index(label) for label in outer], len(self.parts))
