"""The activations as functions of tensors; importing this module makes those of the package."""

from actfun import formulas  # noqa: F401  (fills the registry)
from actfun.behaviours.base import function_of as function_of
from actfun.registry import names, spec

for _name in names():  # before anything compiled can call them
    function_of(spec(_name))
