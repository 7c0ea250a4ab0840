"""Rotary tables and orders of columns, beside the rotations that they stand for."""

import numpy as np
import pytest

from embedrt_convert import reference
from embedrt_convert.archs import _rotary
from embedrt_convert.errors import ConversionError
from embedrt_convert.reference_types import Segments

POSITIONS, HEADS = 9, 2


def scores(columns, turned, interleaved):
    """(by definition, by the op on columns in its order): q · k of every two positions, [heads, rows, rows]."""
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, POSITIONS, HEADS, columns)).astype(np.float32)
    turns = _rotary.frequencies(100.0, turned)

    def turn(x):
        """The first `turned` columns as complex numbers, each times e^(i · position · turn)."""
        first, second = (slice(0, turned, 2), slice(1, turned, 2))
        if not interleaved:
            first, second = slice(0, turned // 2), slice(turned // 2, turned)
        angles = np.arange(POSITIONS)[:, None] * turns.astype(np.float64)
        made = (x[..., first] + 1j * x[..., second]) * np.exp(1j * angles)[:, None]
        y = x.astype(np.float64)
        y[..., first], y[..., second] = made.real, made.imag
        return y

    def products(q, k):
        return np.einsum("ihc,jhc->hij", q, k)

    expected = products(turn(q), turn(k))
    ordered = [_rotary.paired(x.reshape(POSITIONS, -1).T.copy(), columns, turned, interleaved).T for x in (q, k)]
    cos, sin = _rotary.rotation(turns, POSITIONS, columns)
    made = reference.rope(
        [np.concatenate([*ordered, np.zeros_like(ordered[0])], axis=1).astype(np.float64)],
        {"cos": cos.data, "sin": sin.data},
        {"heads": HEADS, "kv_heads": 0},
        Segments(np.array([0, POSITIONS])),
    )
    a, b, _ = (part.reshape(POSITIONS, HEADS, columns) for part in np.split(made, 3, axis=1))
    return expected, products(a, b)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(("columns", "turned"), [(8, 8), (8, 4), (12, 6), (10, 2), (2, 2)])
def test_orders_of_columns(columns, turned, interleaved):
    expected, made = scores(columns, turned, interleaved)
    np.testing.assert_allclose(made, expected, atol=1e-5)


def test_whole_halves_stay_where_they_are():
    rows = np.arange(24, dtype=np.float32)
    np.testing.assert_array_equal(_rotary.paired(rows, 8, 8, False), rows)


def test_angles_are_those_of_float32():
    cos, _ = _rotary.rotation(_rotary.frequencies(10000.0, 64), 8192, 64)
    exact = np.outer(np.arange(8192), 10000.0 ** (-np.arange(0, 64, 2) / 64))
    error = np.abs(cos.data[:, :32] - np.cos(exact))
    # The angles of position 8,191 have an ulp of 2⁻¹¹: float32 must show, or the angles are not what models have.
    assert 1e-5 < error.max() < 1e-3


def test_odd_heads_are_refused():
    with pytest.raises(ConversionError, match="heads of 7 columns"):
        _rotary.frequencies(10000.0, 7)


def test_theta():
    assert _rotary.theta({}, 5.0) == 5
    assert _rotary.theta({"rope_theta": 7, "rope_scaling": None}, 5.0) == 7
    assert _rotary.theta({"rope_theta": 7, "rope_parameters": {"rope_type": "default", "rope_theta": 9.5}}, 5.0) == 9.5


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"rope_scaling": {"type": "ntk", "factor": 2.0}}, "rope_scaling of type 'ntk'"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_parameters of type 'yarn'"),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "partial_rotary_factor 0.5"),
        ({"partial_rotary_factor": 0.25}, "partial_rotary_factor 0.25"),
        ({"rope_theta": "much"}, "rope_theta"),
    ],
)
def test_other_rotations_are_refused_by_name(config, name):
    with pytest.raises(ConversionError, match=name):
        _rotary.theta(config, 1e4)
