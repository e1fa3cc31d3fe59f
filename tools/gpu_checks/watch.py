"""`af.watch` on a device: what it counts there is what it counts on the CPU, and planted faults are found."""

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional

import actfun as af
from gpu_checks.run import Run, Section

STEPS, ROWS, TOLERANCE = (
    20,
    400,
    0.02,
)  # of shares and moments: half a percent of rounding, and what training makes of it
COUNTED = ("mean", "std", "z_std", "zero", "flat", "gradient_rms", "update_ratio")


def _model() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(20, 64), nn.ReLU(inplace=True), nn.Linear(64, 64), af.nn.GELU(), nn.Linear(64, 64), nn.Tanh(),
        nn.Linear(64, 5),
    )  # fmt: skip
    with torch.no_grad():
        model[0].bias[:40] = -50.0
    return model


def _train(model: nn.Module, device: str, half: bool) -> Any:
    model.to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    generator = torch.Generator().manual_seed(1)
    with af.watch(model, every=1, live=False) as watch:
        for _ in range(STEPS):
            x = torch.randn(ROWS, 20, generator=generator)
            optimizer.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=half):
                loss = functional.cross_entropy(model(x.to(device)), x[:, :5].argmax(1).to(device))
            loss.backward()
            optimizer.step()
    return watch


def check(run: Run, section: Section) -> None:
    """The same training on the device and on the CPU: the same places, numbers within `TOLERANCE`, one finding."""
    for (half,) in run.each(section, [(False,), (True,)]):
        name = "autocast" if half else "float32"
        model = _model()
        there, here = _train(copy.deepcopy(model), run.device.type, half), _train(model, "cpu", half)
        worst = 0.0
        for one, other in zip(there.records(), here.records(), strict=True):
            if (one["site"], one["step"], one["units"]) != (other["site"], other["step"], other["units"]):
                section.failures.append(f"{name}: watched {one['site']} where the CPU has {other['site']}")
            apart = [abs(one[key] - other[key]) / max(abs(other[key]), 0.05) for key in COUNTED]
            worst = max(worst, *apart)
        found = [(finding.kind, finding.site) for finding in there.findings()]
        section.rows.append({"name": name, "apart": worst, "findings": len(found)})
        if worst > TOLERANCE * (5.0 if half else 1.0):
            section.failures.append(f"{name}: watched numbers are {worst:.1%} from those of the CPU")
        if found != [("dead", "1")]:
            section.failures.append(f"{name}: found {found}, not the dead units that were planted")
