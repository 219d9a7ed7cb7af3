"""The site as a whole: its events, its door, what it leaves behind, and that it opens at once."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser
from web_app import PHONE, Shown, client, go, look, opened, showing

from app.web.modules import begun
from app.web.mount import events
from app.web.page import pages
from app.web.people import Accounts, set_account
from app.web.uploads import Uploads

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def shown(colour_run: Path) -> Iterator[Shown]:
    with showing(colour_run) as running:
        yield running


def test_every_event_has_a_name_or_says_that_it_is_private(shown: Shown) -> None:
    found = list(events(shown.site.blocks))
    assert found
    for event in found:
        page = event.page or "home"
        if event.api_visibility != "private":
            assert event.api_name.startswith(f"{page}_"), (page, event.api_name)


def test_pages_have_routes_titles_and_no_two_the_same() -> None:
    paths = [page.path for page in pages()]
    assert paths[0] == ""
    assert len(set(paths)) == len(paths)
    assert all(page.title and page.about for page in pages())


def test_the_first_page_is_there_before_torch_is(colour_run: Path) -> None:
    """A process of its own: it serves the page, and says what it has imported by then."""
    program = """
import sys, urllib.request
from web_app import showing
with showing(sys.argv[1]) as running:
    text = urllib.request.urlopen(running.url + "/").read().decode()
    assert "partlab" in text
    for page in running.site.blocks.pages:
        urllib.request.urlopen(f"{running.url}/{page[0]}").read()
    print("TORCH", "torch" in sys.modules)
"""
    command = [sys.executable, "-c", program, str(colour_run)]
    path = str(Path(__file__).parents[3] / "plugins")
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**_environment(), "PYTHONPATH": path},
    )
    assert "TORCH False" in done.stdout, done.stderr


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


def test_no_folder_is_open(shown: Shown, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    with client(shown.url) as http:
        for path in (secret, "/etc/passwd", Path(__file__), Path.cwd() / "pyproject.toml"):
            assert http.get(f"/gradio_api/file={path}").status_code in (403, 404)
        assert http.get("/shown/0/../../etc/passwd").status_code == 404


def test_what_gradio_brings_along_is_off(shown: Shown) -> None:
    with client(shown.url) as http:
        for path in (
            "/monitoring",
            "/gradio_api/runs",
            "/gradio_api/mcp/",
            "/openapi.json",
            "/docs",
        ):
            assert http.get(path, follow_redirects=True).status_code in (403, 404), path
        assert http.get("/gradio_api/proxy=https://example.org/").status_code in (400, 403, 404)


def test_modules_of_pages_are_served_and_nothing_else(shown: Shown) -> None:
    script = begun("inspect/inspect.js")
    address = script.partition("'")[2].partition("'")[0]
    with client(shown.url) as http:
        answer = http.get(address)
        assert answer.headers["content-type"].startswith("text/javascript")
        assert 'from "./keys.js"' in answer.text
        assert http.get(address.replace("inspect.js", "keys.js")).status_code == 200
        for other in ("__init__.py", "..%2F__init__.py", "none.js"):
            assert http.get(address.replace("inspect.js", other)).status_code == 404
        version = address.split("/")[1]
        assert http.get(address.replace(version, "0" * 16)).status_code == 404


def test_other_machines_are_never_asked(shown: Shown) -> None:
    with client(shown.url) as http:
        answer = http.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "evil.example"}, 403),  # a name of another site that leads here
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:1"}, 200),
    ],
)
def test_without_accounts_only_by_the_machines_own_names(
    shown: Shown, headers: dict[str, str], status: int
) -> None:
    with client(shown.url) as http:
        assert http.get("/", headers=headers).status_code == status


def test_the_page_of_another_site_may_not_send_anything(shown: Shown) -> None:
    with client(shown.url) as http:
        sent = http.post(
            "/gradio_api/run/home_head",
            json={"data": []},
            headers={"Origin": "https://evil.example"},
        )
    assert sent.status_code == 403


def test_uploads_are_bounded_and_go_with_their_session(shown: Shown) -> None:
    """SV-18: after any number of uploads no more is there than may be."""
    uploads = shown.site.uploads
    before, uploads.most = uploads.most, 30_000
    try:
        with client(shown.url) as http:
            for number in range(60):
                data = number.to_bytes(2, "big") * 500
                sent = http.post("/gradio_api/upload", files={"files": (f"{number}.png", data)})
                assert sent.status_code == 200
            assert 0 < uploads.size <= 30_000 + 1000  # room is made before the next one
            (path,) = sent.json()
            other = uploads.folder / "other.png"
            other.write_bytes(b"x")
        uploads.used("one", [{"path": path}])
        uploads.used("two", [{"path": path}, {"path": str(other)}, {"path": "/etc/passwd"}])
        uploads.left("one")
        assert Path(path).is_file()  # somebody else has sent the same
        uploads.left("two")
        assert not Path(path).exists()
        assert not other.exists()
        uploads.sweep(now=time.time() + 7200)
        assert uploads.size == 0
    finally:
        uploads.most = before


def test_what_a_killed_app_left_behind_goes_at_the_next_start(tmp_path: Path) -> None:
    """Only of this user, and only when its process is gone."""
    program = """
import sys, time
from pathlib import Path
from app.web.uploads import Uploads
made = Uploads(Path(sys.argv[1]))
(made.folder / "sent.png").write_bytes(b"x")
print(made.folder, flush=True)
time.sleep(600)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as lives:
        assert lives.stdout is not None
        folder = Path(lives.stdout.readline().strip())
        for name in ("partlab-app-1-being-made", "other"):
            (tmp_path / name).mkdir()
        (tmp_path / "partlab-app-link").symlink_to(tmp_path / "other")
        Uploads(tmp_path).close()
        assert (folder / "sent.png").is_file()
        lives.kill()
    second = Uploads(tmp_path)
    assert not folder.parent.exists()
    there = {path.name for path in tmp_path.iterdir()}
    second.close()
    assert there == {
        "partlab-app-1-being-made",
        "other",
        "partlab-app-link",
        second.folder.parent.name,
    }
    assert not second.folder.parent.exists()


def test_a_file_that_is_too_large_is_refused(shown: Shown) -> None:
    with client(shown.url) as http:
        sent = http.post("/gradio_api/upload", files={"files": ("a.png", bytes(33 << 20))})
        assert sent.status_code in (413, 500), sent.text
    assert shown.site.uploads.size < 32 << 20


@pytest.mark.parametrize("size", [(1280, 850), PHONE])
def test_the_first_page_leads_to_all_others(
    shown: Shown, browser: Browser, size: tuple[int, int]
) -> None:
    with opened(browser, size) as page:
        go(page, shown.url)
        page.locator(".pl-tiles").wait_for()
        look(page, f"home-{size[0]}")
        for each in pages()[1:]:
            assert page.locator(f".pl-tiles a[href='{each.path}']").count() == 1
            assert page.locator(f".pl-head nav a[href='{each.path}']").is_visible()
        edges = page.locator(".pl-head nav a").evaluate_all(
            "a => a.map(link => link.getBoundingClientRect().right)"
        )
        assert max(edges) <= size[0]  # none has to be scrolled to
        lacking = page.locator(".pl-tiles [data-lacks]").evaluate_all(
            "a => a.map(link => link.getAttribute('href'))"
        )
        assert lacking == [each.path for each in pages()[1:] if each.needs(shown.site)]
        assert lacking
        assert "parts" not in lacking
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        page.keyboard.press("?")
        assert page.locator(".pl-help").is_visible()
        look(page, f"help-{size[0]}")
        page.keyboard.press("Escape")
        assert not page.locator(".pl-help").is_visible()


def test_light_and_dark_are_remembered(shown: Shown, browser: Browser) -> None:
    with opened(browser) as page:
        go(page, shown.url)
        page.get_by_label("Light or dark").click()
        assert page.evaluate("document.body.classList.contains('dark')")
        look(page, "home-dark")
        go(page, shown.url)
        page.wait_for_function("document.body.classList.contains('dark')")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("people") / "people.json"
    set_account(file, "kim@x.org", "annotator", PASSWORD)
    set_account(file, "lou@x.org", "lead", PASSWORD)
    return file


@pytest.fixture(scope="module")
def guarded(people: Path, colour_run: Path) -> Iterator[Shown]:
    with showing(colour_run, accounts=Accounts(people)) as running:
        yield running


def test_sign_in_and_out_in_the_browser(guarded: Shown, browser: Browser) -> None:
    with opened(browser) as page:
        page.goto(f"{guarded.url}/?word=1")
        look(page, "login")
        page.fill("#name", "kim@x.org")
        page.fill("#password", "wrong wrong")
        page.press("#password", "Enter")
        assert "no account" in page.locator("[role=alert]").inner_text()
        page.fill("#name", "kim@x.org")
        page.fill("#password", PASSWORD)
        page.press("#password", "Enter")
        page.locator(".pl-head[data-known]").wait_for()
        assert page.url == f"{guarded.url}/?word=1"  # where they wanted to go
        assert page.locator(".pl-who").inner_text() == "kim@x.org"
        (cookie,) = [c for c in page.context.cookies() if c["name"] == "partlab_session"]
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
        page.get_by_role("button", name="Sign out").click()
        page.locator("#password").wait_for()


def test_nothing_is_answered_without_a_session(guarded: Shown) -> None:
    with client(guarded.url) as http:
        for path in ("/config", "/gradio_api/info", "/gradio_api/file=/etc/passwd", "/shown/a/b"):
            assert http.get(path).status_code == 401, path
        assert http.post("/gradio_api/run/home_head", json={"data": []}).status_code == 401
        assert http.post("/gradio_api/upload", files={"files": ("a", b"a")}).status_code == 401
        sent = http.get("/", headers={"Accept": "text/html"})
        assert sent.status_code == 303
        assert sent.headers["location"] == "/login?next="


def sign_in(http: httpx.Client, name: str) -> httpx.Response:
    form = {"name": name, "password": PASSWORD}
    return http.post("/login", data=form)


def test_after_signing_in_one_stays_on_this_site(guarded: Shown) -> None:
    for wanted in ("https://evil.example", "//evil.example", "/\\evil", "\\\\evil"):
        with client(guarded.url) as http:
            form = {"name": "kim@x.org", "password": PASSWORD}
            sent = http.post("/login", params={"next": wanted}, data=form)
            assert sent.headers["location"] == "/", wanted


def test_a_role_is_asked_for_by_page_and_by_event(guarded: Shown) -> None:
    site = guarded.site
    (event,) = [e for e in events(site.blocks) if e.api_name == "home_open"]
    site._asks[event._id] = "lead"
    try:
        with client(guarded.url) as http:
            sign_in(http, "kim@x.org")
            sent = http.post("/gradio_api/run/home_open", json={"data": []})
            assert sent.status_code == 500
            assert "this is for the role lead; kim@x.org has the role annotator" in sent.text
            assert "for the role lead" in by_queue(http, event._id)
            assert "for the role lead" in by_call(http, "home_open")
            assert http.post("/gradio_api/run/home_head", json={"data": []}).status_code == 200
        with client(guarded.url) as http:
            sign_in(http, "lou@x.org")
            assert http.post("/gradio_api/run/home_open", json={"data": []}).status_code == 200
    finally:
        del site._asks[event._id]


def by_queue(http: httpx.Client, event: int) -> str:
    """What an event says that is put into the queue, as browsers do."""
    asked = {"data": [], "fn_index": event, "session_hash": "abc"}
    assert http.post("/gradio_api/queue/join", json=asked).status_code == 200
    with http.stream("GET", "/gradio_api/queue/data", params={"session_hash": "abc"}) as stream:
        return "".join(stream.iter_text())


def by_call(http: httpx.Client, name: str) -> str:
    """Likewise, as curl does."""
    number = http.post(f"/gradio_api/call/{name}", json={"data": []}).json()["event_id"]
    with http.stream("GET", f"/gradio_api/call/{name}/{number}") as stream:
        return "".join(stream.iter_text())


def test_guessing_is_slow(people: Path, colour_run: Path) -> None:
    with showing(colour_run, accounts=Accounts(people)) as running, client(running.url) as http:
        form, found, began = {"name": "kim@x.org", "password": "a guess"}, [], time.monotonic()
        while 429 not in found and len(found) < 40:
            found.append(http.post("/login", data=form).status_code)
        assert found[-1] == 429
        assert found[:10] == [401] * 10
        assert len(found) <= 11 + (time.monotonic() - began) / 6  # one more every six seconds


def test_json_of_the_site_names_no_place_of_this_machine(guarded: Shown) -> None:
    with client(guarded.url) as http:
        sign_in(http, "kim@x.org")
        text = json.dumps(http.get("/config").json())
    assert str(guarded.site.uploads.folder) not in text
    assert "/runs/" not in text
