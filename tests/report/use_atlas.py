"""Use the atlas in Chromium as a reader would, and print what was seen, as JSON.

`use_atlas.py PAGE CHROMIUM CASES [all]`: without "all" it only computes, and looks whether cards fit. CASES: a file
with points, and for each formula to compute its name, 0 for the value or 1 for the derivative, and the parameters.
"""

import json
import os
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

COMPUTE = """([points, cases]) => cases.map(
    ([name, k, given]) => points.map(x => FORMULAS[name][k](x, ...given)).join(" ").replaceAll("Infinity", "inf")
)"""
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
NAMES = "rows => rows.filter(row => !row.hidden).map(row => row.dataset.name)"


def rows(page: Page) -> list[str]:
    return page.locator("#table tbody tr").evaluate_all(NAMES)


def lines(page: Page) -> dict[str, str]:
    """What is drawn: name and derivative -> path."""
    told = "paths => paths.map(p => [p.dataset.name + (p.dataset.derivative === '1' ? '′' : ''), p.getAttribute('d')])"
    return dict(page.locator("#chart .line").evaluate_all(told))


def styles(page: Page) -> list[str]:
    told = "paths => paths.map(p => p.getAttribute('stroke') + p.getAttribute('stroke-dasharray'))"
    return page.locator("#chart .line").evaluate_all(told)


def hash_of(page: Page) -> str:
    return page.evaluate("decodeURIComponent(location.hash)")


def search(page: Page, text: str) -> list[str]:
    page.fill("#search", text)
    found = rows(page)
    page.fill("#search", "")
    return found


def ask(page: Page, **facts: str) -> list[str]:
    for fact, value in facts.items():
        page.select_option(f"[data-fact={fact}]", value)
    found = rows(page)
    for fact in facts:
        page.select_option(f"[data-fact={fact}]", "")
    return found


def sort(page: Page, column: str) -> list[str]:
    page.locator("#table thead button", has_text=column).first.click()
    return rows(page)


def slide(page: Page, name: str, k: int, value: float) -> None:
    moved = f"e => {{ e.value = {value}; e.dispatchEvent(new Event('input')); }}"
    page.locator(f"#chosen li[data-name={name}] input[type=range]").nth(k).evaluate(moved)


def wide(page: Page) -> dict[str, object]:
    """A reader at a desk."""
    seen: dict[str, object] = {"all": rows(page), "typical": list(lines(page)), "language": page.title()}
    seen["search"] = {text: search(page, text) for text in ("softpl", "SWISH-1", "gelu new", "nosuch")}
    page.locator(".filters summary").click()
    seen["convex and bounded"] = ask(page, convex="yes", bounded="yes")
    seen["gated"] = ask(page, kind="gated")
    seen["saturates left"] = ask(page, saturates="left", kinked="yes")
    seen["by gain"], seen["by gain, falling"] = sort(page, "gain"), sort(page, "gain")
    seen["by error"] = sort(page, "error, ulp")
    page.goto(page.url.partition("#")[0] + "#identity,gelu,elu(alpha=0.5),maxout;d")
    page.wait_for_timeout(200)
    seen["of the address"], seen["card"] = lines(page), page.locator(".card:not([hidden]) h2").inner_text()
    page.check("#row-silu input")
    seen["with silu"], seen["hash"] = list(lines(page)), hash_of(page)
    before = lines(page)
    slide(page, "elu", 0, 1.5)
    slide(page, "maxout", 0, 1)
    seen["moved"] = [line for line, path in lines(page).items() if path != before[line]]
    seen["moved hash"] = hash_of(page)
    page.locator("#row-tanh .name").click()
    page.locator("#chosen li[data-name=gelu] .away").click()
    seen["without gelu"], seen["last card"] = list(lines(page)), page.locator(".card:not([hidden]) h2").inner_text()
    page.uncheck("#values")
    seen["derivatives"], seen["derivatives hash"] = list(lines(page)), hash_of(page)
    page.check("#values")
    box = page.locator("#chart").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    seen["hover"] = page.locator("#reading").inner_text()
    page.mouse.move(5, 5)
    page.focus("#chart")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    seen["keyboard"] = page.locator("#reading").inner_text()
    page.keyboard.press("Escape")
    seen["hidden"] = page.locator("#reading").is_hidden()
    for name in rows(page)[:18]:
        page.check(f"#row-{name} input")
    seen["styles"] = styles(page)
    page.click("button[value=zh]")
    seen["zh"] = {"title": page.title(), "text": page.locator("body").inner_text(), "hash": hash_of(page)}
    page.reload()
    page.wait_for_timeout(200)
    seen["again"] = {"title": page.title(), "lines": list(lines(page))}
    return seen


def main(path: Path, chromium: str, cases: list[object], everything: bool) -> dict[str, object]:
    errors, requests, seen = [], [], {"wider": {}}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in (1280, 375):
            page = browser.new_page(viewport={"width": width, "height": 900}, locale="en-US")
            page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("request", lambda request: requests.append(request.url.partition("#")[0]))
            page.goto(path.resolve().as_uri())
            page.wait_for_selector("#chart .line")
            if width == 1280:
                seen["computed"] = page.evaluate(COMPUTE, cases)
                seen |= wide(page) if everything else {}
            page.locator(".filters").evaluate("e => { e.open = true; }")
            for name in page.locator("#table tbody tr").evaluate_all(NAMES):
                page.locator(f"#row-{name} .name").evaluate("e => e.click()")
                page.locator(f"#row-{name} input").evaluate("e => e.click()")
                if over := page.evaluate(WIDER):
                    seen["wider"][f"{name} {width}"] = over
        browser.close()
    return {"errors": errors, "requests": requests, **seen}


if __name__ == "__main__":
    page, chromium, cases = sys.argv[1:4]
    seen = main(Path(page), chromium, json.loads(Path(cases).read_text()), "all" in sys.argv)
    print(json.dumps(seen), flush=True)
    os._exit(0)  # Playwright 1.65 crashes when Python 3.11 takes itself apart
