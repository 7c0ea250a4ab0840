"""Fused products and convolutions as standard ops."""

from __future__ import annotations

from embedrt_convert.onnx_graph.fused_pieces import Pieces

_PLAIN = ("Relu", "Sigmoid", "Softplus", "Softsign", "Tanh")
# Their parameters, in the order of FusedConv's list.
_WITH_PARAMETERS = {
    "Elu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "Selu": ("alpha", "gamma"),
    "ThresholdedRelu": ("alpha",),
}


def fused_matmul(p: Pieces) -> list[str]:
    """com.microsoft FusedMatMul, which was TransposeMatMul once."""
    a = _operand(p, p.required(0), p.attribute("transA", 0), p.attribute("transBatchA", 0))
    b = _operand(p, p.required(1), p.attribute("transB", 0), p.attribute("transBatchB", 0))
    return [p.times(p.add("MatMul", a, b), p.attribute("alpha", 1.0))]


def _operand(p: Pieces, x: str, transposed: int, batch_transposed: int) -> str:
    """Rows come first, before the axes of the batch, when `batch_transposed`; then both last axes swap."""
    if not transposed and not batch_transposed:
        return x
    perm = list(range(p.rank(x)))
    if batch_transposed:
        perm.insert(-1, perm.pop(0))
    if transposed:
        perm[-2:] = reversed(perm[-2:])
    return p.transpose(x, *perm)


def fused_gemm(p: Pieces) -> list[str]:
    parameters = {name: p.attribute(f"activation_{name}", None) for name in ("alpha", "beta", "gamma")}
    own = p.attributes("activation", *(f"activation_{name}" for name in parameters))
    y = p.add("Gemm", *p.node.input, **own)
    return [_activated(p, y, p.attribute("activation", ""), parameters)]


def fused_conv(p: Pieces) -> list[str]:
    return [_conv(p, p.required(0), p.required(1), p.input(3))]


def nhwc_conv(p: Pieces) -> list[str]:
    """com.microsoft NhwcConv: channels last, in the weights, too."""
    rank = p.rank(p.required(1))
    first, last = (0, rank - 1, *range(1, rank - 1)), (0, *range(2, rank), 1)
    y = _conv(p, p.transpose(p.required(0), *first), p.transpose(p.required(1), *first), None)
    return [p.transpose(y, *last)]


def _conv(p: Pieces, x: str, weights: str, added: str | None) -> str:
    bias = [b] if (b := p.input(2)) else []
    y = p.add("Conv", x, weights, *bias, **p.attributes("activation", "activation_params"))
    activation, values = p.attribute("activation", ""), p.attribute("activation_params", [])
    names = ("min", "max") if activation == "Clip" else _WITH_PARAMETERS.get(activation, ())
    return _activated(p, p.add_bias(y, added), activation, dict(zip(names, values, strict=False)))


def _activated(p: Pieces, x: str, activation: str, parameters: dict[str, float | None]) -> str:
    if not activation:
        return x
    if activation in _PLAIN:
        return p.add(activation, x)
    if activation == "HardSwish":
        return p.add("Mul", x, p.add("HardSigmoid", x, alpha=1 / 6, beta=0.5))
    names = ("min", "max") if activation == "Clip" else _WITH_PARAMETERS.get(activation)
    if names is None:
        p.refuse(f"its activation {activation!r} is not supported", "save the model as it was before it was optimised")
    values = [value for name in names if (value := parameters.get(name)) is not None]
    if len(values) != len(names):
        p.refuse(f"its activation {activation} lacks a parameter of {', '.join(names)}", "the file is damaged")
    if activation == "Clip":
        return p.add("Clip", x, *(p.constant(value) for value in values))
    return p.add(activation, x, **dict(zip(names, values, strict=True)))
