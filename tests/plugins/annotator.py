"""People at a real Label Studio server, as the server sees them: with passwords, no tokens."""

import re
from typing import Any, Self

import httpx


class Person:
    """Somebody logged in; draws, changes and submits by the calls the web page makes."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self.email = email
        self._http = httpx.Client(base_url=url, timeout=120, trust_env=False)
        page = self._http.get("/user/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token, page[:500]
        form = {"email": email, "password": password, "csrfmiddlewaretoken": token[1]}
        answer = self._http.post("/user/login/", data=form, headers={"Referer": url})
        assert answer.status_code == 302, f"{email} cannot log in"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"X-CSRFToken": self._http.cookies["csrftoken"]}
        headers["Referer"] = str(self._http.base_url)
        answer = self._http.request(method, path, json=body, headers=headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def next(self, project: int) -> Any:
        """The next task of a project, or None when there is nothing left to do."""
        answer = self._http.get(f"/api/projects/{project}/next")
        return answer.json() if answer.is_success else None

    def tasks(self, project: int) -> list[Any]:
        """All tasks of a project, with their annotations."""
        found = self._http.get(
            "/api/tasks", params={"project": project, "page_size": 1000, "fields": "all"}
        )
        assert found.is_success, found.text[:500]
        return list(found.json()["tasks"])

    def submit(self, task: int, result: list[Any], seconds: float = 30.0, **more: Any) -> Any:
        """Submit a new annotation of a task; `more` are further fields of it."""
        body = {"result": result, "lead_time": seconds, **more}
        return self._send("POST", f"/api/tasks/{task}/annotations/", body)

    def update(self, annotation: int, result: list[Any], seconds: float = 45.0) -> Any:
        """Change an annotation."""
        body = {"result": result, "lead_time": seconds}
        return self._send("PATCH", f"/api/annotations/{annotation}/", body)

    def turn_suggestions_into_annotations(self, project: int) -> None:
        """The Data Manager's "Create Annotations From Predictions", for all tasks."""
        chosen = {"selectedItems": {"all": True, "excluded": []}, "model_version": None}
        action = f"/api/dm/actions?id=predictions_to_annotations&project={project}"
        self._send("POST", action, chosen)

    def token(self) -> str:
        """The legacy token of their own."""
        return str(self._http.get("/api/current-user/token").json()["token"])

    def end_token(self) -> None:
        """Ask for another token: the one before is worth nothing any more."""
        self._send("POST", "/api/current-user/reset-token/")

    def picture(self, address: str) -> bytes:
        """A task's picture, as the page would fetch it."""
        answer = self._http.get(address)
        assert answer.is_success, f"{address}: {answer.status_code}"
        return answer.content


def choice(control: str, *values: str) -> dict[str, Any]:
    """The result item of a choice made in the page."""
    return {
        "from_name": control,
        "to_name": "image",
        "type": "choices",
        "value": {"choices": list(values)},
    }
