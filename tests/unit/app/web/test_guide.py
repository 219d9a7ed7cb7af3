"""docs/guide/app.md is true: its program runs against an app, and its addresses are there."""

import re
import subprocess
import sys
from pathlib import Path

from colour_segmenter import draw, write_colour_run
from web_app import showing

from app.web.page import pages

PAGE = Path(__file__).resolve().parents[4] / "docs" / "guide" / "app.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_programs_run(tmp_path: Path) -> None:
    run = write_colour_run(tmp_path / "seg")
    draw(tmp_path / "cat.png", "cat", 3, (320, 240))
    with showing(run) as running:
        for program in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
            text = program.replace("http://127.0.0.1:8700", running.url)
            assert text != program
            command = [sys.executable, "-c", text]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            assert "cat:ear 0.99" in done.stdout


def test_every_page_has_its_words() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for page in pages():
        assert page.path == "" or f"\n## {page.title}\n" in text, page.title
    pictures = re.findall(r"\]\((images/[^)]+)\)", text)
    assert all((PAGE.parent / picture).is_file() for picture in pictures)
