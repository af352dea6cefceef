"""A bundle with code, and pipeline files written into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.errors import PipelineFileError
from airflow_mlops_provider.factory.plan import PipelinePlan, plan

CODE = """
    def visits(batch): ...
    def other(batch, context): ...
    def wrong(batch, day): ...
    def train(data, params, context=None): ...
    async def later(batch): ...
    class Notifier: ...
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return a bundle's root with `include/code.py`, a suite, a dbt project and a feature repository."""
    (tmp_path / "include" / "features").mkdir(parents=True)
    (tmp_path / "dbt_project").mkdir()
    (tmp_path / "include" / "code.py").write_text(dedent(CODE))
    (tmp_path / "suite.json").write_text('{"name": "visits", "expectations": []}')
    return tmp_path


@pytest.fixture
def planned(bundle: Path) -> Callable[..., PipelinePlan]:
    """Return a function that plans a text as `churn.yaml`."""

    def planned(text: str, *, environment: str | None = None, **config: object) -> PipelinePlan:
        (bundle / "churn.yaml").write_text(dedent(text))
        allowed = FactoryConfig(**config)  # type: ignore[arg-type]
        return plan(bundle / "churn.yaml", environment=environment, bundle=bundle, config=allowed)

    return planned


@pytest.fixture
def errors(planned: Callable[..., PipelinePlan]) -> Callable[..., list[str]]:
    """Return a function that gives the lines of a text's errors; none: the text is sound."""

    def errors(text: str, **given: object) -> list[str]:
        try:
            planned(text, **given)
        except PipelineFileError as exc:
            return str(exc).splitlines()
        return []

    return errors
