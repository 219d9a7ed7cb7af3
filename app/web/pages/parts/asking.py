"""What the page asks of models, pictures and classifiers; no component of the screen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from app.web.pages.parts.answer import Answer, Ask, Looks, answer, own_thresholds
from app.web.pages.parts.view import Made, page_of
from app.web.pictures import uploaded
from app.web.shelf import Known
from partlab.errors import ConfigError, NotFoundError, UnknownNameError
from partlab.images import load_image
from partlab.progress import event
from segmenter.protocol import Pixels

if TYPE_CHECKING:
    from app.web.site import Site

UNKNOWN, CLASSIFIER = "", "?"
"""Object categories that are none: not known, and the one that a classifier says."""


@dataclass
class Parts:
    """The page's functions, apart from what is on the screen."""

    site: "Site"
    looks: Looks = field(default_factory=Looks)

    def found(
        self,
        file: str | None,
        picture: str,
        model: str,
        object: str,
        classifier: str,
        threshold: float,
        own: str,
        compare: bool,
        apart: bool,
        tuned: bool = False,
    ) -> tuple[Answer, Made, Known]:
        """The answer for an uploaded file, else for the picture of this name.

        `tuned`: by the thresholds of the model's tuning, where it has one.

        Raises:
            PartlabError: no picture, no such model, object or part; a server that is away.
        """
        pixels, made, shows = self._picture(file, picture)
        known = one_of(self.site.shelf.segmenters(), model, "segmenter")
        if object == CLASSIFIER:
            object, said = self._says(classifier, pixels, known)
            made = Made(made.file, made.path, said)
        elif object == UNKNOWN and shows and shows not in known.parts.objects:
            made = Made(made.file, made.path, f"{known.name} knows no parts of {shows}: no filter.")
        event("step", words=f"loading the segmenter {known.name} …")
        segmenter = self.site.shelf.segmenter(known.name)
        event("step", words="looking for parts …")
        ask = Ask(
            known.name,
            object or None,
            float(threshold),
            own_thresholds(own),
            compare,
            apart,
            known.tuned if tuned else None,
        )
        return answer(segmenter, pixels, ask, self.looks), made, known

    def _picture(self, file: str | None, picture: str) -> tuple[Pixels, Made, str | None]:
        if file:
            name = Path(file).name
            return uploaded(Path(file)), Made(name, name), None
        if not picture:
            raise NotFoundError("there is no picture yet", hint="choose one, or drop one here")
        offered = self.site.library.find(picture)
        made = Made(offered.path.name, str(offered.path))
        return load_image(offered.path), made, offered.object

    def _says(self, classifier: str, pixels: Pixels, known: Known) -> tuple[str, str]:
        """The object category that a classifier names, and a sentence that says so."""
        model = one_of(self.site.shelf.recognition(), classifier, "recognition model")
        event("step", words=f"asking the classifier {model.name} …")
        classes = list(self.site.shelf.classify(model.name, pixels).items())
        (best, share), *others = classes[:3]
        rest = ", ".join(f"{name} {p:.2f}" for name, p in others)
        told = f"The classifier {model.name} says {best} ({share:.2f}; then {rest})"
        if best not in known.parts.objects:
            return UNKNOWN, f"{told}, of which {known.name} knows no parts: no filter."
        return best, f"{told}. The filter uses that; nobody has checked it."

    def html(self, found: tuple[Answer, Made, Known], server: str | None) -> str:
        """What the page shows; `server` has the models, where one has."""
        return page_of(*found, self.site.shown, server)

    def warm(self) -> None:
        """Load the first segmenter of this machine, so that the first answer is soon there."""
        local = [known for known in self.site.shelf.segmenters().values() if not known.served]
        if local:
            self.site.shelf.segmenter(local[0].name)


def one_of(there: Mapping[str, Known], name: str, what: str) -> Known:
    """The one of this name, or the only one."""
    if not there:
        raise NotFoundError(f"there is no {what}", hint="start the app with a run: partlab app RUN")
    if not name and len(there) == 1:
        return next(iter(there.values()))
    if not name:
        raise ConfigError(f"which {what}?", hint=f"one of {', '.join(there)}")
    if name not in there:
        raise UnknownNameError(what, name, there)
    return there[name]
