"""Which parts an object category has: where they come from, and how they change."""

from annotate.vocabulary.file import read_vocabulary, write_vocabulary
from annotate.vocabulary.model import Change, ObjectParts, Part, Source, Vocabulary

__all__ = [
    "Change",
    "ObjectParts",
    "Part",
    "Source",
    "Vocabulary",
    "read_vocabulary",
    "write_vocabulary",
]
