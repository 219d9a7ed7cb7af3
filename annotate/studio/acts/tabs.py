"""The tabs of a project's list: what is to be done, and everything; only columns people need."""

from typing import Any

from annotate.studio.api.client import Studio
from annotate.studio.spelling.names import FIRST, TODO

_OPEN = [
    {"filter": "filter:tasks:total_annotations", "operator": "equal", "type": "Number", "value": 0},
    {"filter": f"filter:tasks:data.{TODO}", "operator": "empty", "type": "String", "value": False},
]
_TABS = {"To do": _OPEN, "All pictures": []}
_FIRST = [
    _OPEN[0],
    {"filter": f"filter:tasks:data.{FIRST}", "operator": "empty", "type": "String", "value": False},
]
_NEEDLESS = (
    *("id", "inner_id", "cancelled_annotations", "total_predictions", "annotations_results"),
    *("annotations_ids", "predictions_score", "predictions_model_versions", "predictions_results"),
    *("file_upload", "storage_filename", "created_at", "updated_at", "updated_by", "annotators"),
    *("avg_lead_time", "draft_exists"),
    *(f"data.{name}" for name in ("image_id", "object", "width", "height", "partlab", "overlay")),
)


def make_tabs(studio: Studio, project_id: int) -> None:
    """Give a project its tabs, unless it has them. The first one is shown when it is opened.

    Raises:
        StudioError: the server refuses.
    """
    there = {
        view["data"].get("title") for view in studio.pages("/api/dm/views", project=project_id)
    }
    for title, wanted in _TABS.items():
        if title not in there:
            body = {"project": project_id, "data": _tab(title, wanted)}
            studio.post(f"/api/dm/views/?project={project_id}", body)


def make_tab(studio: Studio, project_id: int, title: str) -> None:
    """Give a project a tab of the pictures to draw first, in that order, unless it has it.

    Raises:
        StudioError: the server refuses.
    """
    views = studio.pages("/api/dm/views", project=project_id)
    if title not in {view["data"].get("title") for view in views}:
        tab = _tab(title, _FIRST, every=True) | {"ordering": [f"tasks:data.{FIRST}"]}
        body = {"project": project_id, "data": tab}
        studio.post(f"/api/dm/views/?project={project_id}", body)


def _tab(title: str, wanted: list[dict[str, Any]], *, every: bool = False) -> dict[str, Any]:
    """One tab: tasks for which one of the filters holds (`every`: all of them), or all tasks."""
    hidden = [f"tasks:{name}" for name in _NEEDLESS]
    return {
        "title": title,
        "type": "list",
        "target": "tasks",
        "hiddenColumns": {"explore": hidden, "labeling": hidden},
        "columnsWidth": {f"tasks:data.{TODO}": 520},
        "filters": {"conjunction": "and" if every else "or", "items": wanted},
    }
