"""Where numbers stop being finite: a pass is run once more, and the first call that spoils them is named."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils import _pytree as tree

from actfun._surgery.sites import untouched

MEANT = ("masked_fill", "full", "where", "triu", "tril", "fill", "zeros", "ones", "empty", "new_", "log_softmax")


class _Spoiler(TorchFunctionMode):
    """Notes the first call that makes NaN of numbers without it, and the first that makes an infinity of finite ones.

    An infinity may be meant, as in the masks of attention, and then makes no NaN.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self.names, self.stack = names, [""]
        self.nan: str | None = None
        self.infinity: str | None = None

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.nan is not None:
            return function(*args, **kwargs)
        given = [x for x in tree.tree_leaves((args, kwargs)) if _counts(x)]
        before = [bool(torch.isfinite(x).all()) for x in given], [bool(torch.isnan(x).any()) for x in given]
        y = function(*args, **kwargs)
        made = [x for x in tree.tree_leaves(y) if _counts(x)]
        name = resolve_name(function) or getattr(function, "__name__", "a call")
        if any(bool(torch.isnan(x).any()) for x in made) and not any(before[1]):
            self.nan = self._told(name)
        elif self.infinity is None and all(before[0]) and not any(word in name for word in MEANT):
            if any(bool(torch.isinf(x).any()) for x in made):
                self.infinity = self._told(name)
        return y

    def _told(self, name: str) -> str:
        short = name.replace("torch.nn.functional", "F").replace("torch._C._nn", "F").replace("torch.Tensor", "Tensor")
        return f"{short} in {self.stack[-1] or 'the model'}"


def _counts(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point() and not x.is_meta


@torch.no_grad()
def find(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], names: Mapping[int, str]) -> str | None:
    """The call in a forward pass that makes numbers that are not finite; "" where none does, None if it cannot be run.

    The model and the random numbers stay as they are.
    """
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            return f"the weights {name}"
    if any(_counts(x) and not bool(torch.isfinite(x).all()) for x in tree.tree_leaves((args, kwargs))):
        return "the model's input"
    spoiler = _Spoiler(names)

    def enter(module: nn.Module, inputs: Any) -> None:
        spoiler.stack.append(names.get(id(module), spoiler.stack[-1]))

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        spoiler.stack.pop()

    hooks = register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)
    try:
        with untouched(model), spoiler:
            output = model(*args, **kwargs)
    except Exception:  # it is the user's code that runs, in a way that they did not ask for
        return None
    finally:
        for hook in hooks:
            hook.remove()
    if spoiler.nan is None and spoiler.infinity is not None:
        leaves = [x for x in tree.tree_leaves(output) if _counts(x)]
        if all(bool(torch.isfinite(x).all()) for x in leaves):
            return ""  # it was meant
    return spoiler.infinity or spoiler.nan or ""
