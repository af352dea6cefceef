"""The pages' own code."""

from __future__ import annotations

import re

from tests.environments.make_env import ROOT


def python_of(page: str, heading: str) -> str:
    """Return the first Python block below a heading."""
    below = (ROOT / "docs" / page).read_text().partition(f"\n## {heading}\n")[2]
    found = re.search(r"```python\n(.*?)```", below, re.DOTALL)
    assert found, (page, heading)
    return found[1]
