from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops_provider.factory.feature_names import FeatureNames, feature_names
from airflow_mlops_provider.factory.files import Files

REPO = Path(__file__).parents[2]


def names(folder: Path, text: str, more: str = "") -> FeatureNames:
    (folder / "repo").mkdir()
    (folder / "repo" / "views.py").write_text(text)
    (folder / "repo" / "more.py").write_text(more)
    found = feature_names("repo", Files(folder))
    assert found is not None
    return found


def test_finds_what_feast_finds_in_the_demo() -> None:
    import feast

    from include.features import flight_features

    defined = vars(flight_features).values()
    found = feature_names("include/features", Files(REPO))

    assert found == FeatureNames(
        frozenset(one.name for one in defined if isinstance(one, feast.FeatureView)),
        frozenset(one.name for one in defined if isinstance(one, feast.FeatureService)),
        more=False,
    )


def test_reads_every_way_to_define_a_view(tmp_path: Path) -> None:
    text = """\
import feast
from .more import helper
from feast import FeatureView
a = FeatureView(name="a")
b = feast.StreamFeatureView("b")
@feast.on_demand_feature_view(sources=[a])
def c(inputs): ...
@on_demand_feature_view(name="d", sources=[a])
def other(inputs): ...
"""
    found = names(tmp_path, text, 'FeatureService(features=[], name="s")')

    assert found == FeatureNames(frozenset("abcd"), frozenset("s"), more=False)


@pytest.mark.parametrize(
    "text",
    ["FeatureView(name=f'{x}_delay')", "FeatureView(**given)", "from acme.features import a", "def broken(:",
     "@on_demand_feature_view(name=NAME)\ndef f(x): ..."],
)  # fmt: skip
def test_knows_that_it_does_not_know_all(tmp_path: Path, text: str) -> None:
    assert names(tmp_path, text).more


def test_nothing_is_imported(tmp_path: Path) -> None:
    assert not names(tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w')").views
    assert not (tmp_path / "ran").exists()


def test_what_is_no_folder_of_the_bundle_is_not_read(tmp_path: Path) -> None:
    assert feature_names("absent", Files(tmp_path)) is None
    assert feature_names("..", Files(tmp_path)) is None


def test_a_folder_of_everything_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    for i in range(201):
        (tmp_path / "lib" / f"m{i}.py").write_text("FeatureView(name='a')")

    assert feature_names(".", Files(tmp_path)) == FeatureNames(frozenset(), frozenset(), more=True)
