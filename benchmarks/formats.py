"""Reading files of 100,000 images: CPU seconds, and peak memory beside the size of the file.

    python benchmarks/formats.py [--scale 1]

One file of four masks an image is written for each format that keeps all in one file, and read by
a process of its own, which has read a file of two images before, so that imports do not count. The
result goes to benchmarks/results/formats.json (stored: 3,000 images). Aim: no more than twice the
file. Files are read record by record; what counts is what the masks become, with box, area and
provenance, which of short masks is more than the file says of them.
"""

import argparse
import base64
import io
import json
import platform
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from annotate.data.formats.outlines import joined, outlines
from annotate.studio.spelling.codec import encode_brush
from partlab.masks import encode

HERE = Path(__file__).resolve().parent
IMAGES, WIDTH, HEIGHT = 100_000, 500, 375
RUNS = 300  # of each mask: as ragged as brush strokes of people

CHILD = """
import json, resource, sys, time
from pathlib import Path
from annotate.data.convert import read_source
from annotate.data.formats import Source, get_format

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

read_source(Source(Path(sys.argv[3])), sys.argv[1])  # imports all that reading needs
before, start = int(Path("/proc/self/statm").read_text().split()[1]) * 4096, time.process_time()
_, found = read_source(Source(Path(sys.argv[2])), sys.argv[1])
(data,) = found.values()
told = {"cpu_seconds": round(time.process_time() - start, 1), "peak": peak() - before}
print(json.dumps(told | {"images": len(data.images), "masks": len(data.annotations)}))
"""


def drawn() -> list[np.ndarray]:
    masks = np.zeros((4, HEIGHT, WIDTH), bool)
    random = np.random.default_rng(0)
    for number, mask in enumerate(masks):
        for row in range(RUNS // 2):
            mask[row + 20, 20 + number * 90 + random.integers(0, 9) : 80 + number * 90] = True
    return list(masks)


def _coco(images: int) -> Iterator[str]:
    rles = [json.dumps(encode(mask)) for mask in drawn()]
    yield '{"images": ['
    for n in range(images):
        yield f'{"," * (n > 0)}{{"id":{n},"file_name":"{n}.jpg","width":{WIDTH},"height":{HEIGHT}}}'
    yield '], "annotations": ['
    for n in range(images * 4):
        about = f'"id":{n},"image_id":{n // 4},"category_id":{n % 4},"iscrowd":0'
        yield f'{"," * (n > 0)}{{{about},"area":9000,"segmentation":{rles[n % 4]}}}'
    yield f'], "categories": {json.dumps([{"id": n, "name": f"ram:{n}"} for n in range(4)])}}}'


def _cvat(images: int) -> Iterator[str]:
    shapes = []
    for number, mask in enumerate(drawn()):
        flat = mask.ravel()
        ends = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), len(flat)]
        runs = ", ".join(str(length) for length in np.diff(ends))
        place = f'left="0" top="0" width="{WIDTH}" height="{HEIGHT}"'
        shapes.append(f'<mask label="ram:{number}" source="manual" rle="{runs}" {place}/>')
    yield "<annotations><version>1.1</version>"
    for n in range(images):
        about = f'id="{n}" name="{n}.jpg" width="{WIDTH}" height="{HEIGHT}"'
        yield f"<image {about}>{''.join(shapes)}</image>"
    yield "</annotations>"


def _datumaro(images: int) -> Iterator[str]:
    labels = [{"name": f"ram:{n}", "parent": ""} for n in range(4)]
    yield f'{{"categories": {{"label": {{"labels": {json.dumps(labels)}}}}}, "items": ['
    shapes = json.dumps(
        [{"type": "mask", "label_id": n, "rle": encode(mask)} for n, mask in enumerate(drawn())]
    )
    for n in range(images):
        image = f'{{"path": "{n}.jpg", "size": [{HEIGHT}, {WIDTH}]}}'
        yield f'{"," * (n > 0)}{{"id": "{n}", "image": {image}, "annotations": {shapes}}}'
    yield "]}"


def _tasks(images: int) -> Iterator[str]:
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    regions = [
        {"id": f"r{n}", "from_name": "brush", "to_name": "image", "type": "brushlabels", **size}
        | {"value": {"format": "rle", "rle": encode_brush(mask), "brushlabels": [f"ram:{n}"]}}
        for n, mask in enumerate(drawn())
    ]
    result = json.dumps(regions)
    yield "["
    for n in range(images):
        data = f'"data":{{"image":"/data/upload/1/{n}.jpg"}}'
        yield f'{"," * (n > 0)}{{"id":{n},{data},"annotations":[{{"id":{n},"result":{result}}}]}}'
    yield "]"


def _via(images: int) -> Iterator[str]:
    rings = [joined(outlines(mask)) for mask in drawn()]
    regions = json.dumps(
        [
            {
                "shape_attributes": {
                    "name": "polygon",
                    "all_points_x": [x for x, _ in ring],
                    "all_points_y": [y for _, y in ring],
                },
                "region_attributes": {"part": f"ram:{n}"},
            }
            for n, ring in enumerate(rings)
        ]
    )
    yield '{"_via_settings": {}, "_via_img_metadata": {'
    for n in range(images):
        yield f'{"," * (n > 0)}"{n}.jpg1":{{"filename":"{n}.jpg","size":1,"regions":{regions}}}'
    yield '}, "_via_attributes": {}}'


def _fiftyone(images: int) -> Iterator[str]:
    labels = []
    for n, mask in enumerate(drawn()):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        top, left = int(rows[0]), int(columns[0])
        cut = mask[top : rows[-1] + 1, left : columns[-1] + 1]
        out = io.BytesIO()
        np.save(out, cut)
        coded = {"$binary": {"base64": base64.b64encode(zlib.compress(out.getvalue())).decode()}}
        box = [left / WIDTH, top / HEIGHT, cut.shape[1] / WIDTH, cut.shape[0] / HEIGHT]
        labels.append(
            {"_cls": "Detection", "label": f"ram:{n}", "bounding_box": box, "mask": coded}
        )
    parts = json.dumps({"_cls": "Detections", "detections": labels})
    about = f'"metadata":{{"width":{WIDTH},"height":{HEIGHT}}}'
    yield '{"samples": ['
    for n in range(images):
        yield f'{"," * (n > 0)}{{"filepath":"data/{n}.jpg",{about},"parts":{parts}}}'
    yield "]}"


FILES = {
    "coco": ("instances.json", _coco),
    "cvat": ("annotations.xml", _cvat),
    "datumaro": ("annotations/all.json", _datumaro),
    "fiftyone": ("samples.json", _fiftyone),
    "labelstudio": ("project-1.json", _tasks),
    "via": ("via_project.json", _via),
}


def _pictures(folder: Path, images: int) -> None:
    one = folder / "0.jpg"
    PillowImage.new("RGB", (WIDTH, HEIGHT)).save(one)
    for n in range(1, images):
        (folder / f"{n}.jpg").symlink_to(one)


def written(name: str, images: int, folder: Path) -> Path:
    file_name, make = FILES[name]
    file = folder / file_name
    file.parent.mkdir(parents=True)
    with open(file, "w") as handle:
        handle.writelines(make(images))
    (file.parent / "metadata.json").write_text("{}")  # fiftyone's
    if name == "via":  # states no sizes
        _pictures(file.parent, images)
    return file


def measured(name: str, images: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        file = written(name, images, Path(folder) / "all")
        first = written(name, 2, Path(folder) / "first")
        command = [sys.executable, "-c", CHILD, name, str(file), str(first)]
        ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        told = json.loads(ran.stdout.splitlines()[-1])
        size = file.stat().st_size
    shown = {"file_mb": round(size / 1e6), "peak_mb": round(told.pop("peak") / 1e6)}
    return {**told, **shown, "times_the_file": round(shown["peak_mb"] / shown["file_mb"], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    images = int(IMAGES * parser.parse_args().scale)
    result: dict[str, object] = {"python": platform.python_version(), "machine": platform.machine()}
    for name in FILES:
        result[name] = measured(name, images)
        print(name, result[name], flush=True)
    (HERE / "results" / "formats.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
