"""What a pipeline file may name: modules, paths, interpreters and connections that Airflow's people allow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath

from airflow_mlops_provider.contracts.pod import Pod
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.files import Files

__all__ = ["callable_faults", "connection_faults", "interpreter_faults", "path_faults", "pod_faults"]


def path_faults(path: str, config: FactoryConfig, *, files: Files, kind: str | None = None) -> Iterator[str]:
    """Yield what is wrong with a path: outside the bundle and every allowed root, or not there (`kind` given)."""
    outside = "://" in path or path.startswith(("/", "~")) or "\\" in path
    if "params." in path:
        yield f"{path!r}: a path takes no params, or who starts a run would choose it"
    elif ".." in PurePosixPath(path).parts:
        yield f"{path!r} climbs out with '..'; write a path below the bundle"
    elif outside and not config.allows_root(path):
        yield f"{path!r} is outside the bundle and not under [mlops] allowed_roots{_listed(config.allowed_roots)}"
    elif not outside and not files.inside(path):
        yield f"{path!r} leaves the bundle through a link"
    elif not outside and kind == "file" and not files.is_file(path):
        yield f"no file {path!r} in the bundle"
    elif not outside and kind == "folder" and not files.is_folder(path):
        yield f"no folder {path!r} in the bundle"


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
            path = module.replace(".", "/")
            allowed = _listed(config.allowed_modules)
            yield f"no file {path}.py in the bundle, and {module!r} is not under [mlops] allowed_modules{allowed}"
        return
    try:
        tree = _tree(files.content(source), source)
    except (SyntaxError, ValueError) as exc:
        yield f"{source} is not Python: {exc}"
        return
    found = _defined(tree, name)
    if found is None:
        yield f"{source} defines no {name!r}"
    elif call is not None:
        yield from _arity_faults(found, dotted, call)


def _arity_faults(found: ast.stmt, dotted: str, call: str) -> Iterator[str]:
    if isinstance(found, ast.AsyncFunctionDef):
        yield f"{dotted} is async; write a plain function"
    if not isinstance(found, ast.FunctionDef):
        return  # a class, an import or an assignment: known when it is called
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


def _defined(tree: ast.Module, name: str) -> ast.stmt | None:
    for node in reversed(tree.body):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name == name:
            return node
        if isinstance(node, ast.ImportFrom) and any((a.asname or a.name) in (name, "*") for a in node.names):
            return node
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return node
    return None


def _listed(allowed: tuple[str, ...]) -> str:
    return f" ({', '.join(allowed)})" if allowed else " (empty)"
