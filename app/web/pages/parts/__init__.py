"""Parts: the masks that a segmenter finds in one picture, and what the category filter does."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from app.web.page import Key, Page
from app.web.pages.parts import choices
from app.web.pages.parts.answer import own_thresholds, told_thresholds
from app.web.pages.parts.asking import CLASSIFIER, Parts
from app.web.pages.parts.view import table_of
from app.web.pictures import EMPTY, PICK, own_file
from app.web.toolkit import asked, gr
from partlab.errors import PartlabError

if TYPE_CHECKING:
    from app.web.site import Site

_HEAD = """
<h1>Parts</h1>
<p class="pl-soft">The parts that a segmenter finds in one picture, and what knowing the object
category changes.</p>
"""
_NONE = (
    "No segmenter was given. Start the app with a run (partlab app RUN) or a server that has one "
    "(--server URL); partlab quickstart trains a small one."
)


@dataclass(frozen=True, slots=True)
class Controls:
    """What a question is made of, in the order of `Parts.found`."""

    file: Any
    picture: Any
    model: Any
    object: Any
    classifier: Any
    threshold: Any
    own: Any
    compare: Any
    apart: Any
    tuned: Any

    @property
    def all(self) -> list[Any]:
        """As inputs of an event."""
        return [getattr(self, each.name) for each in fields(self)]


def build(site: "Site") -> None:
    """Controls on the left, the answer on the right; on a phone the answer comes first."""
    page = Parts(site)
    gr.HTML(_HEAD, apply_default_css=False)
    strip = gr.HTML(js_on_load=PICK, apply_default_css=False)
    with gr.Row(elem_classes="pl-sides"):
        with gr.Column(scale=2, min_width=300):
            controls = _controls()
            part, limit, limits = _more(controls)
            with gr.Row():
                go = gr.Button("Find parts ⏎", variant="primary", elem_id="parts-go", scale=3)
                stop = gr.Button("Stop x", elem_id="parts-stop", min_width=90)
        with gr.Column(scale=5, min_width=320, elem_classes="pl-answer"):
            step = gr.HTML(apply_default_css=False, elem_id="parts-step")
            result = gr.HTML(EMPTY, apply_default_css=False, elem_id="parts-result")
            data = gr.JSON(visible=False)
    outputs = [step, result, data]
    _events(site, page, controls, outputs, strip, (go, stop), limits)
    _limits(site, page, controls, outputs, (part, limit, limits))


def _controls() -> Controls:
    """The controls, where they stand."""
    return Controls(
        file=own_file("parts-file"),
        picture=gr.Textbox(visible=False),
        model=gr.Dropdown([], label="Segmenter", allow_custom_value=True),
        object=gr.Dropdown(
            [],
            label="Object category",
            info="What the picture shows; the filter keeps only its parts.",
            allow_custom_value=True,
        ),
        classifier=gr.Dropdown([], label="Classifier", allow_custom_value=True, visible=False),
        threshold=gr.Slider(
            0.05, 0.95, 0.5, step=0.01, label="Threshold", info="Lowest score of a mask."
        ),
        tuned=gr.Checkbox(
            False,
            label="Thresholds as tuned with the model",
            info="Each part has its own; the slider above leaves them.",
            visible=False,
        ),
        own=gr.Textbox(
            label="Thresholds of single parts",
            info="Such as cat:ear=0.3, cat:head=0.6",
            max_lines=3,
            render=False,
        ),
        compare=gr.Checkbox(True, label="Show what the filter removes", render=False),
        apart=gr.Checkbox(False, label="Each instance apart", render=False),
    )


def _more(controls: Controls) -> tuple[Any, Any, Any]:
    """What is rarely wanted; a part, its own threshold, and (unseen) those of the tuning."""
    with gr.Accordion("More", open=False):
        controls.compare.render()
        controls.apart.render()
        part = gr.Dropdown([], label="Part")
        limit = gr.Slider(0.05, 0.95, 0.5, step=0.01, label="Its threshold")
        controls.own.render()
    return part, limit, gr.JSON(visible=False)


def _events(
    site: "Site",
    page: Parts,
    controls: Controls,
    outputs: list[Any],
    strip: Any,
    buttons: tuple[Any, Any],
    limits: Any,
) -> None:
    step, (go, stop) = outputs[0], buttons
    run = _running(site, page)
    more: dict[str, Any] = {"show_progress": "hidden"}

    def opened(request: gr.Request) -> tuple[Any, ...]:
        return choices.opened(site, page, asked(request))

    def picked(event: gr.EventData) -> tuple[Any, ...]:
        return choices.picked(site, page, str(event.picture))

    def chosen(model: str, object: str) -> Any:
        own = gr.update(choices=choices.objects(site, model), value=object)
        return own, *choices.tuned(site, model, {})

    c = controls
    first = site.opened(opened, [strip, *c.all[1:], limits, step])
    first.then(run, c.all, outputs, api_visibility="private", **more)
    pick = strip.click(
        picked, None, [strip, c.picture, c.object, c.file], api_visibility="private", **more
    )
    pick.then(run, c.all, outputs, api_visibility="private", **more)
    c.object.change(
        lambda object: gr.update(visible=object == CLASSIFIER),
        c.object,
        c.classifier,
        api_visibility="private",
        **more,
    )
    another = c.model.input(
        chosen, [c.model, c.object], [c.object, c.tuned, limits], api_name="parts_objects", **more
    )
    another.then(run, c.all, outputs, api_visibility="private", **more)
    c.threshold.input(None, None, c.tuned, js="() => false", api_visibility="private", **more)
    changed = [each.input for each in (c.object, c.classifier, c.compare, c.apart, c.tuned)]
    gr.on(
        [*changed, go.click, c.file.upload, c.threshold.release, c.own.submit],
        run,
        c.all,
        outputs,
        api_name="parts_segment",
        trigger_mode="always_last",
        **more,
    )
    site.stops(stop, step)
    kept = {each.name: getattr(c, each.name) for each in fields(c) if each.name != "file"}
    site.kept(**kept)


_LIMIT = """(part, own, threshold, tuned, limits) => {
  const entry = own.split(/[,\\n]/).findLast((each) => each.includes("=")
    && each.slice(0, each.lastIndexOf("=")).trim() === part);
  if (entry) return Number(entry.slice(entry.lastIndexOf("=") + 1));
  return tuned && limits ? (limits.parts[part] ?? limits.default) : threshold;
}"""


def _limits(
    site: "Site", page: Parts, controls: Controls, outputs: list[Any], single: tuple[Any, Any, Any]
) -> None:
    """Moving the slider of a part writes into the text, which is what counts."""
    part, limit, limits = single
    more: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

    def parts(model: str, object: str) -> Any:
        return gr.update(choices=choices.parts(site, model, object))

    def moved(part: str | None, limit: float, own: str) -> str:
        return told_thresholds({**own_thresholds(own), part: limit}) if part else own

    part.focus(parts, [controls.model, controls.object], part, **more)
    # In the browser: an answer that came later would undo what is typed meanwhile.
    asked = [part, controls.own, controls.threshold, controls.tuned, limits]
    part.input(None, asked, limit, js=_LIMIT, **more)
    limit.release(moved, [part, limit, controls.own], controls.own, **more).then(
        _running(site, page), controls.all, outputs, **more
    )


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
        tuned: bool,
        request: gr.Request,
    ) -> AsyncIterator[Any]:
        """Find the parts of a picture: a file that is sent, or one that the app offers by name.

        object: a category, "" if it is not known (no filter), "?" for what a classifier says.
        tuned: the thresholds that a tuning left with the model stand in for `threshold`.
        """
        if not file and not picture:
            yield gr.skip(), EMPTY, None
            return
        server = site.models_at(request)
        given = (file, picture, model, object, classifier, threshold, own, compare, apart, tuned)

        def work() -> tuple[str, dict[str, Any]]:
            found = page.found(*given)
            return page.html(found, server), table_of(found[0])

        async for step, result in site.work.shown(request.session_hash, work):
            yield step, *(result or (gr.skip(), gr.skip()))

    return run


def _needs(site: "Site") -> str | None:
    try:
        return None if site.shelf.segmenters() else _NONE
    except PartlabError:  # a server that may come back; the page tells it
        return None


PAGE = Page(
    "parts",
    "Parts",
    "part masks of a picture, with and without the category filter",
    build,
    order=10,
    needs=_needs,
    keys=(
        Key("Enter", "find the parts", "parts-go"),
        Key("x", "stop", "parts-stop"),
        Key("n", "the next part"),
        Key("p", "the part before"),
        Key("m", "the picture without masks, and with them"),
        Key("Tab", "from mask to mask; Enter chooses one, Escape lets it go"),
    ),
)
