"""T5 and its kin: gated and not, alone and beside a decoder, heads of other widths, texts beyond the last bucket."""

from transformers import (
    MT5Config,
    MT5EncoderModel,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5EncoderModel,
)

from families.case import VOCABULARY, Case, of_transformers

SETTINGS = {
    "vocab_size": VOCABULARY,
    "d_model": 48,
    "d_kv": 12,
    "d_ff": 80,
    "num_layers": 3,
    "num_heads": 4,
}


def _case(
    name: str, kind: type = T5EncoderModel, config: type = T5Config, read: type = T5EncoderModel, **changes: object
) -> Case:
    return of_transformers(name, lambda: kind(config(**{**SETTINGS, **changes})), read, longest=200)


CASES = (
    _case("plain"),
    _case("beside a decoder, wide heads", T5ForConditionalGeneration, d_kv=20, num_heads=3),
    _case("gated", feed_forward_proj="gated-gelu"),
    _case("gated with silu, few buckets", feed_forward_proj="gated-silu", relative_attention_num_buckets=8, d_kv=8),
    _case("other distances", relative_attention_max_distance=40, relative_attention_num_buckets=16),
    _case("mT5", MT5EncoderModel, MT5Config, MT5EncoderModel, d_kv=16),
    _case("UMT5", UMT5EncoderModel, UMT5Config, UMT5EncoderModel),
)
