"""What the pages share: templates, the charts' library, and writing a file whole."""

from __future__ import annotations

import errno
import functools
import os
import re
import tempfile
from pathlib import Path

import altair
import latex2mathml.converter
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def save(path: Path, text: str) -> None:
    """Write a page to `path`, all or nothing."""
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(path.parent))
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # mkstemp makes a private file; a report is meant to be read like any other.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@functools.cache
def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that is safe inside a script element."""
    version = re.match(r"v(\d+\.\d+)", altair.SCHEMA_VERSION)
    snippet = "window.vegaEmbed = vegaEmbed;"
    bundle = vl_convert.javascript_bundle(snippet, vl_version=version[1] if version else None)
    # Both sequences would end or disturb the script element; in a string or regular expression these mean the same.
    return re.sub(r"</(?=script)", r"<\\/", bundle, flags=re.IGNORECASE).replace("<!--", "\\x3c!--")


@functools.cache
def environment() -> Environment:
    """The templates; what is filled in is escaped."""
    made = Environment(
        loader=PackageLoader("actfun._report"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined,
    )  # fmt: skip
    # A number that JSON cannot hold would break every chart; better to stop here.
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return made


def formula(latex: str) -> Markup:
    """f(x) = a formula in LaTeX, as MathML, which browsers draw by themselves."""
    return Markup(latex2mathml.converter.convert(f"f(x) = {latex}", display="block"))
