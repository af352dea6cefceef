"""What a scenario found."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Found", "as_table"]


@dataclass
class Found:
    """`kills` counts the processes that were killed; `violations` says in words what did not hold."""

    what: str
    n: int = 0
    kills: int = 0
    checks: int = 0
    violations: list[str] = field(default_factory=list)

    def check(self, holds: bool, otherwise: str) -> None:
        """Count a claim, and write down what is wrong where it does not hold."""
        self.checks += 1
        if not holds:
            self.violations.append(otherwise)


def as_table(results: list[Found]) -> str:
    """Return the results as text, the violations below."""
    lines = [f"{'what':<76} {'N':>4} {'kills':>6} {'checks':>7} {'violations':>11}"]
    lines += [f"{r.what:<76} {r.n:>4} {r.kills:>6} {r.checks:>7} {len(r.violations):>11}" for r in results]
    return "\n".join([*lines, *(f"VIOLATION {r.what}: {v}" for r in results for v in r.violations)])
