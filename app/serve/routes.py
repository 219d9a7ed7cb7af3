"""`/v1/models`, `/v1/segment`, `/v1/detect`: what a segmenter finds in a picture."""

import asyncio
import base64
from io import BytesIO
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from PIL import Image as PillowImage
from pydantic import Field, field_validator

from app.serve.answers import (
    DETECT_EXAMPLE,
    MODEL_EXAMPLE,
    SEGMENT_EXAMPLE,
    DetectAnswer,
    ModelAnswer,
    ModelsAnswer,
    SegmentAnswer,
    described,
)
from app.serve.calls import answered
from app.serve.edge import Call
from app.serve.errors import parameters
from app.serve.segmenters import SegmenterModel
from app.serve.state import State, admit, state_of
from partlab.config import Config
from partlab.masks import Rle, decode
from segmenter.objects import Objects, allowed_labels
from segmenter.predictor import Prediction, lowest_of
from segmenter.protocol import Detections, Pixels
from segmenter.remote import packed

router = APIRouter(tags=["segmenters"], dependencies=[admit("read")])

Share = Annotated[float, Field(ge=0, le=1)]
Wanted = Share | dict[str, Share]


class SegmentAsk(Config):
    """What may be asked of a picture.

    `object` says what it shows; several, if one of them. Without one, or with
    `category_filter=false`, parts of all object categories are looked for. Each `threshold` is a
    number or, in JSON, numbers by part; the answer has one entry for each. Without any it is a
    tuned model's own, else 0.5.
    """

    model: str | None = None
    object: tuple[str, ...] = ()
    category_filter: bool = True
    threshold: tuple[Wanted, ...] = Field((0.5,), min_length=1, max_length=20)
    mask: Literal["rle", "png", "none"] = "rle"
    unite: bool = True  # one mask for each part; false: each instance its own
    alternatives: int = Field(0, ge=0, le=20)  # other names of each mask, with probabilities

    @field_validator("object", "threshold", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        """One value may stand for a list of one."""
        return value if isinstance(value, list | tuple) else (value,)


class DetectAsk(Config):
    """`Segmenter.predict` for one picture; without `object` there is no filter."""

    model: str | None = None
    object: tuple[str, ...] = ()
    threshold: Share | None = None

    @field_validator("object", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return value if isinstance(value, list | tuple) else (value,)


@router.get("/v1/models", response_model=ModelsAnswer, tags=["models"])
async def models(request: Request) -> Any:
    """What is served, by name and version."""
    few = ("name", "version", "kind")
    found = [model.about() for model in state_of(request).models.ready]
    return {"models": [{key: each[key] for key in few} for each in found]}


@router.get(
    "/v1/models/{model}",
    tags=["models"],
    response_model=ModelAnswer,
    response_model_exclude_unset=True,
    openapi_extra=described(example=MODEL_EXAMPLE),
)
async def model(request: Request, model: str) -> Any:
    """All about one, `name` or `name@version`: its parts or classes, its weights' hash."""
    return state_of(request).models.find(model).about()


@router.post(
    "/v1/segment",
    response_model=SegmentAnswer,
    openapi_extra=described(SegmentAsk, SEGMENT_EXAMPLE),
)
async def segment(request: Request) -> Response:
    """The parts in a picture: masks, boxes (x, y, width, height in pixels) and scores."""
    return await answered(request, SegmentAsk, _segment)


async def _segment(state: State, call: Call, pixels: Pixels, ask: SegmentAsk) -> dict[str, Any]:
    model: SegmenterModel = state.models.find(ask.model, "segmenter")
    call.model = f"{model.name}@{model.version}"
    predictor = model.predictor(unite=ask.unite)
    objects = (ask.object or None) if ask.category_filter else None
    wanted = ask.threshold if "threshold" in ask.model_fields_set else (predictor.usual,)
    with parameters():
        floors = [predictor.floor(each) for each in wanted]
        allowed_labels(predictor.parts, ask.object or None)
    found = await _found(model, pixels, objects, lowest_of(floors))

    def written() -> list[dict[str, Any]]:
        kept = [predictor.kept(pixels, found, floor, ask.alternatives) for floor in floors]
        pairs = zip(wanted, kept, strict=True)
        return [{"threshold": asked, **_answer(each, ask.mask)} for asked, each in pairs]

    height, width = pixels.shape[:2]
    return {
        "model": {"name": model.name, "version": model.version},
        "width": width,
        "height": height,
        "filtered_to": list(objects or ()),
        "answers": await state.aside(written),
    }


async def _found(
    model: SegmenterModel, pixels: Pixels, objects: Objects, threshold: float | None
) -> Detections:
    found: Detections = await asyncio.wrap_future(model.submit(pixels, objects, threshold))
    return found


def _answer(found: Prediction, how: str) -> dict[str, Any]:
    return {
        "status": found.status,
        "reason": found.reason,
        "parts": [
            {
                "part": mask.name,
                "label": mask.label,
                "score": mask.score,
                "area": mask.area,
                "box": list(mask.bbox),
                "alternatives": [list(each) for each in mask.alternatives],
                "mask": mask.rle if how == "rle" else None,
                "png": _png(mask.rle) if how == "png" else None,
            }
            for mask in found.masks
        ],
    }


def _png(rle: Rle) -> str:
    """Base64 of a picture of one bit a pixel, white inside."""
    held = BytesIO()
    PillowImage.fromarray(decode(rle)).save(held, "PNG")
    return base64.b64encode(held.getvalue()).decode()


@router.post(
    "/v1/detect",
    response_model=DetectAnswer,
    openapi_extra=described(DetectAsk, DETECT_EXAMPLE),
)
async def detect(request: Request) -> Response:
    """What the network itself finds, bit for bit: for programs that use it as their own.

    `segmenter.remote.connect` speaks this. Numbers are little-endian float32, zlib, base64.
    """
    return await answered(request, DetectAsk, _detect)


async def _detect(state: State, call: Call, pixels: Pixels, ask: DetectAsk) -> dict[str, Any]:
    model: SegmenterModel = state.models.find(ask.model, "segmenter")
    call.model = f"{model.name}@{model.version}"
    with parameters():
        allowed_labels(model.segmenter.parts, ask.object or None)
    found = await _found(model, pixels, ask.object or None, ask.threshold)
    return await state.aside(packed, found)
