"""Which kinds of recognition model there are."""

from partlab.registry import Registry

kinds = Registry("kind of model", "partlab.models")
"""By name: what makes a `Recognizer` of a timm network, its `Body` and a `Design`.

Another distribution adds its own through the entry-point group `partlab.models`.
"""
kinds.register("vanilla", "train.models.vanilla:Vanilla")
kinds.register("mpm", "train.models.mpm:MPM")
kinds.register("two_stage", "train.models.two_stage:TwoStage")
