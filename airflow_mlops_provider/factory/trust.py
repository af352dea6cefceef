"""What a pipeline file may name: modules, paths, interpreters and connections that Airflow's people allow."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath

from airflow_mlops_provider.contracts.pod import Pod
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.errors import nearest
from airflow_mlops_provider.factory.files import Files

__all__ = [
    "callable_faults",
    "class_faults",
    "connection_faults",
    "interpreter_faults",
    "own_class",
    "path_faults",
    "pod_faults",
]


# A larger source is no code that people write, and reading it takes gigabytes.
_MAX_BYTES = 1024 * 1024


def path_faults(path: str, config: FactoryConfig, *, files: Files, kind: str | None = None) -> Iterator[str]:
    """Yield what is wrong with a path: outside the bundle and every allowed root, or not there (`kind` given)."""
    outside = "://" in path or path.startswith(("/", "~")) or "\\" in path
    if "\0" in path:
        yield f"{path!r} holds a null byte, which no file system takes"
    elif "params." in path:
        yield f"{path!r}: a path takes no params, or who starts a run would choose it"
    elif ".." in PurePosixPath(path).parts:
        yield f"{path!r} climbs out with '..'; write a path below the bundle"
    elif outside and not config.allows_root(path):
        yield f"{path!r} is outside the bundle and not under [mlops] allowed_roots{_listed(config.allowed_roots)}"
    elif not outside and not files.inside(path):
        yield f"{path!r} leaves the bundle through a link"
    elif not outside and kind == "file" and not files.is_file(path):
        yield f"no file {path!r} in the bundle{files.near(path)}"
    elif not outside and kind == "folder" and not files.is_folder(path):
        yield f"no folder {path!r} in the bundle{files.near(path)}"


def interpreter_faults(path: str, config: FactoryConfig) -> Iterator[str]:
    """Yield what is wrong with another interpreter."""
    if not config.allows_interpreter(path):
        allowed = _listed(config.allowed_interpreters)
        yield f"interpreter {path!r} is not one of [mlops] allowed_interpreters{allowed}"


def pod_faults(pod: Pod, config: FactoryConfig) -> Iterator[tuple[str, str]]:
    """Yield what a pod names and may not: the key, and what is wrong with it."""
    if not config.allows_image(pod.image):
        yield "image", f"{pod.image!r} is not under [mlops] allowed_images{_listed(config.allowed_images)}"
    if pod.namespace and not config.allows_namespace(pod.namespace):
        allowed = _listed(config.allowed_namespaces)
        yield "namespace", f"{pod.namespace!r} is not one of [mlops] allowed_namespaces{allowed}"
    if pod.service_account and not config.allows_service_account(pod.service_account):
        allowed = _listed(config.allowed_service_accounts)
        yield "service_account", f"{pod.service_account!r} is not one of [mlops] allowed_service_accounts{allowed}"
    if pod.gpu and not config.knows_gpu_class(pod.gpu):
        known = _listed(tuple(config.gpu_class_names()))
        yield "gpu", f"{pod.gpu!r} is not one of [mlops] gpu_classes{known}"


def connection_faults(conn_id: str, config: FactoryConfig) -> Iterator[str]:
    """Yield what is wrong with a connection id."""
    if not config.allows_connection(conn_id):
        yield f"connection {conn_id!r} is not one of [mlops] allowed_connections{_listed(config.allowed_connections)}"


def callable_faults(dotted: str, config: FactoryConfig, *, files: Files, call: str | None) -> Iterator[str]:
    """Yield what is wrong with a dotted name, found by reading its file, never by importing it.

    `call` is how it is called, such as `train(data, params)`; None: a class or an estimator.
    """
    module, _, name = dotted.rpartition(".")
    if not module or not all(part.isidentifier() for part in dotted.split(".")):
        yield f"{dotted!r} is no dotted name; write module.function"
        return
    source = _source(module, files)
    if source is None:
        if not config.allows_module(dotted):
            path = f"{module.replace('.', '/')}.py"
            allowed = f"{_listed(config.allowed_modules)}{files.near(path)}"
            yield f"no file {path} in the bundle, and {module!r} is not under [mlops] allowed_modules{allowed}"
        return
    if (first := module.partition(".")[0]) in sys.stdlib_module_names:
        yield f"{source} is hidden by Python's own module {first!r}: give it another name"
        return
    read = _read(source, files)
    if isinstance(read, str):
        yield read
        return
    found = _definitions(read.body)
    if name not in found and "*" not in found:
        yield f"{source} defines no {name!r}{nearest(name, found)}"
    elif call is not None and name in found:
        yield from _arity_faults(found[name], dotted, call)


def class_faults(dotted: str, config: FactoryConfig, *, files: Files) -> Iterator[str]:
    """Yield what is wrong with the dotted name of a class, found by reading its file, never by importing it."""
    yield from callable_faults(dotted, config, files=files, call=None)
    if isinstance(_own(dotted, files), (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield f"{dotted} is a function; a class is wanted"


def own_class(dotted: str, files: Files) -> ast.ClassDef | None:
    """Return the source of a class that a file of the bundle defines; None for any other name."""
    found = _own(dotted, files)
    return found if isinstance(found, ast.ClassDef) else None


def _own(dotted: str, files: Files) -> ast.stmt | None:
    module, _, name = dotted.rpartition(".")
    source = _source(module, files) if module else None
    read = _read(source, files) if source else ""
    return None if isinstance(read, str) else _definitions(read.body).get(name)


def _read(source: str, files: Files) -> ast.Module | str:
    """Return a file's syntax tree, or why there is none."""
    text = files.content(source)
    if len(text) > _MAX_BYTES:
        return f"{source} is larger than {_MAX_BYTES // 1024} KiB: name a function of a smaller file"
    try:
        return _tree(text, source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:  # as ast.parse answers deep nesting
        return f"{source} is not Python: {str(exc) or 'nested too deep'}"


def _arity_faults(found: ast.stmt, dotted: str, call: str) -> Iterator[str]:
    if isinstance(found, ast.AsyncFunctionDef):
        yield f"{dotted} is async; write a plain function"
    if not isinstance(found, ast.FunctionDef) or found.decorator_list:
        return  # a class, an import, an assignment, or what a decorator makes of it: known when it is called
    wanted = call.count(",") + 1
    positional = [a.arg for a in (*found.args.posonlyargs, *found.args.args)]
    required = positional[: len(positional) - len(found.args.defaults)]
    keyword = [a.arg for a, d in zip(found.args.kwonlyargs, found.args.kw_defaults, strict=True) if d is None]
    takes = [a for a in positional if a != "context"]
    needs = [a for a in (*required, *keyword) if a != "context"]
    short = len(takes) < wanted and not found.args.vararg
    if short or len(needs) > wanted or set(keyword) - {"context"}:
        yield f"{dotted} takes ({', '.join((*positional, *keyword))}), but it is called as {call}"


def _source(module: str, files: Files) -> str | None:
    path = module.replace(".", "/")
    for candidate in (f"{path}.py", f"{path}/__init__.py"):
        if files.is_file(candidate):
            return candidate
    return None


@lru_cache(maxsize=32)  # by the text, not the file's time: a pipeline names several functions of one file
def _tree(source: bytes, name: str) -> ast.Module:
    return ast.parse(source, filename=name)


def _definitions(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Return what a module's statements bind, those under `if`, `try` and `with` included; `*`: names unknown here."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= dict.fromkeys((alias.asname or alias.name.partition(".")[0] for alias in node.names), node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            found |= dict.fromkeys(_bound(node), node)
        else:
            for part in ("body", "orelse", "finalbody"):
                found |= _definitions(getattr(node, part, []))
            for handler in getattr(node, "handlers", []):
                found |= {name: one for name, one in _definitions(handler.body).items() if name not in found}
    return found


def _bound(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]


def _listed(allowed: tuple[str, ...]) -> str:
    return f" ({', '.join(allowed)})" if allowed else " (empty)"
