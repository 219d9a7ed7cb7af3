"""Which prompter goes with a segmenter."""

from typing import Any, cast

from segmenter.prompt.cache import DEFAULT_BYTES
from segmenter.prompt.layers import LayersPrompter
from segmenter.prompt.prompts import Prompter
from segmenter.protocol import Segmenter


def prompter_of(segmenter: Segmenter, *, cache_bytes: int = DEFAULT_BYTES) -> Prompter:
    """Who answers prompts by a segmenter; it keeps at most `cache_bytes` of pictures looked at.

    Of a torchvision run the network itself is asked, or the prompt head that was trained beside
    it; of any other segmenter (detectron2's, a served one) only the layers it finds.
    """
    if not _is_mask_rcnn(segmenter):
        return LayersPrompter(segmenter, cache_bytes=cache_bytes)
    from segmenter.prompt.network import NetworkPrompter

    return NetworkPrompter(cast(Any, segmenter), cache_bytes=cache_bytes)


def _is_mask_rcnn(segmenter: Segmenter) -> bool:
    """Whether its heads can be asked; one of another kind has no such network, or another."""
    network = type(getattr(segmenter, "network", None))
    return (network.__module__, network.__name__) == ("segmenter.part_rcnn", "PartRCNN")
