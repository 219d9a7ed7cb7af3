"""The page Inspect as somebody before it sees it, and what they press."""

from playwright.sync_api import Page

_ANOTHER = """(old) => { const { image, loading } = document.querySelector('.pi')?.dataset ?? {};
return image && image !== old && loading === undefined; }"""


def ready(page: Page) -> None:
    page.locator(".pi[data-state=ready]").wait_for()


def begin(page: Page) -> None:
    """Have the images of the round drawn that waits; coming to the page draws none."""
    page.locator(".pi-stage button", has_text="Begin").wait_for()
    page.keyboard.press("Enter")


def image(page: Page, unlike: str | None = None) -> str:
    """The id of the picture that is seen, once it is another."""
    page.wait_for_function(_ANOTHER, arg=unlike)
    return str(page.locator(".pi").get_attribute("data-image"))


def pin(page: Page, part: str, why: str) -> None:
    """Click on the name of a part, and write what is wrong there."""
    box = page.locator(".pl-badge", has_text=part).first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator(".pi-why input").fill(why)
    page.keyboard.press("Enter")


def finish(page: Page) -> None:
    """Close the round, and say yes."""
    page.locator(".pi-foot", has_text="finish").wait_for()
    page.keyboard.press("Enter")
    page.locator(".pi-dialog[open]").wait_for()
    page.keyboard.press("Enter")
