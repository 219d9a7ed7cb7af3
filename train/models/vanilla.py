"""The plain classifier (MD-01, MD-12)."""

from train.models.base import Recognizer


class Vanilla(Recognizer):
    """Normalisation and a timm classification network, nothing else."""

    needs_parts = False
