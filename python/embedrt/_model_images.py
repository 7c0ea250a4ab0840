"""`Model` on images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, overload

from embedrt._arguments import check_ignored, check_output
from embedrt._arguments import listed as listed_texts
from embedrt._encode import progress_bar
from embedrt._errors import EmbedrtError, InputError
from embedrt._extras import extra
from embedrt._image_config import CLASS, IMAGE, LOGITS, MEAN, PATCHES
from embedrt._model_texts import TextMethods
from embedrt._similarity import probabilities
from embedrt._tokenize import check_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from embedrt._image_config import ImageOutput
    from embedrt._info import ImageInfo
    from embedrt._options import ImageOptions, Images


class ImageMethods(TextMethods):
    """Images in, vectors out."""

    @overload
    def encode_image(
        self, images: Images, *, return_info: Literal[False] = ..., **options: Unpack[ImageOptions]
    ) -> NDArray[np.float32]: ...
    @overload
    def encode_image(
        self, images: Images, *, return_info: Literal[True], **options: Unpack[ImageOptions]
    ) -> tuple[NDArray[np.float32], ImageInfo]: ...
    def encode_image(
        self,
        images: Images,
        *,
        output_value: ImageOutput = IMAGE,
        normalize_embeddings: bool | None = None,
        truncate_dim: int | None = None,
        show_progress_bar: bool | None = None,
        batch_size: int | None = None,
        convert_to_numpy: bool | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        return_info: bool = False,
    ) -> Any:
        """Turn images into vectors. The same pixels give the same bits, whatever stands beside them.

        Needs Pillow, the extra `embedrt[image]`. Files are decoded when their turn comes, a few at a time.

        Args:
            images: one image, or any number of them. An image is a path, a file's content as bytes, a Pillow image, or
                uint8 [height, width, 3] (RGB) or [height, width] (grey); an array of four dimensions is a batch. It is
                turned upright as its EXIF data says, loses its alpha, and is resized and cropped as the model file
                says; of an animation the first frame counts.
            output_value: "image_embedding", what the checkpoint defines as its pooled vector; "class_token" or
                "patch_mean"; "patch_embeddings" for one vector a patch; "logits", whose columns `Model.labels` names.
                A model has those that make sense for it.
            normalize_embeddings: True scales vectors to unit length; a model that does so itself is not asked twice.
                None, the default, does so only where `truncate_dim` has made shorter what the model had scaled, and
                False not even there.
            truncate_dim: keep only the first columns of vectors; before normalising. Neither of the two is for logits
                and patch embeddings.
            show_progress_bar: show one, if tqdm is installed.
            batch_size, convert_to_numpy: accepted from callers of sentence-transformers; without effect.
            on_error: "raise" stops at the first image that cannot be used, "skip" gives it a row of NaN; `ImageInfo`
                says which and why.
            return_info: also give back an `ImageInfo`.

        Returns:
            float32 [images, columns]; [columns] for one image. With patch_embeddings [images, height, width, columns],
            or [height, width, columns]. With return_info a pair of that and an `ImageInfo`.

        Raises InputError for an image that cannot be used, naming its index and path, and for any other argument;
        TypeError for what is no image; EmbedrtError when the model is closed or takes no images, or Pillow is missing.
        """
        core, config = self._open(), self._image_config
        if config is None:
            raise EmbedrtError("this model takes texts, not images: use encode")
        with extra("image"):
            from embedrt._encode_image import ImageEncoding, listed
        one, sequence = listed(images)
        check_output(core, output_value, (IMAGE, CLASS, MEAN, PATCHES, LOGITS))
        if on_error not in ("raise", "skip"):
            raise InputError(f'on_error is {on_error!r}, not "raise" or "skip"')
        check_ignored(batch_size, convert_to_numpy)
        if output_value in (PATCHES, LOGITS) and (normalize_embeddings or truncate_dim is not None):
            raise InputError(f"normalize_embeddings and truncate_dim are not for {output_value}")
        form = self._form(output_value, truncate_dim, normalize_embeddings)
        bar = progress_bar(len(sequence), "image") if show_progress_bar else None
        call = ImageEncoding(
            core, config, output=output_value, strict=on_error == "raise", advance=bar.update if bar else None
        )
        try:
            result = call.patches(sequence) if output_value == PATCHES else call.vectors(sequence, form)
        finally:
            if bar:
                bar.close()
        vectors = result[0] if one else result
        return (vectors, call.info()) if return_info else vectors

    def zero_shot(
        self, images: Images, labels: Iterable[str], template: str = "a photo of a {}."
    ) -> NDArray[np.float32]:
        """How well each of `labels`, put into `template` at its "{}", describes each image → float32 [images, labels].

        As the checkpoint was trained: the softmax of the similarities over the labels, so that rows add up to 1; where
        the file has a logit_bias (SigLIP), the sigmoid of each. [labels] for one image.

        Raises what `encode` and `encode_image` raise; EmbedrtError for a model that does not compare images with texts.
        """
        config = self._image_config
        if config is None or config.logit_scale is None:
            raise EmbedrtError("this model does not compare images with texts: its file has no logit_scale")
        if "{}" not in template:
            raise InputError(f'template is {template!r}; it needs a "{{}}" for the label')
        names = listed_texts(labels)
        check_texts(names)
        texts = self.encode([template.replace("{}", name) for name in names], prompt="")
        vectors = self.encode_image(images)
        scores = probabilities(self.similarity(vectors, texts), independent=config.logit_bias is not None)
        return scores.reshape(*vectors.shape[:-1], len(names))
