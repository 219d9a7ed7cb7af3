"""Which kinds of recognition model there are."""

from partlab.registry import Registry

kinds = Registry("kind of model", "partlab.models")
"""By name: what makes a `Recognizer` of a timm network, its `Body` and a `Design`.

One with a class method `from_settings(config, design, size)` makes its own network; one whose
`needs_parts` is False learns from pictures without masks. Another distribution adds its own
through the entry-point group `partlab.models`.
"""
kinds.register("vanilla", "train.models.vanilla:Vanilla")
kinds.register("mpm", "train.models.mpm:MPM")
kinds.register("two_stage", "train.models.two_stage:TwoStage")
for _name, _class in (
    ("pooling", "pooling:Pooling"),
    ("wbbox", "boxes:Boxes"),
    ("2heads_e", "two_heads:EncoderHead"),
    ("2heads_d", "two_heads:DecoderHead"),
    ("pixel", "pixel:Pixel"),
    ("mask", "masks:Masks"),
    ("groundtruth", "groundtruth:GroundTruth"),
    ("sim", "queries:Simple"),
    ("headed", "two_heads:Headed"),
    ("seq", "detected:Sequential"),
    ("2heads", "detected:TwoHeaded"),
):
    kinds.register(_name, f"train.models.berkeley.{_class}")


def needs_parts(kind: str) -> bool:
    """Whether models of a kind need masks to learn from.

    Raises:
        UnknownNameError: there is no such kind.
    """
    return bool(getattr(kinds.get(kind), "needs_parts", True))
