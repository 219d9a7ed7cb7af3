"""The routes of Label Studio's ML backend, at the root for the only segmenter, else for each one:

http://SERVER:8600/studio/NAME
"""

import logging
from typing import Any

import orjson
from fastapi import APIRouter, BackgroundTasks, Request
from fastapi.responses import Response

from annotate.studio.spelling.asked import asked_of
from app.serve.calls import decoded, read_json_body
from app.serve.edge import call_of
from app.serve.errors import RefusalError
from app.serve.segmenters import SegmenterModel
from app.serve.state import State, admit, state_of
from app.serve.studio.answer import Answers, empty
from app.serve.studio.asks import Event, Predict, Setup, understood
from app.serve.studio.training import training_asked
from app.serve.studio.words import words_of
from partlab.errors import PartlabError, UnknownNameError

log = logging.getLogger(__name__)
PREFIX = "/studio/{model}"
router = APIRouter(tags=["Label Studio"])
may_read = [admit("read")]


def _model(request: Request) -> SegmenterModel:
    found: SegmenterModel = state_of(request).models.find(
        request.path_params.get("model"), "segmenter"
    )
    call_of(request).model = f"{found.name}@{found.version}"
    return found


@router.post("/setup", dependencies=may_read)
async def setup(request: Request) -> dict[str, Any]:
    """Learn where a project's pictures are; tell which version answers."""
    state, model = state_of(request), _model(request)
    told = understood(Setup, await read_json_body(request))
    state.studio.homes.learn(told.project, told.hostname, told.access_token)
    return {"model_version": f"{model.name}@{model.version}"}


@router.post("/predict", dependencies=may_read)
async def predict(request: Request) -> Response:
    """Suggestions for tasks, or the part under clicks or in a box."""
    state, model = state_of(request), _model(request)
    told = understood(Predict, await read_json_body(request))
    try:
        words = words_of(told.interface, told.tasks, model.segmenter.objects)
    except PartlabError as error:
        _say_why(model, told.project, error)
        return _results(empty(told))
    answers = Answers(state, model, words, told.project)
    if told.context is None:
        return _results(await answers.suggested(told.tasks))
    return _results(await _prompted(answers, told))


async def _prompted(answers: Answers, told: Predict) -> list[Any]:
    asked = asked_of(told.context)
    if asked is None or not told.tasks:
        return empty(told)
    return [await answers.prompted(told.tasks[0], asked)]


def _say_why(model: SegmenterModel, project: str, error: PartlabError) -> None:
    log.warning(
        "%s@%s answers nothing in project %s: %s", model.name, model.version, project, error.message
    )


def _results(results: list[Any]) -> Response:
    return Response(orjson.dumps({"results": results}), media_type="application/json")


@router.get("/versions", dependencies=may_read)
async def versions(request: Request) -> dict[str, Any]:
    """What there is, the version that answers first."""
    model, ready = _model(request), state_of(request).models.ready
    named = [f"{each.name}@{each.version}" for each in ready if each.name == model.name]
    return {"versions": named[::-1]}


@router.post("/webhook", dependencies=may_read)
async def webhook(request: Request, later: BackgroundTasks) -> dict[str, Any]:
    """Whatever happened: taken note of at once; only training that is asked for has an effect.

    It costs hours of this machine, so it needs a key of the role `admin`.
    """
    event = understood(Event, await read_json_body(request))
    if event.action == "START_TRAINING":
        state, model = state_of(request), _model(request)
        try:
            state.keys.holder(request.headers, "admin")
            later.add_task(training_asked, state.models, model.name, event.project)
        except RefusalError as error:
            log.warning("%s: no training: %s", model.name, error.message)
    return {"action": event.action}


own = APIRouter(tags=["Label Studio"])


@own.get("/health")
async def health(request: Request, model: str) -> dict[str, Any]:
    """That the server lives and is to serve this model; it answers while models work."""
    state = state_of(request)
    names = {source.name for source in state.models.sources}
    if model.partition("@")[0] not in names:
        raise UnknownNameError("model", model, names)
    return {"status": "UP", "model": model}


@own.get("/picture", dependencies=may_read)
async def picture(request: Request, image: str, project: str = "") -> dict[str, Any]:
    """Whether the picture at this address of a project can be seen from here, and its size."""
    state = state_of(request)
    pixels = await _seen(state, image, project)
    return {"width": int(pixels.shape[1]), "height": int(pixels.shape[0])}


async def _seen(state: State, image: str, project: str) -> Any:
    data = await state.studio.fetch(image, project)
    return await state.aside(decoded, data, state.settings.picture_pixels)
