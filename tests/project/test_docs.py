"""The documentation as `make docs` builds it: complete, without warnings, and without a network."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support import ROOT

import actfun as af

pytest.importorskip("mkdocs")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.xdist_group("docs")  # one site for all
LOADING = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}


def build(root: Path, site: Path) -> subprocess.CompletedProcess:
    """What `make docs` does, elsewhere."""
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def copy(tmp_path) -> Path:
    """The sources of the documentation, to be spoiled."""
    for name in ("docs", "tools", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "README.md", "README.zh.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


class Resources(HTMLParser):
    """What a browser would load for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        value = dict(attrs).get(LOADING.get(tag, ""))
        self.found += [value] if value else []


def foreign(text: str, style: bool = False) -> list[str]:
    """The resources of a page, or of a style sheet, that are not files beside it."""
    if style:
        resources = re.findall(r"(?:@import\s+|url\()[\"']?([^\"')\s]+)", text)
    else:
        parser = Resources()
        parser.feed(text)
        resources = parser.found
    return [resource for resource in resources if re.match(r"(https?:)?//", resource)]


def test_no_page_loads_anything_from_elsewhere(site):
    pages, styles = sorted(site.rglob("*.html")), sorted(site.rglob("*.css"))
    assert len(pages) >= 14
    assert {page.name: found for page in pages if (found := foreign(page.read_text(encoding="utf-8")))} == {}
    assert {style.name: found for style in styles if (found := foreign(style.read_text(encoding="utf-8"), True))} == {}


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ('<p><img alt="x" src="https://localhost/x.png"></p>', False),
        ("<script async src=//localhost/x.js></script>", False),
        ('<link rel="stylesheet" href="http://localhost/x.css">', False),
        ("@import 'https://localhost/x.css';", True),
        ("p { background: url(//localhost/x.png) }", True),
    ],
)
def test_a_foreign_resource_is_caught(text, style):
    assert len(foreign(text, style)) == 1


def test_every_warning_is_an_error(copy):
    faults = {
        "docs/install.md": "\n[x](nofile.md)\n",
        "README.md": "\n[x](#noanchor)\n",
        "docs/reference.md": "\n[actfun.noname][]\n",
        "docs/forgotten.md": "# In no menu\n",
    }
    for file, line in faults.items():
        with (copy / file).open("a", encoding="utf-8") as page:
            page.write(line)
    done = build(copy, copy / "site")
    assert done.returncode != 0
    assert [
        word for word in ("nofile.md", "#noanchor", "actfun.noname", "forgotten.md") if word not in done.stderr
    ] == []
    assert done.stderr.count("WARNING") == len(faults)


def test_a_section_that_is_missing_is_an_error():
    pages = runpy.run_path(str(ROOT / "tools" / "site_pages.py"))
    with pytest.raises(pages["PluginError"], match="no section 'Nowhere'"):
        pages["on_page_markdown"]("<!-- include CONTRIBUTING.md: Nowhere -->")


def test_the_reference_has_every_public_name(site):
    anchors = set(re.findall(r'id="(actfun[\w.]*)"', (site / "reference.html").read_text(encoding="utf-8")))
    assert {f"actfun.{name}" for name in af.__all__ if not name.startswith("__")} <= anchors
    assert {f"actfun.nn.{name}" for name in dir(af.nn)} <= anchors


def test_the_page_of_activations_has_all_of_them(site):
    page = (site / "activations.html").read_text(encoding="utf-8")
    assert [name for name in af.names() if f'id="{name}"' not in page] == []
    assert page.count("<math") == page.count('<div class="curve"><svg') == len(af.names())


def test_the_guide_names_every_extra():
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    guide = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", guide, flags=re.MULTILINE)) == set(known)


def test_examples_of_the_guide_give_what_they_show(tmp_path):
    """The page's own examples follow the README's."""
    section = runpy.run_path(str(ROOT / "tools" / "site_pages.py"))["on_page_markdown"]
    page = tmp_path / "quickstart.md"
    page.write_text(section((ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")), encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "doctest", page], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    assert page.read_text(encoding="utf-8").count(">>> ") > 15


def test_the_picture_of_accuracy_shows_what_the_readme_says():
    errors = runpy.run_path(str(ROOT / "tools" / "draw_pictures.py"))["errors"]
    assert max(point["ulp"] for point in errors("actfun")) <= 1.0
    assert max(point["ulp"] for point in errors("torch") if point["x"] < -6.0) > 1e6  # it has lost the left tail


BROWSE = """
import json, os, sys
from pathlib import Path
from playwright.sync_api import sync_playwright

site, chromium = Path(sys.argv[1]), sys.argv[2]
seen = {"errors": [], "elsewhere": [], "wider": {}}
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    for width in (1280, 375):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("pageerror", lambda error: seen["errors"].append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(site.as_uri()) else seen["elsewhere"].append(r.url))
        for path in sorted({*site.glob("*.html")} - {site / "404.html"}):  # that one is for servers
            page.goto(path.as_uri())
            page.wait_for_timeout(200)
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            seen["wider"].update({f"{path.name} {width}": over} if over else {})
        if width == 1280:
            page.wait_for_timeout(1000)
            page.click("[data-md-component=search-query]")
            page.keyboard.type("softplus")  # key by key: the page listens to keys
            page.wait_for_selector(".md-search-result__item", timeout=600)
            seen["found"] = page.locator(".md-search-result__item").count()
    browser.close()
print(json.dumps(seen), flush=True)
os._exit(0)  # Playwright 1.65 crashes when Python 3.11 takes itself apart
"""


def browse(site: Path) -> dict:
    done = subprocess.run([sys.executable, "-c", BROWSE, site, CHROMIUM], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_pages_from_a_disk_fit_a_telephone_and_can_be_searched(site):
    seen = browse(site)
    assert (seen["errors"], seen["elsewhere"], seen["wider"]) == ([], [], {})
    assert seen["found"] > 1


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_browser_notices_a_broken_page(site, tmp_path):
    shutil.copytree(site, tmp_path / "site")
    for page in (tmp_path / "site").glob("*.html"):
        page.unlink() if page.name != "install.html" else None
    page = tmp_path / "site" / "install.html"
    spoiled = "<p style='width:2000px'>x</p><img src='https://localhost/x.png'><script>nosuch()</script></article>"
    page.write_text(page.read_text(encoding="utf-8").replace("</article>", spoiled), encoding="utf-8")
    seen = browse(tmp_path / "site")
    assert any("nosuch" in error for error in seen["errors"])
    assert set(seen["elsewhere"]) == {"https://localhost/x.png"}
    assert set(seen["wider"]) == {"install.html 375", "install.html 1280"}
