"""The application: what hangs where, what happens at the start and at the end."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from threading import Thread
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from app.serve import jobs_routes, recognition_routes, routes
from app.serve.answers import ErrorAnswer
from app.serve.edge import Edge, answer_errors
from app.serve.errors import RefusalError
from app.serve.jobs import Jobs
from app.serve.keys import Keys
from app.serve.limits import Rates, Repeats
from app.serve.metrics import Metrics
from app.serve.models import Models
from app.serve.settings import ServeSettings
from app.serve.source import Source
from app.serve.state import State, admit, state_of
from app.serve.studio import routes as studio_routes
from app.serve.studio.desk import Desk

log = logging.getLogger(__name__)

_SUMMARY = (
    "Part segmenters and recognition models. A picture is the body of a request, with parameters "
    "in the address, or stands in JSON in base64. Errors say what happened and what to do."
)


def create_app(
    sources: Sequence[Source],
    settings: ServeSettings | None = None,
    *,
    failed: Callable[[BaseException], None] | None = None,
    extend: Callable[[FastAPI], None] | None = None,
) -> FastAPI:
    """The server of these models, which are loaded when it starts.

    It answers `/health` from the first moment and `/ready` when every model has made a first
    prediction. `failed` is told when a model cannot be loaded; `app.state.partlab` is the state
    that all requests share. `extend` may add to the application, such as the pages of `app.web`.

    Raises:
        NotFoundError, ConfigError: a file of keys, or a folder for jobs, that is none.
    """
    settings, metrics = settings or ServeSettings(), Metrics()
    models = Models(sources, settings, metrics.batch_done)
    repeats = Repeats(settings.repeats_bytes)
    keys, rates = Keys(settings.keys), Rates(settings.rate)
    state = State(settings, models, metrics, keys, rates, repeats, Desk(settings))
    if settings.jobs is not None:
        state.jobs = Jobs(settings.jobs, settings, models)
    app = FastAPI(
        title="partlab",
        summary=_SUMMARY,
        version=version("partlab"),
        lifespan=_life(state, failed),
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        responses={422: {"model": ErrorAnswer}},
    )
    app.state.partlab = state
    if extend:
        extend(app)
    app.add_middleware(Edge, settings=settings, metrics=metrics)
    answer_errors(app)
    for each in (_own, routes.router, recognition_routes.router, jobs_routes.router):
        app.include_router(each)
    app.include_router(studio_routes.router)
    for each in (studio_routes.router, studio_routes.own):
        app.include_router(each, prefix=studio_routes.PREFIX)
    return app


def _life(state: State, failed: Callable[[BaseException], None] | None) -> Any:
    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        Thread(target=_load, args=(state, failed), name="loading", daemon=True).start()
        yield
        state.close()

    return life


def _load(state: State, failed: Callable[[BaseException], None] | None) -> None:
    try:
        state.models.load()
        if state.jobs is not None:
            state.jobs.start()
    except BaseException as error:
        if failed:
            failed(error)
        else:
            log.error("a model cannot be served: %s", error)


_own = APIRouter(tags=["server"])


@_own.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """That the server lives; it answers while models work (SV-04)."""
    return {"status": "UP", "ready": _ready(request), "version": version("partlab")}


@_own.get("/ready")
async def ready(request: Request) -> dict[str, Any]:
    """Whether every model has made a first prediction; 503 until then, and while stopping."""
    models = state_of(request).models
    if not _ready(request):
        raise RefusalError(
            503,
            f"{models.loaded} of {len(models.sources)} models are ready",
            headers={"Retry-After": "2"},
        )
    return {"models": [f"{each.name}@{each.version}" for each in models.ready]}


def _ready(request: Request) -> bool:
    state = state_of(request)
    return state.models.all_ready and not state.stopping


@_own.get("/metrics", dependencies=[admit("admin", models=False)])
async def metrics(request: Request) -> Response:
    """Counts and times, as Prometheus reads them."""
    text = state_of(request).metrics.text()
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})
