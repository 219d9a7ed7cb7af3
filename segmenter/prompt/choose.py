"""Which prompter goes with a segmenter."""

from typing import TYPE_CHECKING, cast

from segmenter.prompt.cache import DEFAULT_BYTES
from segmenter.prompt.layers import LayersPrompter
from segmenter.prompt.prompts import Prompter
from segmenter.protocol import Segmenter

if TYPE_CHECKING:
    from segmenter.torchvision_backend import MaskRCNN


def prompter_of(segmenter: Segmenter, *, cache_bytes: int = DEFAULT_BYTES) -> Prompter:
    """Who answers prompts by a segmenter; it keeps at most `cache_bytes` of pictures looked at.

    Of a torchvision run the network itself is asked, or the prompt head that was trained beside
    it; of any other segmenter (detectron2's, a served one) only the layers it finds.

    Raises:
        DatasetError: the prompt head is damaged, or was trained on other weights.
    """
    if not has_heads(segmenter):
        return LayersPrompter(segmenter, cache_bytes=cache_bytes)
    from segmenter.prompt.head_file import has_head, load_head
    from segmenter.prompt.network import NetworkPrompter
    from segmenter.prompt.trained import TrainedPrompter

    network = cast("MaskRCNN", segmenter)
    if network.weights is not None and has_head(network.weights.parent):
        return TrainedPrompter(network, load_head(network), cache_bytes=cache_bytes)
    return NetworkPrompter(network, cache_bytes=cache_bytes)


def has_heads(segmenter: Segmenter) -> bool:
    """Whether its heads can be asked; one of another kind has no such network, or another."""
    network = type(getattr(segmenter, "network", None))
    return (network.__module__, network.__name__) == ("segmenter.part_rcnn", "PartRCNN")
