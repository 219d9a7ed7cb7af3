"""A data set for the Hugging Face hub: Parquet files with the pictures in them, and a card.

    README.md                    the card: what it holds, and where each split is
    data/<split>-00000.parquet   a row an image: picture, name, size, object, list of masks

`datasets.load_dataset(FOLDER)` opens it, without a network. A mask is COCO run lengths
(`pycocotools.mask.decode`). Inclusions, discards and the part categories stand in the metadata of
each file under `partlab`. Written only.
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from annotate.data.formats.layout import Holds, Layout
from annotate.data.formats.pictures import Pictures
from partlab.counts import counted
from partlab.files import write_lines
from partlab.masks import Rle, area, bbox
from partlab.progress import track
from partlab.schema import Annotation, Dataset, Image, Raw
from partlab.truth import drawn_masks

log = logging.getLogger(__name__)

_ROWS, _BYTES = 100, 400 << 20  # of a row group, of a file (pictures)
_INT, _TEXT = pa.int64(), pa.string()
_RLE = {"size": pa.list_(_INT), "counts": _TEXT}
_MASK: dict[str, Any] = {
    "id": _INT,
    "category": _TEXT,
    "object": _TEXT,
    "part": _TEXT,
    "object_id": _INT,
    "bbox": pa.list_(pa.float64()),
    "area": _INT,
    "iscrowd": _INT,
    "provenance": _TEXT,
    "score": pa.float64(),
    "review": _TEXT,
}
_ROW = {"file_name": _TEXT, "width": _INT, "height": _INT, "object": _TEXT, "license": _TEXT}
_WORD = {_INT: "int64", _TEXT: "string", pa.float64(): "float64"}


class HuggingFaceLayout(Layout):
    """Format of the Hugging Face hub."""

    title = "a Hugging Face data set (Parquet and a card)"
    one_split = False
    holds = Holds(
        attributes="of a mask its object, who drew it, score, review and crowd are kept, other "
        "fields of partlab are left out",
        known=frozenset({"object_id", "provenance", "score", "review"}),
    )

    def write(self, dataset: Dataset, out: Path, split: str, pictures: Pictures) -> None:
        """data/<split>-*.parquet, and the card of all splits in `out`; pictures unless `none`."""
        dataset = dataset.settled()
        name = re.sub(r"\W", "_", split)
        if name != split:
            log.warning("the split %s is called %s: names there are words", split, name)
        _write_rows(dataset, out / "data", name, pictures is not Pictures.none)
        write_lines(out / "README.md", _card(sorted((out / "data").glob("*.parquet"))))


def _write_rows(dataset: Dataset, folder: Path, split: str, with_pictures: bool) -> None:
    schema = _schema(dataset, with_pictures)
    folder.mkdir(parents=True, exist_ok=True)
    missing, number, size = 0, 0, 0
    writer = pq.ParquetWriter(folder / f"{split}-{number:05}.parquet", schema, compression="zstd")
    try:
        for rows in _batches(dataset, with_pictures):
            if size > _BYTES:
                writer.close()
                number, size = number + 1, 0
                path = folder / f"{split}-{number:05}.parquet"
                writer = pq.ParquetWriter(path, schema, compression="zstd")
            writer.write_table(pa.Table.from_pylist(rows, schema))
            seen = [len(row["image"]["bytes"]) if row.get("image") else 0 for row in rows]
            missing, size = missing + seen.count(0), size + sum(seen)
    finally:
        writer.close()
    if missing and with_pictures:
        were = counted(missing, "picture was", "pictures were")
        log.warning("%s not found; their masks are kept", were)


def _batches(dataset: Dataset, with_pictures: bool) -> Iterator[list[Raw]]:
    rows: list[Raw] = []
    for image in track(dataset.images, "pictures", total=len(dataset.images)):
        rows.append(_row(dataset, image, with_pictures))
        if len(rows) == _ROWS:
            yield rows
            rows = []
    yield rows


def _row(dataset: Dataset, image: Image, with_picture: bool) -> Raw:
    drawn = drawn_masks(dataset, image)
    row: Raw = {"file_name": image.file_name, "width": image.width, "height": image.height}
    row |= {"object": dataset.object_of(image), "license": image.license}
    row["masks"] = [_mask(dataset, *one) for one in (*drawn.masks, *drawn.crowd)]
    path = dataset.image_path(image)
    if with_picture:
        there = path.is_file()
        row["image"] = {"bytes": path.read_bytes(), "path": image.file_name} if there else None
    return row


def _mask(dataset: Dataset, one: Annotation, rle: Rle) -> Raw:
    category = dataset.category_by_id[one.category_id]
    said: Raw = {"id": one.id, "category": category.name, "object": category.object}
    said |= {"part": category.part, "object_id": one.object_id, "bbox": bbox(rle)}
    said |= {"area": area(rle), "iscrowd": int(bool(one.iscrowd)), "provenance": one.provenance}
    return said | {"score": one.score, "review": one.review, "segmentation": {**rle}}


def _schema(dataset: Dataset, with_pictures: bool) -> Any:
    mask = [*_MASK.items(), ("segmentation", pa.struct(list(_RLE.items())))]
    fields = [*_ROW.items(), ("masks", pa.list_(pa.struct(mask)))]
    if with_pictures:
        fields.insert(0, ("image", pa.struct([("bytes", pa.binary()), ("path", _TEXT)])))
    known: Raw = {"huggingface": {"info": {"features": _features(with_pictures)}}}
    known["partlab"] = {
        "categories": [category.raw for category in dataset.categories],
        "inclusions": dataset.inclusions,
        "discards": [discard.raw for discard in dataset.discards],
    }
    return pa.schema(fields, {key: json.dumps(value) for key, value in known.items()})


def _features(with_pictures: bool) -> Raw:
    """The columns as `datasets` calls them."""
    mask = {name: _feature(kind) for name, kind in _MASK.items()}
    mask["segmentation"] = {name: _feature(kind) for name, kind in _RLE.items()}
    row: Raw = {"image": {"_type": "Image"}} if with_pictures else {}
    return row | {name: _feature(kind) for name, kind in _ROW.items()} | {"masks": [mask]}


def _feature(kind: Any) -> Any:
    if pa.types.is_list(kind):
        return [_feature(kind.value_type)]
    return {"dtype": _WORD[kind], "_type": "Value"}


def _card(files: list[Path]) -> list[str]:
    """What a person reads first, of all splits that are there."""
    splits, licences = Counter[str](), Counter[str]()
    objects: dict[str, None] = {}
    for file in files:
        table = pq.read_table(file, columns=["object", "license"])
        splits[file.name.rpartition("-")[0]] += table.num_rows
        licences.update(one or "none stated" for one in table["license"].to_pylist())
        objects |= dict.fromkeys(one for one in table["object"].to_pylist() if one)
    head = ["---", "task_categories:", "- image-segmentation", "tags:", "- part-segmentation"]
    head += ["configs:", "- config_name: default", "  data_files:"]
    for split in splits:
        head += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
    return [
        *head,
        "---",
        "# Part masks",
        "",
        f"Parts of {counted(len(objects), 'object category', 'object categories')}: "
        f"{', '.join(sorted(objects))}.",
        "",
        *(f"- {split}: {counted(rows, 'image')}" for split, rows in splits.items()),
        "",
        "Each mask is one part of one object, as COCO run lengths; masks may overlap.",
        "`pycocotools.mask.decode(mask['segmentation'])` gives its pixels, rows by columns.",
        "",
        f"Licences of the pictures: {', '.join(f'{k} ({n})' for k, n in licences.items())}.",
    ]


layout = HuggingFaceLayout()
