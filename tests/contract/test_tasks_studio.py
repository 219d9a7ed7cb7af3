"""What `data export --format labelstudio` writes, in a real Label Studio and out of it again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from annotate.data.convert import export_folder, import_folder
from annotate.studio.api.client import Studio
from partlab.coco import read_dataset, write_coco
from partlab.masks import decode, encode
from partlab.schema import Annotation, Category, Dataset, Image
from partlab.truth import drawn_masks

SIZE = (40, 30)
LEGS = ["ram:left leg", "ram:left leg", "ram:head", "ram:head"]


def made(folder: Path) -> Path:
    """Two legs, a head with a hole, and a polygon of one object that has a number."""
    masks = np.zeros((4, SIZE[1], SIZE[0]), bool)
    masks[0, 20:28, 3:8] = masks[1, 20:28, 20:25] = masks[2, 2:15, 3:20] = True
    masks[2, 5:8, 6:9] = False
    parts: list[Any] = [*map(encode, masks[:3]), [[22.5, 3.25, 35.0, 3.25, 35.0, 12.5, 22.5, 12.5]]]
    annotations = [
        Annotation.new(n, 1, 1 + (name == "ram:head"), part, object_id=n + 1)
        for n, (part, name) in enumerate(zip(parts, LEGS, strict=True), 1)
    ]
    categories = [Category.new(1, "ram", "left leg"), Category.new(2, "ram", "head")]
    (folder / "images").mkdir(parents=True)
    PillowImage.new("RGB", SIZE).save(folder / "images" / "täst 1.png")
    images = [Image.new(1, "täst 1.png", SIZE, object="ram")]
    write_coco(Dataset(images, annotations, categories), folder / "annotations" / "train.json")
    return folder


def found(folder: Path) -> list[tuple[str, int | None, bytes]]:
    data = read_dataset(folder)
    (image,) = data.images
    return sorted(
        (data.names[data.label_of[a.category_id]], a.object_id, decode(rle).tobytes())
        for a, rle in drawn_masks(data, image).masks
    )


def test_tasks_go_in_and_come_out_as_they_were(studio: Studio, tmp_path: Path) -> None:
    made(tmp_path / "ours")
    export_folder(tmp_path / "ours", tmp_path / "out", format="labelstudio")
    config = (tmp_path / "out" / "labels.xml").read_text()
    tasks = json.loads((tmp_path / "out" / "train.json").read_text())
    project = studio.post("/api/projects/", {"title": "tasks", "label_config": config})
    try:
        number = project["id"]
        told = studio.post(f"/api/projects/{number}/import", tasks)
        assert (told["task_count"], told["annotation_count"]) == (1, 1)
        export = studio.get(f"/api/projects/{number}/export", exportType="JSON")
    finally:
        studio.delete(f"/api/projects/{project['id']}/")
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "project.json").write_text(json.dumps(export))
    import_folder(
        tmp_path / "again", tmp_path / "back", images=tmp_path / "out" / "images" / "train"
    )
    assert found(tmp_path / "back") == found(tmp_path / "ours")
