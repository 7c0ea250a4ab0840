"""Import this before torchvision, timm or transformers' image models.

The package index has only torchvision's CUDA builds. Beside a CPU build of torch their compiled library does not load,
and the import fails on the names of its operators, which no network here calls.
"""

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError:
    _library = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
