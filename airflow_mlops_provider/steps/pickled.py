"""Models whose classes the bundle defines: pickled whole, so that they load where the bundle is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

__all__ = ["with_code"]

_OURS = __name__.partition(".")[0]


@contextmanager
def with_code(bundle: str) -> Iterator[None]:
    """Let cloudpickle write what the bundle's modules define into the pickle, in place of its name.

    A model is loaded in other processes, beside models of later or earlier code: by name it would be another class
    there, or none.
    """
    import cloudpickle

    root = Path(bundle).resolve()
    own = [module for name, module in tuple(sys.modules.items()) if _lies_in(root, name, module)]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _lies_in(root: Path, name: str, module: ModuleType) -> bool:
    """Tell whether a module's file is where its name says below the root: what is installed there is not."""
    # Not its attribute: some modules import others where they are asked for one.
    file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
    if file is None or name.partition(".")[0] == _OURS:
        return False
    path = root.joinpath(*name.split("."))
    return Path(file) in (path.with_suffix(".py"), path / "__init__.py")
