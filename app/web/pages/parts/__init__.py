"""Parts: the masks that a segmenter finds in one picture, and what the category filter does."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PillowImage

from app.serve.calls import decoded
from app.serve.settings import ServeSettings
from app.web.page import Key, Page
from app.web.pages.parts.answer import Answer, Ask, Looks, answer, own_thresholds
from app.web.pages.parts.view import Made, page_of, table_of
from app.web.shelf import Known
from app.web.toolkit import asked, gr, markup
from app.web.work import step_html
from partlab.errors import ConfigError, DatasetError, NotFoundError, PartlabError
from partlab.images import load_image
from partlab.progress import event
from segmenter.protocol import Pixels

if TYPE_CHECKING:
    from app.web.library import Offered
    from app.web.site import Site

UNKNOWN, CLASSIFIER = "", "?"
"""Object categories that are none: not known, and the one that a classifier says."""
_THUMB = (152, 116)
_HEAD = """
<h1>Parts</h1>
<p class="pl-soft">The parts that a segmenter finds in one picture, and what knowing the object
category changes.</p>
"""
_STRIP = """
<div class="pl-offered" role="group" aria-label="Pictures to try">
{% for each, address in offered %}
<button type="button" data-picture="{{ each.name }}" aria-pressed="{{ 'true' if each.name == here else 'false' }}" title="{{ each.name }}"><img src="{{ address }}" alt="{{ each.name }}" width="72" height="56"><span>{{ each.object or each.path.name }}</span></button>
{% endfor %}
</div>
"""  # noqa: E501
_PICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-picture]');
  if (button) trigger('click', {picture: button.dataset.picture});
});
"""
_EMPTY = '<p class="pl-empty pl-soft">Choose a picture, or drop one of your own.</p>'


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
    ) -> tuple[Answer, Made, Known]:
        """The answer for an uploaded file, else for the picture of this name.

        Raises:
            PartlabError: no picture, no such model, object or part; a server that is away.
        """
        pixels, made, shows = self._picture(file, picture)
        known = _one(self.site.shelf.segmenters(), model, "segmenter")
        if object == CLASSIFIER:
            object, said = self._says(classifier, pixels, known)
            made = Made(made.file, made.path, said)
        elif object == UNKNOWN and shows and shows not in known.parts.objects:
            made = Made(made.file, made.path, f"{known.name} knows no parts of {shows}: no filter.")
        event("step", words=f"loading the segmenter {known.name} …")
        segmenter = self.site.shelf.segmenter(known.name)
        event("step", words="looking for parts …")
        ask = Ask(known.name, object or None, float(threshold), own_thresholds(own), compare, apart)
        return answer(segmenter, pixels, ask, self.looks), made, known

    def _picture(self, file: str | None, picture: str) -> tuple[Pixels, Made, str | None]:
        if file:
            name = Path(file).name
            return _uploaded(Path(file)), Made(name, name), None
        if not picture:
            raise NotFoundError("there is no picture yet", hint="choose one, or drop one here")
        offered = self.site.library.find(picture)
        made = Made(offered.path.name, str(offered.path))
        return load_image(offered.path), made, offered.object

    def _says(self, classifier: str, pixels: Pixels, known: Known) -> tuple[str, str]:
        """The object category that a classifier names, and a sentence that says so."""
        model = _one(self.site.shelf.recognition(), classifier, "recognition model")
        event("step", words=f"asking the classifier {model.name} …")
        classes = list(self.site.shelf.classify(model.name, pixels).items())
        (best, share), *others = classes[:3]
        rest = ", ".join(f"{name} {p:.2f}" for name, p in others)
        told = f"The classifier {model.name} says {best} ({share:.2f}; then {rest})"
        if best not in known.parts.objects:
            return UNKNOWN, f"{told}, of which {known.name} knows no parts: no filter."
        return best, f"{told}. The filter uses that; nobody has checked it."

    def html(self, found: tuple[Answer, Made, Known]) -> str:
        """What the page shows."""
        return page_of(*found, self.site.shown, self.site.server)

    def warm(self) -> None:
        """Load the first segmenter of this machine, so that the first answer is soon there."""
        local = [known for known in self.site.shelf.segmenters().values() if not known.served]
        if local:
            self.site.shelf.segmenter(local[0].name)

    def thumbnail(self, offered: "Offered") -> str | None:
        """Address of a small picture; None where the file cannot be read."""
        try:
            with PillowImage.open(offered.path) as opened:
                opened.draft("RGB", _THUMB)
            picture = PillowImage.fromarray(load_image(offered.path))
        except (PartlabError, OSError):
            return None
        picture.thumbnail(_THUMB)
        return self.site.shown.picture(np.asarray(picture), "thumbnail.png")


def _uploaded(path: Path) -> Pixels:
    """A picture from elsewhere; errors name it as its sender does."""
    try:
        return decoded(path.read_bytes(), ServeSettings().picture_pixels)
    except DatasetError as error:
        raise DatasetError(f"{path.name}: {error.message}", hint=error.hint) from error


def _one(there: Mapping[str, Known], name: str, what: str) -> Known:
    """The one of this name, or the only one."""
    from partlab.errors import UnknownNameError

    if not there:
        raise NotFoundError(f"there is no {what}", hint="start the app with a run: partlab app RUN")
    if not name and len(there) == 1:
        return next(iter(there.values()))
    if not name:
        raise ConfigError(f"which {what}?", hint=f"one of {', '.join(there)}")
    if name not in there:
        raise UnknownNameError(what, name, there)
    return there[name]


def build(site: "Site") -> None:
    """Controls on the left, the answer on the right; on a phone below one another."""
    page = Parts(site)
    gr.HTML(_HEAD, apply_default_css=False)
    with gr.Row(elem_classes="pl-sides"):
        with gr.Column(scale=2, min_width=300):
            strip = gr.HTML(js_on_load=_PICK, apply_default_css=False)
            file = gr.File(
                label="A picture of your own",
                file_types=["image"],
                type="filepath",
                height=128,
                show_label=False,
                elem_id="parts-file",
            )
            picture = gr.Textbox(visible=False)
            model = gr.Dropdown([], label="Segmenter", allow_custom_value=True)
            object = gr.Dropdown(
                [],
                label="Object category",
                info="What the picture shows; the filter keeps only its parts.",
                allow_custom_value=True,
            )
            classifier = gr.Dropdown([], label="Classifier", allow_custom_value=True, visible=False)
            threshold = gr.Slider(
                0.05, 0.95, 0.5, step=0.01, label="Threshold", info="Lowest score of a mask."
            )
            with gr.Accordion("More", open=False):
                own = gr.Textbox(
                    "",
                    label="Thresholds of single parts",
                    info="Such as cat:ear=0.3, cat:head=0.6",
                    max_lines=3,
                )
                compare = gr.Checkbox(True, label="Show what the filter removes")
                apart = gr.Checkbox(False, label="Each instance apart")
            with gr.Row():
                go = gr.Button("Find parts ⏎", variant="primary", elem_id="parts-go", scale=3)
                stop = gr.Button("Stop x", elem_id="parts-stop", min_width=90)
        with gr.Column(scale=5, min_width=320):
            step = gr.HTML(apply_default_css=False, elem_id="parts-step")
            result = gr.HTML(_EMPTY, apply_default_css=False, elem_id="parts-result")
            data = gr.JSON(visible=False)
    controls = [file, picture, model, object, classifier, threshold, own, compare, apart]
    run = _running(site, page)
    asks = {"outputs": [step, result, data], "show_progress": "hidden"}

    def opened(request: gr.Request) -> tuple[Any, ...]:
        return _opened(site, page, asked(request))

    first = site.opened(opened, [strip, picture, model, object, classifier, threshold, own,
                                 compare, apart, step])  # fmt: skip
    first.then(run, controls, api_visibility="private", **asks)

    def picked(event: gr.EventData) -> tuple[Any, ...]:
        return _picked(site, page, str(event.picture))

    strip.click(
        picked,
        None,
        [strip, picture, object, file],
        api_visibility="private",
        show_progress="hidden",
    ).then(run, controls, api_visibility="private", **asks)
    model.input(
        lambda name, object: gr.update(choices=_objects(site, name), value=object),
        [model, object],
        object,
        api_name="parts_objects",
        show_progress="hidden",
    )
    gr.on(
        [
            *(each.input for each in (model, object, classifier, compare, apart)),
            go.click,
            file.upload,
            threshold.release,
            own.submit,
        ],
        run,
        controls,
        api_name="parts_segment",
        trigger_mode="always_last",
        **asks,
    )
    file.clear(lambda: None, None, None, api_visibility="private")

    def stopped(request: gr.Request) -> str:
        return "stopped" if site.work.cancel(request.session_hash) else ""

    stop.click(stopped, None, step, queue=False, api_name="parts_stop")
    site.kept(picture=picture, model=model, object=object, classifier=classifier,
              threshold=threshold, own=own, compare=compare, apart=apart)  # fmt: skip


def _running(site: "Site", page: Parts) -> Callable[..., AsyncIterator[Any]]:
    async def run(
        file: str | None,
        picture: str,
        model: str,
        object: str,
        classifier: str,
        threshold: float,
        own: str,
        compare: bool,
        apart: bool,
        request: gr.Request,
    ) -> AsyncIterator[Any]:
        """Find the parts of a picture: a file that is sent, or one that the app offers by name.

        object: a category, "" if it is not known (no filter), "?" for what a classifier says.
        """
        if not file and not picture:
            yield "", _EMPTY, None
            return
        given = (file, picture, model, object, classifier, threshold, own, compare, apart)

        def work() -> tuple[str, dict[str, Any]]:
            found = page.found(*given)
            return page.html(found), table_of(found[0])

        async for each in site.work.run(request.session_hash, work):
            if each.done:
                assert each.result is not None
                yield "", *each.result
            else:
                yield step_html(each), gr.skip(), gr.skip()

    return run


def _opened(site: "Site", page: Parts, words: dict[str, str]) -> tuple[Any, ...]:
    """Choices, and the values that the address names; a server that is away is told."""
    trouble = ""
    try:
        models, classifiers = site.shelf.segmenters(), site.shelf.recognition()
    except PartlabError as error:
        models, classifiers = {}, {}
        told = '<p class="pl-note" role="alert">{{ words }}<br><small>{{ hint }}</small></p>'
        trouble = markup(told, words=error.message, hint=error.hint or "")
    Timer(2.0, _quietly, [page.warm]).start()
    model = words.get("model") or next(iter(models), None)
    named = list(classifiers)
    classifier = words.get("classifier") or next(iter(named), None)
    picture = words.get("picture", "")
    return (
        _strip(site, page, picture),
        picture,
        gr.update(choices=list(models), value=model),
        gr.update(
            choices=_objects(site, model or ""),
            value=words.get("object", CLASSIFIER if named else UNKNOWN),
        ),
        gr.update(choices=named, value=classifier, visible=len(named) > 0),
        _number(words.get("threshold")),
        words.get("own", ""),
        words.get("compare", "true") != "false",
        words.get("apart") == "true",
        trouble,
    )


def _quietly(work: Callable[[], None]) -> None:
    """What fails here fails again, and is told, when somebody asks for it."""
    try:
        work()
    except PartlabError:
        return


def _number(text: str | None) -> float:
    try:
        return min(max(float(text or 0.5), 0.05), 0.95)
    except ValueError:
        return 0.5


def _objects(site: "Site", model: str) -> list[tuple[str, str]]:
    """Object categories of a segmenter, after what stands for none."""
    first = [("not known: no filter", UNKNOWN)]
    try:
        found = site.shelf.segmenters()
        if site.shelf.recognition():
            first.append(("what the classifier says", CLASSIFIER))
        objects = _one(found, model, "segmenter").parts.objects
    except PartlabError:
        objects = ()
    return [*first, *((name, name) for name in objects)]


def _strip(site: "Site", page: Parts, here: str) -> str:
    offered = [(each, page.thumbnail(each)) for each in site.library.offered()]
    shown = [(each, address) for each, address in offered if address]
    return markup(_STRIP, offered=shown, here=here) if shown else ""


def _picked(site: "Site", page: Parts, name: str) -> tuple[Any, ...]:
    """A picture of the strip; what it is known to show becomes the object category."""
    offered = site.library.find(name)
    object = gr.update(value=offered.object) if offered.object else gr.skip()
    return _strip(site, page, offered.name), offered.name, object, None


PAGE = Page(
    "parts",
    "Parts",
    "part masks of a picture, with and without the category filter",
    build,
    order=10,
    keys=(
        Key("Enter", "find the parts", "parts-go"),
        Key("x", "stop", "parts-stop"),
        Key("n", "the next part"),
        Key("p", "the part before"),
        Key("m", "the picture without masks, and with them"),
        Key("Tab", "from mask to mask; Enter chooses one, Escape lets it go"),
    ),
)
