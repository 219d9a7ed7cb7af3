"""Recognition models in process, on a server and of the server itself give the same answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_recognition as tiny
from served import serving

from app.serve.models import Models
from app.serve.settings import ServeSettings
from app.serve.source import Source
from app.web.recognise import PartMaps, Trial, Tried
from app.web.shelf import LocalShelf, MountedShelf, ServerShelf
from app.web.work import CancelledError
from partlab.errors import ConfigError, PartlabError
from partlab.progress import listening


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("recognise")
    data = tiny.world(folder / "world")
    few = ("train.epochs=1", "attack.method=none")
    return {kind: tiny.train(data, folder / kind, *few, kind=kind) for kind in ("vanilla", "mpm")}


@pytest.fixture(scope="module")
def shelves(models: dict[str, Path]) -> Iterator[dict[str, Any]]:
    sources = [Source.of_run(str(run), device="cpu") for run in models.values()]
    loaded = Models(sources, ServeSettings(), lambda *_: None)
    loaded.load()
    with serving(*[Source.of_run(str(run), device="cpu") for run in models.values()]) as server:
        yield {
            "local": LocalShelf({}, models, "cpu"),
            "server": ServerShelf(server.url),
            "mounted": MountedShelf(loaded),
        }
    loaded.close()


@pytest.fixture(scope="module")
def pixels() -> Any:
    return np.random.default_rng(3).integers(0, 256, (50, 60, 3)).astype(np.uint8)


TRIALS = [
    Trial(steps=3),
    Trial(norm="l2", eps=0.5, steps=2, label="ram"),
    Trial("corruption", corruption="fog", severity=5),
    Trial(steps=2, label="no class of theirs"),
]


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.parametrize("kind", ["vanilla", "mpm"])
def test_three_ways_one_answer(shelves: Any, pixels: Any, kind: str, trial: Trial) -> None:
    """Pixel for pixel: what a page shows does not depend on where the model is."""
    found: dict[str, Tried] = {}
    parts: dict[str, PartMaps | None] = {}
    for way, shelf in shelves.items():
        model = shelf.recogniser(kind)
        found[way] = model.tried(pixels, trial)
        parts[way] = model.parts(found[way].attacked)
    first = found["local"]
    for other in found.values():
        assert np.array_equal(other.clean, first.clean)
        assert np.array_equal(other.attacked, first.attacked)
        assert (other.label, other.first_error) == (first.label, first.first_error)
        assert list(other.after) == list(first.after)
        assert other.after == pytest.approx(first.after, abs=1e-5)
    assert (parts["local"] is None) == (kind == "vanilla")
    for each in parts.values():
        if (one := parts["local"]) is not None and each is not None:
            assert each.names == one.names
            assert all(map(np.array_equal, each.cells, one.cells))
            assert len(one.cells) > 1


def test_an_attack_stays_in_its_ball_and_a_foreign_label_is_not_asked_for(
    shelves: Any, pixels: Any
) -> None:
    tried = shelves["local"].recogniser("mpm").tried(pixels, TRIALS[3])
    assert np.abs(tried.attacked.astype(int) - tried.clean).max() in (3, 4)
    assert tried.label == next(iter(tried.before))
    driven = shelves["local"].recogniser("mpm").tried(pixels, TRIALS[1])
    assert driven.label == "ram"


def test_more_steps_than_the_server_takes_are_refused(shelves: Any, pixels: Any) -> None:
    for way in ("server", "mounted"):
        with pytest.raises(ConfigError, match="51 steps are more than this server takes, 50"):
            shelves[way].recogniser("mpm").tried(pixels, Trial(steps=51))


@pytest.mark.parametrize("way", ["local", "server", "mounted"])
def test_an_attack_tells_and_can_be_stopped(shelves: Any, pixels: Any, way: str) -> None:
    told = _StopsAt(2)
    trial = Trial(steps=50 if way != "local" else 5000)

    def again() -> None:  # a fast server may be done before the second word
        while True:
            shelves[way].recogniser("vanilla").tried(pixels, trial)

    with listening(told), pytest.raises(CancelledError):
        again()
    assert told.heard >= 2


class _StopsAt:
    """Cancels at the n-th thing it hears."""

    def __init__(self, n: int) -> None:
        self.n, self.heard = n, 0

    def _hear(self) -> None:
        self.heard += 1
        if self.heard >= self.n:
            raise CancelledError("cancelled")

    def track(self, items: Any, what: str, total: int | None = None) -> Iterator[Any]:
        for item in items:
            self._hear()
            yield item

    def event(self, name: str, facts: Any) -> None:
        self._hear()


def test_a_server_that_is_away_says_so(pixels: Any) -> None:
    with pytest.raises(PartlabError, match="no model server answers"):
        ServerShelf("http://127.0.0.1:9", patience=0.1).recogniser("mpm").tried(pixels, Trial())
