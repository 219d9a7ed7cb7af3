"""Runs: how segmenters and recognition models were trained, compared side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.web.page import Key, Page
from app.web.toolkit import asked, gr
from partlab.pages import render

if TYPE_CHECKING:
    from app.web.given import Given
    from app.web.site import Site

_HEAD = """
<h1>Runs</h1>
<p class="pl-soft">Curves, figures and settings of trainings, also of those that go on.</p>
"""
_MOST = 4  # runs of a kind that a new page compares
_SEP = "|"


def runs_of(given: "Given") -> dict[str, dict[str, Path]]:
    """Run folders by kind and name; exported models have no history."""
    trained = {n: p for n, p in given.recognition.items() if (p / "config.json").is_file()}
    return {"recognition": trained, "segmenter": dict(given.segmenters)}


def html(given: "Given", names: list[str]) -> str:
    """These runs side by side, each kind for itself."""
    from app.web.pages.runs.read import recognition, segmenters
    from train.report import words

    there = runs_of(given)
    groups = [
        read({name: path for name, path in there[kind].items() if name in names})
        for kind, read in (("recognition", recognition), ("segmenter", segmenters))
        if any(name in names for name in there[kind])
    ]
    filters = {"setting": words.setting, "percent": words.percent}
    return render("app.web.pages.runs", "runs.html", filters=filters, groups=groups)


def build(site: "Site") -> None:
    """What to compare, and below it all that is known of these."""
    gr.HTML(_HEAD, apply_default_css=False)
    with gr.Row():
        named = gr.Dropdown([], label="Runs", multiselect=True, scale=6, elem_id="runs-named")
        again = gr.Button("Read again r", elem_id="runs-again", min_width=130, scale=1)
    told = gr.HTML(apply_default_css=False, elem_id="runs-told")
    joined = gr.Textbox(visible=False)

    def compared(names: list[str]) -> str:
        """These runs side by side, as HTML; those of one kind are compared."""
        return html(site.given, names or [])

    def opened(request: gr.Request) -> tuple[Any, str]:
        there = runs_of(site.given)
        every = [name for named in there.values() for name in named]
        words = asked(request).get("runs", "")
        some = [name for named in there.values() for name in list(named)[:_MOST]]
        names = [name for name in words.split(_SEP) if name in every] or some
        return gr.update(choices=every, value=names), compared(names)

    site.opened(opened, [named, told])
    gr.on(
        [named.input, again.click],
        compared,
        named,
        told,
        api_name="runs_compare",
        show_progress="minimal",
    )
    named.change(
        lambda names: _SEP.join(names or ()),
        named,
        joined,
        api_visibility="private",
        show_progress="hidden",
    )
    site.kept(runs=joined)


def _needs(site: "Site") -> str | None:
    if any(runs_of(site.given).values()):
        return None
    return (
        "No training was given. Start the app with a folder of runs: partlab app runs. partlab "
        "segmenter train and partlab train run make them."
    )


PAGE = Page(
    "runs",
    "Runs",
    "curves, figures and settings of trainings, side by side",
    build,
    order=60,
    needs=_needs,
    keys=(Key("r", "read them again", "runs-again"),),
)
