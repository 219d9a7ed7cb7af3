"""`/v1/jobs`: many pictures at once, fetched later."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from app.serve.answers import JobAnswer
from app.serve.calls import REPEAT, read_json_body
from app.serve.edge import call_of
from app.serve.errors import RefusalError
from app.serve.jobs import JobAsk, Jobs
from app.serve.state import admit, state_of
from partlab.config import validate

router = APIRouter(tags=["bulk jobs"], prefix="/v1/jobs", dependencies=[admit("admin")])

_EXAMPLE = {"model": "seg", "folder": "photos/2026", "thresholds": {"default": 0.5}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": JobAsk.model_json_schema(), "example": _EXAMPLE}
        },
    }
}


def _jobs(request: Request) -> Jobs:
    jobs = state_of(request).jobs
    if jobs is None:
        raise RefusalError(
            501, "this server takes no bulk jobs", hint="start it with --jobs FOLDER"
        )
    return jobs


@router.post("", status_code=202, response_model=JobAnswer, openapi_extra=_BODY)
async def submit(request: Request, response: Response) -> Any:
    """Label a folder under one of the server's roots, or pictures sent here in base64.

    With the header Idempotency-Key the same request again is the same job, also after a restart.
    """
    jobs, call = _jobs(request), call_of(request)
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content != "application/json":
        raise RefusalError(415, f"a job is JSON, not {content or 'unknown'}")
    ask = validate(JobAsk, await read_json_body(request), "the request")
    key = request.headers.get(REPEAT, "")
    record, new = await asyncio.to_thread(jobs.submit, ask, call.who, key)
    response.status_code = 202 if new else 200
    call.model = record.model
    return jobs.told(record)


@router.get("", response_model=list[JobAnswer])
async def listed(request: Request) -> Any:
    """All jobs, the newest first."""
    jobs = _jobs(request)
    return await asyncio.to_thread(lambda: [jobs.told(each) for each in jobs.all()])


@router.get("/{number}", response_model=JobAnswer)
async def one(request: Request, number: str) -> Any:
    """How far a job is."""
    jobs = _jobs(request)
    return await asyncio.to_thread(jobs.told, jobs.get(number))


@router.get("/{number}/result", response_class=FileResponse)
async def result(request: Request, number: str) -> FileResponse:
    """The Parquet file of a finished job: one row for each image, masks as run lengths."""
    path = _jobs(request).result(number)
    return FileResponse(path, media_type="application/vnd.apache.parquet", filename="parts.parquet")


@router.delete("/{number}", response_model=JobAnswer)
async def cancel(request: Request, number: str) -> Any:
    """End a job; what it has made stays on the server."""
    jobs = _jobs(request)
    return await asyncio.to_thread(lambda: jobs.told(jobs.cancel(number)))
