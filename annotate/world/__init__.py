"""The procedural part world: data drawn by our own code, with masks that are exactly true."""

from annotate.world.catalogue import KINDS, twins
from annotate.world.make import WorldConfig, categories, inclusions, make_world

__all__ = ["KINDS", "WorldConfig", "categories", "inclusions", "make_world", "twins"]
