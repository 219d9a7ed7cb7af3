"""What the controls offer and begin with: from what was given, and from the page's address."""

from typing import TYPE_CHECKING, Any

from app.web.faults import fault_html
from app.web.pages.parts.asking import CLASSIFIER, UNKNOWN, Parts, one_of
from app.web.pictures import strip
from app.web.toolkit import gr, number
from partlab.errors import PartlabError

if TYPE_CHECKING:
    from app.web.site import Site


def opened(site: "Site", page: Parts, words: dict[str, str]) -> tuple[Any, ...]:
    """Choices, and the values that the address names; a server that is away is told."""
    trouble = ""
    try:
        models, classifiers = site.shelf.segmenters(), site.shelf.recognition()
    except PartlabError as error:
        models, classifiers, trouble = {}, {}, fault_html(error)
    site.later(page.warm)
    model = words.get("model") or next(iter(models), None)
    named = list(classifiers)
    classifier = words.get("classifier") or next(iter(named), None)
    picture = words.get("picture", "")
    object = words.get("object", CLASSIFIER if named else UNKNOWN)
    return (
        strip(site, picture),
        picture,
        gr.update(choices=list(models), value=model),
        gr.update(choices=objects(site, model or ""), value=object),
        gr.update(choices=named, value=classifier, visible=object == CLASSIFIER),
        number(words.get("threshold"), 0.05, 0.95, 0.5),
        words.get("own", ""),
        words.get("compare", "true") != "false",
        words.get("apart") == "true",
        *tuned(site, model or "", words),
        trouble,
    )


def tuned(site: "Site", model: str, words: dict[str, str]) -> tuple[Any, Any]:
    """Whether to begin with the thresholds of the model's tuning, and those thresholds.

    They are the usual ones; an address that names a threshold and no tuning means that threshold.
    """
    try:
        limits = one_of(site.shelf.segmenters(), model, "segmenter").tuned
    except PartlabError:
        limits = None
    if limits is None:
        return gr.update(value=False, visible=False), None
    wanted = words.get("tuned", "false" if "threshold" in words else "true") != "false"
    return gr.update(value=wanted, visible=True), limits.model_dump(mode="json")


def objects(site: "Site", model: str) -> list[tuple[str, str]]:
    """Object categories of a segmenter, after what stands for none."""
    first = [("not known: no filter", UNKNOWN)]
    try:
        found = site.shelf.segmenters()
        if site.shelf.recognition():
            first.append(("what the classifier says", CLASSIFIER))
        objects = one_of(found, model, "segmenter").parts.objects
    except PartlabError:
        objects = ()
    return [*first, *((name, name) for name in objects)]


def parts(site: "Site", model: str, object: str) -> list[str]:
    """Part categories that may be found."""
    known = one_of(site.shelf.segmenters(), model, "segmenter").parts
    labels = known.by_object.get(object, range(len(known)))
    return [known.names[label] for label in labels]


def picked(site: "Site", page: Parts, name: str) -> tuple[Any, ...]:
    """A picture of the strip; what it is known to show becomes the object category."""
    offered = site.library.find(name)
    object = gr.update(value=offered.object) if offered.object else gr.skip()
    return strip(site, offered.name), offered.name, object, None
