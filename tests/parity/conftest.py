"""transformers' and timm's image models import torchvision."""

import cpu_torchvision  # noqa: F401
