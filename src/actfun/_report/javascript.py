"""Formulas as functions in JavaScript, for pages that compute their own curves.

`templates/primitives.js` has the primitives, in double precision.
"""

import re
from collections.abc import Callable
from typing import Any

from actfun._catalogue.derivation import assignments
from actfun._catalogue.language import arguments_of, trace

# Words that Python lets stand for a parameter, and JavaScript does not.
RESERVED = frozenset(
    re.findall(
        r"\w+",
        "arguments case catch const debugger default delete do enum eval export extends function implements instanceof "
        "interface let new null package private protected public static super switch this throw true false typeof var "
        "void",
    )
)


def function(formula: Callable[..., Any]) -> str:
    """A formula, with all that it calls but the primitives, as a function of its arguments."""
    arguments = arguments_of(formula)
    statements, result, _ = assignments(trace(formula, inline=True), arguments)

    def rename(text: str) -> str:
        for argument in RESERVED.intersection(arguments):
            text = re.sub(rf"\b{argument}\b", f"{argument}_", text)
        return text

    body = "".join(f"const {rename(statement)}; " for statement in statements)
    return f"({rename(', '.join(arguments))}) => {{ {body}return {rename(result)}; }}"
