"""Rows of counts and numbers as short JSON text: a profile of many columns and days has hundreds of thousands."""

from __future__ import annotations

import struct
import zlib
from base64 import b85decode, b85encode
from collections.abc import Iterable, Iterator, Sequence
from math import isqrt
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

__all__ = ["PackedNumbers", "PackedRows"]

# A column of 1,000 levels over ten years has four million counts; what claims more is no profile.
_MOST_BYTES = 1 << 26


def _pack_numbers(numbers: Sequence[float]) -> str:
    return b85encode(struct.pack(f"<{len(numbers)}d", *numbers)).decode()


def _unpack_numbers(packed: object) -> object:
    if not isinstance(packed, str):
        return packed
    data = b85decode(packed)
    if len(data) % 8:
        raise ValueError("not packed numbers: they have 8 bytes each")
    return struct.unpack(f"<{len(data) // 8}d", data)


def _pack_rows(rows: Sequence[Sequence[int]]) -> str:
    """The differences from each place's mean, in its steps, as whole numbers of 7 bits a byte, in a Huffman code."""
    if not rows:
        return ""
    means = [sum(place) // len(rows) for place in zip(*rows, strict=True)]
    places = [(mean, _step(mean)) for mean in means]
    left = ((c - m + s // 2) // s for row in rows for c, (m, s) in zip(row, places, strict=True))
    data = bytes(_bytes([len(rows), *means, *(n << 1 if n >= 0 else (-n << 1) - 1 for n in left)]))
    codes = (_deflated(data, strategy) for strategy in (zlib.Z_HUFFMAN_ONLY, zlib.Z_DEFAULT_STRATEGY))
    return b85encode(min(codes, key=len)).decode()


def _unpack_rows(packed: object) -> object:
    if not isinstance(packed, str) or not packed:
        return packed or ()
    inflated = zlib.decompressobj(wbits=-15)
    try:
        data = inflated.decompress(b85decode(packed), _MOST_BYTES)
    except zlib.error as exc:
        raise ValueError(f"not packed rows: {exc}") from exc
    if inflated.unconsumed_tail or not inflated.eof:
        raise ValueError(f"not packed rows: cut off, or more than {_MOST_BYTES:,} bytes")
    numbers = _numbers(data)
    width = (len(numbers) - 1) // (numbers[0] + 1)
    places = [(mean, _step(mean)) for mean in numbers[1 : width + 1]]
    left = [-(n + 1 >> 1) if n & 1 else n >> 1 for n in numbers[width + 1 :]]
    return tuple(
        tuple(max(m + n * s, 0) for n, (m, s) in zip(left[at : at + width], places, strict=True))
        for at in range(0, len(left), width)
    )


def _step(mean: int) -> int:
    """The largest power of 2 up to half of what chance moves a count of this mean by, its square root."""
    return 1 << max((isqrt(mean) // 2).bit_length() - 1, 0)


def _bytes(numbers: Iterable[int]) -> Iterator[int]:
    for number in numbers:
        rest = number
        while rest > 127:
            yield rest & 127 | 128
            rest >>= 7
        yield rest


def _numbers(data: bytes) -> list[int]:
    found, number, shift = [], 0, 0
    for byte in data:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            found.append(number)
            number = shift = 0
    return found


def _deflated(data: bytes, strategy: int) -> bytes:
    code = zlib.compressobj(9, zlib.DEFLATED, -15, 9, strategy)
    return code.compress(data) + code.flush()


PackedNumbers = Annotated[
    tuple[float, ...],
    BeforeValidator(_unpack_numbers),
    PlainSerializer(_pack_numbers, return_type=str, when_used="json"),
]
"""Numbers, in JSON the base85 of their little-endian doubles; plain lists are read too."""

PackedRows = Annotated[
    tuple[tuple[int, ...], ...],
    BeforeValidator(_unpack_rows),
    PlainSerializer(_pack_rows, return_type=str, when_used="json"),
]
"""Rows of counts, all of one length > 0, in JSON packed to within a quarter of their own chance.

The digits of large counts are chance, which no code can shorten: a count whose place has mean m over the rows comes
back to within sqrt(m) / 4, which adds 2 % to the variance that independent rows have; exactly where m < 16, and where
there is one row. Plain lists are read too.
"""
