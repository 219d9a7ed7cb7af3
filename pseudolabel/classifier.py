"""A timm classifier that stands in for an unknown class ("semi-open" labelling)."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from partlab.errors import ConfigError, SchemaError, UnknownNameError
from partlab.files import read_lines
from pseudolabel.settings import ClassifierSettings
from segmenter.protocol import Pixels


def load_classifier(
    settings: ClassifierSettings, objects: Collection[str], device: str | None = None
) -> Callable[[Sequence[Pixels]], list[str]]:
    """A function from images to the names of their top-1 classes.

    The names may go beyond the segmenter's `objects`; at least one must be among them.

    Raises:
        UnknownNameError: timm has no such model.
        ConfigError: none of the names is an object category of the segmenter.
        SchemaError: the weights are damaged, or do not fit the model and the names.
    """
    import timm
    import torch
    from PIL import Image

    names = read_lines(settings.names)
    if not set(names) & set(objects):
        raise ConfigError(
            f"{settings.names} names none of the segmenter's object categories",
            hint=f"write one name a line, spelled as there: {', '.join(sorted(objects)[:10])}",
        )
    network = _network(settings, len(names))
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    gpu = where.type != "cpu"
    network.eval().to(where)
    transform: Any = timm.data.create_transform(**timm.data.resolve_model_data_config(network))

    @torch.inference_mode()
    def classify(images: Sequence[Pixels]) -> list[str]:
        if not images:
            return []
        batch = torch.stack([transform(Image.fromarray(image)) for image in images])
        # One at a time on a CPU, as the segmenter does: so none depends on those beside it.
        tops = [
            network(each.to(where)).argmax(1)
            for each in torch.split(batch, len(batch) if gpu else 1)
        ]
        return [names[top] for top in torch.cat(tops).tolist()]

    return classify


def _network(settings: ClassifierSettings, outputs: int) -> Any:
    import timm

    if not timm.is_model(settings.model):
        raise UnknownNameError("timm model", settings.model, timm.list_models())
    try:
        return timm.create_model(
            settings.model, num_classes=outputs, checkpoint_path=str(settings.weights)
        )
    except Exception as error:  # timm and torch raise a different one for every defect
        first = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise SchemaError(
            f"{settings.weights} does not fit {settings.model} with {outputs} classes: {first}",
            hint="give the classifier's own weights, and one name for each of its outputs",
        ) from error
