"""Activations of a model exchanged for others, in place, with what hangs on them, and undone again."""

import contextlib
import fnmatch
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from actfun._catalogue.registry import nearest
from actfun._surgery import known
from actfun._surgery.checks import WAYS, Checked, Shift, check_new, observed, try_twins
from actfun._surgery.configuration import bring_along
from actfun._surgery.install import Undo, count_hooks, install, reroute, unwind
from actfun._surgery.rules import Rule, rule
from actfun._surgery.sites import Site, Sites, check_model, check_not_quantised, listed, sites

FUNCTIONAL = ("report", "swap", "ignore")
Key = str | type[nn.Module] | nn.Module


@dataclass(frozen=True)
class Exchanged:
    """A site and what it is now. old, new: as `actfun.get` takes them. hooks: how many went along."""

    name: str
    old: str
    new: str
    kind: str
    calls: int | None
    hooks: int


class Replacement:
    """What `replace` did.

    sites: the sites that were exchanged. left: functions that are called in the code of a forward, and were not.
    parameters: new ones by name, which are in no optimizer yet. notes: what a reader should know. checked: with an
    example, what was found by running it before and after.
    """

    def __init__(
        self,
        sites: list[Exchanged],
        left: list[Site],
        parameters: dict[str, nn.Parameter],
        notes: list[str],
        checked: Checked | None,
        undo: Undo,
    ) -> None:
        self.sites, self.left, self.parameters, self.notes, self.checked = sites, left, parameters, notes, checked
        self._undo = undo

    def undo(self) -> None:
        """Put everything back as it was. A second call does nothing.

        Raises RuntimeError where something else stands by now, put there by a later exchange or by hand.
        """
        if other := list(dict.fromkeys(step.where for step in self._undo if not step.stands)):
            raise RuntimeError(f"something else stands by now at {', '.join(other)}; undo what came later first")
        unwind(self._undo)

    @property
    def verdict(self) -> str:
        """All in a line: "57 of 57 calls replaced (56 modules, 1 function); the output moved by 0.12 of its size"."""
        modules = sum(site.kind == "module" for site in self.sites)
        functions = len(self.sites) - modules
        what = " and ".join(
            f"{n} {word}{'s' * (n != 1)}" for n, word in ((modules, "module"), (functions, "function")) if n
        )
        if any(site.calls is None for site in self.sites):
            return f"{what} replaced"
        done, left = (sum(site.calls or 0 for site in those) for those in (self.sites, self.left))
        moved = math.nan if self.checked is None else self.checked.moved
        said = "has no numbers to compare" if math.isnan(moved) else f"moved by {moved:.3g} of its size"
        return f"{done} of {done + left} calls replaced ({what}); the output {said}"

    def table(self) -> Any:
        """The sites, a line each, for rich to print. Raises ImportError where rich is missing."""
        from rich.box import SIMPLE
        from rich.table import Table

        shown = Table(title=self.verdict, title_justify="left", box=SIMPLE)
        columns = self.columns()
        for heading in columns:
            shown.add_column(heading, justify="left" if heading in ("site", "old", "new") else "right")
        for cells in zip(*columns.values(), strict=True):
            shown.add_row(*cells)
        return shown

    def columns(self) -> dict[str, list[str]]:
        """The cells of the table, by heading. rms alone: what the new function makes of what came in before."""
        rows = self.sites
        found = {
            "site": [row.name for row in rows],
            "old": [row.old for row in rows],
            "new": [row.new for row in rows],
            "calls": ["" if row.calls is None else str(row.calls) for row in rows],
        }
        if any(row.hooks for row in rows):
            found["hooks"] = [str(row.hooks or "") for row in rows]
        if self.checked is not None:
            shifts = [self.checked.shifts.get(row.name) for row in rows]
            told: dict[str, Callable[[Shift], str]] = {
                "rms in": lambda s: f"{s.before.rms_in:.3g} → {s.after.rms_in:.3g}",
                "mean out": lambda s: f"{s.before.mean_out:.3g} → {s.after.mean_out:.3g}",
                "rms out": lambda s: f"{s.before.rms_out:.3g} → {s.after.rms_out:.3g}",
                "rms alone": lambda s: f"{s.alone:.3g}",
                "zeros out": lambda s: f"{s.before.zeros:.0%} → {s.after.zeros:.0%}",
            }
            found |= {heading: ["" if s is None else tell(s) for s in shifts] for heading, tell in told.items()}
        return found

    def __repr__(self) -> str:
        return "\n".join([self.verdict, *self.notes])


def replace(
    model: nn.Module,
    mapping: Mapping[Any, Key],
    *,
    where: str = "*",
    functional: str = "report",
    example: Any = None,
    share: bool = True,
) -> Replacement:
    """Exchange activations of a model for others, in place.

    mapping: old -> new, each a name in any form that `actfun.get` takes, a class or a module; of two that fit the first
    counts. A name is for its form, whatever its numbers: "leaky_relu" for every slope, "leaky_relu(0.2)" for one,
    "gelu" not for the tanh form, which "gelu*" is for too. where: a pattern of names, as fnmatch has it: "layer4.*"; a
    call goes by the name of its module too. functional: what is done with calls in code (`F.relu(x)`), which need an
    example: "report" lists them, "swap" exchanges them, "ignore" says nothing. example: what the model is called with;
    with one the exchange is checked (see below). share: whether a module that is used in several places stays one;
    False gives each name its own.

    Kept are the places and their order, what is shared, hooks, the mode, device and dtype, and `inplace` where the new
    one has it. The encoder layers of torch leave their fast path, which knows no other activation.

    Checked with an example: actfun's activations of the same functions give the same output, and are called as often as
    what they stand for, in training, in evaluation, and in evaluation without gradients; then the new ones run. Where
    that fails, all is as before, and a RuntimeError names the site.

    Raises ValueError where nothing matches, saying what the model has; TypeError for models that cannot be changed.
    """
    if not isinstance(mapping, Mapping):
        raise TypeError(f"mapping must be a dictionary, old -> new, got {type(mapping).__name__}")
    if not isinstance(where, str):
        raise TypeError(f"where must be a pattern of names, as 'layer4.*', got {where!r}")
    check_model(model)
    if functional not in FUNCTIONAL:
        raise ValueError(f"functional: {functional!r} is not known; {nearest(str(functional), FUNCTIONAL)}")
    if functional == "swap" and example is None:
        raise ValueError("functional='swap' needs an example, by which calls of functions are found")
    check_not_quantised(model)
    rules = [rule(key, value) for key, value in mapping.items()]
    if not rules:
        raise ValueError("mapping is empty; give what is to be replaced by what")
    _check_norms(model, rules, where)
    found = sites(model, example)
    chosen = {id(site): rule for site in found for rule in reversed(rules) if rule.fits(site) and _inside(site, where)}
    held = [site for site in found if id(site) in chosen and not site.is_call]
    called = [site for site in found if id(site) in chosen and site.is_call]
    left, called = ([], called) if functional == "swap" else (called, [])
    if not held and not called:
        raise ValueError(_nothing(rules, found, left, where, example))
    if held and held[0].held is model:
        raise ValueError(f"model: it is itself {held[0].activation}, in no place; put it into an nn.Sequential")

    if example is not None:
        if any(t.is_meta for t in (*model.parameters(), *model.buffers())):
            raise ValueError("example: the model is on meta, where there are no numbers to check; give no example")
        before = observed(model, example, held)
        twins = try_twins(model, example, before, held, called, chosen, share)
    undo: Undo = []
    keys = set(model.state_dict())
    try:
        new = install(model, held, lambda site: chosen[id(site)].make, share, undo)
        new |= reroute(model, called, lambda site: chosen[id(site)].make, undo)
        notes = bring_along(model, [*held, *called], chosen, found, undo)
        checked = None
        if example is not None:
            checked = check_new(before, twins, observed(model, example, held + called, new, before.calls))
    except BaseException:
        unwind(undo)
        raise
    made = {id(p) for modules in new.values() for module in modules for p in module.parameters()}
    parameters = {name: p for name, p in model.named_parameters() if id(p) in made}
    left = left if functional == "report" else []
    notes += _notes(parameters, left, found.unseen, sorted(keys - set(model.state_dict())))
    if unused := [rule.key for rule in rules if rule not in chosen.values()]:
        notes.append(f"not there: {', '.join(unused)}")
    if loose := len(made) - len({id(p) for p in parameters.values()}):
        notes.append(f"new parameters that the model does not name, for a list holds their modules: {loose}")
    if checked is not None and (missing := [said for way, said in WAYS.items() if way not in before.outputs]):
        notes.append(f"with this example it does not run in {', '.join(missing)}, which was not checked")
    if checked is not None and checked.otherwise:
        notes.append(f"called more or less often than before: {', '.join(checked.otherwise)}")
    if silent := [site for site in [*held, *called] if site.calls == 0]:
        notes.append(f"not called by the example: {listed(silent)}")
    if example is None and (lost := [s for s in held if _in_place(s.held) and not _in_place(new[id(s)][0])]):
        notes.append(f"worked in place, and the new ones do not: {listed(lost)}; an example shows whether that matters")
    exchanged = [
        Exchanged(s.name, s.activation, chosen[id(s)].new, s.kind, s.calls, count_hooks(s.held)) for s in held + called
    ]
    return Replacement(exchanged, left, parameters, notes, checked, undo)


def _notes(parameters: Iterable[str], left: list[Site], unseen: Mapping[str, str], lost: list[str]) -> list[str]:
    """What a reader should know, beside what was exchanged."""
    said = {
        "new parameters, in no optimizer yet, nor in DDP or FSDP": ", ".join(parameters),
        "left as they are": f"{listed(left)}; functional='swap' exchanges calls too" if left else "",
        "not seen": ", ".join(f"{kind} {name}" for name, kind in unseen.items()),
        "keys of the state that are gone": ", ".join(lost),
    }
    return [f"{what}: {which}" for what, which in said.items() if which]


@contextlib.contextmanager
def replaced(model: nn.Module, mapping: Mapping[Any, Key], **options: Any) -> Iterator[Replacement]:
    """`replace` for as long as a context is entered, with the same arguments."""
    done = replace(model, mapping, **options)
    try:
        yield done
    finally:
        done.undo()


def _check_norms(model: nn.Module, rules: list[Rule], where: str) -> None:
    """Raise TypeError where what is to be replaced is computed by a norm, within its operation."""
    for name, module in model.named_modules():
        if (meaning := known.meaning_inside(module)) is not None:
            site = Site(name, known.text(meaning), "module", None, meaning=meaning)
            if any(rule.fits(site) for rule in rules) and _inside(site, where):
                part = f"{name} is {type(module).__name__}, which computes {site.activation} within the norm"
                raise TypeError(f"model: {part}; put BatchNorm2d and an activation there, or leave it out by `where`")


def _in_place(module: Any) -> bool:
    return bool(getattr(module, "inplace", False))


def _inside(site: Site, where: str) -> bool:
    names = [site.name, *site.aliases]
    if site.is_call:
        names += [site.owner, site.name.replace(":", ".")]
    return any(name == where or fnmatch.fnmatchcase(name, where) for name in names)


def _nothing(rules: list[Rule], found: Sites, left: list[Site], where: str, example: Any) -> str:
    """What is said where no site is exchanged."""
    asked = " nor ".join(rule.key for rule in rules)
    inside = "" if where == "*" else f" at {where!r}"
    if left:
        return f"no module or attribute is {asked}{inside}, but {listed(left)}; functional='swap' exchanges calls too"
    elsewhere = [site for site in found if any(rule.fits(site) for rule in rules)]
    if elsewhere:
        return f"no {asked}{inside}; it is at {listed(elsewhere)}"
    more = "; it was not run: with an example calls of functions are found too" if example is None else ""
    hidden = f"; inside operations: {', '.join(found.unseen.values())}" if found.unseen else ""
    return f"no {asked}{inside}; the model has {found.summary}{more}{hidden}"
