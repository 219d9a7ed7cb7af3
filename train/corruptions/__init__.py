"""The 15 common corruptions of ImageNet-C, and how a model stands up to them (G-01, G-02)."""

from train.common_corruptions import CORRUPTIONS, SEVERITIES
from train.corruptions.generate import SMALLEST, corrupt
from train.corruptions.measure import Example, corruption_outcomes, open_examples, tree_outcomes
from train.corruptions.metrics import (
    ALEXNET_ERRORS,
    CorruptionSummary,
    accuracies,
    summarize,
)
from train.corruptions.package import need_corruptions
from train.corruptions.protocol import Protocol
from train.corruptions.tree import CorruptionTree, read_tree

__all__ = [
    "ALEXNET_ERRORS",
    "CORRUPTIONS",
    "SEVERITIES",
    "SMALLEST",
    "CorruptionSummary",
    "CorruptionTree",
    "Example",
    "Protocol",
    "accuracies",
    "corrupt",
    "corruption_outcomes",
    "need_corruptions",
    "open_examples",
    "read_tree",
    "summarize",
    "tree_outcomes",
]
