"""What is refused when a formula is registered, by words that name what is wrong; nothing is registered then."""

import math
import subprocess
import sys
from collections.abc import Callable
from types import FunctionType

import pytest
import torch
from support import same

import actfun as af
from actfun._accuracy.error import nearest
from actfun._backends import cpu
from actfun._backends import torch as torch_ops
from actfun._backends.cpu.llvm import FLOAT, broadcast
from actfun._backends.cpu.loops import function
from actfun._backends.cpu.values import Value
from actfun._catalogue import language
from actfun._catalogue.primitives import CONTRACTS, absolute, exp, maximum, where
from actfun._catalogue.registry import Choice, Parameter, _registry, activation, derivative

FACTS = {"monotonic": True, "convex": True, "latex": "x", "reference": "a test"}
RELU = af.spec("relu").formula
WHOLE, TWO, WORDS = 2, 2.0, "two"


def branch(x):
    return x if x > 0.0 else 0.0


def loop(x):
    while x > 1.0:
        x = x * 0.5
    return x


def endless(x):
    while True:
        x = x * TWO


def sides(x):
    return where(0.0 < x < 1.0, x, 0.0)


def both(x):
    return where(x > 0.0 and x < 1.0, x, 0.0)


def otherwise(x):
    return where(not x > 0.0, x, 0.0)


def attempt(x):
    try:
        return x
    except ValueError:
        return 0.0


def power(x):
    return x**TWO


def exponential(x):
    return TWO**x


def whole(x):
    return 2 * x


def whole_argument(x):
    return where(x > 0.0, 1, x)


def whole_constant(x):
    return WHOLE * x


def whole_result(x):
    return 1


def condition_as_number(x):
    return (x > 0.0) * x


def condition_given(x):
    return x > 0.0


def chosen_by_number(x):
    return where(x, x, 0.0)


def word(x):
    return maximum(x, WORDS)


def equal(x):
    return where(x == 0.0, 1.0, x)


def unequal(x):
    return where(x != 0.0, x, 1.0)


def in_place(x):
    x += 1.0
    return x


def in_place_product(x):
    y = x * 1.0
    y *= x
    return y


def pythons_max(x):
    return max(x, 0.0)


def pythons_min(x):
    return min(x, 0.0)


def pythons_abs(x):
    return abs(x)


def pythons_sum(x):
    return sum((x, x))


def pythons_float(x):
    return float(x)


def of_math(x):
    return math.exp(x)


def of_torch(x):
    return torch.tanh(x)


def method(x):
    return x.abs()


def unknown(x):
    return softplus_of_nobody(x)  # noqa: F821


def remainder(x):
    return x % TWO


def bits(x):
    return where((x > 0.0) & (x < 1.0), x, 0.0)


def plus(x):
    return +x


def nothing(x):
    x * TWO


def two_results(x):
    return x, x


def element(x):
    return x[0]


def text(x):
    return f"{x}"


def default(x, slope=0.5):
    return x * slope


def keyword_only(x, *, slope):
    return x * slope


def several(*x):
    return x[0]


def named(x, **more):
    return x


def no_argument():
    return 1.0


def generator(x):
    yield x


def function_inside(x):
    return (lambda y: y * TWO)(x)


def list_inside(x):
    return [y * TWO for y in (x,)]


def imports(x):
    import math

    return x * math.pi


def sets_global(x):
    global LAST
    LAST = x
    return x


def calls_itself(x):
    return calls_itself(x * 0.5)


def calls_back(x):
    return called_back(x)


def called_back(x):
    return calls_back(x)


def helper(x):
    return max(x, 0.0)


def calls_helper(x):
    return helper(x) * TWO


def too_few(x):
    return where(x > 0.0, x)


def too_many(x):
    return helper_of_two(x, x, x)


def helper_of_two(x, y):
    return x * y


def by_name(x):
    return where(condition=x > 0.0, x=x, y=0.0)


def closure(slope: float) -> Callable:
    def sloped(x):
        return x * slope

    return sloped


REFUSED = {
    branch: "no branches or loops; use where",
    loop: "no branches or loops; use where",
    endless: "no branches or loops; use where",
    sides: "no branches or loops; use where",
    both: "no branches or loops; use where",
    otherwise: "no branches or loops; use where",
    attempt: "no branches or loops; use where",
    power: "no powers; multiply",
    exponential: "no powers; multiply",
    whole: "write the literal 2 as 2.0",
    whole_argument: "write the literal 1 as 1.0",
    whole_constant: "write the constant WHOLE as 2.0",
    whole_result: "write the literal 1 as 1.0",
    condition_as_number: "a condition goes to where",
    condition_given: "a condition goes to where",
    chosen_by_number: r"where takes a comparison first: where\(x > 0.0",
    word: "WORDS is 'two', neither a float nor a primitive",
    equal: "no == and !=; compare with <",
    unequal: "no == and !=; compare with <",
    in_place: "write x = x \\+ y",
    in_place_product: "write x = x \\+ y",
    pythons_max: "max is Python's own; use maximum",
    pythons_min: "min is Python's own; use minimum",
    pythons_abs: "abs is Python's own; use absolute",
    pythons_sum: "sum is Python's own; a formula has",
    pythons_float: "float is Python's own; a formula has",
    of_math: "math is <module 'math'.*neither a float nor a primitive",
    of_torch: "torch is <module 'torch'.*neither a float nor a primitive",
    method: "abs is Python's own; use absolute",
    unknown: "softplus_of_nobody is not known in",
    remainder: "unsupported operand",
    bits: "unsupported operand",
    plus: "bad operand type for unary",
    nothing: "it returns nothing",
    two_results: "is not a number",
    element: "not subscriptable",
    text: "is not a number",
    default: "without defaults",
    keyword_only: "by position, without defaults",
    several: r"without defaults .*, \* and \*\*",
    named: r"without defaults .*, \* and \*\*",
    no_argument: "a formula takes x",
    generator: "no function inside, no yield",
    imports: "no import, global and del",
    sets_global: "no import, global and del",
    calls_itself: "calls_itself: it calls itself; a formula has no recursion",
    calls_back: "called_back: calls_back: it calls itself; a formula has no recursion",
    calls_helper: "helper: max is Python's own",
    too_few: r"where takes 3 arguments by position: where\(condition, x, y\)",
    too_many: "takes 2 positional arguments but 3 were given",
    by_name: "where takes 3 arguments by position",
    closure(0.5): "it takes slope from the function around it; .* as arguments, each with a Parameter",
    max: "a formula is a function written with def, got builtin_function_or_method",
}
LISTS = {function_inside: "no function inside", list_inside: "no branches|no function inside"}  # by version of Python


@pytest.mark.parametrize(("formula", "words"), [*REFUSED.items(), *LISTS.items()], ids=lambda value: None)
def test_functions_outside_the_language_are_refused(formula, words):
    before = dict(_registry), dict(_registry["relu"].derivatives)
    for register in (language.trace, activation(**FACTS), derivative(RELU, "x")):
        with pytest.raises(ValueError, match=rf"^{formula.__name__}: .*(?:{words})"):
            register(formula)
    assert before == (_registry, _registry["relu"].derivatives)


def test_formulas_of_the_package_and_primitives_are_in_the_language():
    for name in af.names():
        for formula in (af.spec(name).formula, *af.spec(name).derivatives.values()):
            language.trace(formula)
    assert {RELU, maximum} & CONTRACTS.keys() == set()


def test_a_formula_may_be_typed_or_read_from_a_text():
    names = {"__name__": "typed", "absolute": absolute}
    exec("def text_of_softsign(x):\n    t = absolute(x)\n    return x / (1.0 + t)", names)
    language.trace(names["text_of_softsign"])


def slope_of(x, slope):
    return where(x > 0.0, x, slope * x)


def swapped(x, a, b):
    return a * x + b


def other_first(t):
    return t * TWO


def renamed(name: str) -> FunctionType:
    """A formula under a name."""
    return FunctionType(RELU.__code__, RELU.__globals__, name)


NUMBER = Parameter(0.5)


@pytest.mark.parametrize(
    ("formula", "stated", "words"),
    [
        (slope_of, {}, r"element-wise takes x and what has a Parameter, in that order, \(x\), got \(x, slope\)"),
        (slope_of, {"slop": NUMBER}, r"\(x, slop\), got \(x, slope\)"),
        (slope_of, {"slope": Choice("a", {"a": None})}, r"\(x\), got \(x, slope\)"),
        (swapped, {"b": NUMBER, "a": NUMBER}, r"\(x, b, a\), got \(x, a, b\)"),
        (other_first, {}, r"\(x\), got \(t\)"),
        (renamed("inplace_of"), {"inplace": Choice("a", {"a": None})}, "inplace is an argument that every module may"),
        (renamed("another"), {"module": "ReLU"}, "the class ReLU is relu's; state another, with module="),
        (renamed("relu"), {}, "exists already, in actfun._catalogue.formulas.rectified"),
        (renamed("<lambda>"), {}, "is no name"),
        *(
            (renamed(name), {}, f"actfun.{name} exists already, and is no activation")
            for name in (
                "nn",
                "spec",
                "get",
                "gain",
                "names",
                "Activation",
                "formula",
                "_cli",
                "_catalogue",
                "importlib",
            )
        ),
    ],
)
def test_arguments_and_names_that_would_go_wrong_later_are_refused(formula, stated, words):
    if formula.__name__ == "relu":
        formula.__module__ = "elsewhere"
    before = dict(_registry)
    with pytest.raises(ValueError, match=words):
        activation(**FACTS | stated)(formula)
    assert before == _registry


def slope_alone(slope):
    return slope


@pytest.mark.parametrize(
    ("function", "of", "argument", "words"),
    [
        (slope_of, RELU, "x", r"the derivative of relu in one of \(x\) takes just these, got .*\(x, slope\)"),
        (RELU, RELU, "alpha", r"\(x\) takes just these, got one in alpha"),
        (RELU, other_first, "x", "other_first is no activation"),
    ],
)
def test_derivatives_that_would_go_wrong_later_are_refused(function, of, argument, words):
    with pytest.raises(ValueError, match=words):
        derivative(of, argument)(function)
    assert set(_registry["relu"].derivatives) == {"x"}


def test_what_stands_for_numbers_has_no_truth():
    with function("unused", 6) as (builder, _):
        value = Value(builder, broadcast(builder, FLOAT(1.0), 4))
        for something in (value, value > 0.0):
            with pytest.raises(TypeError, match="where"):
                bool(something)


def test_a_refused_formula_leaves_all_others_alone():
    """Before any activation was used, for functional.py prepares what is registered when it is imported."""
    code = """
import torch, actfun as af
from actfun._catalogue.registry import activation
def make(slope):
    @activation(monotonic=True, convex=True, latex="x", reference="r")
    def sloped(x): return x * slope
try: make(0.5)
except ValueError: print(af.relu(torch.tensor([-1.0, 2.0])).tolist(), "sloped" in af.names())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[0.0, 2.0] False"


def identity(x):
    return x


def constant(x):
    return 0.7


def parameter(x, a):
    return a


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("formula", [identity, constant, parameter], ids=lambda formula: formula.__name__)
def test_what_is_hardly_a_formula_has_a_result_of_its_own(formula, dtype):
    x = torch.tensor([[-1.0, -0.0, 3.0]] * 9, dtype=dtype)
    numbers = (0.25,) if formula is parameter else ()
    for given in (numbers, tuple(torch.tensor(value, dtype=dtype) for value in numbers)):
        for backend in (torch_ops,) if dtype is torch.float64 else (torch_ops, cpu):
            y = backend.evaluate(formula, x, *given)
            expected = {"identity": x, "constant": torch.full_like(x, 0.7), "parameter": torch.full_like(x, 0.25)}
            assert torch.equal(y, expected[formula.__name__])
            assert torch.equal(y.signbit(), expected[formula.__name__].signbit())
            assert y.stride() == x.stride()
            assert y.data_ptr() not in (x.data_ptr(), *(v.data_ptr() for v in given if isinstance(v, torch.Tensor)))
            if backend is cpu or not given:
                times = backend.evaluate(formula, x, *given, times=torch.full_like(x, 2.0))
                assert torch.equal(times, 2.0 * expected[formula.__name__])


def shrunk(x):
    return 0.7 * x


def softsign(x):
    return x / (1.0 + absolute(x))


def softsign_dx(x, unused):
    return 1.0 / ((1.0 + absolute(x)) * (1.0 + absolute(x)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("formula", [shrunk, softsign, softsign_dx, exp], ids=lambda formula: formula.__name__)
def test_16_bits_are_right_without_a_parameter_and_where_it_is_not_used(formula, dtype):
    x = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(dtype)
    numbers = (0.3,) * (formula.__code__.co_argcount - 1)
    right = nearest(torch_ops.evaluate(formula, x.double(), *numbers), dtype)
    assert same(cpu.evaluate(formula, x, *numbers), right).all()
    assert same(cpu.evaluate(formula, x, *numbers, times=torch.ones_like(x)), right).all()
