"""Coverage-guided fuzzing of the tokenizer section: the schema checker, and the library that it protects.

Whatever the bytes are, the answer is a FormatError, or a tokenizer that gives ids of the vocabulary for any text and
any two, in bounded time, with places inside the text, and whose canonical form says the same. Needs `atheris`; see
docs/fuzzing.md.

    python tests/fuzz/fuzz_tokenizer.py [libFuzzer options] CORPUS
"""

from __future__ import annotations

import copy
import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

with atheris.instrument_imports(include=["embedrt"]):
    from embedrt._errors import EmbedrtError, FormatError
    from embedrt._tokenize import TextTokenizer
    from embedrt._tokenizer_parts import REPLACE_PATTERNS, SPLIT_PATTERNS
    from embedrt._tokenizer_schema import rebuild

import tiny_tokenizers

VOCABULARY = 300
LIMIT = 16
TEXTS = [
    "",
    " ",
    "Hello, world! The password's reset\t1234",
    "a" * 700,
    "it's <|endoftext|></s>\n\n\x1c<|STARTOFTEXT|> a/b",
    "ﷺ ﬁ é ΐ İ 中文 \u0000\ufeff\u200b <mask> [CLS]",
    "\ud800 \U0001f469\u200d\U0001f469 \r\n \u2581x\u0301\u0301\u0301",
]
NORMALIZERS: list[Any] = [
    {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": True,
        "lowercase": False,
    },
    *({"type": kind} for kind in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents")),
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": ""},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"},
    *({"type": "Replace", "pattern": {"Regex": regex}, "content": " "} for regex in REPLACE_PATTERNS),
    {"type": "Prepend", "prepend": "▁"},
    {"type": "Strip", "strip_left": True, "strip_right": True},
    {"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAAAAAAA"},
]
PRE_TOKENIZERS: list[Any] = [
    *({"type": kind} for kind in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit")),
    {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True},
    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False},
    {"type": "Split", "pattern": {"Regex": SPLIT_PATTERNS["gpt2"]}, "behavior": "Removed", "invert": True},
    {"type": "Split", "pattern": {"Regex": SPLIT_PATTERNS["clip_special"]}, "behavior": "Removed", "invert": True},
    {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
    {"type": "Split", "pattern": {"String": "a"}, "behavior": "MergedWithNext", "invert": False},
    {"type": "Punctuation", "behavior": "Contiguous"},
    {"type": "Digits", "individual_digits": True},
    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False},
]
POST_PROCESSORS: list[Any] = [
    {"type": "BertProcessing", "cls": ["[CLS]", 2], "sep": ["[SEP]", 3]},
    {
        "type": "RobertaProcessing",
        "cls": ["<s>", 0],
        "sep": ["</s>", 2],
        "trim_offsets": True,
        "add_prefix_space": True,
    },
    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [
            {"Sequence": {"id": "A", "type_id": 3}},
            {"SpecialToken": {"id": "x", "type_id": 2}},
            {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {"x": {"id": "x", "ids": [1, 2], "tokens": ["x", "y"]}},
    },
]
COMPONENTS = NORMALIZERS + PRE_TOKENIZERS

# What stands in definitions that people use, and what might upset one.
TYPES = [*(part["type"] for part in COMPONENTS), "Sequence", "WordPiece", "WordLevel", "Unigram", "BPE"]
TYPES += ["BertProcessing", "RobertaProcessing", "TemplateProcessing", "UnicodeScripts"]
WORDS = [
    *TYPES,
    *SPLIT_PATTERNS.values(),
    *REPLACE_PATTERNS,
    "(a+)+$",
    "</w>",
    "##",
    "[UNK]",
    "<unk>",
    "▁",
    "",
    "\ud800",
    "\x00",
    "#0",
]
WORDS += ["é" * 300, "[CLS]", "a"]
NUMBERS: list[Any] = [
    0,
    1,
    2,
    3,
    -1,
    16,
    255,
    256,
    299,
    300,
    2**31,
    2**63,
    2**64,
    10**30,
    0.5,
    -0.0,
    1e9,
    1e308,
    1e-300,
]
outcomes: Counter[str] = Counter()


def seeds() -> list[bytes]:
    """A small definition of each family, with and without its optional parts, and a word-level one."""
    definitions = [make() for make in tiny_tokenizers.FAMILIES.values()]
    for part in COMPONENTS:
        definition = tiny_tokenizers.word_piece()
        definition["pre_tokenizer" if part in PRE_TOKENIZERS else "normalizer"] = part
        definitions.append(definition)
    words = tiny_tokenizers.word_piece()
    words["model"] = {"type": "WordLevel", "unk_token": "[UNK]", "vocab": words["model"]["vocab"]}
    definitions.append(words)
    for definition in definitions:
        shrink(definition)
    return [tiny_tokenizers.as_bytes(definition) for definition in definitions]


def shrink(definition: dict[str, Any]) -> None:
    """Fewer tokens, so that a mutation seldom hits one of hundreds alike."""
    model = definition["model"]
    vocab = model["vocab"]
    special = {token["content"] for token in definition["added_tokens"]}
    if isinstance(vocab, dict):
        words = [*(word for word in vocab if word in special), *(word for word in vocab if word not in special)]
        kept = {word: index for index, word in enumerate(words[:24])}
    else:
        kept = vocab[:24]
    model["vocab"] = kept
    if "merges" in model:
        model["merges"] = []
        model["vocab"] = kept = {**kept, "hell": 24, "he": 25, "ll": 26, "h": 27, "e": 28, "l": 29}
        model["merges"] = ["h e", "l l", "he ll"]
    known = kept if isinstance(kept, dict) else {piece: index for index, (piece, _) in enumerate(kept)}
    added = [token for token in definition["added_tokens"] if token["content"] in known]
    definition["added_tokens"] = [token | {"id": known[token["content"]]} for token in added]
    for end in {"cls", "sep"} & definition["post_processor"].keys():
        definition["post_processor"][end][1] = known[definition["post_processor"][end][0]]


def component(source: random.Random) -> Any:
    """A component of its own, since what is done to it must not be done to the list."""
    return copy.deepcopy(source.choice(COMPONENTS))


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """A changed tree of the same JSON where possible; sometimes changed bytes."""
    source = random.Random(seed)
    if source.random() < 0.05:
        return atheris.Mutate(data, max_size)
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        tree = json.loads(source.choice(seeds()))
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        if source.random() < 0.4 and isinstance(tree, dict):
            vary(tree, source)
        else:
            tree = changed(tree, source)
    text = json.dumps(tree, ensure_ascii=source.random() < 0.2).encode("utf-8", "surrogatepass")
    return text if len(text) <= max_size else data


def vary(tree: dict[str, Any], source: random.Random) -> None:
    """Another definition that is probably accepted, so that the library is tested behind the schema."""
    way = source.randrange(6)
    if way == 0:
        parts = source.choices(NORMALIZERS, k=source.randrange(1, 5))
        tree["normalizer"] = copy.deepcopy({"type": "Sequence", "normalizers": parts})
    elif way == 1:
        parts = source.choices(PRE_TOKENIZERS, k=source.randrange(1, 5))
        tree["pre_tokenizer"] = copy.deepcopy({"type": "Sequence", "pretokenizers": parts})
    elif way == 2:
        flip(tree, source)
    elif way == 3:
        steps = source.choices(POST_PROCESSORS, k=source.randrange(1, 3))
        tree["post_processor"] = copy.deepcopy({"type": "Sequence", "processors": steps})
    elif way == 4:
        added = tree.get("added_tokens")
        if isinstance(added, list):
            content = source.choice(["  ", "   ", " a", "▁▁", "\n\n", "ab"])
            added += tiny_tokenizers.added({content: source.randrange(20, 40)}, normalized=source.random() < 0.5)
    else:
        model = tree.get("model")
        vocab = model.get("vocab") if isinstance(model, dict) else None
        word = source.choice(["a", "##a", "▁a", "Ġ", "é", "<0x00>", "<0xC3>", "\x00", " ", "\u0301", "aa"])
        if isinstance(vocab, dict):
            vocab.setdefault(word, len(vocab))
        elif isinstance(vocab, list):
            vocab.append([word, -source.random() * source.choice([0, 10, 1e6])])


def flip(node: Any, source: random.Random) -> None:
    """Turns over some of the flags."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, bool):
            node[key] = value ^ (source.random() < 0.3)
        elif isinstance(value, (dict, list)) and key != "vocab":
            flip(value, source)


def changed(tree: Any, source: random.Random) -> Any:
    """The tree with one of its nodes changed; large vocabularies are entered seldom."""
    path: list[tuple[Any, Any]] = []
    node = tree
    while isinstance(node, (dict, list)) and node and source.random() < 0.9:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = source.choice(keys)
        path.append((node, key))
        node = node[key]
    if not path:
        return new_node(tree, source)
    parent, key = path[-1]
    way = source.random()
    if way < 0.15:
        del parent[key]
    elif way < 0.3 and isinstance(parent, list):
        parent.insert(source.randrange(len(parent) + 1), source.choice((parent[key], component(source))))
    elif way < 0.4 and isinstance(parent, dict):
        parent[source.choice(WORDS)] = parent[key] if source.random() < 0.5 else new_node(parent[key], source)
    elif way < 0.5 and key in ("normalizer", "pre_tokenizer"):
        name = "normalizers" if key == "normalizer" else "pretokenizers"
        parent[key] = {
            "type": "Sequence",
            name: [parent[key], *(component(source) for _ in range(source.randrange(3)))],
        }
    else:
        parent[key] = new_node(node, source)
    return tree


def new_node(node: Any, source: random.Random) -> Any:
    """Mostly of the same type as the old one."""
    if source.random() < 0.1:
        return source.choice([None, True, [], {}, "", 0, 1.5, component(source), [node], {"type": node}])
    if isinstance(node, bool):
        return not node
    if isinstance(node, (int, float)):
        return source.choice([*NUMBERS, node + 1, node - 1, node * 2])
    if isinstance(node, str):
        word = source.choice(WORDS)
        return source.choice([word, node + word, node[: len(node) // 2], word + node, node * 2])
    if isinstance(node, dict) and "type" in node:
        return component(source)
    if isinstance(node, list) and node:
        return source.choice([node[:1], node * 2, list(reversed(node)), node[1:]])
    return component(source)


def test_one_input(data: bytes) -> None:
    """One section, from its bytes to ids. An exception that leaves here is a finding."""
    try:
        tokenizer = TextTokenizer(data, VOCABULARY)
    except FormatError:
        outcomes["refused"] += 1
        return
    canonical = rebuild(data, VOCABULARY).to_json()
    if rebuild(canonical.encode("utf-8"), VOCABULARY).to_json() != canonical:
        raise AssertionError("the canonical form is not canonical")
    try:
        texts = [*TEXTS, data[-300:].decode("utf-8", "replace")]
        batch = tokenizer.encode(texts, [tokenizer.head(text, LIMIT) for text in texts], max(LIMIT, tokenizer.special))
    except EmbedrtError:
        outcomes["refused a text"] += 1
        return
    outcomes["tokenised"] += 1
    check_places(tokenizer, texts)
    check_pairs(tokenizer, texts)
    if len(batch.offsets) != len(texts) + 1 or batch.offsets[-1] != len(batch.ids):
        raise AssertionError("offsets do not fit the ids")
    if len(batch.ids) and not 0 <= batch.ids.min() <= batch.ids.max() < VOCABULARY:
        raise AssertionError(f"an id outside of the vocabulary: {batch.ids.tolist()}")
    alone = tokenizer.encode(TEXTS[2:3], [tokenizer.head(TEXTS[2], LIMIT)], max(LIMIT, tokenizer.special))
    if alone.ids.tolist() != batch.ids[batch.offsets[2] : batch.offsets[3]].tolist():
        raise AssertionError("a text alone has other ids than in a batch")


def check_places(tokenizer: TextTokenizer, texts: list[str]) -> None:
    """Each token's place lies in its text; the head of a text has the first of the text's tokens."""
    for text in texts:
        content = tokenizer.content(text)
        places = content.places
        if len(places) and not (
            places.min() >= 0 and (places[:, 0] <= places[:, 1]).all() and places.max() <= len(text)
        ):
            raise AssertionError(f"a place outside of the text: {places.tolist()}")
        head = tokenizer.content(text[: tokenizer._window.cut(text, 5)]) if tokenizer._window.boundary else content
        if head.ids.tolist() != content.ids[: len(head.ids)].tolist():
            raise AssertionError(f"the head has other tokens: {text!r}")


def check_pairs(tokenizer: TextTokenizer, texts: list[str]) -> None:
    limit = max(LIMIT, tokenizer.pair_special)
    try:
        batch = tokenizer.encode_pairs(texts, texts[::-1], limit)
    except EmbedrtError:
        outcomes["refused pairs"] += 1
        return
    if (
        not len(batch.ids) == len(batch.types) == batch.offsets[-1]
        or max(batch.offsets[1:] - batch.offsets[:-1]) > limit
    ):
        raise AssertionError("offsets do not fit the ids, or the limit")
    if len(batch.ids) and not (0 <= batch.ids.min() <= batch.ids.max() < VOCABULARY and batch.types.min() >= 0):
        raise AssertionError(f"an id outside of the vocabulary: {batch.ids.tolist()}")


def main() -> None:
    """Run libFuzzer over the given corpus folder, which gets the seeds if it is empty."""
    folders = [Path(argument) for argument in sys.argv[1:] if Path(argument).is_dir()]
    if folders and not any(folders[0].iterdir()):
        for index, seed in enumerate(seeds()):
            (folders[0] / f"seed_{index}").write_bytes(seed)

    def counted(data: bytes) -> None:
        outcomes["all"] += 1
        test_one_input(data)
        if outcomes["all"] % 10_000 == 0:
            print(dict(outcomes), file=sys.stderr, flush=True)

    atheris.Setup(sys.argv, counted, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
