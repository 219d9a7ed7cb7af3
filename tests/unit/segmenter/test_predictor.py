"""One way from pictures and objects to part masks, for everybody who predicts."""

import importlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from partlab.errors import ConfigError, DatasetError, NotFoundError, SchemaError, UnknownNameError
from partlab.masks import decode
from segmenter.predictor import Prediction, PredictionSettings, Predictor, Thresholds, pixels_of


@pytest.fixture
def colour(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "plugins"))
    return importlib.import_module("colour_segmenter")


@pytest.fixture
def predictor(colour: Any, tmp_path: Path) -> Predictor:
    run = colour.write_colour_run(tmp_path / "seg")
    return Predictor.load(str(run), PredictionSettings(thresholds=Thresholds(default=0.1)))


@pytest.fixture
def bike(colour: Any) -> Any:
    """Two discs of the colour that wheels of bikes and cars have; one has gaps."""
    pixels = np.full((40, 60, 3), 120, np.uint8)
    pixels[5:15, 5:15] = colour.COLOURS[4]
    pixels[5:15:2, 30:40] = colour.COLOURS[4]
    return pixels


def names(found: Prediction) -> list[str]:
    return [mask.name for mask in found.masks]


def test_the_filter_goes_by_name(predictor: Predictor, bike: Any) -> None:
    assert predictor.objects == ("car", "cat", "bike")
    assert names(predictor(bike, "bike")) == ["bike:wheel"]
    assert names(predictor(bike, ["car", "cat"])) == ["car:wheel"]
    assert names(predictor(bike)) == ["car:wheel"]
    many = predictor.predict([bike, bike, bike], ["bike", None, ("cat",)])
    assert [names(each) for each in many] == [["bike:wheel"], ["car:wheel"], []]
    assert [names(each) for each in predictor.predict([bike, bike], "bike")] == [["bike:wheel"]] * 2
    with pytest.raises(UnknownNameError, match="'bkie'") as error:
        predictor(bike, "bkie")
    assert "bike" in str(error.value.hint)
    with pytest.raises(ConfigError, match="2 images were asked for, 1 given"):
        predictor.predict([bike, bike], ["bike"])


def test_an_answer_holds_what_a_caller_needs(predictor: Predictor, bike: Any) -> None:
    found = predictor(bike, ["bike", "car"], alternatives=3)
    assert (found.status, found.reason, found.size) == ("labelled", None, (40, 60))
    (wheel,) = found.masks
    assert found.parts.names[wheel.label] == wheel.name == "car:wheel"
    assert wheel.area == decode(wheel.rle).sum() == 150
    assert wheel.bbox == (5, 5, 35, 10)
    assert [name for name, _ in wheel.alternatives] == ["bike:wheel"]
    assert 0 < wheel.alternatives[0][1] < wheel.score
    assert predictor(bike).masks[0].alternatives == ()


def test_what_is_left_out_is_said(predictor: Predictor, bike: Any) -> None:
    nothing = predictor(bike, ())
    assert (nothing.status, nothing.masks) == ("blank", ())
    assert nothing.reason == "the category filter leaves no part to look for"
    grey = predictor(np.full((3, 4, 3), 120, np.uint8), "bike")
    assert (grey.status, grey.reason, grey.size) == ("blank", None, (3, 4))


def test_several_thresholds_cost_one_look(
    predictor: Predictor, bike: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer is that of its own call, and the settings stay as they are."""
    levels: list[Any] = [0.01, None, 0.25, {"bike:wheel": 0.9}, Thresholds(default=0.15)]
    alone = [predictor(bike, "bike", thresholds=level) for level in levels]
    calls: list[float] = []
    kind: Any = type(predictor.segmenter)
    predict = kind.predict

    def counted(*args: Any, **more: Any) -> Any:
        calls.append(more["threshold"])
        return predict(*args, **more)

    monkeypatch.setattr(kind, "predict", counted)
    together = predictor.predict_at([bike], ["bike"], levels)
    assert [each for (each,) in together] == alone
    assert calls == [pytest.approx(0.01)]
    assert [len(each.masks) for each in alone] == [1, 1, 0, 0, 1]
    assert [each.masks[0].area for each in (alone[0], alone[4])] == [150, 100]
    with pytest.raises(ConfigError, match="thresholds"):
        predictor(bike, thresholds=7)
    with pytest.raises(UnknownNameError, match="bike:weel"):
        predictor(bike, thresholds={"bike:weel": 0.5})


def test_instances_apart_and_no_filter_are_settings(predictor: Predictor, bike: Any) -> None:
    apart = Predictor(predictor.segmenter, PredictionSettings(unite=False))
    found = apart(bike, "bike", thresholds=0.01)
    assert [mask.area for mask in found.masks] == [100, 50]
    free = Predictor(predictor.segmenter, PredictionSettings(category_filter=False))
    assert names(free(bike, "bike", thresholds=0.1)) == ["car:wheel"]


def test_pictures_come_as_files_arrays_or_pillow_images(
    predictor: Predictor, bike: Any, tmp_path: Path
) -> None:
    PillowImage.fromarray(bike).save(tmp_path / "a ü.png")
    file = tmp_path / "a ü.png"
    given = [file, str(file), PillowImage.open(file), bike]
    assert len({found.masks[0].rle["counts"] for found in predictor.predict(given, "bike")}) == 1
    with pytest.raises(NotFoundError, match=r"gone\.png"):
        predictor(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DatasetError, match=r"cannot read image .*text\.png"):
        predictor(tmp_path / "text.png")
    for odd in (bike[..., 0], bike.astype(np.float32), np.zeros((3, 4, 4), np.uint8)):
        with pytest.raises(ConfigError, match="a picture has shape"):
            predictor(odd)
    with pytest.raises(ConfigError, match="of mode RGBA can be taken in several ways"):
        pixels_of(PillowImage.new("RGBA", (4, 3)))


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (None, "NoneType is no picture"),
        (b"", "bytes is no picture"),
        ([[1]], "list is no picture"),
        (np.zeros((0, 60, 3), np.uint8), r"shape \(0, 60, 3\)"),
        (np.zeros((0, 0, 3), np.uint8), r"shape \(0, 0, 3\)"),
        (np.zeros((9, 9), np.uint8), r"shape \(9, 9\)"),
        (np.zeros((9, 9, 3)), "numbers of float64"),
    ],
)
def test_what_is_no_picture_is_told(predictor: Predictor, picture: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        predictor(picture)


@pytest.mark.parametrize("objects", [5, [5], [None], object()])
def test_what_names_no_object_is_told(predictor: Predictor, bike: Any, objects: Any) -> None:
    with pytest.raises(ConfigError, match="an image may not show"):
        predictor(bike, objects)


def test_one_picture_instead_of_several_is_told(predictor: Predictor, bike: Any) -> None:
    for one in ("a.png", Path("a.png"), bike, PillowImage.fromarray(bike)):
        with pytest.raises(ConfigError, match="one picture was given where several"):
            predictor.predict(one)  # type: ignore[arg-type]


def test_threads_share_one_predictor(predictor: Predictor, bike: Any) -> None:
    wishes: list[tuple[Any, float]] = [("bike", 0.1), ("car", 0.01), (None, 0.3), ((), 0.0)]

    def ask(wish: tuple[Any, float]) -> Prediction:
        return predictor(bike, wish[0], thresholds=wish[1])

    alone = [ask(wish) for wish in wishes]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, wishes * 20)) == alone * 20


def test_what_cannot_be_loaded_is_told(
    predictor: Predictor, colour: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFoundError, match="not a segmenter run"):
        Predictor.load(tmp_path)
    settings = PredictionSettings(thresholds=Thresholds(parts={"car:weel": 0.3}))
    with pytest.raises(UnknownNameError, match="car:weel"):
        Predictor.load(tmp_path / "seg", settings)
    monkeypatch.setattr(colour.backend, "load", lambda *a, **m: {}["colours"])
    with pytest.raises(SchemaError, match=r"checkpoint 'best' of .* cannot be loaded"):
        Predictor.load(tmp_path / "seg")
