"""`Model`: a loaded `.embedrt` file."""

from __future__ import annotations

from embedrt._model_heads import HeadMethods
from embedrt._model_images import ImageMethods
from embedrt._model_retrieval import RetrievalMethods
from embedrt._model_segments import SegmentMethods


class Model(SegmentMethods, HeadMethods, RetrievalMethods, ImageMethods):
    """A loaded model. Get one from `embedrt.load`; one model may be used by several threads at once.

    Attributes:
        dim: columns of what the file is for: of a sentence embedding, of an image embedding, of a classifier's logits.
        max_tokens: the limit of a text, special tokens included, unless `encode` is given another; 0 for a model that
            takes no texts.
        image_size: height and width of an image as the program sees it; None for a model that takes no images.
        labels: names of the columns of the output logits, if the file has them: what `classify` gives for texts.
        fingerprint: 32 hexadecimal digits that change when the vectors may; an index stores it with its vectors.
    """
