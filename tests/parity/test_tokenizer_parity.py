"""CLIP's, SigLIP's and SigLIP2's tokenizers, trained small: the ids of transformers' classes on hostile texts."""

from __future__ import annotations

import itertools
import json
import random
import unicodedata

import pytest
from hostile_texts import BLOCKS, HOSTILE
from sentencepiece import SentencePieceTrainer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer, GemmaTokenizer, Siglip2Tokenizer, SiglipTokenizer

from embedrt._text_config import Pad
from embedrt._tokenize import TextTokenizer
from embedrt_convert.golden import TEXTS
from embedrt_convert.inputs.tokenizer import read_pad, read_tokenizer
from embedrt_convert.sources import Folder

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def corpus():
    """Words of the golden texts in random order, lower case."""
    words = [word for text in TEXTS for word in text.lower().split()]
    rng = random.Random(0)
    return [" ".join(rng.choices(words, k=12)) for _ in range(3000)]


def ours(folder, vocabulary, to=None):
    files = Folder(folder)
    settings = files.json("tokenizer_config.json")
    definition = read_tokenizer(files, "", settings, vocabulary, False)
    return TextTokenizer(definition.encode(), vocabulary, read_pad(definition, settings, to) if to else None)


def differing(tokenizer, reference, texts, limit, **options):
    """The texts on which ids differ, cut to `limit`, and those of them that are short also whole."""

    def same(text):
        batch = tokenizer.encode([text], [tokenizer.head(text, limit)], limit)
        if batch.ids.tolist() != reference(text, truncation=True, max_length=limit, **options)["input_ids"]:
            return False
        whole = not options and len(text) < 5000
        return not whole or tokenizer.encode([text], [text], 10**6).ids.tolist() == reference(text)["input_ids"]

    return [text for text in texts if not same(text)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder of vocab.json and merges.txt."""
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.normalizer = normalizers.Lowercase()
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=letters, end_of_word_suffix="</w>")
    trained.train_from_iterator(corpus(), trainer)
    model = json.loads(trained.to_str())["model"]
    tokens = [*sorted(letters), *(f"{letter}</w>" for letter in sorted(letters)), "<|startoftext|>", "<|endoftext|>"]
    tokens += [a + b for a, b in model["merges"]]
    vocab = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    folder = tmp_path_factory.mktemp("clip")
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"]))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    return folder


def test_clip_from_its_files_and_from_a_tokenizer_json(clip, tmp_path):
    reference = CLIPTokenizer.from_pretrained(clip)
    reference.save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").exists() and not (tmp_path / "merges.txt").exists()
    texts = [*HOSTILE, "<|startoftext|>x", "a <|endoftext|> <|ENDOFTEXT|>", "<|startoftext|"]
    for folder in (clip, tmp_path):
        assert not differing(ours(folder, len(reference)), reference, texts, 77)


def test_clip_cuts_as_transformers(clip):
    """To 77 ids, the last of them the end's."""
    reference = CLIPTokenizer.from_pretrained(clip)
    ids = reference("guitar stage " * 60, truncation=True, max_length=77)["input_ids"]
    tokenizer = ours(clip, len(reference))
    assert len(ids) == 77 and ids[-1] == reference.eos_token_id
    assert tokenizer.encode(["guitar stage " * 60], ["guitar stage " * 60], 77).ids.tolist() == ids


@pytest.fixture(scope="module", params=["bytes", "unknown"])
def siglip(request, tmp_path_factory):
    """A folder of spiece.model, with and without byte fallback."""
    folder = tmp_path_factory.mktemp("siglip")
    SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()),
        model_prefix=str(folder / "spiece"),
        vocab_size=700,
        model_type="unigram",
        byte_fallback=request.param == "bytes",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    settings = {"tokenizer_class": "SiglipTokenizer", "pad_token": "</s>", "model_input_names": ["input_ids"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


# Compatibility forms of halves of Hangul syllables and of voiced kana, which sentencepiece's map composes.
HALVES = ("\u3131", "\uffa1")
NEWER = "\U00011938"  # a character of Unicode 13, after which its map was made
DECOMPOSED = [
    unicodedata.normalize("NFD", character)
    for character in map(chr, range(0x30000))
    if unicodedata.category(character) not in ("Cn", "Cs") and unicodedata.decomposition(character)[:1] not in ("", "<")
    if character != NEWER
]


def test_siglip(siglip):
    reference = SiglipTokenizer.from_pretrained(siglip)
    # In canonical order, and NFD as well as NFC.
    texts = [unicodedata.normalize("NFC", text) for text in HOSTILE]
    texts += [" ".join(DECOMPOSED[first : first + 50]) for first in range(0, len(DECOMPOSED), 50)]
    texts = [text for text in texts if not any(half in text for half in HALVES)]
    options = {"padding": "max_length"}
    tokenizer = ours(siglip, len(reference), 64)
    assert not differing(tokenizer, reference, texts, 64, **options)
    assert not differing(ours(siglip, len(reference)), reference, [text for text in texts if len(text) < 50_000], 64)
    texts = [f"hello <unk> {text}" for text in ("", "</s>")]
    assert not differing(tokenizer, reference, texts, 64, **options)


def test_what_siglip_does_otherwise(siglip):
    """What the documentation says of it: behind special tokens in a text, and at a final capital sigma."""
    reference = SiglipTokenizer.from_pretrained(siglip)
    assert differing(ours(siglip, len(reference)), reference, ["a </s> b"], 64) == ["a </s> b"]
    assert reference.canonicalize_text("ΟΔΟΣ") == "οδος"
    files = Folder(siglip)
    definition = read_tokenizer(files, "", files.json("tokenizer_config.json"), len(reference), False)
    assert Tokenizer.from_str(definition).normalizer.normalize_str("ΟΔΟΣ") == "▁οδοσ"


@pytest.fixture(scope="module")
def gemma():
    """The vocabulary and merges of a byte-fallback BPE that marks spaces; more merges than tokens."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *BYTES]
    trained.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=900, special_tokens=specials))
    vocab = json.loads(trained.to_str())["model"]["vocab"]
    ranked = [token for token in sorted(vocab, key=vocab.__getitem__) if token not in specials]
    cuts = ((token[:at], token[at:]) for token in ranked for at in range(1, len(token)))
    merges = [pair for pair in cuts if pair[0] in vocab and pair[1] in vocab]
    assert len(merges) > sum(len(token) > 1 for token in ranked)
    return vocab, merges


@pytest.mark.parametrize("kind", [GemmaTokenizer, Siglip2Tokenizer])
@pytest.mark.parametrize(("bos", "eos"), [*itertools.product((False, True), repeat=2)])
def test_siglip2(gemma, tmp_path, kind, bos, eos):
    vocab, merges = gemma
    made = kind(vocab=vocab, merges=merges, add_bos_token=bos, add_eos_token=eos, padding_side="right")
    made.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"add_bos_token": bos, "add_eos_token": eos}))
    reference = kind.from_pretrained(tmp_path)
    texts = [*HOSTILE, "a <eos> b", "ΟΔΟΣ HELLO"] if bos and eos else [*TEXTS, "", "<bos>", *BLOCKS[:8]]
    tokenizer = ours(tmp_path, len(vocab), 64)
    assert tokenizer._window.boundary
    assert not differing(tokenizer, reference, texts, 64, padding="max_length")
    assert not differing(ours(tmp_path, len(vocab)), reference, [text for text in texts if len(text) < 50_000], 64)


def test_the_padding_of_both(siglip, gemma, tmp_path):
    vocab, merges = gemma
    Siglip2Tokenizer(vocab=vocab, merges=merges, padding_side="right").save_pretrained(tmp_path)
    for folder, reference in ((siglip, SiglipTokenizer), (tmp_path, Siglip2Tokenizer)):
        files = Folder(folder)
        settings = files.json("tokenizer_config.json")
        definition = read_tokenizer(files, "", settings, 10**5, False)
        assert read_pad(definition, settings, 64) == Pad(reference.from_pretrained(folder).pad_token_id, 64)
