"""Keeps watch over gradients in every step: whether they are finite, and whether those of earlier steps are gone."""

import math
import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils import _pytree as tree

from actfun._operators.torch_private import call_arguments, is_called_by_compiler
from actfun._watch import origin
from actfun._watch.rules import Finding
from actfun._watch.weights import sample

SMALL = 4_096  # numbers of the gradient that is asked, at most, where there is one so small
SPOILERS = ("div", "sqrt", "log", "exp")  # in the name of a call: what can be done is known

Spoken = tuple[str, str]


class Sentinel:
    """Asks one gradient, near the input: NaN and infinity come back that far. parameters: of the model, in order."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._parameters: list[nn.Parameter] = []
        self._asked: nn.Parameter | None = None
        self._inputs: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._hook: Any = None
        self.is_compiled = False  # whether torch.compile made what calls the model

    def remember(self, module: nn.Module) -> None:
        """Remember from now on what the model is called with, the call that runs now too; what is compiled is not.

        A hook would be a reason to compile again.
        """
        if self._hook is None and not self.is_compiled:
            self.is_compiled = is_called_by_compiler()
        if self._hook is None and not self.is_compiled:
            if module is self._model:
                self.called(*call_arguments())
            self._hook = self._model.register_forward_pre_hook(_Remember(self), with_kwargs=True)

    def called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep what the model is called with, without the graph that made it, which would stay in memory."""
        if all(type(x) is Tensor and x.grad_fn is None for x in args) and not kwargs:  # a tree costs 20 µs a step
            self._inputs = args, kwargs
        else:
            self._inputs = tree.tree_map(_value, (args, kwargs))

    def close(self) -> None:
        """Remember nothing, and no more."""
        if self._hook is not None:
            self._hook.remove()
        self._hook = self._inputs = self._asked = None
        self._parameters = []

    def _gradient(self) -> Tensor | None:
        """The gradient that is asked."""
        if self._asked is None or self._asked.grad is None:
            if not self._parameters:
                self._parameters = list(self._model.parameters())
            having = [p for p in self._parameters if p.grad is not None and not p.grad.is_sparse]
            small = [p for p in self._near(having) if p.numel() <= SMALL]
            self._asked = next(iter(small), min(having, key=torch.numel, default=None))
        return None if self._asked is None else self._asked.grad

    def is_finite(self, may_wait: bool) -> bool:
        """Whether gradients are finite. may_wait: whether the host may wait for a GPU; if not, they count as finite."""
        gradient: Any = self._gradient()
        if gradient is None or gradient.is_meta or not (gradient.is_cpu or may_wait):
            return True
        part = gradient if type(gradient) is Tensor and gradient.numel() <= SMALL else sample(gradient)
        if part.dtype is torch.float32 and math.isfinite(part.sum().item()):  # one operation in place of three
            return True
        return bool(torch.isfinite(part).all())

    def is_clean(self) -> bool:
        """Whether gradients of earlier passes are gone; asked at the first of a pass, which is far from the input."""
        if self._asked is not None:
            return self._asked.grad is None or not bool(sample(self._asked.grad).any())
        near = self._near(list(self._model.parameters()))
        return not any(p.grad is not None and not p.grad.is_sparse and bool(sample(p.grad).any()) for p in near)

    @staticmethod
    def _near(parameters: list[nn.Parameter]) -> list[nn.Parameter]:
        """Those nearer to the input, by their order."""
        return parameters[: len(parameters) // 2 + 1]

    def finding(self, step: int, names: dict[int, str], may_run: bool) -> Finding:
        """Where numbers stopped being finite, while weights still are. may_run: whether the pass may run once more."""
        place = origin.find(self._model, *self._inputs, names) if may_run and self._inputs is not None else None
        where = (place, place) if place else self._backward(finite=place == "")
        key = next((word for word in SPOILERS if word in (place or "").partition(" in ")[0]), None)
        values = {"where": where, "since": step, "site": where[0], "old": "", "value": 1.0}
        values["advice"] = f"non_finite_{key}" if key else "non_finite"
        found = Finding(where[0], "non_finite", 1.0, 0.0, "", "", step, rule="non_finite", values=values)
        found.advice, found.source = found.text("advice"), found.text("sources")
        return found

    def _backward(self, finite: bool) -> Spoken:
        """By the gradients alone: where all are spoilt, in the loss, else before the last parameter that has one.

        finite: whether the forward pass is known to be.
        """
        spoilt = [
            (name, not bool(torch.isfinite(sample(p.grad)).all()))
            for name, p in self._model.named_parameters()
            if p.grad is not None and not p.grad.is_sparse
        ]
        bad = [name for name, is_spoilt in spoilt if is_spoilt]
        if bad and len(bad) < len(spoilt):
            return f"the backward pass, behind {bad[-1]}", f"反向传播，{bad[-1]} 之后"
        if finite:
            return "the loss, for the model's output is finite", "损失，因为模型的输出是有限的"
        return "the loss, or the pass before it", "损失，或其之前的前向计算"


def _value(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) and x.grad_fn is not None else x


class _Remember:
    """A hook that remembers what a model was called with last; a copy of the model has one that does nothing."""

    def __init__(self, sentinel: Sentinel | None = None) -> None:
        self._sentinel = None if sentinel is None else weakref.ref(sentinel)

    def __call__(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling() or self._sentinel is None or not torch.is_grad_enabled():
            return
        if (sentinel := self._sentinel()) is not None:
            sentinel.called(args, kwargs)

    def __reduce__(self) -> Any:
        return _Remember, ()


def is_skipped(optimizer: Optimizer) -> bool:
    """Whether a scaler will have an optimizer skip the step that begins, as those do that are fused."""
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)
