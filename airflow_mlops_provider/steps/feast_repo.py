"""A Feast repository: its settings, and its definitions, applied and exported only when its files have changed."""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from airflow_mlops_provider.contracts.base import Json
from airflow_mlops_provider.contracts.materialize import FeatureDefinitions, FeatureService, FeatureView
from airflow_mlops_provider.exceptions import ConfigError, MissingExtraError
from airflow_mlops_provider.steps.features import export_definitions, load_definitions
from airflow_mlops_provider.steps.lake import Lake

__all__ = ["FeastRepo"]


@dataclass(frozen=True, slots=True)
class FeastRepo:
    """A folder with feature_store.yaml and definitions; `config` is the YAML with its variables filled in."""

    path: Path
    config: Json

    @classmethod
    def read(cls, path: Path, lake: Lake) -> FeastRepo:
        """Read feature_store.yaml; in it MLOPS_LAKE is the root of `lake`. Raises ConfigError if there is none."""
        file = path / "feature_store.yaml"
        if not file.is_file():
            raise ConfigError(f"{path} is no Feast repository: it has no feature_store.yaml")
        root = lake.root if "://" in lake.root else str(Path(lake.root).resolve())
        text = re.sub(r"\$(\{MLOPS_LAKE\}|MLOPS_LAKE\b)", lambda _: root, file.read_text())
        try:
            config = yaml.safe_load(os.path.expandvars(text))
        except yaml.YAMLError as exc:
            raise ConfigError(f"{file}: {exc}") from exc
        if not isinstance(config, dict) or "project" not in config:
            raise ConfigError(f"{file} names no project")
        return cls(path.resolve(), config)

    @property
    def project(self) -> str:
        """Feast's name for what one registry entry belongs to."""
        return str(self.config["project"])

    def digest(self) -> str:
        """Return the sha256 of the repository's files, its settings and Feast's version."""
        found = hashlib.sha256(repr((self.config, version("feast"))).encode())
        for file in sorted(self.path.rglob("*.py")):
            name = file.relative_to(self.path)
            if not any(part.startswith(".") for part in name.parts):
                found.update(f"{name}\0".encode() + file.read_bytes())
        return found.hexdigest()

    def definitions(self, lake: Lake) -> FeatureDefinitions:
        """Return what the repository defines, in Feast's registry and in the lake.

        Feast is imported (5 CPU seconds) only where a file has changed or the registry is gone; so definitions
        must lie in the repository's own folder. Raises ConfigError if Feast refuses them.
        """
        known = load_definitions(lake).get(self.project)
        if known is not None and known.digest == self.digest() and self._registry_stands():
            return known
        given = self._apply()
        export_definitions(lake, given)
        return given

    def _registry_file(self) -> Path | None:
        registry = self.config.get("registry")
        path = str(registry.get("path", "") if isinstance(registry, dict) else registry)
        return None if "://" in path else self.path / path

    def _registry_stands(self) -> bool:
        file = self._registry_file()
        return file is None or file.exists()

    def _apply(self) -> FeatureDefinitions:
        if find_spec("feast") is None:
            raise MissingExtraError("feast", "feast")
        from feast import FeatureStore
        from feast.errors import FeastError
        from feast.repo_config import RepoConfig
        from feast.repo_operations import apply_total

        digest, file = self.digest(), self._registry_file()
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        try:
            config = RepoConfig(**self.config, repo_path=self.path)
            with _importable(self.path), redirect_stdout(io.StringIO()) as said:
                apply_total(config, self.path, skip_source_validation=False)
        except (FeastError, ImportError, SyntaxError, NameError, TypeError, ValueError) as exc:
            raise ConfigError(f"{self.path}: Feast refuses the repository: {exc}") from exc
        except SystemExit as exc:
            raise ConfigError(f"{self.path}: Feast refuses the repository: {said.getvalue()}") from exc
        return _exported(FeatureStore(config=config), digest)


@contextmanager
def _importable(path: Path) -> Iterator[None]:
    # Feast imports the files as top-level modules of the current folder; the next repository may have the same names.
    before, writes_no_bytecode = set(sys.modules), sys.dont_write_bytecode
    sys.path.insert(0, str(path))
    try:
        with chdir(path):
            yield
    finally:
        sys.path.remove(str(path))
        sys.dont_write_bytecode = writes_no_bytecode
        for name in set(sys.modules) - before:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(path):
                del sys.modules[name]


def _exported(store: Any, digest: str) -> FeatureDefinitions:  # Feast's FeatureStore
    from airflow_mlops_provider.steps.feast_store import lake_view

    found = {view.name: view for view in store.list_feature_views()}

    def convert(view: Any, features: Any, name: str) -> FeatureView:  # a view and fields of Feast
        return lake_view(view, [c.name for c in view.entity_columns], [f.name for f in features], name)

    def service(given: Any) -> FeatureService:  # a service of Feast
        views = []
        for part in given.feature_view_projections:
            if part.name not in found or part.join_key_map:
                raise ConfigError(
                    f"feature service {given.name!r}: {part.name} is not a plain feature view of the lake"
                )
            views.append(convert(found[part.name], part.features, part.name_alias or part.name))
        return FeatureService(name=given.name, views=tuple(views))

    return FeatureDefinitions(
        project=store.project,
        digest=digest,
        views=tuple(convert(found[name], found[name].features, name) for name in sorted(found) if found[name].online),
        services=tuple(sorted(map(service, store.list_feature_services()), key=lambda s: s.name)),
    )
