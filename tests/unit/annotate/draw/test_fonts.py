"""Names of parts in any script can be read on overlays and sheets (Q-01)."""

import logging

import numpy as np
import pytest
from PIL import Image, ImageDraw

from annotate.draw.fonts import Font, font_for


def ink(text: str, font: Font) -> np.ndarray:
    """The text as dark pixels."""
    picture = Image.new("L", (30 * len(text) + 30, 50), 255)
    ImageDraw.Draw(picture).text((4, 4), text, 0, font)
    return np.asarray(picture) < 128


@pytest.mark.parametrize("word", ["schön", "κεφαλή", "голова", "الرأس", "ראש", "głowa", "větev"])
def test_letters_are_letters_and_no_boxes(word: str) -> None:
    """No letter looks like the box that stands for what a font does not have."""
    font = font_for(word, 22)
    for letter in word:
        assert ink(letter, font).any()
        assert not np.array_equal(ink(letter, font), ink("\U0010fffd", font)), letter


def test_plain_english_needs_no_font_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes everywhere (the words of the paper's figures)."""
    monkeypatch.setattr("annotate.draw.fonts._candidates", lambda: pytest.fail("looked for a font"))
    words = "acoustic guitar: fingerboard"
    assert ink(words, font_for(words, 20)).any()


def test_letters_that_no_font_has_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for size in (12, 14, 22):
            font_for("x \U0010fffc", size)
            font_for("y \U0010fffc", size)
    assert len(caplog.records) == 1
    assert "no font on this machine has \U0010fffc" in caplog.text
