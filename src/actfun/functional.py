"""The activations as functions of tensors; importing this module makes those of the package."""

from actfun.behaviours.base import function_of as function_of
from actfun.formulas import NAMES
from actfun.registry import spec

for _name in NAMES:  # before anything compiled can call them
    function_of(spec(_name))
