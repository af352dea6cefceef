"""Tables as the documentation has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

__all__ = ["table"]


def table(of: str, heads: Sequence[str], rows: Iterable[tuple[str, Iterable[float]]]) -> Iterator[str]:
    """Yield a table's lines, each as soon as its row is there; numbers to three digits."""
    yield f"| {of} | {' | '.join(heads)} |"
    yield f"|---|{'---|' * len(heads)}"
    for name, values in rows:
        yield f"| {name} | {' | '.join(f'{value:.4g}' if abs(value) >= 1000 else f'{value:.3g}' for value in values)} |"
