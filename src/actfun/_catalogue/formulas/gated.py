"""Gated linear units: one half of the input lets the other pass.

Each takes the gate x and the value `up`. A gate that is exactly 0 passes 0, whatever the value is.
"""

from actfun._catalogue.formulas.exponential import sigmoid, sigmoid_dx, silu, silu_dx, tanh_dx
from actfun._catalogue.formulas.gaussian import gelu, gelu_dx
from actfun._catalogue.formulas.hard import identity
from actfun._catalogue.formulas.rectified import relu, relu_dx
from actfun._catalogue.kinds import GATED
from actfun.formula import INFINITY, Parameter, absolute, activation, derivative, maximum, minimum, tanh, where


def passed(gate, up):
    """gate·up, but 0 where the gate is exactly 0 and `up` is not finite."""
    finite = where(absolute(up) < INFINITY, up, 0.0)
    return gate * where(absolute(gate) <= 0.0, finite, up)


@activation(
    kind=GATED,
    module="GLU",
    saturates=("left", "right"),
    monotonic=False,
    convex=False,
    latex=r"u\,\sigma(x)",
    reference="Dauphin et al., Language modeling with gated convolutional networks, arXiv:1612.08083",
    chinese="数值乘以门的 sigmoid。",
    used_in="conformers, wav2vec",
)
def glu(x, up):
    """A value weighted by the sigmoid of its gate."""
    return passed(sigmoid(x), up)


@derivative(glu, "x")
def glu_dx(x, up):
    return passed(sigmoid_dx(x), up)


@derivative(glu, "up")
def glu_dup(x, up):
    return sigmoid(x)


@activation(
    kind=GATED,
    module="BilinearGLU",
    monotonic=False,
    convex=False,
    latex=r"u\,x",
    reference="Shazeer, GLU variants improve Transformer, arXiv:2002.05202",
    chinese="两半的乘积：不带激活函数的门控线性单元。",
    used_in="the paper of GLU variants, which compares it",
)
def bilinear(x, up):
    """The product of both halves: a gated linear unit without an activation."""
    return passed(x, up)


@derivative(bilinear, "x")
def bilinear_dx(x, up):
    return up


@derivative(bilinear, "up")
def bilinear_dup(x, up):
    return x


@activation(
    kind=GATED,
    module="ReGLU",
    kinks=(0.0,),
    saturates=("left",),
    monotonic=False,
    convex=False,
    latex=r"u\,\max(x, 0)",
    reference="Shazeer, GLU variants improve Transformer, arXiv:2002.05202",
    chinese="数值乘以门的 ReLU。",
    used_in="Transformer Engine offers it",
)
def reglu(x, up):
    """A value weighted by the ReLU of its gate."""
    return passed(relu(x), up)


@derivative(reglu, "x")
def reglu_dx(x, up):
    return passed(relu_dx(x), up)


@derivative(reglu, "up")
def reglu_dup(x, up):
    return relu(x)


@activation(
    kind=GATED,
    module="GEGLU",
    saturates=("left",),
    monotonic=False,
    convex=False,
    latex=r"u\,x\,\Phi(x)",
    reference="Shazeer, GLU variants improve Transformer, arXiv:2002.05202",
    chinese="数值乘以门的 GELU。",
    used_in="diffusion models; with gelu_tanh as the gate, T5 1.1 and Gemma",
)
def geglu(x, up):
    """A value weighted by the GELU of its gate."""
    return passed(gelu(x), up)


@derivative(geglu, "x")
def geglu_dx(x, up):
    return passed(gelu_dx(x), up)


@derivative(geglu, "up")
def geglu_dup(x, up):
    return gelu(x)


@activation(
    kind=GATED,
    module="SwiGLU",
    saturates=("left",),
    monotonic=False,
    convex=False,
    latex=r"u\,\frac{x}{1 + e^{-x}}",
    reference="Shazeer, GLU variants improve Transformer, arXiv:2002.05202",
    chinese="数值乘以门的 SiLU。",
    used_in="Llama, Phi-3, GLM, Granite",
)
def swiglu(x, up):
    """A value weighted by the SiLU of its gate."""
    return passed(silu(x), up)


@derivative(swiglu, "x")
def swiglu_dx(x, up):
    return passed(silu_dx(x), up)


@derivative(swiglu, "up")
def swiglu_dup(x, up):
    return silu(x)


@activation(
    kind=GATED,
    module="SwiGLUOAI",
    saturates=("left", "right"),
    kinks=(7.0,),
    monotonic=False,
    convex=False,
    latex=r"(\operatorname{clip}(u, \pm c) + 1)\, h\, \sigma(\alpha h), \quad h = \min(x, c)",
    reference="OpenAI, gpt-oss-120b and gpt-oss-20b model card, arXiv:2508.10925",
    chinese="gpt-oss 的 swiglu：两半都限制在界内，数值加 1，sigmoid 更陡。",
    used_in="gpt-oss",
    alpha=Parameter(1.702, nonzero=True),
    limit=Parameter(7.0, low=0.0),
)
def swiglu_oai(x, up, alpha, limit):
    """The swiglu of gpt-oss: both halves held within a limit, 1 added to the value, a steeper sigmoid."""
    return silu(alpha * minimum(x, limit)) * (1.0 / alpha) * (1.0 + maximum(minimum(up, limit), -limit))


@derivative(swiglu_oai, "x")
def swiglu_oai_dx(x, up, alpha, limit):
    slope = silu_dx(alpha * minimum(x, limit)) * (1.0 + maximum(minimum(up, limit), -limit))
    return where(x > limit, 0.0, slope)


@derivative(swiglu_oai, "up")
def swiglu_oai_dup(x, up, alpha, limit):
    return where(absolute(up) > limit, 0.0, silu(alpha * minimum(x, limit)) * (1.0 / alpha))


@activation(
    kind=GATED,
    module="SituGLU",
    range=(-100.0, 100.0),
    saturates=("left", "right"),
    monotonic=False,
    convex=False,
    latex=r"\beta_1 \tanh\left(\frac{x}{\beta_1}\right) \sigma(x)\, \beta_2 \tanh\left(\frac{u}{\beta_2}\right)",
    reference="Transformer Engine, pull request 3402",
    chinese="两半都会饱和的 swiglu：tanh 把门限制在 beta1 以内，把数值限制在 beta2 以内。",
    used_in="Transformer Engine",
    beta1=Parameter(4.0, nonzero=True),
    beta2=Parameter(25.0, nonzero=True),
)
def situ_glu(x, up, beta1, beta2):
    """A swiglu whose halves both level out: tanh holds the gate within beta1 and the value within beta2."""
    return beta1 * tanh(x / beta1) * sigmoid(x) * (beta2 * tanh(up / beta2))


@derivative(situ_glu, "x")
def situ_glu_dx(x, up, beta1, beta2):
    z = x / beta1
    slope = tanh_dx(z) * sigmoid(x) + beta1 * tanh(z) * sigmoid_dx(x)
    return slope * (beta2 * tanh(up / beta2))


@derivative(situ_glu, "up")
def situ_glu_dup(x, up, beta1, beta2):
    return beta1 * tanh(x / beta1) * sigmoid(x) * tanh_dx(up / beta2)


def constant(x):
    """The slope of bilinear's gate, which is `identity`."""
    return 1.0


PARTS = {  # formula -> the function of x that multiplies `up`, if the second says so: what kernels compute it by
    glu: (sigmoid, True),
    glu_dx: (sigmoid_dx, True),
    glu_dup: (sigmoid, False),
    reglu: (relu, True),
    reglu_dx: (relu_dx, True),
    reglu_dup: (relu, False),
    geglu: (gelu, True),
    geglu_dx: (gelu_dx, True),
    geglu_dup: (gelu, False),
    swiglu: (silu, True),
    swiglu_dx: (silu_dx, True),
    swiglu_dup: (silu, False),
    bilinear: (identity, True),
    bilinear_dx: (constant, True),
    bilinear_dup: (identity, False),
}
GATES = {PARTS[formula][0].__name__: formula.__name__ for formula in (glu, reglu, geglu, swiglu, bilinear)}
