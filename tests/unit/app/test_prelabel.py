"""Suggestions for annotators: from a segmenter that knows the category, or from a data set."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from colour_segmenter import backend, draw_folder, write_colour_run  # noqa: F401
from typer.testing import CliRunner

from annotate.studio.acts.begin import begin_work, plan_work
from annotate.studio.acts.push import Suggestion
from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.work import Work
from annotate.work.pictures import shown_picture
from app.cli.main import app
from app.prelabel import from_dataset, from_segmenter
from partlab.coco import write_coco
from partlab.errors import DatasetError, NotFoundError, SchemaError, StateError, UnknownNameError
from partlab.images import load_image
from partlab.masks import decode, encode
from partlab.schema import Annotation, Category, Dataset, Image
from pseudolabel.settings import Settings, Thresholds


def parts(*names: str) -> tuple[Part, ...]:
    return tuple(Part(id=f"p{i}", name=name) for i, name in enumerate(names))


TOYS = Vocabulary(
    name="toys",
    objects=(
        ObjectParts(name="cat", parts=parts("head", "ear", "tail")),
        ObjectParts(name="automobile", aliases=("car",), parts=parts("wheel")),
    ),
)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    """4 drawings of each object, handed out; of the segmenter's car only wheels are wanted."""
    photos = draw_folder(tmp_path / "photos", 12)
    plan = plan_work(TOYS, photos, objects=["cat", "automobile"])
    with begin_work(tmp_path / "work", plan, name="toys", per_object=4) as begun:
        for name in ("cat", "automobile"):
            ids = [image.id for image in begun.images(name)]
            data = {"images": ids, "assignee": "a@x.org", "vocabulary_version": 1}
            begun.record("planned", who="lead", object=name, round=1, data=data)
        yield begun


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_colour_run(tmp_path / "runs" / "seg-colour")


def suggestions(source: object, work: Work, name: str) -> dict[int, Suggestion]:
    found = source.suggest(work.images(name))  # type: ignore[attr-defined]
    return {each.image_id: each for each in found}


def test_a_segmenter_sees_the_shown_picture_and_only_the_known_object(
    work: Work, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """P-02: wheels of bikes have the colour of cars' wheels; "car" is an alias here."""
    with caplog.at_level(logging.WARNING):
        source = from_segmenter(work, run, Settings(thresholds=Thresholds(default=0.1)))
    assert "automobile: the segmenter has parts that the vocabulary has not" in caplog.text
    found = suggestions(source, work, "automobile")
    assert len(found) == 4
    assert {mask.part for each in found.values() for mask in each.masks} == {"p0"}
    for image in work.images("automobile"):
        pixels = load_image(shown_picture(work.folder, image)).astype(int)
        red = np.abs(pixels - (200, 30, 30)).max(2) < 24
        (mask,) = found[image.id].masks
        assert not (decode(mask.rle) & ~red).any()
        assert mask.origin == "prediction"
        assert 0 < found[image.id].score <= 1
    heads = suggestions(source, work, "cat")
    assert {mask.part for each in heads.values() for mask in each.masks} <= {"p0", "p1"}


def test_the_name_changes_with_whatever_changes_the_suggestions(
    work: Work, run: Path, tmp_path: Path
) -> None:
    first = from_segmenter(work, run, Settings()).model
    assert first == from_segmenter(work, run, Settings()).model
    assert first.startswith("seg-colour@")
    assert len(first.partition("@")[2]) == 12
    other = Settings(thresholds=Thresholds(default=0.3))
    colours = np.full((5, 3), 7, np.float32)
    again = write_colour_run(tmp_path / "other" / "seg-colour", colours=colours)
    models = {from_segmenter(work, run, other).model, from_segmenter(work, again, Settings()).model}
    assert len(models | {first}) == 3


def test_a_high_threshold_leaves_nothing_and_says_so(work: Work, run: Path) -> None:
    source = from_segmenter(work, run, Settings(thresholds=Thresholds(default=1.0)))
    found = suggestions(source, work, "cat")
    assert len(found) == 4
    assert all(not each.masks for each in found.values())


def test_a_picture_that_cannot_be_read_gets_no_suggestion(
    work: Work, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = work.images("cat")[0]
    shown_picture(work.folder, broken).write_bytes(b"\x89PNG not quite")
    found = suggestions(from_segmenter(work, run, Settings()), work, "cat")
    assert set(found) == {image.id for image in work.images("cat")[1:]}
    assert "cannot read image" in caplog.text


def test_a_segmenter_that_does_not_fit_is_told(work: Work, run: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="not a segmenter run"):
        from_segmenter(work, tmp_path, Settings())
    birds = write_colour_run(tmp_path / "birds", ("bird:wing",), np.zeros((1, 3), np.float32), {})
    with pytest.raises(UnknownNameError, match="automobile"):
        from_segmenter(work, birds, Settings())
    with pytest.raises(UnknownNameError, match="cat"):
        from_segmenter(work, birds, Settings(), objects=["cat"])
    unknown = Settings(thresholds=Thresholds(parts={"cat:nose": 0.5}))
    with pytest.raises(UnknownNameError, match="cat:nose"):
        from_segmenter(work, run, unknown)
    (run / "best.safetensors").unlink()
    with pytest.raises(NotFoundError, match="no checkpoint"):
        from_segmenter(work, run, Settings())


# -- a data set ---------------------------------------------------------------------------------

NAMES = ("cat:head", "cat:ear", "cat:whisker", "bike:wheel")


@pytest.fixture
def predictions(work: Work, tmp_path: Path) -> Callable[..., Path]:
    """A part data set of some of the work's cats: two masks each, one of a second instance."""

    def write(
        names: Callable[[str], str] = lambda name: name,
        skip: int = 0,
        grow: int = 0,
        segmentation: object = None,
    ) -> Path:
        images, masks = [], []
        for image in work.images("cat")[skip:]:
            size = (image.width + grow, image.height + grow)
            images.append(Image.new(len(images) + 1, names(image.file_name), size, object="cat"))
            for category, object_id, score in ((1, 40, 0.9), (1, 41, 0.7), (3, 40, 0.1), (4, 1, 1)):
                mask = np.zeros((size[1], size[0]), bool)
                mask[category : category + 9, object_id % 7 : object_id % 7 + 9] = True
                more = {"object_id": object_id, "score": score}
                rle = segmentation or encode(mask)
                masks.append(Annotation.new(len(masks) + 1, len(images), category, rle, **more))
        categories = [Category.new(i, *name.split(":")) for i, name in enumerate(NAMES, 1)]
        path = tmp_path / "found" / "annotations" / "all.json"
        write_coco(Dataset(images, masks, categories), path)
        return path.parent.parent

    return write


def test_a_data_set_suggests_what_stands_in_it(
    work: Work, predictions: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Parts and objects unknown here are left out; instances are numbered from 1 (M-06)."""
    source = from_dataset(work, predictions(skip=1))
    assert source.model.startswith("found@")
    assert "whisker" in caplog.text
    assert "does not know automobile" in caplog.text
    found = suggestions(source, work, "cat")
    images = work.images("cat")
    assert set(found) == {image.id for image in images[1:]}
    for each in found.values():
        assert [(mask.part, mask.object) for mask in each.masks] == [("p0", 1), ("p0", 2)]
        assert each.score == pytest.approx(0.8)
    assert suggestions(source, work, "automobile") == {}


def test_bare_file_names_count_where_they_are_unique(
    work: Work, predictions: Callable[..., Path]
) -> None:
    found = suggestions(from_dataset(work, predictions(lambda n: Path(n).name)), work, "cat")
    assert len(found) == 4
    with pytest.raises(NotFoundError, match="none of the work's images"):
        from_dataset(work, predictions(lambda name: "same.png"))
    bare, folders = Path(work.images("cat")[0].file_name).name, iter("abcd")
    with pytest.raises(NotFoundError, match="none of the work's images"):
        from_dataset(work, predictions(lambda name: f"{next(folders)}/{bare}"))


def test_predictions_of_pictures_of_another_size_are_left_out(
    work: Work, predictions: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    found = suggestions(from_dataset(work, predictions(grow=3)), work, "cat")
    assert found == {}
    assert "another size" in caplog.text


def test_a_broken_mask_of_the_data_set_is_named(
    work: Work, predictions: Callable[..., Path]
) -> None:
    source = from_dataset(work, predictions(segmentation=[[1, 2, 3]]))
    with pytest.raises(DatasetError, match=r"annotation 1 of cat/.*odd number"):
        suggestions(source, work, "cat")


def test_a_data_set_that_is_none_is_told(work: Work, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        from_dataset(work, tmp_path / "nowhere")
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(SchemaError, match="not a COCO file"):
        from_dataset(work, tmp_path / "x.json")


def test_a_work_without_model_help_opens_nothing(tmp_path: Path) -> None:
    """D-05; neither path exists, and that is not what it complains of."""
    with Work.create(tmp_path / "w", "pure", TOYS, [], model_help=False) as pure:
        with pytest.raises(StateError, match="forbids model help"):
            from_segmenter(pure, tmp_path / "none", Settings())
        with pytest.raises(StateError, match="forbids model help"):
            from_dataset(pure, tmp_path / "none")


# -- the command ----------------------------------------------------------------------------------


def invoke(*words: object, env: dict[str, str] | None = None) -> tuple[int, str]:
    clean = {"PARTLAB_STUDIO_URL": "", "PARTLAB_STUDIO_TOKEN": ""}
    done = CliRunner().invoke(
        app, ["studio", "push", *map(str, words)], env={**clean, **(env or {})}
    )
    return done.exit_code, done.output


LOGIN = {"PARTLAB_STUDIO_URL": "http://127.0.0.1:9", "PARTLAB_STUDIO_TOKEN": "0" * 40}


def test_the_command_says_what_is_missing(work: Work, run: Path, tmp_path: Path) -> None:
    assert invoke(tmp_path / "none", "--segmenter", run)[0] == 3
    code, text = invoke(work.folder, "--segmenter", run)
    assert code == 4
    assert "PARTLAB_STUDIO_URL" in text
    for given in ((), ("--segmenter", run, "--predictions", run)):
        code, text = invoke(work.folder, *given, env=LOGIN)
        assert code == 2
        assert "from --segmenter RUN, --server URL or --predictions DATA" in text
    code, text = invoke(work.folder, "ct", "--segmenter", run, env=LOGIN)
    assert code == 3
    assert "did you mean cat" in text
    both = ("--threshold", 0.4, "--thresholds", run / "config.json")
    assert invoke(work.folder, "--segmenter", run, *both, env=LOGIN)[0] == 2


def test_the_command_says_that_nothing_is_being_drawn_yet(work: Work, run: Path) -> None:
    code, text = invoke(work.folder, "--segmenter", run, env=LOGIN)
    assert code == 1
    assert "nothing is being drawn" in text
    assert "studio create" in text
