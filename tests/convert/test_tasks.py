"""Models with adapters for tasks: one is merged at conversion, with its prompt."""

import json

import numpy as np
import pytest
from checkpoints import HEADS, HIDDEN, INNER, LAYERS, VOCABULARY, write_bert, write_json, write_sentence_bert
from file_reader import read

from embedrt_convert import ConversionError, convert
from embedrt_convert.inputs import open_checkpoint
from embedrt_convert.inputs.huggingface import read as read_folder
from embedrt_convert.sources import Folder

TASKS = ["retrieval.query", "text-matching"]
RANK = 2
INSTRUCTIONS = {"retrieval.query": "find: ", "text-matching": ""}


def tensors():
    """Those of a published Jina v3, with adapters."""
    rng = np.random.default_rng(0)
    linears = {"embeddings.word_embeddings": (len(VOCABULARY), HIDDEN), "embeddings.token_type_embeddings": (1, HIDDEN)}
    norms, biases = ["emb_ln"], {}
    for layer in range(LAYERS):
        at = f"encoder.layers.{layer}."
        made = {
            f"{at}mixer.Wqkv": (3 * HIDDEN, HIDDEN),
            f"{at}mixer.out_proj": (HIDDEN, HIDDEN),
            f"{at}mlp.fc1": (INNER, HIDDEN),
            f"{at}mlp.fc2": (HIDDEN, INNER),
        }
        biases |= {name: n for name, (n, _) in made.items()}
        linears |= made
        norms += [f"{at}norm1", f"{at}norm2"]
    made = {}
    for name, (n, k) in linears.items():
        at = f"{name}.parametrizations.weight"
        made[f"{at}.original"] = rng.normal(0, 0.3, (n, k))
        sides = ((n, RANK), (RANK, k)) if "embeddings" in name else ((RANK, k), (n, RANK))
        for letter, side in zip("AB", sides, strict=True):
            made[f"{at}.0.lora_{letter}"] = rng.normal(0, 0.3, (len(TASKS), *side))
    for name, n in {**biases, **dict.fromkeys(norms, HIDDEN)}.items():
        made[f"{name}.bias"] = rng.normal(0, 0.1, n)
    made |= {f"{name}.weight": 1 + rng.normal(0, 0.1, HIDDEN) for name in norms}
    return {f"roberta.{name}": each.astype(np.float32) for name, each in made.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("jina") / "tiny"
    write_bert(
        path,
        tensors=tensors(),
        modules=[("Pooling", {"pooling_mode_mean_tokens": True}), ("Normalize", {})],
        model_type="xlm-roberta",
        position_embedding_type="rotary",
        rotary_emb_base=20000.0,
        type_vocab_size=1,
        num_attention_heads=HEADS,
        lora_adaptations=TASKS,
        lora_rank=RANK,
        lora_alpha=1,
        task_instructions=INSTRUCTIONS,
    )
    entries = json.loads((path / "modules.json").read_text())
    entries[0]["type"] = "custom_st.Transformer"
    write_json(path / "modules.json", entries)
    return path


def sections(path):
    made = read(path.read_bytes()).sections
    return json.loads(made["text"]), json.loads(made["about"]), made["tensors"]


def test_without_a_task_the_weights_are_as_they_are_and_that_is_said(folder, tmp_path):
    said = []
    text, about, _ = sections(convert(folder, tmp_path / "a.embedrt", progress=said.append).path)
    assert any("--task merges that of one task: retrieval.query, text-matching" in line for line in said)
    assert "task" not in about["options"] and text["prompts"] == {} and text["default_prompt_name"] is None


def test_a_task(folder, tmp_path):
    made = {task: convert(folder, tmp_path / f"{task}.embedrt", task=task) for task in TASKS}
    text, about, first = sections(made["retrieval.query"].path)
    assert about["options"]["task"] == "retrieval.query"
    assert (text["prompts"], text["default_prompt_name"]) == ({"retrieval.query": "find: "}, "retrieval.query")
    text, _, second = sections(made["text-matching"].path)
    assert (text["prompts"], text["default_prompt_name"]) == ({"text-matching": ""}, "text-matching")
    assert first != second


def test_prompts_of_sentence_transformers_go_first(folder):
    settings = {"prompts": {"retrieval.query": "q: ", "else": ""}}
    files = _Overlaid(folder, {"config_sentence_transformers.json": settings})
    assert read_folder(files).text.prompts == {"retrieval.query": "q: ", "else": ""}
    text = read_folder(files, task="retrieval.query").text
    assert (text.prompts, text.default_prompt_name) == ({"retrieval.query": "q: "}, "retrieval.query")


class _Overlaid(Folder):
    """A folder with some files on top."""

    def __init__(self, path, changed):
        super().__init__(path)
        self._changed = {name: json.dumps(value).encode() for name, value in changed.items()}

    def has(self, name):
        return name in self._changed or super().has(name)

    def read(self, name):
        return self._changed[name] if name in self._changed else super().read(name)


def test_a_task_of_other_models_is_refused(tmp_path):
    with pytest.raises(ConversionError, match=r"task 'separation' is not among the model's: it has none"):
        convert(write_sentence_bert(tmp_path / "bert"), tmp_path / "a.embedrt", task="separation")
    with pytest.raises(ConversionError, match=r"a\.onnx has no tasks"):
        open_checkpoint(str(tmp_path / "a.onnx"), task="separation")
    with pytest.raises(ConversionError, match=r"a\.pth has no tasks"):
        open_checkpoint(str(tmp_path / "a.pth"), arch="timm:resnet50", task="separation")
    write_json(tmp_path / "vit" / "config.json", {"model_type": "vit"})
    with pytest.raises(ConversionError, match="model of images: it has no tasks"):
        open_checkpoint(str(tmp_path / "vit"), task="separation")


def test_instructions_that_are_no_texts_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    files = _Overlaid(folder, {"config.json": {**config, "task_instructions": {"retrieval.query": 3}}})
    with pytest.raises(ConversionError, match="task_instructions"):
        read_folder(files, task="retrieval.query")


def test_code_beside_other_models_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    files = _Overlaid(folder, {"config.json": {**config, "lora_adaptations": None}})
    with pytest.raises(ConversionError, match=r"custom_st\.Transformer, code beside the weights"):
        read_folder(files)
