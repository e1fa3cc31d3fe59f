"""The shape of the code: which way imports run, where each library is imported, which names are public."""

import ast
import math
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy
import pytest
from support import ROOT

import actfun as af
from actfun._accuracy.compiled import CompiledCall
from actfun._accuracy.survey import Portion
from actfun._bench.cells import Cell
from actfun._bench.compiled import Compiled, Graphs
from actfun._bench.steps import Step
from actfun._bench.timing import Timing
from actfun._claims import verdicts
from actfun._compare.references import Reference
from actfun._compare.trial import Trial
from actfun._runs import digest
from actfun._runs.job import Job

SOURCE = ROOT / "src" / "actfun"

# Each part, the longest one that a path begins with, may import from those before it, and from itself.
LAYERS = (
    ("_version", "_once", "_catalogue/primitives", "_catalogue/kinds"),
    ("_catalogue/language",),
    ("_catalogue/derivation", "_catalogue/facts", "_catalogue/notation"),
    ("_catalogue/registry",),
    ("_catalogue/sides",),
    ("_catalogue/names",),
    ("formula",),
    ("_catalogue/formulas",),
    ("__init__",),
    ("_backends",),
    ("_operators/torch_private", "_operators/quadrature"),
    ("_operators/dispatch",),
    ("_operators/autograd", "_operators/arguments"),
    ("_operators/op", "_operators/maxout"),
    ("_operators/feed_forward",),
    ("_operators/behaviours",),
    ("_operators/functional", "_operators/layers"),
    ("_operators/modules", "_operators/gains"),
    ("nn",),
    ("_surgery",),
    ("_lean",),
    ("_watch",),
    ("_runs",),
    ("_accuracy",),
    ("_compare",),
    ("_claims",),
    ("_bench",),
    ("_report",),
    ("_studies",),
    ("callbacks",),
    ("_cli",),
    ("__main__",),
)
LEVEL = {part: k for k, layer in enumerate(LAYERS) for part in layer}
ONLY_IN = {
    "llvmlite": {
        f"_backends/cpu/{name}.py" for name in ("jit", "llvm", "values", "lookups", "loops", "kernels", "pieces")
    },
    "triton": {"_backends/gpu/__init__.py"},
    "mpmath": {"_backends/mpmath.py", "_backends/derivation.py", "_claims/exact_smooth.py"},
    "sympy": {"_backends/derivation.py"},
    "altair": {
        f"_report/{name}.py" for name in ("charts", "html", "curves", "bench", "memory", "data_charts", "watch_charts")
    },
    "ray": {"_runs/cluster.py"},
    "sklearn": {f"_compare/{name}.py" for name in ("folders", "metrics", "reading", "references", "tables", "tasks")},
    "skrub": {"_compare/tables.py"},
    "PIL": {"_compare/folders.py"},
    "torchvision": {"_compare/images.py", "_studies/swap.py"},
    "transformers": {"_bench/networks.py", "_studies/swap.py", "callbacks.py"},
    "scipy": {"_compare/statistics.py", "_compare/several.py"},
}
STANDARD_LIBRARY_ONLY = (
    "_catalogue/*.py",
    "formula.py",
    "_once.py",
    "_backends/arithmetic.py",
    "_backends/cpu/double.py",
    "_backends/cpu/trigonometry.py",
    "_catalogue/formulas/*.py",
    "_backends/lowering.py",
    "_version.py",
)


def imports(text: str) -> list[str]:
    """The modules that a file imports, anywhere in it; `from actfun import x` is actfun.x where x is a module."""
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.append(full if _is_module(full) else node.module or "")
    return found


def _is_module(name: str) -> bool:
    if not name.startswith("actfun."):
        return False
    path = SOURCE / Path(*name.split(".")[1:])
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def part(path: str) -> str:
    """Of a file, or of a module's name with slashes; rooms themselves are empty."""
    place = path.removesuffix(".py")
    return max((known for known in LEVEL if f"{place}/".startswith(f"{known}/")), key=len, default=place)


def room(path: str) -> str:
    return path.split("/")[0].removesuffix(".py")


def wrong_directions(path: str, text: str) -> list[str]:
    here, wrong = LEVEL.get(part(path), 0), []
    for name in imports(text):
        if name.split(".")[0] == "actfun":
            other = part(name.partition(".")[2].replace(".", "/") or "__init__")
            if LEVEL.get(other, 0) > here or (LEVEL.get(other, 0) == here and other != part(path)):
                wrong.append(name)
    return wrong


def misplaced(path: str, text: str) -> list[str]:
    tops = {name.split(".")[0] for name in imports(text)}
    return [top for top, places in ONLY_IN.items() if top in tops and path not in places]


def not_standard(text: str) -> list[str]:
    return [n for n in imports(text) if n.split(".")[0] not in {*sys.stdlib_module_names, "actfun"}]


FILES = {path.relative_to(SOURCE).as_posix(): path.read_text() for path in sorted(SOURCE.rglob("*.py"))}


@pytest.mark.parametrize("path", FILES)
def test_imports_run_one_way_and_libraries_stay_in_their_place(path):
    assert wrong_directions(path, FILES[path]) == []
    assert misplaced(path, FILES[path]) == []


@pytest.mark.parametrize("path", [p for p in FILES if any(Path(p).match(pattern) for pattern in STANDARD_LIBRARY_ONLY)])
def test_the_formulas_need_the_standard_library_only(path):
    assert not_standard(FILES[path]) == []


def test_the_checks_of_imports_catch_planted_faults():
    assert wrong_directions("_catalogue/registry.py", "from actfun import nn") == ["actfun.nn"]
    assert wrong_directions("_operators/modules.py", "import actfun._operators.gains") == ["actfun._operators.gains"]
    assert misplaced("_operators/op.py", "def f():\n    import llvmlite") == ["llvmlite"]
    assert not_standard("import torch") == ["torch"]


def reached(rooms: tuple[str, ...], files: dict[str, str]) -> set[str]:
    """The rooms whose code takes part where code of these does."""
    found, waiting = set(), list(rooms)
    while waiting:
        place = waiting.pop()
        if place not in found:
            found.add(place)
            for path in (path for path in files if room(path) == place):
                names = [name.split(".") for name in imports(files[path]) if name.startswith("actfun.")]
                waiting += [name[1] for name in names if name[1] != "_runs"]
    return found


JOBS = [Reference, CompiledCall, Portion, Trial, verdicts.Run, Cell, Step, Compiled, Graphs]


def test_a_digest_covers_all_code_that_decides_a_result():
    assert {job for job in Job.__subclasses__() if job.__module__.startswith("actfun.")} <= {*JOBS, Timing}
    for job in JOBS:
        assert reached((job.__module__.split(".")[1],), FILES) & {*digest.STUDIES, *digest.RUNNING} == {*job.studies}, (
            job
        )
    planted = {**FILES, "_compare/trial.py": FILES["_compare/trial.py"] + "\nfrom actfun._report import html\n"}
    assert "_report" in reached(("_claims",), planted)
    assert {path for path in FILES if "/" not in path} & {*digest.RUNNING} == {"__main__.py", "callbacks.py"}


def test_importing_the_package_loads_no_torch():
    code = "import sys, actfun.formula; sys.exit(any(m in sys.modules for m in ('torch', 'llvmlite', 'numpy')))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_exist_and_are_documented():
    assert set(af.names()) <= set(af.__all__)
    for name in af.__all__:
        if not name.startswith("__"):
            assert getattr(af, name).__doc__, name
    assert {"nn", "names", "spec", "get", "gain"} <= set(dir(af))


def test_an_installed_package_has_all_its_files():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["actfun"]
    others = {path for path in SOURCE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert {path for pattern in patterns for path in SOURCE.glob(pattern)} == others


def test_a_new_activation_is_written_in_one_place_and_works_everywhere():
    """What CONTRIBUTING tells people to do, done in a process of its own."""
    code = '''
import torch, actfun as af
from actfun.formula import absolute, activation, derivative

@activation(range=(-1.0, 1.0), saturates=("left", "right"), zero_centred=True, monotonic=True, convex=False,
            latex="x / (1 + |x|)", reference="a test")
def elliott(x):
    """A tanh without an exponential."""
    return x / (1.0 + absolute(x))

@derivative(elliott, "x")
def elliott_dx(x):
    return 1.0 / ((1.0 + absolute(x)) * (1.0 + absolute(x)))

x = torch.randn(1000, requires_grad=True)
for f in (af.elliott, af.nn.Elliott(), af.get("elliott")):
    y, theirs = f(x), torch.nn.functional.softsign(x)
    torch.testing.assert_close(y, theirs)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x), torch.autograd.grad(theirs.sum(), x))
assert "elliott" in af.names() and af.gain("elliott") > 1
'''
    subprocess.run([sys.executable, "-c", code], check=True)


NUMBER = r"-?\d+\.\d+(?:e-\d+)?"


@pytest.fixture(scope="module")
def fitted() -> dict[str, list[str]]:
    """What tools/fit_coefficients.py prints: the numbers of each file."""
    script = ROOT / "tools" / "fit_coefficients.py"
    output = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        if line.endswith(".py"):
            numbers = found.setdefault(line.removeprefix("# "), [])
        elif not line.startswith("#"):
            numbers += re.findall(NUMBER, line)
    return found


def missing(text: str, numbers: list[str]) -> set[str]:
    return set(numbers) - set(re.findall(NUMBER, text))


def test_coefficients_are_those_of_the_script(fitted):
    assert set().union(*(missing(FILES[path], numbers) for path, numbers in fitted.items())) == set()
    torch_operations = {f"_backends/{name}.py" for name in ("torch", "torch32", "torch_tails")}
    kernels = {f"_backends/{name}.py" for name in ("cpu/double", "cpu/trigonometry", "arithmetic")}
    assert set(fitted) == kernels | torch_operations | {"_catalogue/formulas/rational.py"}
    assert min(map(len, fitted.values())) >= 4


def one_ulp_up(path: str, number: str) -> str:
    """The neighbour of a number, in the dtype of the file that holds it."""
    if path not in ("_backends/torch.py", "_backends/cpu/double.py", "_backends/cpu/trigonometry.py"):
        return repr(float(numpy.nextafter(numpy.float32(number), numpy.float32(math.inf))))
    return repr(math.nextafter(float(number), math.inf))


def test_a_coefficient_that_is_off_by_one_ulp_is_caught(fitted):
    """Each of them, in its turn."""
    for path, numbers in fitted.items():
        for number in numbers:
            planted = re.sub(
                rf"(?<![\d.]){re.escape(number.lstrip('-'))}", one_ulp_up(path, number.lstrip("-")), FILES[path]
            )
            assert planted != FILES[path]
            assert missing(planted, numbers) == {number}, (path, number)
