"""What the page of recipes shows is sound, each file beside all others, and becomes DAGs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_mlops_provider.factory.check import lint_files
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.plan import plans

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text()
FILES = dict(re.findall(r'^```yaml title="(.*?)"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL))
PIPELINES = [name for name in FILES if not name.endswith("defaults.yaml")]
CODE = "".join(f"def {name}(batch): ...\n" for name in ("sent", "arrived", "labelled", "clicks", "pictures"))
SETTINGS = FactoryConfig(
    allowed_connections=("shop",),
    allowed_modules=("airflow.providers.standard",),
    allowed_images=("acme/",),
    allowed_roots=("s3://acme-ml",),
    gpu_classes='{"a100": {"resource": "nvidia.com/gpu"}}',
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return a bundle with all files of the page and the code that they name."""
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "code.py").write_text(f"{CODE}def train(data, params): ...\nclass Chat: ...\n")
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_page_has_recipes() -> None:
    assert len(PIPELINES) >= 10


def test_lint_finds_nothing_in_them(bundle: Path) -> None:
    linted = lint_files([(bundle / name, bundle) for name in PIPELINES], config=SETTINGS)

    assert [str(error) for file in linted for error in file.errors] == []


@pytest.mark.parametrize("name", PIPELINES)
def test_they_become_dags(bundle: Path, name: str) -> None:
    found = plans(bundle / name, bundle=bundle, config=SETTINGS)

    assert all(plan.dags for plan in found)
    assert len(found) == (3 if "matrix" in FILES[name] else 1)
