"""Data set: its pictures by filters, what is wrong with it, its numbers, and what an export takes.

The filters are `annotate.data.choosing` on an index that decodes nothing; a picture is read and
its masks are decoded when it is shown. `asking` is what stands in the address and `looking` what
answers it; `filters`, `events` and `pressed` are the screen; `sheet`, `picture`, `findings`,
`statistics` and `exporting` are the views.
"""

from typing import TYPE_CHECKING

from app.web.page import Key, Page
from app.web.pages.dataset.events import look_events
from app.web.pages.dataset.filters import make_controls
from app.web.pages.dataset.looking import DataSet
from app.web.pages.dataset.pressed import act_events, export_events
from app.web.toolkit import gr

if TYPE_CHECKING:
    from app.web.site import Site


def build(site: "Site") -> None:
    """What to see above, the pictures below."""
    page = DataSet(site)
    gr.HTML("<h1>Data set</h1>", apply_default_css=False)
    controls = make_controls()
    with gr.Row(elem_classes="pd-step"):
        step = gr.HTML(apply_default_css=False, elem_id="dataset-step")
        stop = gr.Button("Stop x", elem_id="dataset-stop", size="sm", scale=0, min_width=80)
    told = gr.HTML(apply_default_css=False, elem_id="dataset-told")
    result = gr.HTML(js_on_load="partlab.dataset(element, trigger)", apply_default_css=False)
    data = gr.JSON(visible=False)
    outputs = [step, result, data]
    run = look_events(site, page, controls, outputs)
    act_events(site, page, controls, outputs, told, run)
    export_events(site, page, outputs, told)

    site.stops(stop, step)
    site.kept(**controls.named)


def _needs(site: "Site") -> str | None:
    if site.given.data or site.given.works:
        return None
    return (
        "No data set was given. Start the app with one, or with a work: partlab app world. partlab "
        "data make-world draws a small one."
    )


PAGE = Page(
    "dataset",
    "Data set",
    "pictures by filters, findings, statistics, and what an export takes",
    build,
    order=30,
    needs=_needs,
    keys=(
        Key("ArrowLeft", "the page or picture before", "dataset-before"),
        Key("ArrowRight", "the next page or picture", "dataset-next"),
        Key("b", "back to the sheet", "dataset-back"),
        Key("n", "the next mask; p the one before"),
        Key("m", "the picture without masks, and with them"),
        Key("l", "its task in Label Studio", "dataset-studio"),
        Key("x", "stop", "dataset-stop"),
    ),
)
