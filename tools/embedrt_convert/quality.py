"""How far a file's vectors or logits are from those of the checkpoint, measured on the golden inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.errors import ConversionError

# Below these the conversion fails: an fp32 file that differs is a bug, and an int8 one this far off is of no use.
_LEAST_COSINE = {"fp32": 0.99999, "int8": 0.9}
# Below this an int8 conversion says so.
_DOUBTFUL = 0.98
# The same of logits, of their differences in units of their spread.
_MOST_APART = {"fp32": 1e-3, "int8": 0.5}
_DOUBTFUL_APART = 0.2


@dataclass(frozen=True)
class Quality:
    """Cosines to the float program's vectors, over `inputs` texts or pictures; `worst_input` has the worst of them."""

    quantisation: str
    inputs: int
    cosine_mean: float
    cosine_worst: float
    max_abs_difference: float
    worst_input: str
    what: str  # the inputs
    against: str  # what the vectors are compared with

    def section(self) -> dict[str, Any]:
        """The report section. Rounded: the reference's last digits depend on the machine's linear algebra."""
        return {
            "quantisation": self.quantisation,
            "inputs": self.inputs,
            "cosine_mean": round(self.cosine_mean, 6),
            "cosine_worst": round(self.cosine_worst, 6),
            "max_abs_difference": float(f"{self.max_abs_difference:.1e}"),
            "measured_on": self.what,
            "compared_with": self.against,
        }

    def summary(self) -> str:
        return (
            f"cosine to fp32 over {self.inputs} {self.what}: mean {self.cosine_mean:.5f}, worst {self.cosine_worst:.5f}"
        )

    def warning(self) -> str | None:
        if self.quantisation == "fp32" or self.cosine_worst >= _DOUBTFUL:
            return None
        return f"the cosine of {self.worst_input[:40]!r} is below {_DOUBTFUL}; --quant fp32 keeps full precision"

    def check(self) -> None:
        """Raises ConversionError when the file is too far from its checkpoint to be written."""
        least = _LEAST_COSINE[self.quantisation]
        if not self.cosine_worst >= least:
            advice = "this is a bug" if self.quantisation == "fp32" else "try --quant fp32"
            raise ConversionError(
                f"the {self.quantisation} model is too far from its checkpoint: a cosine of "
                f"{self.cosine_worst:.5f}, where at least {least} is expected, for {self.worst_input[:40]!r}; {advice}"
            )


@dataclass(frozen=True)
class LogitsQuality:
    """Differences to the float program's logits, in units of their spread: of one number there is no cosine.

    The spread is the standard deviation of a label's logits over the inputs, in the quadratic mean over the labels. An
    input's difference is that of the label for which it is largest.
    """

    quantisation: str
    inputs: int
    spread: float  # of the logits
    apart_mean: float
    apart_worst: float
    max_abs_difference: float
    worst_input: str
    against: str

    def section(self) -> dict[str, Any]:
        return {
            "quantisation": self.quantisation,
            "inputs": self.inputs,
            "logits_spread": float(f"{self.spread:.3g}"),
            "difference_mean": float(f"{self.apart_mean:.2g}"),
            "difference_worst": float(f"{self.apart_worst:.2g}"),
            "max_abs_difference": float(f"{self.max_abs_difference:.1e}"),
            "measured_on": "texts and pairs",
            "compared_with": self.against,
        }

    def summary(self) -> str:
        return (
            f"difference of the logits from fp32 over {self.inputs} texts and pairs, in units of their spread: mean "
            f"{self.apart_mean:.4f}, worst {self.apart_worst:.4f}"
        )

    def warning(self) -> str | None:
        if self.quantisation == "fp32" or self.apart_worst <= _DOUBTFUL_APART:
            return None
        return (
            f"the logits of {self.worst_input[:40]!r} are off by more than {_DOUBTFUL_APART} of their spread; "
            "--quant fp32 keeps full precision"
        )

    def check(self) -> None:
        """Raises ConversionError when the file is too far from its checkpoint to be written."""
        most = _MOST_APART[self.quantisation]
        if not self.apart_worst <= most:
            advice = "this is a bug" if self.quantisation == "fp32" else "try --quant fp32"
            raise ConversionError(
                f"the {self.quantisation} model is too far from its checkpoint: logits off by {self.apart_worst:.4f} "
                f"of their spread, where at most {most} is expected, for {self.worst_input[:40]!r}; {advice}"
            )


def measure_logits(
    quantisation: str,
    names: Sequence[str],
    reference: NDArray[np.float64],
    logits: NDArray[np.float32],
    against: str = "the reference",
) -> LogitsQuality:
    """Compare the file's logits [items, labels] with those `against`; `names` are what messages call the items."""
    differences = np.abs(reference - logits).max(axis=1)
    spread = float(np.sqrt(reference.var(axis=0).mean()))
    # Logits that are the same for all inputs have no spread; then nothing may differ.
    apart = np.divide(differences, spread, out=np.where(differences > 0, np.inf, 0.0), where=spread > 0)
    worst = int(np.argmax(apart))
    return LogitsQuality(
        quantisation=quantisation,
        inputs=len(names),
        spread=spread,
        apart_mean=float(apart.mean()),
        apart_worst=float(apart[worst]),
        max_abs_difference=float(differences.max()),
        worst_input=names[worst],
        against=against,
    )


def measure(
    quantisation: str,
    names: Sequence[str],
    reference: NDArray[np.float64],
    vectors: NDArray[np.float32],
    what: str = "texts",
    against: str = "the reference",
) -> Quality:
    """Compare the file's vectors [items, columns] with those `against`; `names` are what messages call the items."""
    cosines = cosine(reference, vectors.astype(np.float64))
    worst = int(np.argmin(cosines))
    return Quality(
        quantisation=quantisation,
        inputs=len(names),
        cosine_mean=float(cosines.mean()),
        cosine_worst=float(cosines[worst]),
        max_abs_difference=float(np.abs(reference - vectors).max()),
        worst_input=names[worst],
        what=what,
        against=against,
    )


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row by row; two zero vectors are alike, one is unlike anything. At most 1."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~a.any(axis=1) & ~b.any(axis=1)
    result: NDArray[np.float64] = np.where(both_zero, 1.0, 0.0)
    nonzero = lengths > 0
    result[nonzero] = np.minimum((a * b).sum(axis=1)[nonzero] / lengths[nonzero], 1)
    return result
