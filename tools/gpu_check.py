"""Check and measure actfun on a GPU, in less than four minutes: `PYTHONPATH=src python tools/gpu_check.py --out DIR`.

Needs torch and, for kernels, the Triton that comes with it; no network, nothing else. Writes gpu.json and gpu.md, the
page, after each section. `--device cpu` runs all of it in small.
Exit code: 1 where a result is wrong or a check of results could not be ended, else 0; times decide nothing.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

BEGUN = time.perf_counter()  # importing torch takes seconds of the budget

# PyTorch keeps compiled graphs by the names of their operators: a folder of an earlier run has those of earlier code.
FRESH = tempfile.TemporaryDirectory(prefix="gpu-check-")
os.environ["TORCHINDUCTOR_CACHE_DIR"] = FRESH.name

import torch  # noqa: E402
from gpu_checks import corners, correct, lean, page, speed, watch  # noqa: E402
from gpu_checks.run import FULL, SMALL, Run, Section  # noqa: E402

from actfun import names  # noqa: E402
from actfun._accuracy.implementation import library_function  # noqa: E402
from actfun._catalogue.kinds import ELEMENTWISE  # noqa: E402

# Each with the most seconds that it may take, in an order such that what matters most is there if time runs out.
CHECKS: dict[str, tuple[Callable[[Run, Section], None], float]] = {
    "values and gradients": (correct.eager, 60.0),
    "special values": (corners.special, 20.0),
    "layouts": (corners.layouts, 20.0),
    "in place": (corners.in_place, 5.0),
    "learnable parameters": (corners.learnable, 10.0),
    "float64": (corners.reference, 10.0),
    "lean gradients": (lean.check, 15.0),
    "watch": (watch.check, 10.0),
    "compiled values and gradients": (correct.compiled, 60.0),
}
MEASURES: dict[str, tuple[Callable[[Run, Section], None], float]] = {
    "memory": (speed.memory, 5.0),
    "memory of steps": (lean.measure, 30.0),
    "eager": (speed.eager, 50.0),
    "GPT block": (speed.blocks, 50.0),
    "launch shapes": (speed.shapes, 10.0),
    "compiled": (speed.compiled, 110.0),
}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.json and gpu.md")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=225.0, help="for the whole run; sections end in time")
    parser.add_argument("--only", default="", help="sections, by name, separated by commas")
    parser.add_argument("--activations", default="", help="names, or all; without, those torch has")
    return parser.parse_args()


def main() -> int:
    """Run it; the exit code."""
    given = arguments()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("gpu_check: torch finds no GPU; --device cpu is a dry run", file=sys.stderr)
        return 2
    elementwise = names(ELEMENTWISE)
    chosen = tuple(
        name for name in elementwise if library_function("torch", name) is not None
    )  # all take four times as long
    if given.activations:
        chosen = elementwise if given.activations == "all" else tuple(given.activations.split(","))
    sections = CHECKS | MEASURES
    wanted = given.only.split(",") if given.only else list(sections)
    if unknown := [*set(wanted) - set(sections), *set(chosen) - set(elementwise)]:
        print(f"gpu_check: unknown: {', '.join(unknown)}; sections: {', '.join(sections)}", file=sys.stderr)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    run = Run(given.device, chosen, FULL if given.device == "cuda" else SMALL, given.seconds, BEGUN, given.out)
    run.say(f"{run.machine['device']}, torch {run.machine['torch']}, Triton {run.machine['triton']}")
    for name in wanted:
        work, seconds = sections[name]
        run.do(name, seconds, work)
        (given.out / "gpu.md").write_text(page.page(run.record()), encoding="utf-8")
    wrong = [s for name, s in run.sections.items() if name in CHECKS and (s.failures or s.error or s.unreached)]
    run.say("wrong or unfinished: see gpu.md" if wrong else "all results are right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
