"""Checks sentencepiece's precompiled character map before the tokenizers library walks it.

The map is a double-array trie from UTF-8 strings to places in a blob of replacements, each ended by a zero byte.
The library follows the trie's links and cuts the blob without checking; a crafted map makes it panic. So every link
that a walk could take must stay inside the array, and every place must start a character inside the blob.
"""

from __future__ import annotations

import numpy as np

from embedrt._errors import FormatError

MAX_REPLACEMENT = 128  # bytes; sentencepiece's NFKC map has at most 33

_HAS_LEAF = 1 << 8
_IS_VALUE = 1 << 31


def check_charsmap(text: str, where: str) -> float:
    """Check the base64 of a map; give back how many times longer a text it can make, in bytes. Raises FormatError."""
    # Here, since most tokenizers have no such map.
    import base64
    import binascii

    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise FormatError(f"{where}: not base64") from None
    size = int.from_bytes(data[:4], "little")
    if len(data) < 4 or size % 4 or not 4 <= size <= len(data) - 4:
        raise FormatError(f"{where}: a trie of {size} bytes in a map of {len(data)}")
    units = np.frombuffer(data, "<u4", size // 4, 4).astype(np.int64)
    blob = data[4 + size :]
    try:
        blob.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{where}: the replacements are not UTF-8 at byte {error.start}") from None

    # A unit without the value bit can be walked through. Its children stand at (its place ^ offset ^ label), label
    # being any byte, and its value at (its place ^ offset).
    places = np.arange(len(units))
    offsets = (units >> 10) << ((units & (1 << 9)) >> 6)
    children = places ^ offsets
    walked = (units & _IS_VALUE) == 0
    walked[0] = True  # the root is entered without a look at its bits
    if np.any((children | 0xFF)[walked] >= len(units)):
        raise FormatError(f"{where}: a link of the trie leaves the array of {len(units)} units")
    values = units[children[walked & ((units & _HAS_LEAF) != 0)]] & (_IS_VALUE - 1)
    ends = np.flatnonzero(np.frombuffer(blob + b"\0", np.uint8) == 0)
    if np.any(values > len(blob)):
        raise FormatError(f"{where}: a value of the trie lies outside the {len(blob)} bytes of replacements")
    codes = np.frombuffer(blob + b"\0", np.uint8)
    if np.any((codes[values] & 0xC0) == 0x80):
        raise FormatError(f"{where}: a value of the trie starts inside a character")
    longest = int(np.max(ends[np.searchsorted(ends, values)] - values, initial=1))
    if longest > MAX_REPLACEMENT:
        raise FormatError(f"{where}: a replacement of {longest} bytes, at most {MAX_REPLACEMENT} are accepted")
    return float(longest)
