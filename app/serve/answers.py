"""The shapes of what the server answers, with examples: what `/openapi.json` shows."""

from typing import Any

from pydantic import BaseModel

from partlab.config import Config


class _Error(BaseModel):
    status: int
    cause: str
    hint: str | None
    request_id: str


class ErrorAnswer(BaseModel):
    """Every error."""

    error: _Error


class ModelName(BaseModel):
    """Which model answered."""

    name: str
    version: str


class ModelBrief(ModelName):
    """One line of the list."""

    kind: str


class ModelsAnswer(BaseModel):
    """All that is served."""

    models: list[ModelBrief]


class ModelAnswer(ModelBrief):
    """A segmenter (`objects`, `parts`) or a recognition model (`classes`).

    `clicks` is what answers clicks and boxes: the segmenter itself, or SAM.
    """

    weights_sha256: str
    clicks: str | None = None
    objects: list[str] | None = None
    parts: list[str] | None = None
    classes: list[str] | None = None
    checkpoint: str | None = None
    description: dict[str, Any] | None = None
    preprocessing: dict[str, Any] | None = None
    training: dict[str, Any] | None = None


class _Mask(BaseModel):
    size: list[int]
    counts: str


class _Part(BaseModel):
    part: str
    label: int
    score: float
    area: int
    box: list[float]
    alternatives: list[tuple[str, float]]
    mask: _Mask | None
    png: str | None


class _Found(BaseModel):
    threshold: float | dict[str, float]
    status: str
    reason: str | None
    parts: list[_Part]


class SegmentAnswer(BaseModel):
    """Parts of one picture, for each threshold that was asked for."""

    model: ModelName
    width: int
    height: int
    filtered_to: list[str]
    answers: list[_Found]


class DetectAnswer(BaseModel):
    """Detections as `segmenter.remote.unpacked` reads them."""

    labels: list[int]
    boxes: str
    scores: str
    probabilities: str
    masks: list[_Mask]


class _Class(BaseModel):
    name: str
    probability: float


class ClassifyAnswer(BaseModel):
    """The likeliest classes, best first."""

    model: ModelName
    classes: list[_Class]


class _Cells(BaseModel):
    height: int
    width: int
    png: str


class ExplainAnswer(ClassifyAnswer):
    """Where the model sees parts, fine to coarse.

    Each map's `png` has 16 bits a cell: 0 is background, n the n-th of `names`. `clean_png` is
    what the network saw.
    """

    names: list[str]
    clean_png: str
    maps: list[_Cells]


class EmbedAnswer(BaseModel):
    """What the classifier reads of a picture."""

    model: ModelName
    vector: list[float]


class AttackAnswer(BaseModel):
    """A picture before and after; `clean_png` and `png` are what the network saw, exactly.

    `fooled`: whether the answer is another than `label`. `exact_npy`, where asked for, is the
    point that the attack found before its colours were rounded.
    """

    model: ModelName
    how: dict[str, Any]
    label: str
    clean: list[_Class]
    attacked: list[_Class]
    fooled: bool
    clean_png: str
    png: str
    largest_change: int
    exact_npy: str | None


class JobAnswer(BaseModel):
    """How far a bulk job is: queued, running, done, failed or cancelled."""

    id: str
    model: str
    state: str
    images: int | None
    done: int
    created: str
    reason: str | None
    hint: str | None
    counts: dict[str, int] | None


_PICTURE = {"schema": {"type": "string", "format": "binary"}}
_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"
)
MODEL_EXAMPLE = {"name": "seg", "version": "3f2a9c0d11be", "kind": "segmenter"}
SEGMENT_EXAMPLE = {"image": _PIXEL, "object": "cat", "threshold": [0.3, 0.5]}
DETECT_EXAMPLE = {"image": _PIXEL, "object": ["cat"], "threshold": 0.05}
CLASSIFY_EXAMPLE = {"image": _PIXEL, "top": 5}
ATTACK_EXAMPLE = {"image": _PIXEL, "attack": "pgd", "eps": 0.0157, "steps": 20}


def described(
    ask: type[Config] | None = None, example: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What OpenAPI says of a route that reads a picture: both forms, with an example."""
    errors = {
        "default": {
            "description": "what happened, what to do, and the number of the request",
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}
            },
        }
    }
    if ask is None:
        return {"responses": errors}
    schema = ask.model_json_schema()
    parameters = [
        {"name": name, "in": "query", "required": False, "schema": field}
        for name, field in schema["properties"].items()
    ]
    image = {"type": "string", "contentEncoding": "base64", "description": "the picture's file"}
    whole = {
        **{key: schema[key] for key in ("description",) if key in schema},
        "type": "object",
        "required": ["image"],
        "additionalProperties": False,
        "properties": {"image": image, **schema["properties"]},
    }
    content = {
        "image/jpeg": _PICTURE,
        "image/png": _PICTURE,
        "application/json": {"schema": whole, "example": example},
    }
    return {
        "parameters": parameters,
        "requestBody": {"required": True, "content": content},
        "responses": errors,
    }
