"""Pseudo labels: what a store is worth, thresholds by hand, images for people; a work's loop."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.web.page import Page
from app.web.pages.pseudolabels.loop import build_loop
from app.web.shelf import Kept
from app.web.toolkit import asked, gr, markup, number
from partlab.errors import ConfigError, UnknownNameError
from partlab.progress import event

if TYPE_CHECKING:
    from app.web.pages.pseudolabels.thresholds import Scores
    from app.web.site import Site
    from partlab.schema import Dataset
    from pseudolabel.matching import Matched
    from pseudolabel.report import Report
    from pseudolabel.settings import Thresholds
    from pseudolabel.store import Store

_ALL, _NO_TRUTH = "", ""
_NAME = "thresholds.json"
_HEAD = """
<h1>Pseudo labels</h1>
<p class="pl-soft">What a segmenter said of pictures that nobody drew: how good it is, where to cut,
and what to have people look at.</p>
"""
_SAVED = """
<p class="pl-note" role="status">Saved: <code>{{ file }}</code>, for
<code>partlab pseudolabel … --thresholds</code>.</p>
"""


@dataclass
class PseudoLabels:
    """The page's functions, apart from what is on the screen."""

    site: "Site"
    _kept: Kept = field(default_factory=Kept)

    def store(self, name: str) -> "Store":
        """A store that was given; errors are those of `Store.open`."""
        from pseudolabel.store import Store

        return Store.open(self._path(name))

    def _path(self, name: str) -> Path:
        if name not in self.site.given.stores:
            raise UnknownNameError("store", name, self.site.given.stores)
        return self.site.given.stores[name]

    def _once(self, what: str, store: "Store", truth: str, load: Callable[[], Any]) -> Any:
        """Read again when there is more in the store."""
        return self._kept.get(f"{what} {store.path} {store.identity} {len(store)} {truth}", load)

    def scores(self, store: "Store") -> "Scores":
        """The scores of its masks."""
        from app.web.pages.pseudolabels.thresholds import Scores

        found: Scores = self._once("scores", store, "", lambda: Scores.of(store))
        return found

    def matched(self, store: "Store", truth: str) -> "Matched | None":
        """Beside the masks of a data set's split (`DATA/SPLIT`); None without one."""
        from pseudolabel.matching import match

        if not truth:
            return None
        data = self._truth(truth)
        found: Matched = self._once("matched", store, truth, lambda: match(store, data))
        return found

    def _truth(self, truth: str) -> "Dataset":
        data, _, split = truth.rpartition("/")
        return self.site.library.dataset(data, split)

    def report(self, store: "Store", truth: str) -> "Report":
        """As `partlab pseudolabel report` makes it."""
        from pseudolabel.calibrate import training_set
        from pseudolabel.report import make_report

        def load() -> Any:
            event("step", words="making the report …")
            known = self._truth(truth) if truth else None
            return make_report(store, truth=known, human=training_set(store))

        found: Report = self._once("report", store, truth, load)
        return found

    def html(
        self, name: str, truth: str, object: str, default: float | None, own: str, saved: str = ""
    ) -> tuple[str, dict[str, Any]]:
        """All that the page shows of a store, and the same for programs.

        Raises:
            PartlabError: no such store, data set or part; a threshold that the store cannot try.
        """
        from app.web.pages.pseudolabels.thresholds import effect
        from app.web.pages.pseudolabels.view import Looked, facts_of, page_of

        store = self.store(name)
        scores = self.scores(store)
        thresholds = self.thresholds(store, default, own)
        event("step", words="comparing …")
        found = effect(scores, thresholds, object, self.matched(store, truth))
        report = self.report(store, truth)
        looked = Looked(scores, thresholds, object, found, report, truth, saved)
        return page_of(looked, self.site.shown), facts_of(looked)

    def thresholds(self, store: "Store", default: float | None, own: str) -> "Thresholds":
        """As they stand in the controls; the store's own where none is given.

        Raises:
            ConfigError, UnknownNameError: they cannot be read, or name no part.
        """
        from app.web.pages.parts.answer import own_thresholds
        from app.web.pages.pseudolabels.thresholds import need_known
        from partlab.config import validate
        from pseudolabel.settings import Thresholds

        value = self.scores(store).own.default if default is None else float(default)
        told = {"default": value, "parts": own_thresholds(own)}
        found = validate(Thresholds, told, "the thresholds")
        need_known(store, found)
        return found

    def picked(self, name: str, truth: str, default: float) -> str:
        """Thresholds of single parts as `partlab pseudolabel calibrate` picks them, for F1.

        Raises:
            DatasetError: the truth is what the segmenter was trained on.
            ConfigError: there is no truth, or the default is below the store's threshold.
        """
        from app.web.pages.parts.answer import told_thresholds
        from pseudolabel.calibrate import calibrate, refuse_leak

        matched = self.matched(self.store(name), truth)
        if matched is None:
            raise ConfigError("thresholds are picked against a truth", hint="choose one first")
        refuse_leak(matched)
        return told_thresholds(calibrate(matched, default=default).thresholds()["parts"])

    def save(self, name: str, default: float, own: str, file: str, *, replace: bool) -> Path:
        """Write the thresholds beside the store's manifest, as a calibration.

        Raises:
            ConfigError: a name that is more than a name, or the thresholds are none.
            OutputExistsError: there is such a file, and `replace` is off.
        """
        from partlab.files import need_new_file, write_json

        store = self.store(name)
        found = self.thresholds(store, default, own)
        if Path(file).name != file or not file.endswith(".json") or file == "manifest.json":
            raise ConfigError(f"{file!r} is no name of a calibration", hint=f"such as {_NAME}")
        target = store.path / file
        need_new_file(target, force=replace)
        write_json(target, found.model_dump())
        return target


def build(site: "Site") -> None:
    """A store with what is done with it; below it the loop of a work."""
    gr.HTML(_HEAD, apply_default_css=False)
    with gr.Column() as of_store:
        _store(site)
    build_loop(site)

    def opened() -> Any:
        return gr.update(visible=bool(site.given.stores))

    site.blocks.load(opened, None, of_store, api_visibility="private", show_progress="hidden")


def _store(site: "Site") -> None:
    """Controls above, the store below, and what is done with it at the end."""
    page = PseudoLabels(site)
    with gr.Row():
        store = gr.Dropdown([], label="Store", allow_custom_value=True, min_width=180)
        truth = gr.Dropdown([], label="Truth", info="Known masks to measure against.",
                            allow_custom_value=True, min_width=180)  # fmt: skip
        object = gr.Dropdown([], label="Object category", allow_custom_value=True, min_width=180)
        default = gr.Slider(0, 1, 0.5, step=0.01, label="Threshold of all parts", min_width=220)
    own = gr.Textbox(
        "",
        label="Thresholds of single parts",
        info="Moved in the table below, or written here: cat:ear=0.3, cat:head=0.6",
        max_lines=4,
    )
    with gr.Row():
        pick = gr.Button("Pick for the best F1", elem_id="pseudolabels-pick", min_width=190)
        file = gr.Textbox(_NAME, show_label=False, container=False, scale=1, min_width=140,
                          placeholder="file name")  # fmt: skip
        replace = gr.Checkbox(False, label="replace", container=False, min_width=90, scale=0)
        save = gr.Button(
            "Save as a calibration",
            variant="primary",
            elem_id="pseudolabels-save",
            min_width=210,
        )
    step = gr.HTML(apply_default_css=False, elem_id="pseudolabels-step")
    result = gr.HTML(js_on_load=_MOVE, apply_default_css=False, elem_id="pseudolabels-result")
    data = gr.JSON(visible=False)
    controls = [store, truth, object, default, own]
    run = _running(site, page)
    asks: dict[str, Any] = {"outputs": [step, result, data], "show_progress": "hidden"}

    def opened(request: gr.Request) -> tuple[Any, ...]:
        return _opened(site, page, asked(request))

    site.opened(opened, controls).then(run, controls, api_visibility="private", **asks)

    def chosen(name: str) -> tuple[Any, ...]:
        return _opened(site, page, {"store": name})

    store.input(chosen, store, controls, api_visibility="private", show_progress="hidden").then(
        run, controls, api_visibility="private", **asks
    )

    def moved(own: str, object: str, event: gr.EventData) -> tuple[str, str]:
        return _moved(own, object, event)

    result.click(
        moved, [own, object], [own, object], api_visibility="private", show_progress="hidden"
    ).then(run, controls, api_visibility="private", **asks)
    gr.on(
        [truth.input, object.input, default.release, own.submit],
        run,
        controls,
        api_name="pseudolabels_look",
        trigger_mode="always_last",
        **asks,
    )
    pick.click(page.picked, [store, truth, default], own, api_name="pseudolabels_pick").success(
        run, controls, api_visibility="private", **asks
    )

    def saved(name: str, default: float, own: str, file: str, replace: bool) -> str:
        """Save thresholds as a calibration beside the store's manifest; where it is."""
        target = page.save(name, default, own, file, replace=replace)
        return markup(_SAVED, file=target)

    made = save.click(
        saved, [store, default, own, file, replace], step, api_name="pseudolabels_save",
        show_progress="hidden",
    )  # fmt: skip
    site.needs("lead", made)
    _people(site, page, store, object)
    site.kept(store=store, truth=truth, object=object, threshold=default, own=own)


def _people(site: "Site", page: PseudoLabels, store: Any, object: Any) -> None:
    """What is done with the least certain images; leads alone may."""
    from app.web.pages.pseudolabels.send import Chosen

    def chosen(name: str, object: str, most: float) -> Chosen:
        return Chosen(page.scores(page.store(name)), object or _ALL, int(most))

    def exported(name: str, object: str, most: int, folder: str) -> str:
        """Write the least certain images as a data set beside the store."""
        return chosen(name, object, most).export(folder)

    def sent(name: str, object: str, most: int, work: str) -> str:
        """Suggest their masks in the open tasks of a work, in Label Studio."""
        if work not in site.given.works:
            raise UnknownNameError("work", work, site.given.works)
        return chosen(name, object, most).suggest(site.given.works[work])

    with gr.Row():
        most = gr.Slider(1, 500, 50, step=1, label="How many of the least certain", scale=2)
        folder = gr.Textbox("least-certain", label="Folder beside the store", min_width=160)
        export = gr.Button("Export as a data set", elem_id="pseudolabels-export", min_width=160)
        work = gr.Dropdown([], label="Work", min_width=140, visible=False)
        send = gr.Button(
            "Suggest in Label Studio", elem_id="pseudolabels-send", min_width=180, visible=False
        )
    told = gr.HTML(apply_default_css=False, elem_id="pseudolabels-told")

    def opened() -> tuple[Any, Any]:
        works = list(site.given.works)
        seen = len(works) > 0
        first = next(iter(works), None)
        return gr.update(choices=works, value=first, visible=seen), gr.update(visible=seen)

    site.blocks.load(opened, None, [work, send], api_visibility="private", show_progress="hidden")
    asked = [store, object, most]
    for button, function, more, name in (
        (export, exported, folder, "pseudolabels_export"),
        (send, sent, work, "pseudolabels_suggest"),
    ):
        made = button.click(function, [*asked, more], told, api_name=name, show_progress="minimal")
        site.needs("lead", made)


_MOVE = """
element.addEventListener('change', (event) => {
  const range = event.target.closest('[data-part]');
  if (range) trigger('click', {part: range.dataset.part, value: Number(range.value)});
});
element.addEventListener('click', (event) => {
  const drop = event.target.closest('[data-drop]'), object = event.target.closest('[data-object]');
  if (drop) trigger('click', {part: drop.dataset.drop, value: -1});
  if (object) trigger('click', {object: object.dataset.object});
});
"""


def _moved(own: str, object: str, event: Any) -> tuple[str, str]:
    """A part's threshold that was moved (a value below 0: taken away), or an object category."""
    from app.web.pages.parts.answer import own_thresholds, told_thresholds

    told: Mapping[str, Any] = event._data or {}
    if "object" in told:
        return own, str(told["object"])
    found = own_thresholds(own)
    value = float(told["value"])
    if value < 0:
        found.pop(str(told["part"]), None)
    else:
        found[str(told["part"])] = round(value, 2)
    return told_thresholds(found), object


def _running(site: "Site", page: PseudoLabels) -> Callable[..., AsyncIterator[Any]]:
    async def run(
        store: str, truth: str, object: str, threshold: float, own: str, request: gr.Request
    ) -> AsyncIterator[Any]:
        """Look at a store under thresholds. truth: DATA/SPLIT, "" for none; object: "" for all."""
        if not store:
            yield "", "", None
            return

        def work() -> tuple[str, dict[str, Any]]:
            return page.html(store, truth or _NO_TRUTH, object or _ALL, threshold, own)

        async for step, result in site.work.shown(request.session_hash, work):
            yield step, *(result or (gr.skip(), gr.skip()))

    return run


def _opened(site: "Site", page: PseudoLabels, words: Mapping[str, str]) -> tuple[Any, ...]:
    """Choices, and the values that the address names."""
    from pseudolabel.sweep import lowest_score

    stores = list(site.given.stores)
    if not stores:
        return "", _NO_TRUTH, _ALL, 0.5, ""
    name = words.get("store", next(iter(stores), ""))
    store = page.store(name)
    own = page.scores(store).own
    first = [("all", _ALL), *((one, one) for one in page.scores(store).objects)]
    lowest = lowest_score(store)
    truths = [f"{data}/{split}" for data in site.given.data for split in site.library.splits(data)]
    return (
        gr.update(choices=stores, value=name),
        gr.update(choices=[("none", _NO_TRUTH), *truths], value=words.get("truth", _NO_TRUTH)),
        gr.update(choices=first, value=words.get("object", _ALL)),
        gr.update(minimum=lowest, value=number(words.get("threshold"), lowest, 1.0, own.default)),
        words.get("own", _own(own)),
    )


def _own(thresholds: "Thresholds") -> str:
    from app.web.pages.parts.answer import told_thresholds

    return told_thresholds(thresholds.parts)


def _needs(site: "Site") -> str | None:
    if site.given.stores or site.given.works:
        return None
    return (
        "Start the app with a store of pseudo labels, or a work for its loop: partlab app pseudo. "
        "partlab pseudolabel IMAGES --segmenter RUN --out pseudo makes one."
    )


PAGE = Page(
    "pseudolabels",
    "Pseudo labels",
    "what a store is worth, thresholds by hand, and the versions of the loop",
    build,
    order=50,
    needs=_needs,
)
