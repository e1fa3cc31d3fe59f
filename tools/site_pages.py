"""What MkDocs makes beside the files of docs/, as a hook of mkdocs.yml.

The start pages are the READMEs. `<!-- include FILE: HEADING -->` brings in a section of a file at the root. The
page of the activations and the atlas come from the registry.
"""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import vl_convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from actfun import names, spec
from actfun._report import atlas, curves, html, show

ROOT = Path(__file__).parent.parent
STARTS = {"index.md": "README.md", "zh.md": "README.zh.md"}  # page -> the file that it is
ATLAS = {"index.md": "[Atlas of all activations](atlas.html)", "zh.md": "[激活函数图谱](atlas.html#;lang=zh)"}
PAGES = {text: page for page, text in STARTS.items()} | {"CONTRIBUTING.md": "code.md"}  # file -> where the site has it
INCLUDE = re.compile(r"^<!-- include (\S+): (.+) -->$", flags=re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)")


def text_of(name: str) -> str:
    """A file at the root, its links as a page of the site needs them."""

    def link(found: re.Match[str]) -> str:
        return f"]({PAGES.get(found[1], found[1].removeprefix('docs/'))}"

    return LINK.sub(link, (ROOT / name).read_text(encoding="utf-8"))


def section(name: str, heading: str) -> str:
    """What stands under a heading of the second level."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text_of(name), flags=re.MULTILINE | re.DOTALL)
    if not found:
        raise PluginError(f"{name} has no section {heading!r}")
    return found[1].strip()


def curve(name: str) -> str:
    """An activation and its derivative, as an SVG in the colours of the page."""
    chart = {**curves.curve_chart(name), "width": 440, "height": 240}
    svg: str = vl_convert.vegalite_to_svg(json.dumps(chart))
    return f'<div class="curve">{svg}</div>'


def activation(name: str) -> str:
    """All about one activation."""
    facts = "\n".join(f"| {label} | {value} |" for label, value in show.facts(name).items())
    return f"""\
## {name}

{spec(name).summary}

<div class="formula">{html.formula(spec(name).latex)}</div>

{curve(name)}

| | |
| --- | --- |
{facts}

```python
{show.code(spec(name))}
```
"""


def activations() -> str:
    """The page of the activations."""
    head = (
        "# Activations\n\nEvery activation of the registry: its formula, its curve and derivative at the default "
        "parameters, and the facts that the tests hold it to. `actfun show NAME` prints the same.\n"
    )
    table = runpy.run_path(str(ROOT / "tools" / "write_tables.py"))["table"]()
    return "\n".join([head, table, *map(activation, names())])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    starts = {page: text_of(name).replace("\n\n", f"\n\n{ATLAS[page]} | ", 1) for page, name in STARTS.items()}
    made = {**starts, "activations.md": activations(), "atlas.html": atlas.atlas_page()}  # the last is no Markdown
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put sections in the place of `<!-- include FILE: HEADING -->`."""
    return INCLUDE.sub(lambda found: section(found[1], found[2]), markdown)
