"""What every input format is read into: a checkpoint, ready to be lowered."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from embedrt._retrieval_config import MultiVectorConfig, SparseConfig
from embedrt._text_config import Pad


@dataclass(frozen=True)
class Pooling:
    """Rows -> one vector for each text; `kind` is a choice of the op `pool`.

    Without `include_prompt` the rows of a prompt's tokens do not count.
    """

    kind: str
    include_prompt: bool = True


@dataclass(frozen=True)
class Dense:
    """Linear [N, K] with an activation of the op `linear`, on the pooled vector, and what is added to it.

    `residual` is None, or "input" (the vector itself; N = K), or a projection [N, K] of it.
    """

    name: str
    weight: NDArray[Any]
    bias: NDArray[Any] | None
    activation: str
    residual: NDArray[Any] | str | None = None


@dataclass(frozen=True)
class Normalize:
    """Scale the vector to unit length."""


Module = Pooling | Dense | Normalize


@dataclass(frozen=True)
class Classifier:
    """Logits of `count` classes; `labels` names them where the checkpoint does.

    `activation` makes scores of them: "sigmoid", "softmax" or "none". `typed` says that the model is told the types of
    tokens: those of the two texts of a pair.
    """

    count: int
    labels: tuple[str, ...] | None
    activation: str
    typed: bool


@dataclass(frozen=True)
class Splade:
    """One weight for each token of the vocabulary: log(1 + relu) of the greatest logit of any row."""


@dataclass(frozen=True)
class MultiVector:
    """One vector for each token: the modules are applied to rows."""


@dataclass(frozen=True)
class TokenHeads:
    """Beside the vector of the modules, a weight and a vector for each token: BGE-M3's. Their names are its files'."""

    weights: Dense
    vectors: Dense


Head = Classifier | Splade | MultiVector | TokenHeads


@dataclass(frozen=True)
class Text:
    """How text becomes token ids: `tokenizer` is a definition of the whitelisted schema, as JSON.

    `pad` is set where the model is defined on a fixed number of ids, with the padding attended to. `sparse` and
    `multi_vector` say what becomes of weights and vectors of tokens, where the model has such.
    """

    tokenizer: str
    max_tokens: int
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity: str = "cosine"
    pad: Pad | None = None
    sparse: SparseConfig | None = None
    multi_vector: MultiVectorConfig | None = None


@dataclass(frozen=True)
class Image:
    """How a picture becomes pixels, and pixels the network's input: scale · byte + offset for each of R, G, B.

    `height` and `width` are those of the pixels that the program takes. `resize` is None, or {"mode": "shortest_edge",
    "size": int, "max": int | None}, or {"mode": "fixed", "height": int, "width": int}; `resample` a filter's name in
    lower case; `crop` None or {"height": int, "width": int}. `logit_scale` and `logit_bias` turn cosines into logits,
    in a model of texts and images.
    """

    height: int
    width: int
    resize: Mapping[str, Any] | None
    resample: str
    crop: Mapping[str, int] | None
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    labels: tuple[str, ...] | None = None
    similarity: str = "cosine"
    logit_scale: float | None = None
    logit_bias: float | None = None


@dataclass(frozen=True)
class Graph:
    """An ONNX graph: the file at `path`, and the same in plain float32 operators, an onnx.ModelProto.

    `inputs` says what each input is for, by its name. `lossy` says that the file does not compute in float32 as it is:
    its weights are in fewer bits. `about` are facts for the model file's `about` section. `output` is the one to take.
    A text has at most `max_tokens` ids; `pad`, where it is known, fills up shorter ones of a batch and is in no text.
    """

    path: pathlib.Path
    standard: Any
    inputs: Mapping[str, str]
    lossy: bool
    about: Mapping[str, Any]
    output: str = ""
    max_tokens: int = 0
    pad: int | None = None


@dataclass(frozen=True)
class Checkpoint:
    """One model, as its files have it; nothing is transformed yet.

    `tensors` are the encoder's own, of float32, float16 or (positions) integers, by their names in the checkpoint.
    `notes` are remarks for the user: what was assumed because the files do not say. `classifier` asks for the logits of
    a classifier on top, where there is one; `task` for the adapter of that task; `arch` is the "library:name" of
    weights whose files do not say it. `graph` is set instead of `tensors` where the network itself comes as a graph.
    `head` makes something else of an encoder's rows than one vector for each text; None for an embedding model.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, NDArray[Any]]
    text: Text | None
    modules: tuple[Module, ...]
    licence: str
    notes: tuple[str, ...] = ()
    image: Image | None = None
    classifier: bool = False
    task: str | None = None
    arch: str | None = None
    graph: Graph | None = None
    head: Head | None = None

    @property
    def typed(self) -> bool:
        """Whether calls say the types of tokens."""
        return isinstance(self.head, Classifier) and self.head.typed
