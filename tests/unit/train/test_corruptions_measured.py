"""Protocol, ImageNet-C's files, a model over corruptions, and the figures (G-01, B4)."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

from partlab.errors import ConfigError, DatasetError, NotFoundError, PartlabError, UnknownNameError
from train.corruptions import (
    ALEXNET_ERRORS,
    CORRUPTIONS,
    SEVERITIES,
    Example,
    Protocol,
    accuracies,
    corrupt,
    corruption_outcomes,
    open_examples,
    read_tree,
    summarize,
    tree_outcomes,
)
from train.evaluate.outcomes import SCHEMA
from train.lists import read_list

CLASSES = ("n1", "n2")
SMALL = Protocol(size=32)
SOME = {"corruptions": ["fog", "contrast"], "severities": [1, 5]}


class Brightness(nn.Module):
    """Class n2 if the picture is bright: its answers can be worked out by hand."""

    def forward(self, images: Tensor) -> Tensor:
        bright = images.mean((1, 2, 3))
        return torch.stack([torch.full_like(bright, 0.5), bright], 1)


@pytest.fixture
def model() -> nn.Module:
    return Brightness().eval()


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    """Two dark, two bright; of different kinds: RGB, grey, RGBA, turned by EXIF."""
    made, rng = [], np.random.default_rng(0)
    for number, (label, low) in enumerate((("n1", 0), ("n2", 200), ("n1", 30), ("n2", 160))):
        image = Image.fromarray(rng.integers(low, low + 55, (50, 60, 3)).astype(np.uint8))
        path = tmp_path / "pictures" / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = 6
        kinds = {0: {}, 1: {}, 2: {}, 3: {"exif": exif}}
        image.convert(("RGB", "L", "RGBA", "RGB")[number]).save(path, **kinds[number])
        made.append(Example(f"{label}/{number}.png", label, path))
    return made


def run(model: nn.Module, examples: list[Example], **options: object) -> pa.Table:
    return pa.concat_tables(corruption_outcomes(model, examples, CLASSES, SMALL, **options))


def test_outcomes_are_in_the_contracts_form(model: nn.Module, examples: list[Example]) -> None:
    table = run(model, examples, **SOME)
    assert table.schema == SCHEMA
    assert table.num_rows == len(examples) * 4
    assert set(table["threat"].to_pylist()) == {
        f"corruption:{c}:{s}" for c in ("fog", "contrast") for s in (1, 5)
    }
    for row in table.to_pylist():
        assert row["right"] == (row["prediction"] == row["label"])
        assert row["right"] == (row["margin"] > 0)
        assert row["broken_by"] == (None if row["right"] else "clean")
        assert (row["attack"], row["steps"]) == ("clean", None)


def test_a_margin_is_of_the_picture_that_the_protocol_makes(
    model: nn.Module, examples: list[Example]
) -> None:
    row = run(model, examples[:1], corruptions=["contrast"], severities=[2]).to_pylist()[0]
    clean = SMALL.clean(np.array(Image.open(examples[0].path)))
    held = BytesIO()
    Image.fromarray(corrupt(clean, "contrast", 2, "n1/0.png")).save(held, "JPEG", quality=85)
    assert row["margin"] == pytest.approx(0.5 - np.array(Image.open(held)).mean() / 255, abs=1e-5)


def test_batch_workers_and_resume_change_nothing(model: nn.Module, examples: list[Example]) -> None:
    whole = run(model, examples, **SOME)
    assert run(model, examples, batch=3, **SOME).equals(whole)
    assert run(model, examples, workers=2, **SOME).equals(whole)
    first = run(model, examples[:2], **SOME)
    rest = run(model, examples, done=[e.key for e in examples[:2]], **SOME)
    assert pa.concat_tables([first, rest]).equals(whole)
    assert list(corruption_outcomes(model, examples, CLASSES, done=[e.key for e in examples])) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_is_damaged_or_too_small_is_named(
    model: nn.Module, examples: list[Example], workers: int
) -> None:
    examples[1].path.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"cannot read image .*1\.png"):
        run(model, examples, workers=workers, **SOME)


def test_what_cannot_be_measured(model: nn.Module, examples: list[Example]) -> None:
    with pytest.raises(DatasetError, match="there is no picture"):
        run(model, [], **SOME)
    with pytest.raises(DatasetError, match="two pictures have the same name"):
        run(model, [examples[0], examples[0]], **SOME)
    with pytest.raises(UnknownNameError, match="unknown class 'n9'"):
        run(model, [examples[0]._replace(label="n9")], **SOME)
    with pytest.raises(ConfigError, match="training mode"):
        run(Brightness(), examples, **SOME)
    with pytest.raises(ConfigError, match="no severity 6"):
        run(model, examples, severities=[6])
    with pytest.raises(PartlabError, match=r"logits of shape \(4, 2\) for 3 classes"):
        next(corruption_outcomes(model, examples, ("n1", "n2", "n3"), SMALL, **SOME))
    with pytest.raises(PartlabError, match="not finite"):
        next(corruption_outcomes(lambda x: x.mean((2, 3))[:, :2] * torch.nan, examples, CLASSES,
                                 SMALL, **SOME))  # fmt: skip


def test_examples_of_a_published_list(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("n2/b.png 1\nn1/a.png 0\n")
    found = open_examples("root", read_list(tmp_path / "list.txt"))
    assert found == [
        Example("n2/b.png", "n2", Path("root/n2/b.png")),
        Example("n1/a.png", "n1", Path("root/n1/a.png")),
    ]


def test_the_published_and_the_authors_preprocessing() -> None:
    """Against torchvision's transforms, which both used."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 411, 3)).astype(np.uint8)
    first = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    clean = Protocol().clean(pixels)
    assert np.array_equal(clean, np.array(first(Image.fromarray(pixels))))
    plain = Protocol(jpeg=None).corrupted(clean, "contrast", 1, "a")
    assert np.array_equal(plain, corrupt(clean, "contrast", 1, "a"))
    bicubic = transforms.Resize(256, transforms.InterpolationMode.BICUBIC)
    again = transforms.Compose([bicubic, transforms.CenterCrop(224)])(Image.fromarray(plain))
    authors = Protocol("authors", jpeg=None).corrupted(clean, "contrast", 1, "a")
    assert np.array_equal(authors, np.array(again))
    assert not np.array_equal(Protocol().corrupted(clean, "contrast", 1, "a"), plain)
    assert Protocol().name == "224px,jpeg-85,preprocess=none"


@pytest.mark.parametrize("wrong", [{"preprocess": "both"}, {"jpeg": 0}, {"size": 31}])
def test_protocols_that_there_are_not(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        Protocol(**wrong)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """fog and glass blur at two severities, the second below its published group."""
    root = tmp_path / "c"
    for place in ("fog/1", "fog/2", "blur/glass_blur/5"):
        for label, colour in (("n1", 20), ("n2", 220), ("n3", 0)):
            folder = root / place / label
            folder.mkdir(parents=True)
            Image.new("RGB", (32, 32), (colour,) * 3).save(folder / "x.png")
    (root / "fog" / "2" / "n1" / "notes.txt").touch()
    Image.new("RGB", (32, 32)).save(root / "fog" / "2" / "stray.png")
    return root


def test_imagenet_c_files_are_read_and_what_is_left_out_is_said(
    model: nn.Module, tree: Path
) -> None:
    found = read_tree(tree, CLASSES)
    assert list(found.cells) == [("glass_blur", 5), ("fog", 1), ("fog", 2)]
    assert found.left_out == 4  # three n3 and the stray
    assert len(found.missing) == 72
    assert "72" not in str(found)
    assert "4 pictures left out" in str(found)
    assert not found.uneven
    table = pa.concat_tables(tree_outcomes(model, found, CLASSES, SMALL))
    assert table.schema == SCHEMA
    assert accuracies(table) == {("glass_blur", 5): 1, ("fog", 1): 1, ("fog", 2): 1}
    rest = pa.concat_tables(tree_outcomes(model, found, CLASSES, SMALL, done=["corruption:fog:1"]))
    assert rest.num_rows == table.num_rows - 2
    (tree / "fog" / "1" / "n1" / "x.png").unlink()
    assert "do not hold the same pictures" in str(read_tree(tree, CLASSES))


def test_files_of_another_size_need_the_authors_mode(model: nn.Module, tree: Path) -> None:
    found = read_tree(tree, CLASSES)
    with pytest.raises(DatasetError, match="32 x 32 pixels, the model sees 64 x 64"):
        next(tree_outcomes(model, found, CLASSES, Protocol(size=64)))
    assert next(tree_outcomes(model, found, CLASSES, Protocol("authors", size=64))).num_rows == 2


def test_folders_that_hold_no_imagenet_c(tree: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder"):
        read_tree(tree / "none")
    with pytest.raises(DatasetError, match="holds no picture of ImageNet-C"):
        read_tree(tree, ["n8"])


def test_means_and_mce() -> None:
    known = {(c, s): s / 10 for c in CORRUPTIONS for s in SEVERITIES}
    known["fog", 5] = 1.0
    found = summarize(known)
    assert found.per_corruption["snow"] == pytest.approx(0.3)
    assert found.per_corruption["fog"] == pytest.approx(0.4)
    assert found.mean == pytest.approx((14 * 0.3 + 0.4) / 15)
    errors = {c: 0.6 if c == "fog" else 0.7 for c in CORRUPTIONS}
    wanted = sum(errors[c] / ALEXNET_ERRORS[c] for c in CORRUPTIONS) / 15
    assert found.mce == pytest.approx(wanted)
    own = {(c, s): 1 - ALEXNET_ERRORS[c] for c in CORRUPTIONS for s in SEVERITIES}
    assert summarize(own).mce == pytest.approx(1)


def test_no_mean_of_less_than_everything() -> None:
    known = {(c, s): 0.5 for c in CORRUPTIONS for s in SEVERITIES}
    del known["snow", 4]
    found = summarize(known)
    assert (found.mean, found.mce, found.missing) == (None, None, ("snow:4",))
    assert found.per_corruption["snow"] is None
    assert found.per_corruption["fog"] == 0.5
    with pytest.raises(ConfigError, match="no severity 6"):
        summarize({("fog", 6): 0.5})


def test_two_outcomes_of_one_picture_are_an_error(
    model: nn.Module, examples: list[Example]
) -> None:
    table = run(model, examples, **SOME)
    with pytest.raises(DatasetError, match="two outcomes of corruption:fog:1"):
        accuracies(pa.concat_tables([table, table]))
