"""`Model`: a loaded `.embedrt` file. Argument names and meanings follow sentence-transformers where it has them."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

from embedrt import _core
from embedrt._encode import SENTENCE, TOKENS, Encoding, Output, progress_bar
from embedrt._errors import EmbedrtError, FormatError, InputError
from embedrt._extras import extra
from embedrt._image_config import CLASS, IMAGE, LOGITS, MEAN, PATCHES, parse_image_config
from embedrt._similarity import logits, probabilities, similarity
from embedrt._text_config import parse_notes, parse_text_config
from embedrt._tokenize import TextTokenizer, check_limit, check_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self, Unpack

    from embedrt._encode import Vectors
    from embedrt._image_config import ImageOutput
    from embedrt._info import EncodeInfo, ImageInfo, ModelInfo
    from embedrt._options import EncodeOptions, ImageOptions, Images


class Model:
    """A loaded model. Get one from `embedrt.load`; one model may be used by several threads at once.

    Attributes:
        dim: columns of a sentence embedding, of an image embedding.
        max_tokens: the limit of a text, special tokens included, unless `encode` is given another; 0 for a model that
            takes no texts.
        image_size: height and width of an image as the program sees it; None for a model that takes no images.
        labels: names of the columns of the output logits, if the file has them.
        fingerprint: 32 hexadecimal digits that change when the vectors may; an index stores it with its vectors.
    """

    def __init__(
        self, source: str | bytes, *, mmap: bool = True, verify: bool = False, threads: int | None = None
    ) -> None:
        """Load from a path, or from a file's bytes. Raises FormatError, OSError."""
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int)):
            raise TypeError(f"threads is a {type(threads).__name__}, not an int")
        if threads is not None and not 1 <= threads <= 1024:
            raise InputError(f"threads is {threads}; give 1 to 1024, or None for all CPUs that this process may use")
        self._source = source if isinstance(source, str) else None
        self._threads = threads
        self._mmap = mmap
        self._core: _core.Model | None = _core.Model(source, mmap=mmap, verify=verify, threads=threads or 0)
        core = self._core
        # The tokenizers library knows one thread or as many as there are CPUs.
        self._spread = core.threads > 1 and (threads is None or threads >= _core.default_threads())
        self.dim = _embedding_columns(core)
        section = core.section("tokenizer")
        self._config = parse_text_config(core.section("text"), core.max_tokens, core.vocabulary)
        pad = self._config.pad
        self._tokenizer = TextTokenizer(section, core.vocabulary, pad) if section is not None else None
        self._image_config = None
        self.image_size = core.image_size
        steps = core.section("image")
        if (self.image_size is None) != (steps is None):
            raise FormatError("a program that takes images and an image section: there is one without the other")
        if self.image_size is not None and steps is not None:
            self._image_config = parse_image_config(steps, self.image_size, core.outputs().get(LOGITS))
        self.labels = self._image_config.labels if self._image_config else None
        self.max_tokens = self._config.max_tokens
        self.fingerprint = core.fingerprint
        if self._tokenizer and self.max_tokens < self._tokenizer.special:
            raise FormatError(f"text section.max_tokens: {self.max_tokens}, less than the special tokens of one text")

    @property
    def info(self) -> ModelInfo:
        """What the file says about itself, and how it runs here."""
        from embedrt._info import ModelInfo

        core = self._open()
        return ModelInfo(
            about=parse_notes(core.section("about"), "about section"),
            report=parse_notes(core.section("report"), "report section"),
            text=self._config,
            image=self._image_config,
            dim=self.dim,
            vocabulary=core.vocabulary,
            fingerprint=self.fingerprint,
            threads=core.threads,
            isa=_core.isa(),
            format_version=_core.FORMAT_VERSION,
            numerics_revision=_core.NUMERICS_REVISION,
        )

    @overload
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        output_value: Literal["sentence_embedding"] = ...,
        return_info: Literal[False] = ...,
        **options: Unpack[EncodeOptions],
    ) -> NDArray[np.float32]: ...
    @overload
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        output_value: Output = ...,
        return_info: Literal[True],
        **options: Unpack[EncodeOptions],
    ) -> tuple[Any, EncodeInfo]: ...
    @overload
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        output_value: Output,
        return_info: Literal[False] = ...,
        **options: Unpack[EncodeOptions],
    ) -> Any: ...
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize_embeddings: bool | None = None,
        truncate_dim: int | None = None,
        max_tokens: int | None = None,
        output_value: Output = SENTENCE,
        show_progress_bar: bool | None = None,
        batch_size: int | None = None,
        convert_to_numpy: bool | None = None,
        on_long: Literal["truncate", "error"] = "truncate",
        return_info: bool = False,
    ) -> Any:
        """Turn texts into vectors. The same text gives the same bits, whatever stands beside it.

        Args:
            sentences: one text, or any number of them. Lone surrogates count as U+FFFD; an empty text has its special
                tokens only.
            prompt_name: the name of one of the file's prompts, put before each text; the file's default when None.
            prompt: a prompt of your own; goes before `prompt_name`.
            normalize_embeddings: scale sentence embeddings to unit length. A model that does so itself is not asked
                twice.
            truncate_dim: keep only the first columns of sentence embeddings; before normalising, which is not done
                again unless asked for.
            max_tokens: the limit of a text here, special tokens included; `Model.max_tokens` when None.
            output_value: "sentence_embedding", or "token_embeddings" for one vector a token, those included that
                a text is filled up with where the model takes a fixed number.
            show_progress_bar: show one, if tqdm is installed.
            batch_size, convert_to_numpy: accepted from callers of sentence-transformers; without effect.
            on_long: "truncate" cuts a text that is over the limit, "error" refuses it.
            return_info: also give back an `EncodeInfo`.

        Returns:
            float32 [texts, dim]; [dim] for one text. With token_embeddings a list of float32 [tokens, columns], or
            one of them. With return_info a pair of that and an `EncodeInfo`.

        Raises TypeError for what is not a str, naming its index; InputError for any other argument; EmbedrtError
        when the model is closed or a vector is not finite.
        """
        core, tokenizer = self._open(), self._need_tokenizer()
        one = isinstance(sentences, str)
        texts = [sentences] if isinstance(sentences, str) else _listed(sentences)
        check_texts(texts)
        _check_output(core, output_value, (SENTENCE, TOKENS))
        if on_long not in ("truncate", "error"):
            raise InputError(f'on_long is {on_long!r}, not "truncate" or "error"')
        _check_ignored(batch_size, convert_to_numpy if output_value == SENTENCE else None)
        limit = self.max_tokens
        if max_tokens is not None:
            limit = check_limit(max_tokens, tokenizer.special, self._config.longest(core.max_tokens))
        dim = _columns(truncate_dim, self.dim)
        bar = progress_bar(len(texts)) if show_progress_bar else None
        call = Encoding(
            core,
            tokenizer,
            prompt=self._prompt(prompt, prompt_name),
            limit=limit,
            strict=on_long == "error",
            counted=return_info,
            spread=self._spread,
            advance=bar.update if bar else None,
        )
        result: Vectors | list[Vectors]
        try:
            if output_value == TOKENS:
                result = call.tokens(texts)
            else:
                result = call.sentences(texts, dim, bool(normalize_embeddings))
        finally:
            if bar:
                bar.close()
        vectors = result[0] if one else result
        return (vectors, call.info()) if return_info else vectors

    def encode_query(self, sentences: str | Iterable[str], **options: Any) -> Any:
        """`encode` with the prompt "query" where the file has one, and none otherwise."""
        return self._encode_as(("query",), sentences, options)

    def encode_document(self, sentences: str | Iterable[str], **options: Any) -> Any:
        """`encode` with the first of the prompts "document", "passage" and "corpus" that the file has, or none."""
        return self._encode_as(("document", "passage", "corpus"), sentences, options)

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
            normalize_embeddings: scale vectors to unit length. A model that does so itself is not asked twice.
            truncate_dim: keep only the first columns of vectors; before normalising, which is not done again unless
                asked for. Neither of the two is for logits and patch embeddings.
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
        _check_output(core, output_value, (IMAGE, CLASS, MEAN, PATCHES, LOGITS))
        if on_error not in ("raise", "skip"):
            raise InputError(f'on_error is {on_error!r}, not "raise" or "skip"')
        _check_ignored(batch_size, convert_to_numpy)
        if output_value in (PATCHES, LOGITS) and (normalize_embeddings or truncate_dim is not None):
            raise InputError(f"normalize_embeddings and truncate_dim are not for {output_value}")
        dim = _columns(truncate_dim, core.outputs()[output_value])
        bar = progress_bar(len(sequence), "image") if show_progress_bar else None
        call = ImageEncoding(
            core, config, output=output_value, strict=on_error == "raise", advance=bar.update if bar else None
        )
        try:
            if output_value == PATCHES:
                result = call.patches(sequence)
            else:
                result = call.vectors(sequence, dim, bool(normalize_embeddings))
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
        names = _listed(labels)
        check_texts(names)
        texts = self.encode([template.replace("{}", name) for name in names], prompt="")
        vectors = self.encode_image(images)
        scores = probabilities(self.similarity(vectors, texts), independent=config.logit_bias is not None)
        return scores.reshape(*vectors.shape[:-1], len(names))

    def similarity(self, a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
        """Similarity of rows of a [n, d] and b [m, d] → float32 [n, m], by the file's measure. Larger is more alike.

        Where the file has a logit_scale (CLIP, SigLIP), logit_scale · cosine + logit_bias.
        """
        config = self._image_config
        if config is None:
            return similarity(a, b, self._config.similarity)
        scores = similarity(a, b, config.similarity)
        if config.logit_scale is None:
            return scores
        return logits(scores, config.logit_scale, config.logit_bias)

    def count_tokens(self, sentences: str | Iterable[str]) -> Any:
        """How many tokens each text has, special ones included: int64 [texts], an int for one text.

        Before any limit, and without what a model that takes a fixed number of tokens has texts filled up with.

        Prompts are not added. A text of more than 2**20 characters is counted up to there.
        """
        texts = [sentences] if isinstance(sentences, str) else _listed(sentences)
        check_texts(texts)
        counts = self._need_tokenizer().count(texts)
        return int(counts[0]) if isinstance(sentences, str) else counts

    def token_ids(self, text: str) -> list[int]:
        """The ids that `encode` gives to the program for `text`: special tokens included, cut to `max_tokens`.

        Where the file has texts filled up to a fixed number of ids, so are these.
        """
        tokenizer = self._need_tokenizer()
        check_texts([text])
        ids: list[int] = tokenizer.encode([text], [tokenizer.head(text, self.max_tokens)], self.max_tokens).ids.tolist()
        return ids

    def section(self, name: str) -> bytes | None:
        """The bytes of a JSON section: text, tokenizer, image, about, report or golden; None if there is none."""
        return self._open().section(name)

    def close(self) -> None:
        """Let go of the file. Calls that are running end as usual; later ones raise EmbedrtError."""
        self._core = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._source is None:
            raise TypeError("a model loaded from bytes cannot be pickled; load it from a path")
        return (_reopened, (self._source, self._mmap, self._threads, self.fingerprint))

    def __repr__(self) -> str:
        import pathlib

        where = "bytes" if self._source is None else pathlib.Path(self._source).name
        state = "" if self._core else ", closed"
        takes = [f"{self.max_tokens} tokens"] if self.max_tokens else []
        if self.image_size is not None:
            takes.append("images of {} x {}".format(*self.image_size))
        return f"<embedrt.Model {where}: {self.dim} columns, {', '.join(takes)}, {self.fingerprint[:8]}{state}>"

    def _open(self) -> _core.Model:
        core = self._core
        if core is None:
            raise EmbedrtError("the model is closed")
        return core

    def _need_tokenizer(self) -> TextTokenizer:
        if not self._open().vocabulary:
            raise EmbedrtError("this model takes images, not texts: use encode_image")
        if self._tokenizer is None:
            raise EmbedrtError("the file has no tokenizer, so this model cannot take texts")
        return self._tokenizer

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        prompts = self._config.prompts
        if prompt is not None:
            if not isinstance(prompt, str):
                raise TypeError(f"prompt is a {type(prompt).__name__}, not a str")
            if prompt_name is not None:
                import warnings

                warnings.warn("both prompt and prompt_name are given; prompt_name is ignored", stacklevel=3)
            return prompt
        if prompt_name is None:
            return prompts[self._config.default_prompt_name] if self._config.default_prompt_name is not None else ""
        if prompt_name not in prompts:
            known = ", ".join(prompts) or "none"
            raise InputError(f"prompt_name is {prompt_name!r}; this model has {known}")
        return prompts[prompt_name]

    def _encode_as(self, names: tuple[str, ...], sentences: str | Iterable[str], options: dict[str, Any]) -> Any:
        if options.get("prompt") is None and options.get("prompt_name") is None:
            name = next((name for name in names if name in self._config.prompts), None)
            # Without such a prompt there is none: the file's default prompt is for `encode`.
            options |= {"prompt_name": name} if name is not None else {"prompt": ""}
        return self.encode(sentences, **options)


def _embedding_columns(core: _core.Model) -> int:
    """The columns of the outputs that are vectors of whole texts and images. Raises FormatError."""
    outputs = core.outputs()
    columns = {outputs.get(name) for name, taken in ((SENTENCE, core.vocabulary), (IMAGE, core.image_size)) if taken}
    if None in columns or len(columns) != 1:
        raise FormatError(
            f"a program needs the output {SENTENCE} if it takes texts and {IMAGE} if it takes images, equally wide; "
            f"this one has {', '.join(f'{name} [{size}]' for name, size in sorted(outputs.items()))}"
        )
    return int(columns.pop())  # type: ignore[arg-type]


def _check_output(core: _core.Model, asked: str, among: tuple[str, ...]) -> None:
    known = [name for name in among if name in core.outputs()]
    if asked not in known:
        raise InputError(f"output_value is {asked!r}, this model has {', '.join(known)}")


def _check_ignored(batch_size: int | None, convert_to_numpy: bool | None) -> None:
    """Of what is accepted without effect, refuse what cannot be meant or be met."""
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size is {batch_size}, not a positive number")
    if convert_to_numpy is False:
        raise InputError("convert_to_numpy=False asks for torch tensors; this model gives numpy arrays")


def _columns(truncate_dim: int | None, dim: int) -> int:
    if truncate_dim is None:
        return dim
    if isinstance(truncate_dim, bool) or not isinstance(truncate_dim, int):
        raise TypeError(f"truncate_dim is a {type(truncate_dim).__name__}, not an int")
    if truncate_dim < 1:
        raise InputError(f"truncate_dim is {truncate_dim}, not a positive number")
    return min(truncate_dim, dim)


def _listed(sentences: Iterable[str]) -> list[str]:
    if isinstance(sentences, list):
        return sentences
    try:
        return list(sentences)
    except TypeError:
        raise TypeError(f"expected a str or an iterable of str, not a {type(sentences).__name__}") from None


def _reopened(source: str, mmap: bool, threads: int | None, fingerprint: str) -> Model:
    """Unpickle: load again, and insist on the same vectors."""
    model = Model(source, mmap=mmap, threads=threads)
    if model.fingerprint != fingerprint:
        raise EmbedrtError(f"{source} has the fingerprint {model.fingerprint}, the pickled model had {fingerprint}")
    return model
