"""Checkpoints of image networks whose trained weights are not at hand: for their speed, which does not depend on them.

    python -m embedrt_bench.image_shapes vit-base FOLDER
    python -m embedrt_bench.image_shapes timm:mobilenetv2_100 mobilenetv2.pth

writes one with random weights, always the same: a Hugging Face folder, or the weights of a network that timm or
torchvision has by name. Fidelity figures of such weights say nothing about trained ones.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedrt_bench.errors import BenchError

_SEED = 0
_HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
_CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
# Pictures through a convolutional network, from which its BatchNorms take their statistics.
_PICTURES = 16
_SIZE = 224
# Standard deviation of a transformer's weights. With transformers' own, .02, a class token hardly depends on the image.
_WEIGHTS = 0.04


def write(shape: str, target: Path) -> None:
    """The checkpoint of that shape: a folder for one of SHAPES, a file of weights for a network's name.

    Raises BenchError when `target` exists or the shape is unknown.
    """
    import torch

    if target.exists():
        raise BenchError(f"{target} exists already: remove it or name another")
    torch.manual_seed(_SEED)
    if shape in SHAPES:
        SHAPES[shape](target)
    else:
        _write_weights(shape, target)


def _vit_base(folder: Path) -> None:
    from transformers import ViTConfig, ViTModel

    ViTModel(ViTConfig(initializer_range=_WEIGHTS), add_pooling_layer=False).save_pretrained(folder)
    size = {"height": _SIZE, "width": _SIZE}
    _write_preprocessor(folder, {"image_processor_type": "ViTImageProcessor", "size": size, "resample": 2, **_HALF})


def _clip_base(folder: Path) -> None:
    """Its vocabulary is that of single bytes: the text tower is not measured, but must be one that texts can enter."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPConfig, CLIPModel

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    ends = {"bos_token_id": len(tokens) - 2, "eos_token_id": len(tokens) - 1, "pad_token_id": len(tokens) - 1}
    CLIPModel(CLIPConfig(text_config={"vocab_size": len(tokens), **ends})).save_pretrained(folder)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    _write_preprocessor(
        folder,
        {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": _SIZE},
            "resample": 3,
            "do_center_crop": True,
            "crop_size": {"height": _SIZE, "width": _SIZE},
            "do_convert_rgb": True,
            **_CLIP,
        },
    )


SHAPES: dict[str, Callable[[Path], None]] = {"vit-base": _vit_base, "clip-vit-base-patch32": _clip_base}


def _write_preprocessor(folder: Path, steps: dict[str, Any]) -> None:
    common = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps({**common, **steps}, indent=1), encoding="utf-8")


def _write_weights(architecture: str, target: Path) -> None:
    """Statistics of BatchNorms are those of pictures: as they are at first, activations would vanish or explode."""
    import torch

    from embedrt._patterns import pattern
    from embedrt_bench.images.networks import named
    from embedrt_bench.images.steps import Normalisation

    network, normalisation = named(architecture)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all that follows, without what was there before
            module.reset_running_stats()
    pictures = Normalisation(**normalisation).of(_patterns(pattern))
    network.train()
    with torch.no_grad():
        network(torch.from_numpy(pictures))
    torch.save(network.state_dict(), target)


def _patterns(pattern: Callable[[int, int, int], Any]) -> Any:
    import numpy as np

    return np.stack([pattern(number, _SIZE, _SIZE) for number in range(_PICTURES)])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m embedrt_bench.image_shapes", description="Write an image checkpoint of random weights."
    )
    parser.add_argument("shape", help=f"{', '.join(SHAPES)}, or a network as `embedrt convert --arch` names it")
    parser.add_argument("target", metavar="TARGET", type=Path, help="the folder, or the file of weights, to write")
    args = parser.parse_args()
    write(args.shape, args.target)


if __name__ == "__main__":
    main()
