"""transformers' and timm's image models import torchvision. And the files that take longest come first: where files are
spread over processes, none of them is left for the end.
"""

import cpu_torchvision  # noqa: F401

LONGEST = ("test_onnx_import.py", "test_real_")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not item.path.name.startswith(LONGEST))
