"""Inspect: an inspector's queue, and one large picture after the other, by key.

The page is one piece of HTML and a script: a key must not wait for a page to be drawn again. Every
verdict goes to a named event at once, so that nothing is lost when the page is loaded again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from app.web.modules import begun
from app.web.page import Key, Page
from app.web.toolkit import gr, person
from partlab.errors import NotFoundError, UnknownNameError

if TYPE_CHECKING:
    from annotate.work import Work
    from app.web.site import Site

_NEEDS = (
    "Here inspectors look at what annotators drew. Start the app with a work: partlab app WORK. "
    "partlab studio create begins one."
)
_LONGEST = 10.0  # minutes for one picture; who left the page open has not looked longer


@dataclass
class Inspect:
    """The page's events; what they do is in `annotate.inspect`."""

    site: "Site"

    @contextmanager
    def opened(self, work: str) -> "Iterator[Work]":
        """A work that was given, by its name; "" is the first."""
        from annotate.work import Work

        works = self.site.given.works
        if not works:
            raise NotFoundError("the app was given no work", hint="start it with one")
        name = work or next(iter(works))
        if name not in works:
            raise UnknownNameError("work", name, works)
        with Work.open(works[name]) as found:
            yield found

    def queue(self, work: str, request: gr.Request) -> dict[str, Any]:
        """What waits for whoever is signed in; `work` "" is the first of those given."""
        from annotate.inspect.elsewhere import said_elsewhere
        from annotate.inspect.queue import queue
        from app.web.pages.inspect.sheets import decided

        who = person(request)
        with self.opened(work) as found:
            waiting = queue(found, who.name)
            told = {**asdict(waiting), "decided": decided(found)}
            told["elsewhere"] = list(said_elsewhere(found).values())
        lead = who.may("lead")
        names = list(self.site.given.works)
        here = {"work": work or names[0], "works": names, "lead": lead}
        return {**told, **here, "signed_in": who.signed_in}

    def open(self, work: str, kind: str, object: str, request: gr.Request) -> dict[str, Any]:
        """A sheet of a category: kind "round" (drawn now, if it was not), "again" or "discards"."""
        from annotate.inspect.service import Inspection
        from app.web.pages.inspect.sheets import example_of

        who = person(request).name
        with self.opened(work) as found:
            if kind == "round" and found.batch(object).state == "submitted":
                Inspection(found).sample(object, who)
            sheet = _sheet(found, kind, object, who)
            return {**sheet, "example": example_of(found, object, self.site.shown)}

    def picture(self, work: str, object: str, round: int, image: int) -> dict[str, Any]:
        """One picture with its masks as outlines."""
        from app.web.pages.inspect.pictures import picture_of

        with self.opened(work) as found:
            return picture_of(found, object, int(round), int(image), self.site.shown)

    def say(
        self,
        work: str,
        object: str,
        image: int,
        passed: bool,
        reason: str,
        note: str,
        pins: list[dict[str, Any]],
        seconds: float,
        request: gr.Request,
    ) -> dict[str, Any]:
        """A verdict on one image of a round; the round stays open until it is finished."""
        from annotate.inspect.service import Inspection

        who, words = person(request).name, _words(reason, note, pins)
        with self.opened(work) as found:
            Inspection(found).decide(
                object, int(image), passed, who, minutes=_minutes(seconds), hold=True, **words
            )
            return _sheet(found, "round", object, who)

    def take_back(self, work: str, object: str, image: int, request: gr.Request) -> dict[str, Any]:
        """Undo one's own verdict, before the round is finished."""
        from annotate.inspect.service import Inspection

        who = person(request).name
        with self.opened(work) as found:
            Inspection(found).take_back(object, int(image), who)
            return _sheet(found, "round", object, who)

    def pass_rest(self, work: str, object: str, request: gr.Request) -> dict[str, Any]:
        """Let all images pass that are due now."""
        from annotate.inspect.service import Inspection

        who = person(request).name
        with self.opened(work) as found:
            Inspection(found).pass_rest(object, who, hold=True)
            return _sheet(found, "round", object, who)

    def finish(self, work: str, object: str, request: gr.Request) -> dict[str, Any]:
        """Accept or reject a category, as its verdicts say."""
        from annotate.inspect.service import Inspection

        who = person(request).name
        with self.opened(work) as found:
            Inspection(found).finish(object, who)
            return _sheet(found, "round", object, who)

    def look_again(
        self,
        work: str,
        object: str,
        image: int,
        passed: bool,
        reason: str,
        note: str,
        pins: list[dict[str, Any]],
        request: gr.Request,
    ) -> dict[str, Any]:
        """The word on an image that was sent back and drawn again."""
        from annotate.inspect.corrections import look_again

        words = _words(reason, note, pins)
        return self._corrected(work, "again", object, request, lambda found, who: look_again(
            found, object, int(image), passed, who, **words
        ))  # fmt: skip

    def send_back(
        self,
        work: str,
        object: str,
        image: int,
        reason: str,
        note: str,
        pins: list[dict[str, Any]],
        request: gr.Request,
    ) -> dict[str, Any]:
        """Have one image of an accepted category drawn again."""
        from annotate.inspect.corrections import send_back

        words = _words(reason, note, pins)
        return self._corrected(work, "round", object, request, lambda found, who: send_back(
            found, object, int(image), who, **words
        ))  # fmt: skip

    def _corrected(
        self,
        work: str,
        kind: str,
        object: str,
        request: gr.Request,
        say: Callable[["Work", str], Any],
    ) -> dict[str, Any]:
        """Say something of one image alone; the sheet after it, with who was told."""
        who = person(request).name
        with self.opened(work) as found:
            say(found, who)
            return _told(found, _sheet(found, kind, object, who))

    def review(
        self,
        work: str,
        object: str,
        image: int,
        uphold: bool,
        note: str,
        seconds: float,
        request: gr.Request,
    ) -> dict[str, Any]:
        """The word on an image that was given up: rightly so, or it is to be drawn after all."""
        from annotate.inspect.discards import review_discard

        who = person(request).name
        with self.opened(work) as found:
            minutes = _minutes(seconds)
            case = review_discard(
                found, object, int(image), uphold, who, note=note or None, minutes=minutes
            )
            sheet = _sheet(found, "discards", object, who)
            return _told(found, sheet) if case.state == "restored" else sheet

    def reopen(self, work: str, object: str, reason: str, request: gr.Request) -> dict[str, Any]:
        """Take the decision on a category back; its images are inspected again."""
        from annotate.inspect.service import Inspection

        who = person(request).name
        with self.opened(work) as found:
            stale = Inspection(found).reopen(object, who, reason)
            said = [f"stale from now on: the data set {out.name}" for out in stale]
            return {**_sheet(found, "round", object, who), "told": said}


def _sheet(work: "Work", kind: str, object: str, who: str) -> dict[str, Any]:
    from app.web.pages.inspect.sheets import again_sheet, discard_sheet, round_sheet

    made: dict[str, Callable[..., dict[str, Any]]]
    made = {"round": round_sheet, "again": again_sheet, "discards": discard_sheet}
    if kind not in made:
        raise UnknownNameError("kind of sheet", kind, made)
    return made[kind](work, object, who)


def _told(work: "Work", sheet: dict[str, Any]) -> dict[str, Any]:
    """The annotator is told; where that has to wait, the sheet says so."""
    from annotate.inspect.telling import tell_annotators

    return {**sheet, "told": tell_annotators(work, [sheet["object"]])}


def _words(reason: str, note: str, pins: list[dict[str, Any]]) -> dict[str, Any]:
    """What stands behind a verdict; nothing is None."""
    from annotate.inspect.pins import read_pins

    return {"reason": reason or None, "note": note or None, "pins": read_pins(pins)}


def _minutes(seconds: float) -> float | None:
    minutes = float(seconds) / 60
    return round(min(minutes, _LONGEST), 3) if minutes > 0 else None


def build(site: "Site") -> None:
    """The page's frame; the script fills it."""
    page = Inspect(site)
    frame = (files(__name__) / "frame.html").read_text(encoding="utf-8")
    gr.HTML(frame, js_on_load=begun("inspect/inspect.js"), apply_default_css=False)
    every = ("queue", "open", "picture", "say", "take_back", "pass_rest", "finish", "look_again")
    for name in (*every, "send_back", "review"):
        gr.events.api(getattr(page, name), api_name=f"inspect_{name}", queue=False)
    site.needs("lead", gr.events.api(page.reopen, api_name="inspect_reopen", queue=False))


def _needs(site: "Site") -> str | None:
    return None if site.given.works else _NEEDS


PAGE = Page(
    "inspect",
    "Inspect",
    "look at what was drawn, one picture after the other",
    build,
    order=40,
    role="inspector",
    needs=_needs,
    keys=(
        Key("p", "pass"),
        Key("f", "fail; then the number of a reason"),
        Key("Space", "held down: the picture without masks"),
        Key("← →", "the picture before, the next one"),
        Key("u", "undo my last verdict"),
        Key("n", "write a note"),
        Key("i", "a cross to pin a place: arrows move it, Enter pins, Escape leaves"),
        Key("r", "all pictures at once; again: pass the rest"),
        Key("e", "an accepted example beside it"),
        Key("w", "likely wrong ones first"),
        Key("Enter", "finish the category"),
        Key("g", "of a picture given up: rightly so"),
        Key("d", "of a picture given up: draw it after all"),
        Key("b", "of an accepted category: send this picture back"),
        Key("o", "the lead: open a decided category again"),
        Key("0", "the whole picture again; the wheel zooms"),
    ),
)
