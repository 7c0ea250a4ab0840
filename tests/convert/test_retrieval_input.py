"""Folders of sparse and late-interaction models: what is refused by name, and what their files come to."""

from __future__ import annotations

import json

import numpy as np
import pytest
from checkpoints import HIDDEN, VOCABULARY, bert_config, bert_tensors
from safetensors.numpy import save_file

from embedrt_convert import archs
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import huggingface
from embedrt_convert.inputs.checkpoint import MultiVector, Splade, TokenHeads
from embedrt_convert.sources import Folder

ST = "sentence_transformers"
SPLADE = [("", f"{ST}.sparse_encoder.models.MLMTransformer"), ("1", f"{ST}.sparse_encoder.models.SpladePooling")]
LATE = [
    ("", f"{ST}.base.modules.transformer.Transformer"),
    ("1", f"{ST}.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask"),
    ("2", f"{ST}.base.modules.normalize.Normalize"),
]
TOKEN_LEVEL = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}


def write(folder, *, modules=None, config=None, settings=None, tensors=None, **files):
    """A folder with BERT's encoder; `files` are JSON by their names, "__" for a folder and without ".json"."""
    stated = {
        "config": config or bert_config(),
        "tokenizer_config": {"tokenizer_class": "BertTokenizer"},
        **({"modules": [{"path": path, "type": kind} for path, kind in modules]} if modules else {}),
        **({"config_sentence_transformers": settings} if settings else {}),
        **files,
    }
    for name, value in stated.items():
        path = folder / f"{name.replace('__', '/')}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    save_file({**bert_tensors(), **(tensors or {})}, folder / "model.safetensors")
    return folder


def read(folder, **options):
    return huggingface.read(Folder(folder), **options)


def head_of_words():
    rng = np.random.default_rng(1)
    at = "cls.predictions"
    shapes = {
        f"{at}.transform.dense.weight": (HIDDEN, HIDDEN),
        **{f"{at}.transform.{name}": (HIDDEN,) for name in ("dense.bias", "LayerNorm.weight", "LayerNorm.bias")},
        f"{at}.bias": (len(VOCABULARY),),
    }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_splade(tmp_path):
    settings = {"model_type": "SparseEncoder", "max_active_dims": 12}
    words = head_of_words()
    checkpoint = read(write(tmp_path, modules=SPLADE, settings=settings, tensors=words, **{"1__config": {}}))
    assert checkpoint.head == Splade()
    assert (checkpoint.text.sparse.max_active_dims, checkpoint.text.similarity) == (12, "dot")
    program = archs.lower(checkpoint)
    assert [each.op for each in program.instructions[-3:]] == ["linear", "pool", "activate"]
    assert list(program.outputs) == ["sparse_embedding"]


def test_a_masked_language_model_on_request(tmp_path):
    folder = write(tmp_path, tensors=head_of_words())
    assert read(folder).head is None
    assert read(folder, head="splade").head == Splade()
    with pytest.raises(ConversionError, match="the head 'colbert' is not known; known: splade"):
        read(folder, head="colbert")
    with pytest.raises(ConversionError, match=r"no weight cls\.predictions\.transform\.dense\.weight"):
        archs.lower(read(write(tmp_path), head="splade"))


@pytest.mark.parametrize(
    ("pooling", "problem"),
    [
        ({"pooling_strategy": "sum"}, "pooling_strategy 'sum'; only 'max'"),
        ({"activation_function": "log1p_relu"}, "activation_function 'log1p_relu'; only 'relu'"),
    ],
)
def test_sparse_poolings_that_are_refused(tmp_path, pooling, problem):
    with pytest.raises(ConversionError, match=problem):
        read(write(tmp_path, modules=SPLADE, **{"1__config": pooling}))


def test_sparse_modules_that_are_refused(tmp_path):
    more = [*SPLADE, ("2", f"{ST}.models.Normalize")]
    with pytest.raises(ConversionError, match="it has MLMTransformer, SpladePooling, Normalize"):
        read(write(tmp_path, modules=more))
    auto = [SPLADE[0], ("1", f"{ST}.sparse_encoder.models.SparseAutoEncoder")]
    with pytest.raises(ConversionError, match="it has MLMTransformer, SparseAutoEncoder"):
        read(write(tmp_path, modules=auto, settings={"model_type": "SparseEncoder"}))
    with pytest.raises(ConversionError, match="max_active_dims 0"):
        settings = {"model_type": "SparseEncoder", "max_active_dims": 0}
        read(write(tmp_path, modules=SPLADE, settings=settings, **{"1__config": {}}))


def test_a_family_without_a_masked_language_model(tmp_path):
    checkpoint = read(write(tmp_path), head="splade")
    family = type("Family", (), {"lower": staticmethod(archs.families()["bert"].lower)})
    with pytest.raises(ConversionError, match="a sparse encoder of model_type 'bert' is not supported"):
        archs._heads.lower_head(family, family.lower(checkpoint), checkpoint)


def late(folder, mask=None, transformer=None, **options):
    files = {"1__config": mask or {}, "2__config": TOKEN_LEVEL, "sentence_bert_config": transformer or {}}
    return write(folder, modules=LATE, settings={"model_type": "MultiVectorEncoder"}, **files, **options)


def test_late_interaction(tmp_path):
    mask = {"skiplist_words": [".", "??", "!"], "skiplist_tasks": "query"}
    expansion = {"strategy": "min", "length": 9, "token": "[PAD]"}
    checkpoint = read(late(tmp_path, mask, {"query_expansion": expansion, "document_length": 17}))
    assert checkpoint.head == MultiVector()
    query, document, filled, first = checkpoint.text.multi_vector
    assert query.skip == tuple(sorted(map(VOCABULARY.index, ".!")))
    assert (query.max_tokens, document, first) == (40, (17, ()), 0)
    assert filled == (VOCABULARY.index("[PAD]"), 9, False, False)
    assert list(archs.lower(checkpoint).outputs) == ["multi_vector_embedding"]


@pytest.mark.parametrize(
    ("mask", "transformer", "problem"),
    [
        ({"keep_only_token_ids": [3]}, {}, "keep_only_token_ids"),
        ({"skiplist_tasks": ["reply"]}, {}, r"skiplist_tasks \['reply'\]"),
        ({}, {"query_expansion": {"strategy": "fixed"}}, "the query expansion"),
        ({}, {"query_expansion": {"strategy": "most", "length": 3}}, "the query expansion"),
        ({}, {"query_expansion": {"strategy": "fixed", "length": 9, "token": "[Q]"}}, r"fills queries up with \[Q\]"),
        ({}, {"document_length": 0}, "limits a document to 0 tokens"),
    ],
)
def test_late_interactions_that_are_refused(tmp_path, mask, transformer, problem):
    with pytest.raises(ConversionError, match=problem):
        read(late(tmp_path, mask, transformer))


def test_late_modules_that_are_refused(tmp_path):
    pooled = [*LATE, ("3", f"{ST}.multi_vector_encoder.modules.token_pooling.HierarchicalTokenPooling")]
    with pytest.raises(ConversionError, match="HierarchicalTokenPooling"):
        read(write(tmp_path, modules=pooled, settings={"model_type": "MultiVectorEncoder"}))
    folder = late(tmp_path)
    with pytest.raises(ConversionError, match="is a late-interaction model: it has no head splade"):
        read(folder, head="splade")


def test_stanford_takes_the_marks_as_tokens(tmp_path):
    config = bert_config(architectures=["HF_ColBERT"])
    folder = write(tmp_path, config=config, tensors={"linear.weight": np.ones((8, HIDDEN), np.float32)})
    (folder / "artifact.metadata").write_text(json.dumps({"query_token_id": "my", "doc_token_id": "[unused1]"}))
    checkpoint = read(folder)
    assert checkpoint.text.prompts == {"query": "my ", "document": "[unused1] "}
    assert checkpoint.text.multi_vector.expansion == (VOCABULARY.index("[MASK]"), 32, True, False)
    program = archs.lower(checkpoint)
    assert [each.op for each in program.instructions[-2:]] == ["linear", "normalize"]


def test_heads_of_tokens(tmp_path):
    pooling = [("", f"{ST}.models.Transformer"), ("1", f"{ST}.models.Pooling")]
    folder = write(tmp_path, modules=pooling, **{"1__config": {"pooling_mode": "cls"}})
    save_file(
        {"weight": np.ones((1, HIDDEN), np.float32), "bias": np.ones(1, np.float32)},
        folder / "sparse_linear.safetensors",
    )
    with pytest.raises(ConversionError, match=r"has no colbert_linear\.pt"):
        read(folder)
    save_file({"weight": np.ones((9, HIDDEN), np.float32)}, folder / "colbert_linear.safetensors")
    with pytest.raises(ConversionError, match="must hold weight and bias; it has weight"):
        read(folder)
    both = {"weight": np.ones((9, HIDDEN), np.float32), "bias": np.ones(9, np.float32)}
    save_file(both, folder / "colbert_linear.safetensors")
    checkpoint = read(folder)
    assert isinstance(checkpoint.head, TokenHeads)
    # [CLS], [PAD] and [UNK]; BERT has no token of the role eos_token.
    assert checkpoint.text.sparse.skip == (0, 1, 2)
    assert checkpoint.text.multi_vector.first == 1
    outputs = {"token_embeddings", "sentence_embedding", "token_weights", "multi_vector_embedding"}
    assert set(archs.lower(checkpoint).outputs) == outputs
