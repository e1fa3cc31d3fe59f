"""The source of a formula, rewritten for Triton, which compiles sources: products that are added are not rounded.

A sum of a product is one machine operation, of one rounding and half the time. Which ones are is settled here, not by a
compiler, so that the interpreter and all GPUs give the same bits.
"""

import ast
import inspect
import itertools
import linecache
import textwrap
from types import FunctionType

_count = itertools.count()


class _Contraction(ast.NodeTransformer):
    """x·y + z as _fma(x, y, z), and -x as _negative(x)."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        minus = isinstance(node.op, ast.Sub)
        if not minus and not isinstance(node.op, ast.Add):
            return node
        if (product := _product(node.right)) is not None:
            x, y = product
            return _call("_fma", _negative(x) if minus else x, y, node.left)
        if (product := _product(node.left)) is not None:
            return _call("_fma", *product, _negative(node.right) if minus else node.right)
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        return _negative(node.operand) if isinstance(node.op, ast.USub) else node


def _product(node: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    return (node.left, node.right) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) else None


def _negative(x: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.USub(), x) if isinstance(x, ast.Constant) else _call("_negative", x)


def _call(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def contract(formula: FunctionType) -> FunctionType:
    """A function like the formula, whose globals have _fma and _negative, with a source that Triton finds."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(formula)))
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef)
    function.decorator_list.clear()
    text = ast.unparse(ast.fix_missing_locations(_Contraction().visit(tree))) + "\n"
    file = f"<{formula.__name__}, contracted, {next(_count)}>"
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    names: dict[str, FunctionType] = {}
    exec(compile(text, file, "exec"), formula.__globals__, names)
    return names[formula.__name__]
