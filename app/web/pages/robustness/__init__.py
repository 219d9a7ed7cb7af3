"""Robustness: a picture clean and attacked, two models side by side, and what evaluations say."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.web.faults import fault_html
from app.web.page import Key, Page
from app.web.pages.robustness.evaluated import Evaluated
from app.web.pages.robustness.trial import NORMS, PGD, Ask, Asked, answered, name_of
from app.web.pages.robustness.view import page_of
from app.web.pictures import EMPTY, PICK, own_file, strip, uploaded
from app.web.shelf import Known
from app.web.toolkit import asked, gr, number
from partlab.errors import ConfigError, NotFoundError, PartlabError, UnknownNameError
from partlab.images import load_image
from partlab.progress import event
from segmenter.protocol import Pixels

if TYPE_CHECKING:
    from app.web.site import Site

_NONE = "none"  # no second model; an empty word would not stand in the address
_RADII = {  # most and step of ε, and what a new page begins with
    "linf": (16.0, 0.5, 4.0, "ε, in 255ths of a colour"),
    "l2": (5.0, 0.05, 2.0, "ε, ℓ2 length, colours 0 to 1"),
}
_HEAD = """
<h1>Robustness</h1>
<p class="pl-soft">What a small change of a picture does to a recognition model, and to what it
sees of the parts.</p>
"""
_NEEDS = (
    "No recognition model and no evaluation was given. Start the app with some (partlab app "
    "runs/mpm results) or with a server that has models (--server URL); partlab quickstart trains "
    "two small ones."
)
_NO_EVALUATION = """
<p class="pl-soft">None was given. <code>partlab evaluate RUN DATA --out DIR</code> makes one; then
<code>partlab app … DIR</code> shows accuracy against ε, and what one model keeps and another
loses.</p>
"""
_NO_MODEL = """
<p class="pl-note">No recognition model was given, so nothing can be attacked here. Start the app
with one, <code>partlab app runs/mpm</code>, or with a server that has some,
<code>--server URL</code>.</p>
"""


@dataclass
class Robustness:
    """The page's functions, apart from what is on the screen."""

    site: "Site"
    evaluated: Evaluated = field(init=False)

    def __post_init__(self) -> None:
        self.evaluated = Evaluated(self.site)

    def tried(
        self,
        file: str | None,
        picture: str,
        names: Sequence[str],
        ask: Ask,
        server: str | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """The answers of these models for an uploaded file, else for the picture of this name.

        `server` is the address of the one that has the models, for who asks again.

        Raises:
            PartlabError: no picture, no such model, an attack that makes no sense, or a server
                that is away or refuses.
        """
        known = self._known(names)
        asked, pixels = self._picture(file, picture, ask)
        models = {}
        for name in known:
            event("step", words=f"loading {name} …")
            models[name] = self.site.shelf.recogniser(name)
        places = {name: each.place for name, each in known.items()}
        return page_of(answered(asked, pixels, models), self.site.shown, places, server)

    def _known(self, names: Sequence[str]) -> dict[str, Known]:
        there = self.site.shelf.recognition()
        if not there:
            raise NotFoundError(
                "there is no recognition model", hint="start the app with one: partlab app RUN"
            )
        wanted = dict.fromkeys(name for name in names if name not in ("", _NONE))
        if not wanted:
            raise ConfigError("which model?", hint=f"one of {', '.join(there)}")
        for name in wanted:
            if name not in there:
                raise UnknownNameError("recognition model", name, there)
        return {name: there[name] for name in wanted}

    def _picture(self, file: str | None, picture: str, ask: Ask) -> tuple[Asked, Pixels]:
        if file:
            path = Path(file)
            return Asked(path.name, path.name, None, ask), uploaded(path)
        if not picture:
            raise NotFoundError("there is no picture yet", hint="choose one, or drop one here")
        offered = self.site.library.find(picture)
        found = Asked(name_of(None, picture), str(offered.path), offered.object, ask)
        return found, load_image(offered.path)


def build(site: "Site") -> None:
    """Controls on the left, the answers on the right; what evaluations say below."""
    from train.common_corruptions import CORRUPTIONS, SEVERITIES

    page = Robustness(site)
    gr.HTML(_HEAD, apply_default_css=False)
    with gr.Row(elem_classes="pl-sides"):
        with gr.Column(scale=2, min_width=300):
            pictures = gr.HTML(js_on_load=PICK, apply_default_css=False)
            file = own_file("robustness-file")
            picture = gr.Textbox(visible=False)
            with gr.Row():
                first = gr.Dropdown([], label="Model", allow_custom_value=True, min_width=130)
                second = gr.Dropdown([], label="Beside it", allow_custom_value=True, min_width=130)
            attack = gr.Dropdown(
                [("PGD (through the model's gradients)", PGD)]
                + [(f"corruption: {name.replace('_', ' ')}", name) for name in CORRUPTIONS],
                value=PGD,
                label="Attack",
            )
            with gr.Group() as within:
                norm = gr.Radio([(words, key) for key, words in NORMS.items()], value="linf",
                                label="Norm")  # fmt: skip
                eps = gr.Slider(0, 16, 4, step=0.5, label=_RADII["linf"][3])
                steps = gr.Slider(1, 100, 20, step=1, label="Steps")
            severity = gr.Slider(
                SEVERITIES[0], SEVERITIES[-1], 3, step=1, label="Severity, 1 to 5", visible=False
            )
            with gr.Row():
                go = gr.Button("Attack ⏎", variant="primary", elem_id="robustness-go", scale=3)
                stop = gr.Button("Stop x", elem_id="robustness-stop", min_width=90)
        with gr.Column(scale=5, min_width=320):
            step = gr.HTML(apply_default_css=False, elem_id="robustness-step")
            result = gr.HTML(EMPTY, apply_default_css=False, elem_id="robustness-result")
            data = gr.JSON(visible=False)
    told = _evaluations(site, page)
    controls = [file, picture, first, second, attack, norm, eps, steps, severity]
    run = _running(site, page)
    asks: dict[str, Any] = {"outputs": [step, result, data], "show_progress": "hidden"}

    def opened(request: gr.Request) -> tuple[Any, ...]:
        return _opened(site, asked(request))

    opening = site.opened(
        opened,
        [pictures, picture, first, second, attack, norm, eps, steps, severity, within, result],
    )
    opening.then(run, controls, api_visibility="private", **asks)

    def picked(event: gr.EventData) -> tuple[Any, ...]:
        offered = site.library.find(str(event.picture))
        return strip(site, offered.name), offered.name, None

    for each in (pictures, told):
        each.click(
            picked,
            None,
            [pictures, picture, file],
            api_visibility="private",
            show_progress="hidden",
        ).then(run, controls, api_visibility="private", **asks)
    attack.input(_shown_for, attack, [within, severity], api_visibility="private",
                 show_progress="hidden")  # fmt: skip
    norm.input(_radius, norm, eps, api_visibility="private", show_progress="hidden")
    gr.on(
        [go.click, file.upload],
        run,
        controls,
        api_name="robustness_attack",
        trigger_mode="always_last",
        **asks,
    )

    site.stops(stop, step)
    site.kept(picture=picture, model=first, beside=second, attack=attack, norm=norm, eps=eps,
              steps=steps, severity=severity)  # fmt: skip


def _running(site: "Site", page: Robustness) -> Callable[..., AsyncIterator[Any]]:
    async def run(
        file: str | None,
        picture: str,
        model: str,
        beside: str,
        attack: str,
        norm: str,
        eps: float,
        steps: int,
        severity: int,
        request: gr.Request,
    ) -> AsyncIterator[Any]:
        """Attack one or two models with a picture: a file that is sent, or one by its name here.

        attack: "pgd", or a corruption with its severity of 1 to 5. eps: in 255ths under the norm
        linf, a length of colours 0 to 1 under l2.
        """
        if not file and not picture:
            yield gr.skip(), gr.skip(), None
            return
        server = site.models_at(request)
        ask = Ask(attack, norm, float(eps), int(steps), int(severity))

        def work() -> tuple[str, dict[str, Any]]:
            return page.tried(file, picture, (model, beside), ask, server)

        async for step, result in site.work.shown(request.session_hash, work):
            yield step, *(result or (gr.skip(), gr.skip()))

    return run


def _evaluations(site: "Site", page: Robustness) -> Any:
    """The section about evaluations; the component whose pictures can be picked."""
    gr.HTML("<h2>Evaluations</h2>", apply_default_css=False)
    with gr.Row() as row:
        named = gr.Dropdown([], label="Evaluations", multiselect=True, scale=3)
        condition = gr.Dropdown([], label="Kept and lost under", scale=2, allow_custom_value=True)
    told = gr.HTML(
        '<p class="pl-soft">Reading evaluations …</p>',
        js_on_load=PICK,
        apply_default_css=False,
        elem_id="robustness-evaluated",
    )

    def opened(request: gr.Request) -> tuple[Any, ...]:
        words, there = asked(request), list(site.given.evaluations)
        if not there:
            return gr.update(visible=False), gr.skip(), gr.skip(), _NO_EVALUATION
        names = [name for name in words.get("evaluations", "").split("|") if name] or there[:2]
        chosen = gr.update(choices=there, value=names)
        return gr.update(visible=True), chosen, *seen(names, words.get("under", ""))

    def seen(names: list[str], under: str) -> tuple[Any, Any]:
        """What evaluations say side by side; under: THREAT|ATTACK, "" for the last there is."""
        if not names:
            return gr.update(choices=[], value=""), '<p class="pl-soft">Choose one or more.</p>'
        choices = page.evaluated.conditions(names)
        keys = [key for _, key in choices]
        value = under if under in keys else next(reversed(keys), "")
        return gr.update(choices=choices, value=value), page.evaluated.html(names, value)

    site.blocks.load(
        opened,
        None,
        [row, named, condition, told],
        api_visibility="private",
        show_progress="hidden",
    )
    gr.on(
        [named.input, condition.input],
        seen,
        [named, condition],
        [condition, told],
        api_name="robustness_evaluations",
        show_progress="minimal",
    )
    joined = gr.Textbox(visible=False)
    named.change(lambda names: "|".join(names or ()), named, joined, api_visibility="private",
                 show_progress="hidden")  # fmt: skip
    site.kept(evaluations=joined, under=condition)
    return told


def _opened(site: "Site", words: Mapping[str, str]) -> tuple[Any, ...]:
    """Choices, and the values that the address names; a server that is away is told."""
    trouble = None
    try:
        models = list(site.shelf.recognition())
    except PartlabError as error:
        models = []
        trouble = fault_html(error)
    if not models and trouble is None:
        trouble = _NO_MODEL
    model = words.get("model") or _first(models)
    others = [name for name in models if name != model]
    beside = words.get("beside", others[0] if others else _NONE)
    norm = words.get("norm", "linf") if words.get("norm") in NORMS else "linf"
    attack = words.get("attack", PGD)
    picture = words.get("picture", "")
    return (
        strip(site, picture),
        picture,
        gr.update(choices=models, value=model),
        gr.update(choices=[("none", _NONE), *models], value=beside, visible=len(models) > 1),
        attack,
        norm,
        _radius(norm, words.get("eps")),
        number(words.get("steps"), 1, 100, 20),
        gr.update(value=number(words.get("severity"), 1, 5, 3), visible=attack != PGD),
        gr.update(visible=attack == PGD),
        trouble or EMPTY,
    )


def _first(models: Sequence[str]) -> str | None:
    """The one without parts first, where names tell: it is what the other is compared with."""
    return next((name for name in models if "vanilla" in name), next(iter(models), None))


def _shown_for(attack: str) -> tuple[Any, Any]:
    return gr.update(visible=attack == PGD), gr.update(visible=attack != PGD)


def _radius(norm: str, value: str | None = None) -> Any:
    """The range of ε under a norm."""
    most, step, usual, label = _RADII[norm]
    return gr.update(label=label, maximum=most, step=step, value=number(value, 0.0, most, usual))


def _needs(site: "Site") -> str | None:
    try:
        return None if site.given.evaluations or site.shelf.recognition() else _NEEDS
    except PartlabError:  # a server that may come back; the page tells it
        return None


PAGE = Page(
    "robustness",
    "Robustness",
    "a picture clean and attacked, two models side by side",
    build,
    order=20,
    needs=_needs,
    keys=(
        Key("Enter", "attack", "robustness-go"),
        Key("x", "stop", "robustness-stop"),
        Key("c", "hold down: all pictures clean"),
        Key("v", "hold down: all pictures attacked"),
    ),
)
