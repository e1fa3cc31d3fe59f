"""The activations as functions of tensors; importing this module makes those of the package."""

from actfun._catalogue.formulas import NAMES
from actfun._catalogue.registry import spec
from actfun._operators.behaviours.base import function_of as function_of

for _name in NAMES:  # before anything compiled can call them
    function_of(spec(_name))
