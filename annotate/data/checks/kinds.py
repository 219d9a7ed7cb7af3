"""Every kind of defect `partlab data check` looks for, with what it means and what to do."""

from dataclasses import dataclass
from typing import Any

from partlab.schema import Annotation, Finding, Image

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of defect; an error makes training or evaluation wrong."""

    name: str
    severity: str
    meaning: str
    hint: str
    fixable: bool = False  # `--fix` can repair it without losing anything

    def at(
        self,
        what: str,
        *,
        image: Image | None = None,
        annotation: Annotation | None = None,
        other: Annotation | None = None,
        category: int | None = None,
        fixable: bool | None = None,
        hint: str | None = None,
    ) -> Finding:
        """A finding of this kind; the message names image and annotation."""
        where = f"image {image.id} ({image.file_name})" if image else ""
        if annotation:
            where += f", annotation {annotation.id}" if where else f"annotation {annotation.id}"
            category = annotation.category_id if category is None else category
        return Finding(
            kind=self.name,
            severity=self.severity,
            message=f"{where}: {what}" if where else what,
            hint=hint or self.hint,
            image_id=image.id if image else annotation.image_id if annotation else None,
            annotation_id=annotation.id if annotation else None,
            category_id=category,
            fixable=self.fixable if fixable is None else fixable,
            other_annotation_id=other.id if other else None,
            other_category_id=other.category_id if other else None,
        )


def _kinds(*rows: tuple[Any, ...]) -> dict[str, Kind]:
    return {row[0]: Kind(*row) for row in rows}


_REDRAW = "draw the mask again, or take it away: --fix OUT --drop-unusable"
_RELINK = "correct the id, or remove the record"
_UNITE = "give each its own name, or run with --fix, which makes them one"

KINDS = _kinds(
    ("stale", WARNING, "a category was inspected again after the export", "export the work anew"),
    # records
    ("unreadable_record", ERROR, "a record lacks what its format requires", "repair it by hand"),
    ("duplicate_image_id", ERROR, "two images share an id", "give each image its own id", True),
    ("duplicate_annotation_id", ERROR, "two annotations share an id", "run with --fix", True),
    ("duplicate_category_id", ERROR, "two categories share an id", "give each its own id"),
    (
        "duplicate_category",
        ERROR,
        "two categories are the same part of the same object",
        _UNITE,
        True,
    ),
    (
        "similar_category",
        ERROR,
        "two categories differ only in case, spaces or hyphens",
        "give each its own name, or make them one: partlab data import DATA --unite --out OUT",
    ),
    (
        "no_object",
        ERROR,
        "categories do not say which object they are a part of",
        "say it once: partlab data import DATA --object NAME --out OUT; for several objects, "
        "partlab data import DATA --dry-run > map.csv writes a table to edit and pass with --names",
    ),
    ("duplicate_file_name", ERROR, "two images name the same file", "keep one of the records"),
    ("unknown_image", ERROR, "an annotation belongs to no image", _RELINK),
    ("unknown_category", ERROR, "an annotation's category does not exist", _RELINK),
    (
        "unsafe_file_name",
        ERROR,
        "a file name points outside the data set",
        "import it, which gives it a safe name where its picture is found: partlab data import",
    ),
    (
        "bad_size",
        ERROR,
        "an image's stated width or height is missing or not positive",
        "run with --fix, which reads it from the picture, or state its real size",
        True,
    ),
    ("bad_score", ERROR, "a score is not a number from 0 to 1", "state the score, or remove it"),
    (
        "crowd",
        WARNING,
        "a crowd region: no target in training, ignored in average precision and label maps",
        "leave it so if it covers many things at once; if it is one part, set iscrowd to 0",
    ),
    (
        "crowd_mask",
        ERROR,
        "a single mask says iscrowd 1, as CVAT writes brush masks: nothing would learn from it",
        "run with --fix, which sets 0",
        True,
    ),
    (
        "unknown_provenance",
        WARNING,
        "nobody can tell who made a mask",
        "write human:<who>, human-reused, model-assisted:<run> or pseudo:<run>",
    ),
    (
        "model_made",
        ERROR,
        "a model had a hand in an image that was to be drawn by people alone",
        "leave the image out: partlab inspect export --human-only",
    ),
    (
        "several_annotators",
        WARNING,
        "one object category was drawn by several people",
        "let one person draw all images of a category",
    ),
    (
        "discard_annotated",
        ERROR,
        "a discarded image carries masks",
        "remove it from the discards, or move its masks away",
    ),
    # categories
    ("placeholder_name", WARNING, "a category has no real name", "give the part its name"),
    (
        "ambiguous_name",
        WARNING,
        "an object name holds a colon, which separates object and part",
        "rename the object",
    ),
    ("unused_category", WARNING, "a category has no mask", "annotate it, or remove the category"),
    (
        "unequal_counts",
        WARNING,
        "object categories have different numbers of images",
        "sample the same number of each: partlab data sample",
    ),
    # objects
    (
        "foreign_part",
        ERROR,
        "a part belongs to another object than the image's",
        "correct the category, or the image's object",
    ),
    (
        "mixed_objects",
        WARNING,
        "an image shows parts of several objects and states none",
        "state the one foreground object of the image",
    ),
    (
        "no_parts",
        ERROR,
        "a human-annotated image has no mask and nobody discarded it",
        "annotate it, discard it with a reason, or remove it",
    ),
    (
        "uncovered_object",
        WARNING,
        "the parts leave some of the object uncovered",
        "draw the missing parts",
    ),
    # masks
    ("odd_coordinates", ERROR, "a polygon has an odd number of coordinates", _REDRAW),
    ("few_points", ERROR, "a polygon has fewer than 3 points, or there is no mask", _REDRAW),
    ("not_a_number", ERROR, "a polygon holds NaN, infinity or no numbers", _REDRAW),
    (
        "stray_piece",
        WARNING,
        "a polygon has a piece of one or two points, which covers nothing",
        "run with --fix, which takes the piece away",
        True,
    ),
    ("out_of_bounds", WARNING, "a polygon reaches out of its image", "run with --fix", True),
    ("corrupt_rle", ERROR, "run lengths cannot be decoded", _REDRAW),
    (
        "wrong_mask_size",
        ERROR,
        "the mask has another size than its image",
        "set the image's size right, or draw the mask again",
    ),
    ("empty_mask", ERROR, "a mask covers no pixel", _REDRAW),
    ("wrong_area", WARNING, "the stated area disagrees with the mask", "run with --fix", True),
    ("wrong_bbox", WARNING, "the stated box disagrees with the mask", "run with --fix", True),
    (
        "duplicate_mask",
        ERROR,
        "two masks of one category are the same pixels",
        "run with --fix, or remove one of them",
        True,
    ),
    (
        "overlap",
        ERROR,
        "two parts overlap without a declared inclusion",
        "declare the smaller part as included in the larger one, or redraw the border",
    ),
    (
        "accepted_overlap",
        WARNING,
        "two parts overlap without a declared inclusion, and an inspector accepted it by name",
        "nothing to do: where they are flattened the smaller one lies on top",
    ),
    (
        "predicted_overlap",
        WARNING,
        "a network's mask overlaps another part without a declared inclusion",
        "nothing to do: where they are flattened the higher score wins",
    ),
    # inclusions
    ("inclusion_self", ERROR, "a part is included in itself", "run with --fix", True),
    ("inclusion_cycle", ERROR, "parts include each other in a circle", "remove one of the links"),
    ("inclusion_unknown", ERROR, "an inclusion names no part we know", "correct the name"),
    (
        "inclusion_swapped",
        ERROR,
        "the included part is larger than the part around it",
        "write small: large",
    ),
    # pictures
    ("missing_image", ERROR, "a picture file is not there", "put it there, or correct its name"),
    ("corrupt_image", ERROR, "a picture cannot be read", "get the picture again"),
    ("wrong_image_size", ERROR, "a picture has another size than stated", "run with --fix", True),
    (
        "exif_rotated",
        ERROR,
        "the stated size is the one before the picture's EXIF rotation",
        "see whether the masks fit the picture as a browser shows it: partlab data show; then "
        "exchange width and height of the record",
    ),
    (
        "picture_too_large",
        ERROR,
        "a picture has more pixels than partlab reads",
        "make it smaller, or cut it into tiles, and its masks with it",
    ),
    ("duplicate_picture", WARNING, "two images are the same file contents", "keep one of them"),
    # splits
    ("split_leak", ERROR, "a picture is in two splits", "leave it in one of them only"),
)
