"""The exceptions of embedrt.

    Exception
    └── EmbedrtError          everything embedrt raises on purpose; its text says what, where and what to do
        ├── FormatError       a model file, or its tokenizer, is damaged, hostile or from another version
        └── InputError        an argument, a text or an image cannot be used (also a ValueError)

Beside these, a wrong Python type raises TypeError and a file that cannot be read raises OSError. The C++ extension
raises these same classes.

    UserWarning
    └── TruncationWarning     texts were cut to the limit; their vectors stand for their beginnings only
"""


class EmbedrtError(Exception):
    """The base of every error that embedrt raises on purpose."""


class FormatError(EmbedrtError):
    """A model file, or a section of one, is not what docs/format.md says."""


class InputError(EmbedrtError, ValueError):
    """An argument, a text or an image cannot be used; the message names the argument or the index."""


class TruncationWarning(UserWarning):
    """Texts were cut to the token limit, and `return_info` was not asked for; the message says how many."""


def is_library_failure(error: BaseException) -> bool:
    """Whether the tokenizers library failed, by an exception or by a Rust panic; not KeyboardInterrupt and the like.

    A panic arrives as pyo3's PanicException, which derives from BaseException and cannot be imported.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"
