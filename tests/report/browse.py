"""Open a page in Chromium, use it as a reader would, and print what was seen, as JSON: `browse.py PAGE CHROMIUM`."""

import json
import os
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright


def curve(page: Page, name: str) -> str:
    return page.locator(f"#curve-{name} path[aria-roledescription='line mark']").first.get_attribute("d") or ""


def moved(page: Page, name: str) -> bool:
    """Whether a slider changes its curve."""
    before = curve(page, name)
    page.locator(f"#slider-{name}").evaluate("e => { e.value = e.max; e.dispatchEvent(new Event('input')); }")
    page.wait_for_timeout(300)
    return before != curve(page, name)


def look(page: Page) -> dict[str, object]:
    """What is on the page as it is."""
    charts = page.locator(".chart")
    return {
        "charts": charts.count(),
        "drawn": sum(charts.nth(k).locator("svg path").count() > 0 for k in range(charts.count())),
        "wider": page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"),
        "title": page.title(),
        "text": page.locator("body").inner_text(),
    }


def main(path: Path, chromium: str) -> dict[str, object]:
    seen: dict[str, object] = {"errors": [], "requests": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in (1280, 375):
            page = browser.new_page(viewport={"width": width, "height": 900}, locale="en-US")
            page.on("console", lambda m: seen["errors"].append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda error: seen["errors"].append(str(error)))
            page.on("request", lambda request: seen["requests"].append(request.url[:60]))
            page.goto(path.resolve().as_uri())
            page.wait_for_selector(".chart svg")
            page.wait_for_timeout(500)
            seen[f"{width}"] = look(page)
            sliders = page.locator("input[type=range]")
            names = [sliders.nth(k).get_attribute("id").removeprefix("slider-") for k in range(sliders.count())]
            seen["moved"] = {name: moved(page, name) for name in names}
            if page.locator("button[value=zh]").count():
                page.click("button[value=zh]")
                seen[f"{width} zh"] = look(page)
        browser.close()
    return seen


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])), flush=True)
    os._exit(0)  # Playwright 1.65 crashes when Python 3.11 takes itself apart
