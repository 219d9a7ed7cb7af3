"""The pictures of a desk, drawn when somebody looks (Q-01)."""

from pathlib import Path

from annotate.inspect.desk import Card, Desk
from annotate.inspect.overlays import render, render_sheet
from annotate.inspect.rounds import drawn_rows
from annotate.work import Answer, Image, Work
from partlab.progress import track


def show(work: Work, desk: Desk, card: Card) -> Path:
    """The picture of one card beside its masks: `card.overlay`, drawn unless it is there.

    What could not be read then is tried again.
    """
    image, answer = _rows(work, desk)[card.position]
    render(work, image, answer, card.overlay)
    return card.overlay


def show_all(work: Work, desk: Desk) -> Path:
    """The pictures of all cards, and those on one sheet, whose path it returns."""
    cards = desk.cards
    for card in track(cards, f"drawing {desk.object}", len(cards)):
        show(work, desk, card)
    render_sheet(work, _rows(work, desk), desk.sheet)
    return desk.sheet


def _rows(work: Work, desk: Desk) -> list[tuple[Image, Answer]]:
    return drawn_rows(work, work.batch(desk.object, desk.round))
