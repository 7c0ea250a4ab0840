"""The tokenizers of CLIP, SigLIP and SigLIP2 out of a folder's own files, and what is refused."""

from __future__ import annotations

import json
import struct

import pytest
from checkpoints import write_json
from tokenizers.pre_tokenizers import ByteLevel

from embedrt._text_config import Pad
from embedrt._tokenize import TextTokenizer
from embedrt_convert import golden
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import sentencepiece
from embedrt_convert.inputs.checkpoint import Text
from embedrt_convert.inputs.tokenizer import read_pad, read_tokenizer
from embedrt_convert.sources import Folder

SIGLIP = {"tokenizer_class": "SiglipTokenizer", "pad_token": "</s>"}
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
PIECES = [
    ("<pad>", 0, CONTROL),
    ("</s>", 0, CONTROL),
    ("<unk>", 0, UNKNOWN),
    *((f"<0x{byte:02X}>", 0, BYTE) for byte in range(256)),
    *((letter, -5 - index / 8, NORMAL) for index, letter in enumerate("▁abcdehlorw")),
    *((word, -3.5, NORMAL) for word in ("▁hello", "▁world", "ll")),
]


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number, value):
    """One field of a protocol buffer: an int, a float or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def spiece(pieces=PIECES, trainer=(), normalizer=()):
    data = b"".join(
        field(1, field(1, text.encode()) + field(2, float(score)) + field(3, kind)) for text, score, kind in pieces
    )
    data += field(2, b"".join(field(*each) for each in (*trainer, (35, 1))))
    return data + field(3, b"".join(field(*each) for each in normalizer))


def ids(definition, text, vocabulary=1000):
    tokenizer = TextTokenizer(definition.encode(), vocabulary)
    return tokenizer.encode([text], [text], 1000).ids.tolist()


def read(folder, settings, vocabulary=1000, lowercase=False):
    write_json(folder / "tokenizer_config.json", settings)
    return read_tokenizer(Folder(folder), "", settings, vocabulary, lowercase)


def names(definition, text):
    vocab = json.loads(definition)["model"]["vocab"]
    pieces = (
        [piece for piece, _ in vocab] if isinstance(vocab, list) else {index: token for token, index in vocab.items()}
    )
    return [pieces[index] for index in ids(definition, text)]


def write_clip(folder):
    """vocab.json and merges.txt: bytes with and without the end of a word, and merges, one of them of "#"."""
    merges = ["# #", "h e", "l l", "ll o</w>", "he llo</w>", "t h", "th e</w>", "' s</w>"]
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(merge.replace(" ", "") for merge in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    write_json(folder / "vocab.json", {token: index for index, token in enumerate(tokens)})
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    return folder


def gemma():
    """A tokenizer.json of Gemma's kind."""
    merges = [["h", "e"], ["l", "l"], ["▁", "he"], ["t", "he"]]
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = [*specials, *bytes_, *"▁hHelot", *(a + b for a, b in merges)]
    return {
        "added_tokens": [{"id": index, "content": token, **flags} for index, token in enumerate(specials)],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<eos>", "type_id": 0}}],
            "special_tokens": {"<eos>": {"id": "<eos>", "ids": [1], "tokens": ["<eos>"]}},
        },
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": merges,
        },
    }


def test_clip(tmp_path):
    definition = read(write_clip(tmp_path), {"tokenizer_class": "CLIPTokenizer"})
    start, end = "<|startoftext|>", "<|endoftext|>"
    assert names(definition, "The  HELLO's\t###") == [start, "the</w>", "hello</w>", "'s</w>", "##", "#</w>", end]
    assert names(definition, "12 <|endoftext|>") == [start, "1</w>", "2</w>", end, end]


def test_clip_with_other_special_tokens(tmp_path):
    settings = {"bos_token": {"content": "the</w>", "normalized": True}, "eos_token": "he", "unk_token": "he"}
    definition = read(write_clip(tmp_path), settings)
    assert names(definition, "") == ["the</w>", "he"]
    assert [token["normalized"] for token in json.loads(definition)["added_tokens"]] == [False, True]


def test_files_of_another_bpe_are_not_taken_for_clips(tmp_path):
    write_clip(tmp_path)
    vocab = json.loads((tmp_path / "vocab.json").read_text())
    del vocab["<|startoftext|>"]
    write_json(tmp_path / "vocab.json", vocab)
    with pytest.raises(ConversionError, match=r"has no <\|startoftext\|>, so it is not CLIP's: save a fast tokenizer"):
        read(tmp_path, {})


@pytest.mark.parametrize("merges", ["h e\nx", "h e\nh  e", "h e\nh e l", "h q"])
def test_merges_that_are_none(tmp_path, merges):
    write_clip(tmp_path)
    (tmp_path / "merges.txt").write_text(merges)
    with pytest.raises(ConversionError, match=r"merges\[\d\]"):
        read(tmp_path, {})


def test_siglip(tmp_path):
    (tmp_path / "spiece.model").write_bytes(spiece())
    definition = read(tmp_path, SIGLIP)
    assert names(definition, "Hello, <WORLD>!") == ["▁hello", "▁world", "</s>"]
    assert names(definition, " - hello\x1c▁world ") == ["▁hello", "▁world", "</s>"]
    assert names(definition, "!hell") == ["▁", "h", "e", "ll", "</s>"]
    assert names(definition, "é") == ["▁", "<0xC3>", "<0xA9>", "</s>"]
    assert names(definition, "?!") == names(definition, "") == ["</s>"]
    assert names(read(tmp_path, {**SIGLIP, "do_lower_case": False}), "Hello")[1] == "<0x48>"


def test_siglips_own_files_go_before_a_tokenizer_json(tmp_path):
    """transformers has only the former."""
    (tmp_path / "spiece.model").write_bytes(spiece())
    write_json(tmp_path / "tokenizer.json", gemma())
    assert names(read(tmp_path, SIGLIP), "hello") == ["▁hello", "</s>"]
    assert names(read(tmp_path, {}), "hello") == ["he", "ll", "o", "<eos>"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it has no pieces"),
        (b"\x80" * 20, "more than 10 bytes"),
        (b"\x0a\xff\xff\xff\xff\x0f", "a field of 4294967295 bytes"),
        (b"\x0b", "wire type 3"),
        (spiece()[:-1][:40], "ends inside a number|a field of"),
        (b"\x08\x01", "a number where bytes belong"),
        (field(1, field(1, b"\xff")), "utf-8"),
        (field(1, field(2, b"ab")), "unpack|buffer"),
        (field(1, field(3, b"ab")), "bytes where a number belongs"),
        (spiece(trainer=[(3, 2)]), "is a bpe model; SigLIP's is unigram"),
        (spiece(trainer=[(3, 9)]), "is a unknown model"),
        (spiece(trainer=[(24, 1)]), "treats spaces"),
        (spiece(normalizer=[(4, 0)]), "treats spaces"),
        (spiece(normalizer=[(5, 0)]), "treats spaces"),
        (spiece(normalizer=[(2, b"abcdef")]), "precompiled_charsmap"),
        (spiece([*PIECES, ("a▁b", -1, NORMAL)]), "the piece 'a▁b', which goes over a space"),
        (spiece([*PIECES, ("word", 0, USER_DEFINED)]), "the special piece 'word'"),
        (spiece([*PIECES, ("a", -1, NORMAL)]), "a piece occurs twice"),
        (spiece([piece for piece in PIECES if piece[0] != "</s>"]), "has no piece </s>"),
    ],
)
def test_sentencepiece_models_refused(tmp_path, data, message):
    (tmp_path / "spiece.model").write_bytes(data)
    with pytest.raises(ConversionError, match=message):
        read(tmp_path, SIGLIP)


def test_a_sentencepiece_model_that_was_cut():
    """Only between two pieces it is one still, of fewer."""
    pieces = [spiece([piece])[: -len(spiece([]))] for piece in PIECES]
    ends = {sum(map(len, pieces[:count])) for count in range(1, len(pieces) + 1)}
    data = b"".join(pieces)
    for size in range(len(data)):
        if size in ends:
            assert sentencepiece.read(data[:size], "x").pieces
        else:
            with pytest.raises(ConversionError, match=r"^x is not a sentencepiece model"):
                sentencepiece.read(data[:size], "x")


def test_siglip2_is_lowered_where_its_tokenizer_json_is_not(tmp_path):
    write_json(tmp_path / "tokenizer.json", gemma())
    assert names(read(tmp_path, {}), "the Hello") == ["the", "▁", "H", "e", "ll", "o", "<eos>"]
    assert names(read(tmp_path, {}, lowercase=True), "the Hello") == ["the", "▁he", "ll", "o", "<eos>"]


def test_the_ends_that_gemmas_settings_ask_for(tmp_path):
    write_json(tmp_path / "tokenizer.json", gemma())
    for settings, want in (
        ({}, ["the", "<eos>"]),
        ({"add_bos_token": True, "add_eos_token": True}, ["<bos>", "the", "<eos>"]),
        ({"add_bos_token": True, "add_eos_token": False}, ["<bos>", "the"]),
        ({"add_bos_token": False}, ["the"]),
        ({"add_eos_token": True, "eos_token": "<mask>"}, ["the", "<mask>"]),
    ):
        assert names(read(tmp_path, {"tokenizer_class": "GemmaTokenizerFast", **settings}), "the") == want
    with pytest.raises(ConversionError, match="adds <no>, which"):
        read(tmp_path, {"tokenizer_class": "GemmaTokenizer", "add_eos_token": True, "eos_token": "<no>"})


def test_what_fills_up(tmp_path):
    definition = json.dumps(gemma())
    settings = {"tokenizer_class": "GemmaTokenizer", "pad_token": "<pad>", "padding_side": "right"}
    assert read_pad(definition, settings, 64) == Pad(0, 64)
    assert read_pad(definition, {"pad_token": {"content": "<mask>"}}, 8) == Pad(4, 8)
    for side in ({"padding_side": "left"}, {}):
        with pytest.raises(ConversionError, match='padding_side "left"'):
            read_pad(definition, {"tokenizer_class": "GemmaTokenizer", "pad_token": "<pad>", **side}, 64)
    with pytest.raises(ConversionError, match="pad_token '<none>', which the tokenizer does not know"):
        read_pad(definition, {"pad_token": "<none>"}, 64)


def test_golden_texts_are_filled_up(tmp_path):
    (tmp_path / "spiece.model").write_bytes(spiece())
    definition = read(tmp_path, SIGLIP)
    inputs = golden.tokenise(Text(definition, 20, pad=Pad(1, 24)))
    tokenizer = TextTokenizer(definition.encode(), 1000, Pad(1, 24))
    batch = tokenizer.encode(golden.TEXTS, golden.TEXTS, 20)
    assert inputs.ids.tolist() == batch.ids.tolist()
    assert inputs.offsets.tolist() == batch.offsets.tolist() == list(range(0, 24 * len(golden.TEXTS) + 1, 24))


def test_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(ConversionError, match=r"has no tokenizer\.json, .* nor a sentencepiece model .*save a fast"):
        read(tmp_path, {"tokenizer_class": "T5Tokenizer"})
    (tmp_path / "spiece.model").write_bytes(spiece())
    with pytest.raises(ConversionError, match=r"class 'XGLMTokenizer', of which no sentencepiece.*save a fast"):
        read(tmp_path, {"tokenizer_class": "XGLMTokenizer"})
