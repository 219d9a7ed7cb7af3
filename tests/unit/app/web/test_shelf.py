"""Models here and on a server: the same answers, and a classifier that is named as such."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_recognition
import torch
from colour_segmenter import write_colour_run
from served import Running, serving

from app.serve.source import Source
from app.web.given import Given
from app.web.pages.parts.asking import CLASSIFIER, Parts
from app.web.shelf import LocalShelf, MountedShelf, ServerShelf, Shelf
from app.web.site import Site
from partlab.errors import NotFoundError, UnknownNameError
from partlab.images import load_image


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter of cars, cats and bikes, and a classifier of cats and rams."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("shelf")
    write_colour_run(folder / "seg")
    tiny_recognition.world(folder / "world")
    tiny_recognition.train(folder / "world", folder / "mpm", "attack.method=none", "train.epochs=1")
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Running]:
    with serving(Source.of_run(str(place / "seg")), Source.of_run(str(place / "mpm"))) as running:
        yield running


@pytest.fixture
def shelves(place: Path, server: Running) -> list[Shelf]:
    given = Given.of([place])
    here = LocalShelf(given.segmenters, given.recognition)
    return [here, ServerShelf(server.url, patience=1.0), MountedShelf(server.state.models)]


@pytest.fixture
def picture(place: Path) -> Path:
    return next((place / "world" / "images").rglob("*.jpg"))


def test_the_same_answers_wherever_models_are(shelves: list[Shelf], picture: Path) -> None:
    pixels = load_image(picture)
    here, *others = shelves
    classes, found = here.classify("mpm", pixels), here.segmenter("seg").predict([pixels])[0]
    assert sum(classes.values()) == pytest.approx(1, abs=1e-5)
    assert list(classes.values()) == sorted(classes.values(), reverse=True)
    for other in others:
        assert list(other.segmenters()) == list(here.segmenters()) == ["seg"]
        assert list(other.recognition()) == list(here.recognition()) == ["mpm"]
        assert other.segmenters()["seg"].parts.names == here.segmenters()["seg"].parts.names
        assert other.classify("mpm", pixels) == pytest.approx(classes, abs=1e-6)
        again = other.segmenter("seg").predict([pixels])[0]
        assert np.array_equal(again.scores, found.scores)


def test_names_that_nobody_has(shelves: list[Shelf], picture: Path) -> None:
    for shelf in shelves:
        with pytest.raises(NotFoundError, match="'mpn'"):
            shelf.classify("mpn", load_image(picture))
    with pytest.raises(UnknownNameError):
        shelves[0].segmenter("sag")


def test_what_the_classifier_says_is_said_to_be_its_word(place: Path, picture: Path) -> None:
    given = Given.of([place])
    site = Site(given, LocalShelf(given.segmenters, given.recognition))
    page, name = Parts(site), f"world/{picture.parent.name}/{picture.name}"
    offered = next(each for each in site.library.offered() if each.path.suffix == ".jpg")
    name = offered.name
    best = next(iter(site.shelf.classify("mpm", load_image(offered.path))))
    answer, made, _ = page.found(None, name, "", CLASSIFIER, "", 0.5, "", True, False)
    assert f"The classifier mpm says {best}" in made.said
    if best == "cat":
        assert (answer.ask.object, "nobody has checked it" in made.said) == ("cat", True)
    else:  # the segmenter has no parts of rams
        assert (answer.ask.object, "knows no parts: no filter" in made.said) == (None, True)
    site.uploads.close()


def test_both_words_of_the_classifier(place: Path, picture: Path) -> None:
    """Whatever it learnt in an epoch: of what the segmenter knows a filter, of the rest none."""
    given = Given.of([place])
    site = Site(given, LocalShelf(given.segmenters, given.recognition))
    known = site.shelf.segmenters()["seg"]
    page, pixels = Parts(site), load_image(picture)
    for best, other in (("cat", "ram"), ("ram", "cat")):
        site.shelf.classify = lambda *_, b=best, o=other: {b: 0.9, o: 0.1}  # type: ignore
        object, said = page._says("mpm", pixels, known)
        assert object == ("cat" if best == "cat" else "")
        assert f"says {best} (0.90; then {other} 0.10)" in said
    site.uploads.close()
