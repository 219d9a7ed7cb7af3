"""The tabs of a project's list: what is to be done, and everything; only columns people need."""

from typing import Any

from annotate.studio.api.client import Studio
from annotate.studio.spelling.regions import TODO

_OPEN = [
    {"filter": "filter:tasks:total_annotations", "operator": "equal", "type": "Number", "value": 0},
    {"filter": f"filter:tasks:data.{TODO}", "operator": "empty", "type": "String", "value": False},
]
_TABS = {"To do": _OPEN, "All pictures": []}
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


def _tab(title: str, wanted: list[dict[str, Any]]) -> dict[str, Any]:
    """One tab: tasks for which one of the filters holds, all where there is none."""
    hidden = [f"tasks:{name}" for name in _NEEDLESS]
    return {
        "title": title,
        "type": "list",
        "target": "tasks",
        "hiddenColumns": {"explore": hidden, "labeling": hidden},
        "columnsWidth": {f"tasks:data.{TODO}": 520},
        "filters": {"conjunction": "or", "items": wanted},
    }
