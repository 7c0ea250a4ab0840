"""Hugging Face and sentence-transformers folders: what is read from which file, and what is refused."""

import json

import numpy as np
import pytest
from checkpoints import HIDDEN, VOCABULARY, bert_tensors, write_bert, write_json, write_modules, write_sentence_bert
from image_checkpoints import write_vit
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import open_checkpoint
from embedrt_convert.inputs.checkpoint import Dense, Normalize, Pooling
from embedrt_convert.inputs.huggingface import read
from embedrt_convert.inputs.weights import read_weights
from embedrt_convert.sources import Folder

MEAN = {"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": True}


def read_folder(path):
    return read(Folder(path))


def test_a_sentence_transformers_folder(tmp_path):
    checkpoint = read_folder(write_sentence_bert(tmp_path / "tiny"))
    assert checkpoint.modules == (Pooling("mean"), Normalize())
    assert checkpoint.text.max_tokens == 24
    assert checkpoint.text.similarity == "cosine" and not checkpoint.text.prompts
    assert checkpoint.licence == "unknown" and not checkpoint.notes
    for name, tensor in bert_tensors().items():
        np.testing.assert_array_equal(checkpoint.tensors[name], tensor)


def test_without_modules_the_pooling_is_mean_and_that_is_said(tmp_path):
    checkpoint = read_folder(write_bert(tmp_path / "tiny"))
    assert checkpoint.modules == (Pooling("mean"),)
    assert "mean pooling" in checkpoint.notes[0]


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "first"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt"),
        ({"pooling_mode_weightedmean_tokens": True}, "weighted_mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "weightedmean"}, "weighted_mean"),
        ({"pooling_mode": ["cls"], "pooling_mode_mean_tokens": True}, "first"),
        ({}, "mean"),
    ],
)
def test_poolings(tmp_path, settings, kind):
    write_bert(tmp_path, modules=[("Pooling", settings)])
    assert read_folder(tmp_path).modules == (Pooling(kind),)


@pytest.mark.parametrize("include", [True, False])
def test_prompts_that_are_not_pooled(tmp_path, include):
    write_bert(tmp_path, modules=[("Pooling", {**MEAN, "include_prompt": include})])
    assert read_folder(tmp_path).modules == (Pooling("mean", include),)
    # Known by their names: the configs of these checkpoints say nothing.
    named = Folder(tmp_path, label="hf:hkunlp/instructor-large@0123")
    assert read(named).modules == (Pooling("mean", False),)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling_mode": ["cls", "mean"]}, "concatenates the poolings cls, mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "concatenates the poolings cls, mean"),
        ({"pooling_mode": "median"}, "median"),
        ({"pooling_mode": "weightedmean", "include_prompt": False}, "weightedmean pooling .include_prompt"),
    ],
)
def test_poolings_refused(tmp_path, settings, message):
    write_bert(tmp_path, modules=[("Pooling", settings)])
    with pytest.raises(ConversionError, match=message):
        read_folder(tmp_path)


def test_newer_class_paths_and_an_encoder_in_a_subfolder(tmp_path):
    write_bert(tmp_path / "0_Transformer")
    write_json(tmp_path / "0_Transformer" / "sentence_bert_config.json", {"max_seq_length": 17})
    write_json(tmp_path / "1_Pooling" / "config.json", {"pooling_mode": "cls", "embedding_dimension": HIDDEN})
    write_json(
        tmp_path / "modules.json",
        [
            {"path": "0_Transformer", "type": "sentence_transformers.base.modules.transformer.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"},
        ],
    )
    checkpoint = read_folder(tmp_path)
    assert checkpoint.modules == (Pooling("first"),) and checkpoint.text.max_tokens == 17


@pytest.mark.parametrize(
    ("types", "message"),
    [
        (["sentence_transformers.models.Transformer", "sentence_transformers.models.CNN"], "has the module CNN"),
        (["sentence_transformers.models.Transformer", "my_package.Pooling"], r"my_package\.Pooling"),
        (["sentence_transformers.models.Transformer"], "one Pooling"),
        (["sentence_transformers.models.Pooling"], "start with its one Transformer"),
        ([], "is not a list of modules"),
    ],
)
def test_other_modules_are_refused_by_name(tmp_path, types, message):
    write_bert(tmp_path)
    write_json(tmp_path / "modules.json", [{"path": f"{i}_x" if i else "", "type": t} for i, t in enumerate(types)])
    with pytest.raises(ConversionError, match=message):
        read_folder(tmp_path)


def dense_folder(path, settings, tensors):
    write_bert(path, modules=[("Pooling", MEAN), ("Dense", {"in_features": HIDDEN, "out_features": 8, **settings})])
    save_file(tensors, path / "2_Dense" / "model.safetensors")
    return path


def test_dense(tmp_path):
    weight, bias = np.ones((8, HIDDEN), np.float32), np.ones(8, np.float32)
    gelu = {"bias": True, "activation_function": "torch.nn.modules.activation.GELU"}
    _, dense = read_folder(dense_folder(tmp_path / "a", gelu, {"linear.weight": weight, "linear.bias": bias})).modules
    assert isinstance(dense, Dense) and dense.activation == "gelu" and dense.residual is None
    np.testing.assert_array_equal(dense.bias, bias)
    _, dense = read_folder(dense_folder(tmp_path / "b", {"bias": False}, {"linear.weight": weight})).modules
    assert dense.activation == "tanh" and dense.bias is None
    projected = {"linear.weight": weight, "residual.weight": 2 * weight}
    _, dense = read_folder(dense_folder(tmp_path / "c", {"bias": False, "use_residual": True}, projected)).modules
    np.testing.assert_array_equal(dense.residual, 2 * weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bias": False, "activation_function": "torch.nn.modules.activation.GLU"}, "GLU"),
        ({"bias": False, "activation_function": "os.system"}, "os.system"),
        ({"bias": False, "module_input_name": "token_embeddings"}, "token_embeddings"),
        ({"bias": True}, "linear.bias"),
    ],
)
def test_dense_refused(tmp_path, settings, message):
    weight = np.ones((8, HIDDEN), np.float32)
    with pytest.raises(ConversionError, match=message):
        read_folder(dense_folder(tmp_path, settings, {"linear.weight": weight}))


@pytest.mark.parametrize(
    ("limit", "model_max_length", "expected"),
    [(17, 512, 17), (None, 512, 40), (None, 25, 25), (64, 16, 40), (None, 10**30, 40), (None, None, 40)],
)
def test_the_length_limit(tmp_path, limit, model_max_length, expected):
    write_bert(tmp_path, modules=[("Pooling", MEAN)])
    if limit is not None:
        write_json(tmp_path / "sentence_bert_config.json", {"max_seq_length": limit})
    write_json(tmp_path / "tokenizer_config.json", {"model_max_length": model_max_length})
    assert read_folder(tmp_path).text.max_tokens == expected


@pytest.mark.parametrize("asked", [5, 30, 40])
def test_a_limit_that_is_asked_for_goes_before_those_of_the_files(tmp_path, asked):
    source = str(write_sentence_bert(tmp_path / "tiny"))
    _, checkpoint = open_checkpoint(source, max_tokens=asked)
    assert checkpoint.text.max_tokens == asked


def test_a_limit_beyond_the_positions_is_refused(tmp_path):
    with pytest.raises(ConversionError, match="at most 40 tokens, not 41"):
        open_checkpoint(str(write_sentence_bert(tmp_path / "tiny")), max_tokens=41)


def test_a_model_of_images_has_no_limit_of_tokens(tmp_path):
    with pytest.raises(ConversionError, match="is a model of images: it has no limit of tokens"):
        open_checkpoint(str(write_vit(tmp_path / "vit")), max_tokens=5)


def test_prompts_and_similarity(tmp_path):
    write_sentence_bert(tmp_path)
    settings = {
        "prompts": {"query": "query: ", "document": None},
        "default_prompt_name": "query",
        "similarity_fn_name": "dot",
    }
    write_json(tmp_path / "config_sentence_transformers.json", settings)
    text = read_folder(tmp_path).text
    assert text.prompts == {"query": "query: ", "document": ""}
    assert (text.default_prompt_name, text.similarity) == ("query", "dot")
    write_json(tmp_path / "config_sentence_transformers.json", {**settings, "default_prompt_name": "title"})
    with pytest.raises(ConversionError, match="default_prompt_name title"):
        read_folder(tmp_path)
    write_json(tmp_path / "config_sentence_transformers.json", {"similarity_fn_name": "maxsim"})
    with pytest.raises(ConversionError, match="maxsim"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\nlicense: none\n", "apache-2.0"),
        ("---\nlicense:\n- mit\n---\n", "mit"),
        ('---\r\nlicense: "cc-by-4.0"\r\n---\r\n', "cc-by-4.0"),
        ("# A model\nlicense: mit\n", "unknown"),
        ("---\nlanguage: en\n---\n", "unknown"),
    ],
)
def test_the_licence_is_the_model_cards(tmp_path, card, licence):
    write_sentence_bert(tmp_path)
    (tmp_path / "README.md").write_bytes(card.encode())
    assert read_folder(tmp_path).licence == licence


def tokens(checkpoint, text):
    return Tokenizer.from_str(checkpoint.text.tokenizer).encode(text).tokens


def test_a_vocabulary_file_makes_a_wordpiece_tokenizer(tmp_path):
    checkpoint = read_folder(write_bert(tmp_path))
    assert tokens(checkpoint, "Hello, MY ñ☃ !") == ["[CLS]", "hello", ",", "my", "[UNK]", "!", "[SEP]"]
    assert tokens(checkpoint, "Hello, Bab") == ["[CLS]", "hello", ",", "b", "##a", "##b", "[SEP]"]
    assert Tokenizer.from_str(checkpoint.text.tokenizer).get_vocab_size() == len(VOCABULARY)


def test_tokenizer_settings_override_the_definition(tmp_path):
    write_bert(tmp_path)
    (tmp_path / "tokenizer.json").write_text(read_folder(tmp_path).text.tokenizer, encoding="utf-8")
    assert tokens(read_folder(tmp_path), "Ab") == ["[CLS]", "a", "##b", "[SEP]"]
    write_json(tmp_path / "tokenizer_config.json", {"do_lower_case": False})
    assert tokens(read_folder(tmp_path), "Ab") == ["[CLS]", "[UNK]", "[SEP]"]
    write_json(tmp_path / "sentence_bert_config.json", {"do_lower_case": True})
    assert tokens(read_folder(tmp_path), "Ab") == ["[CLS]", "a", "##b", "[SEP]"]


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    write_bert(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(ConversionError, match=r"no tokenizer\.json, vocab\.txt, vocab\.json"):
        read_folder(tmp_path)


def test_a_vocabulary_larger_than_the_table_is_refused(tmp_path):
    write_bert(tmp_path)
    write_json(tmp_path / "config.json", json.loads((tmp_path / "config.json").read_text()) | {"vocab_size": 20})
    with pytest.raises(ConversionError, match="tokenizer"):
        read_folder(tmp_path)


def test_sharded_weights(tmp_path):
    write_sentence_bert(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    shards = {"model-00001-of-00002.safetensors": {}, "model-00002-of-00002.safetensors": {}}
    for number, (name, tensor) in enumerate(bert_tensors().items()):
        list(shards.values())[number % 2][name] = tensor
    for shard, tensors in shards.items():
        save_file(tensors, tmp_path / shard)
    weight_map = {name: shard for shard, tensors in shards.items() for name in tensors}
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": weight_map})
    assert read_folder(tmp_path).tensors.keys() == bert_tensors().keys()
    write_json(
        tmp_path / "model.safetensors.index.json",
        {"weight_map": {**weight_map, "lost": "model-00001-of-00002.safetensors"}},
    )
    with pytest.raises(ConversionError, match="lost"):
        read_folder(tmp_path)
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {"x": "../outside.safetensors"}})
    with pytest.raises(ConversionError, match=r"no file \.\./outside"):
        read_folder(tmp_path)


def test_no_weights(tmp_path):
    write_sentence_bert(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ConversionError, match=r"no model\.safetensors and no pytorch_model\.bin"):
        read_folder(tmp_path)


def test_a_pickle_needs_torch(tmp_path, monkeypatch):
    write_sentence_bert(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ConversionError, match="pip install torch"):
        read_folder(tmp_path)


def read_bytes(folder, data):
    (folder / "model.safetensors").write_bytes(data)
    return read_weights(Folder(folder))


def safetensors_bytes(header, body=b""):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + body


def test_bfloat16_becomes_float32(tmp_path):
    values = np.array([1.0, -2.5, 3e38], np.float32)
    body = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = {"x": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}
    tensor = read_bytes(tmp_path, safetensors_bytes(header, body))["x"]
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor, values, rtol=2**-8)


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0",
        (1 << 40).to_bytes(8, "little"),
        safetensors_bytes(b"{"),
        safetensors_bytes([1]),
        safetensors_bytes({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors_bytes({"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(4)),
        safetensors_bytes({"x": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}}, bytes(4)),
        safetensors_bytes({"x": {"dtype": "F8", "shape": [1], "data_offsets": [0, 1]}}, bytes(4)),
        safetensors_bytes({"x": {"dtype": "F32", "shape": ["1"], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors_bytes({"x": 3}, bytes(4)),
        safetensors_bytes(b"[" * 100_000),
    ],
)
def test_a_malformed_safetensors_file_is_refused(tmp_path, data):
    with pytest.raises(ConversionError, match=r"model\.safetensors|F8"):
        read_bytes(tmp_path, data)


def test_a_module_without_its_settings(tmp_path):
    write_bert(tmp_path)
    write_modules(tmp_path, [("Pooling", MEAN)])
    (tmp_path / "1_Pooling" / "config.json").unlink()
    with pytest.raises(ConversionError, match=r"no file 1_Pooling/config\.json"):
        read_folder(tmp_path)


def test_malformed_json(tmp_path):
    write_sentence_bert(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConversionError, match=r"config\.json .* is not JSON"):
        read_folder(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ConversionError, match="must hold a JSON object"):
        read_folder(tmp_path)
