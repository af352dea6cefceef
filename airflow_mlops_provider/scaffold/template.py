"""Templates: folders of a pipeline's files with `$NAME` in them, of this package or installed beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from string import Template as Text

import yaml
from pydantic import ValidationError

from airflow_mlops_provider.contracts.base import Contract
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.errors import did_you_mean
from airflow_mlops_provider.scaffold.folder import LOADER, Place
from airflow_mlops_provider.scaffold.text import filled

__all__ = ["GROUP", "Template", "TemplateInfo", "from_template", "templates"]

# Entry point: the template's name = the package that is its folder.
GROUP = "airflow_mlops.templates"
_INFO = "template.yaml"
_LEFT_OUT = frozenset({_INFO, "__init__.py", "__pycache__"})
_NAME = "NAME"


class TemplateInfo(Contract):
    """What `template.yaml` says."""

    version: str
    description: str


@dataclass(frozen=True, slots=True)
class Template:
    """A template by name; `origin` says whose it is."""

    name: str
    origin: str
    folder: Traversable

    def info(self) -> TemplateInfo:
        """Return its version and description. Raises ConfigError where `template.yaml` does not say them."""
        file = self.folder.joinpath(_INFO)
        try:
            return TemplateInfo.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
        except (OSError, yaml.YAMLError, ValidationError) as exc:
            raise ConfigError(f"template {self.name!r} of {self.origin}: {_INFO} cannot be read: {exc}") from exc

    def texts(self, name: str) -> Iterator[tuple[str, bytes]]:
        """Yield each file's path and content, `$NAME` and, in paths, `NAME` being the pipeline's name."""
        yield from _texts(self.folder, "", name)


def templates() -> dict[str, Template]:
    """Return every template by name, in order.

    Raises ConfigError where two have one name, or an installed one cannot be imported.
    """
    own = files(__package__).joinpath("templates")
    found = {one.name: Template(one.name, "airflow-mlops-provider", one) for one in own.iterdir() if one.is_dir()}
    found.pop("__pycache__", None)
    for entry in entry_points(group=GROUP):
        origin = entry.dist.name if entry.dist else entry.value
        if entry.name in found:
            raise ConfigError(f"template {entry.name!r} is both {found[entry.name].origin}'s and {origin}'s")
        found[entry.name] = Template(entry.name, origin, _folder(entry, origin))
    return dict(sorted(found.items()))


def from_template(place: Place, wanted: str) -> TemplateInfo:
    """Write the pipeline's folder from a template and return what that is.

    Raises ConfigError for an unknown template, a name that Python takes for another module, or files that are there.
    """
    known = templates()
    if wanted not in known:
        raise ConfigError(f"no template {wanted!r}{did_you_mean(wanted, list(known))}")
    if _is_module(place.name):
        raise ConfigError(
            f"{place.name!r} is a Python module here, and the pipeline's functions would not be found in it"
        )
    info = known[wanted].info()
    with place.filling() as folder:
        values = {"name": place.name, "about": info.description, "template": f"{wanted}, version {info.version}"}
        commands = {verb: place.command(verb) for verb in ("lint", "plan", "test")}
        ours = {
            f"{place.name}.py": LOADER.format(name=place.name),
            "README.md": filled("template.md", values | commands),
            ".airflowignore": "sources.py\nexpectations/\n",
        }
        for path, content in [
            *((path, text.encode()) for path, text in ours.items()),
            *known[wanted].texts(place.name),
        ]:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return info


def _is_module(name: str) -> bool:
    """Whether Python finds something else by that name; a folder without __init__.py, as a pipeline's is, is none."""
    found = find_spec(name)
    return name in sys.stdlib_module_names or (found is not None and found.origin is not None)


def _folder(entry: EntryPoint, origin: str) -> Traversable:
    try:
        return files(entry.value)
    except (ImportError, TypeError) as exc:
        raise ConfigError(f"template {entry.name!r} of {origin}: {entry.value} is no package here: {exc}") from exc


def _texts(folder: Traversable, below: str, name: str) -> Iterator[tuple[str, bytes]]:
    for one in sorted(folder.iterdir(), key=lambda one: one.name):
        if one.name in _LEFT_OUT:
            continue
        path = f"{below}{one.name.replace(_NAME, name)}"
        if one.is_dir():
            yield from _texts(one, f"{path}/", name)
        else:
            yield path, _put(one.read_bytes(), name)


def _put(content: bytes, name: str) -> bytes:
    """Return a text with the name put in, and $ for $$; whatever else begins with $ stays, as does what is no text."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    return Text(text).safe_substitute({_NAME: name}).encode()
