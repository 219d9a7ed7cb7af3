"""The app elsewhere: at /ui of a model server, with a server's models, behind a reverse proxy."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from colour_segmenter import draw
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from gradio_client import Client, handle_file
from playwright.sync_api import Browser
from served import PacedSegmenter, serving, source_of
from typer.testing import CliRunner
from web_app import Shown, go, listening, look, opened, showing

from app.cli.main import app as command
from app.serve.app import create_app
from app.serve.source import Source
from app.web.door import Proxy
from app.web.given import Given
from app.web.mount import mount
from app.web.people import Accounts, set_account
from app.web.run import create_web
from app.web.shelf import LocalShelf, MountedShelf, ServerShelf
from app.web.site import Site
from partlab.errors import BackendUnavailableError


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given") / "photos"
    draw(folder / "cat" / "one.png", "cat", 3, (320, 240))
    return folder


@contextmanager
def mounted(*sources: Source, given: Given) -> Iterator[Shown]:
    sites: list[Site] = []

    def extend(app: FastAPI) -> None:
        sites.append(Site(given, MountedShelf(app.state.partlab.models)))
        mount(app, sites[0], "/ui")

    app = create_app(sources, extend=extend)
    with listening(app) as url, httpx.Client(base_url=url, timeout=60) as http:
        while http.get("/ready").status_code != 200:
            pass
        yield Shown(url, sites[0])


def test_at_ui_of_the_model_server(colour_run: Path, photos: Path, browser: Browser) -> None:
    source = Source.of_run(f"seg={colour_run}")
    with mounted(source, given=Given.of([photos])) as running:
        with opened(browser) as page:
            go(page, f"{running.url}/ui/parts")
            page.get_by_role("button", name="one.png").click()
            page.locator(".pl-table tbody tr").first.wait_for()
            assert "cat:ear" in page.locator(".pl-table").inner_text()
            page.get_by_text("The call that does it again").click()
            assert f"'{running.url}/v1/segment?model=seg" in page.locator(".pl-calls").inner_text()
            look(page, "mounted")
            page.get_by_role("link", name="partlab", exact=True).click()
            page.locator(".pl-tiles").wait_for()
            assert page.url == f"{running.url}/ui/"
        with httpx.Client(base_url=running.url) as http:
            assert http.get("/health").json()["status"] == "UP"
            assert http.get("/v1/models").json()["models"][0]["name"] == "seg"
            assert "content-security-policy" not in http.get("/health").headers


def test_pages_of_a_server_that_is_elsewhere(
    colour_run: Path, photos: Path, browser: Browser
) -> None:
    with serving(Source.of_run(f"seg={colour_run}")) as server:
        shelf = ServerShelf(server.url, patience=1.0)
        with showing(photos, shelf=shelf, server=server.url) as running:
            with opened(browser) as page:
                go(page, f"{running.url}/parts")
                page.get_by_role("button", name="one.png").click()
                page.locator(".pl-table tbody tr").first.wait_for()
                page.get_by_text("The call that does it again").click()
                text = page.locator(".pl-calls").inner_text()
                assert f"'{server.url}/v1/segment?model=seg&object=cat&threshold=0.5'" in text
            assert server.metric("partlab_batch_images_count", model="seg") > 0


def test_a_server_that_has_gone_is_told(photos: Path, browser: Browser) -> None:
    with serving(source_of(PacedSegmenter())) as server:
        url = server.url
    shelf = ServerShelf(url, patience=0.1)
    with pytest.raises(BackendUnavailableError):
        shelf.segmenters()
    with showing(photos, shelf=shelf, server=url) as running, opened(browser) as page:
        go(page, f"{running.url}/parts")
        note = page.locator("#parts-step [role=alert]")
        note.wait_for()
        assert "no model server answers" in note.inner_text()
        look(page, "server-away")
        page.get_by_role("button", name="one.png").click()
        toast = page.locator(".toast-body").first
        toast.wait_for()
        assert "no model server answers" in toast.inner_text()


def proxy_before(target: str, prefix: str, headers: dict[str, str]) -> FastAPI:
    """A reverse proxy that takes a prefix off and says who signs in, as nginx would."""
    app, client = FastAPI(), httpx.AsyncClient(base_url=target, timeout=60)

    @app.api_route(f"{prefix}/{{path:path}}", methods=["GET", "POST", "HEAD"])
    async def passed(path: str, request: Request) -> Any:
        query = f"?{request.url.query}" if request.url.query else ""
        sent = {k: v for k, v in request.headers.items() if k not in ("host", "x-remote-user")}
        sent |= {
            "x-forwarded-host": request.headers["host"],
            "x-forwarded-proto": "http",
            **headers,
        }
        asked = client.build_request(
            request.method, f"/{path}{query}", headers=sent, content=await request.body()
        )
        answer = await client.send(asked, stream=True)
        kept = {
            k: v
            for k, v in answer.headers.items()
            if k not in ("content-length", "transfer-encoding", "content-encoding", "connection")
        }

        async def body() -> AsyncIterator[bytes]:
            async for piece in answer.aiter_bytes():
                yield piece

        return StreamingResponse(body(), answer.status_code, headers=kept)

    return app


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    set_account(tmp_path / "people.json", "kim@x.org", "inspector", None)
    return Accounts(tmp_path / "people.json")


def test_below_a_path_of_a_proxy_that_signs_people_in(
    colour_run: Path, photos: Path, browser: Browser, accounts: Accounts
) -> None:
    """SV-20."""
    given = Given.of([colour_run, photos])
    shelf = LocalShelf(given.segmenters, given.recognition)
    site = Site(given, shelf, accounts, Proxy("127.0.0.1"))
    with listening(create_web(site), root_path="/lab") as inner:
        known = proxy_before(inner, "/lab", {"x-remote-user": "kim@x.org"})
        with listening(known) as url, opened(browser) as page:
            go(page, f"{url}/lab/parts")
            assert page.locator(".pl-who").inner_text() == "kim@x.org"
            page.get_by_role("button", name="one.png").click()
            page.locator(".pl-table tbody tr").first.wait_for()
            seen = "document.querySelector('.pl-stage img')?.naturalWidth == 320"
            page.wait_for_function(seen)
            page.get_by_role("link", name="partlab", exact=True).click()
            page.locator(".pl-tiles").wait_for()
            assert page.url == f"{url}/lab/"
        stranger = proxy_before(inner, "/lab", {"x-remote-user": "mallory"})
        with listening(stranger) as url, httpx.Client(base_url=url) as http:
            answer = http.get("/lab/", headers={"Accept": "text/html"})
            assert answer.status_code == 403
            assert "mallory has no account here" in answer.text


def test_a_header_is_believed_from_the_proxy_only(colour_run: Path, accounts: Accounts) -> None:
    named = {"X-Remote-User": "kim@x.org"}
    with (
        showing(colour_run, accounts=accounts, proxy=Proxy("10.9.8.7")) as running,
        httpx.Client(base_url=running.url) as http,
    ):
        for headers in (named, {**named, "X-Forwarded-For": "10.9.8.7"}):
            assert http.get("/", headers=headers).status_code == 403


def test_work_that_waits_is_stopped_with_the_button(photos: Path, browser: Browser) -> None:
    """SV-19, in two browsers: the second waits for the first, and stops waiting."""
    slow = PacedSegmenter(batch=4.0)

    class Slow(LocalShelf):
        def segmenter(self, name: str) -> Any:
            return slow

    given = Given.of([photos])
    colour = {"seg": photos}  # a name; `Slow` has the model
    shelf = Slow(colour, {})
    shelf._kept.get("known seg", lambda: _known(slow))
    with showing(*given.pictures.values(), shelf=shelf) as running:
        with opened(browser) as first, opened(browser) as second:
            for page in (first, second):
                go(page, f"{running.url}/parts")
                page.get_by_role("button", name="one.png").wait_for()
            first.get_by_role("button", name="one.png").click()
            first.locator(".pl-step", has_text="looking for parts").wait_for()
            second.get_by_role("button", name="one.png").click()
            second.locator(".pl-step", has_text=re.compile("waiting: 1 before you")).wait_for()
            look(second, "waiting")
            second.get_by_role("button", name="Stop").click()
            second.locator("#parts-step", has_text="stopped").wait_for()
            second.wait_for_timeout(800)
            assert running.site.work.waiting == 0
            assert second.locator(".toast-body").count() == 0
            first.locator(".pl-result").wait_for()
        assert (running.site.work.waiting, running.site.work.running) == (0, 0)


def _known(segmenter: Any) -> Any:
    from app.web.shelf import Known

    return Known("seg", "seg", segmenter.parts)


def test_other_machines_are_let_in_with_accounts_only(colour_run: Path, photos: Path) -> None:
    for words in (
        ["app", str(colour_run), "--host", "0.0.0.0"],
        ["serve", str(colour_run), "--ui", "--host", "0.0.0.0", "--open"],
    ):
        done = CliRunner().invoke(command, words)
        assert done.exit_code == 2
        assert "nobody has to sign in" in done.stderr
    done = CliRunner().invoke(command, ["app", str(colour_run), "--proxy", "127.0.0.1"])
    assert done.exit_code == 2
    done = CliRunner().invoke(command, ["app", str(photos / "none")])
    assert done.exit_code == 3


def test_gradio_client_by_the_servers_address(colour_run: Path, photos: Path) -> None:
    with mounted(Source.of_run(f"seg={colour_run}"), given=Given.of([photos])) as running:
        client = Client(f"{running.url}/ui/", verbose=False)
        _, _, data = client.predict(
            handle_file(str(photos / "cat" / "one.png")),
            "", "seg", "cat", "", 0.5, "", True, False,
            api_name="/parts_segment",
        )  # fmt: skip
        assert [part["part"] for part in data["parts"]] == ["cat:ear"]
