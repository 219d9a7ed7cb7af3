"""Published figures as references: shown beside one's own, never ranked with them (A14, X-05)."""

from train.references.tables import LISTS, Reference, condition, references, tables

__all__ = ["LISTS", "Reference", "condition", "references", "tables"]
