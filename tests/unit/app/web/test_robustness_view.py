"""What the Robustness page says of one model, in words and figures."""

import numpy as np
import pytest

from app.web.pages.robustness.trial import Answer, Ask, Asked
from app.web.pages.robustness.view import page_of, verdict
from app.web.recognise import PartMaps, Tried
from app.web.shown import Shown

GREY = np.full((4, 4, 3), 100, np.uint8)
NAMES = [f"class {n}" for n in range(9)]
LIKELY = {name: 0.5 / (n + 1) for n, name in enumerate(NAMES)}
ASKED = Asked("a.png", "a.png", "class 8", Ask())


def tried(label: str, after: dict[str, float], first_error: int | None = -1) -> Answer:
    return Answer("mpm", Tried(GREY, GREY + np.uint8(3), label, LIKELY, after, first_error))


@pytest.mark.parametrize(
    ("answer", "said", "tone"),
    [
        (tried("class 0", LIKELY), "It keeps class 0.", "good"),
        (
            tried("class 0", {"class 3": 1.0}, 7),
            "loses class 0 from step 7 on: now class 3",
            "warn",
        ),
        (tried("class 0", {"class 3": 1.0}, None), "It loses class 0: now class 3", "warn"),
        (tried("class 0", LIKELY, 5), "rounded to whole numbers fools it", "warn"),
        (tried("class 8", LIKELY), "wrong before any attack: class 0, not class 8", "soft"),
    ],
)
def test_what_happened_in_a_sentence(answer: Answer, said: str, tone: str) -> None:
    words, found = verdict(answer, ASKED)
    assert said in words
    assert found == tone


def test_the_expected_class_is_told_though_it_is_unlikely() -> None:
    asked = Asked("a.png", "a.png", "class 8", Ask(), [tried("class 8", LIKELY)])
    html, told = page_of(asked, Shown(), {"mpm": "runs/mpm"})
    assert html.count("★") == 2  # the class, and what the star means
    assert "class 8" in html
    assert "class 7" not in html
    assert told["models"][0]["largest_change"] == 3


def test_moved_cells_are_counted_at_each_resolution() -> None:
    clean, after = np.zeros((4, 4), int), np.zeros((4, 4), int)
    after[0] = 1
    one = Answer(
        "mpm",
        tried("class 0", LIKELY).tried,
        PartMaps(("cat:ear",), (clean, clean[:2, :2])),
        PartMaps(("cat:ear",), (after, clean[:2, :2])),
    )
    assert one.moved == (0.25, 0.0)
    asked = Asked("a.png", "a.png", None, Ask("fog", severity=2), [one])
    html, _ = page_of(asked, Shown(), {})
    assert "4 × 4 cells; 25.0 % changed" in html
    assert "corrupted" in html
    assert "cat:ear" in html
