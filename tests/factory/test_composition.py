"""`defaults.yaml` and `extends`: what lies under a pipeline file, in which order, and where each value stands."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.cli import main
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.cache import kept_plans
from airflow_mlops_provider.factory.check import lint_files
from airflow_mlops_provider.factory.compose import composed
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.errors import PipelineFileError
from airflow_mlops_provider.factory.files import Files
from airflow_mlops_provider.factory.load import Document, parse
from airflow_mlops_provider.factory.plan import plan
from airflow_mlops_provider.factory.plan_data import PipelinePlan
from airflow_mlops_provider.factory.show import errors_text

CHURN = """\
pipeline: churn
data: {ingest: {visits: {files: "in/{batch}.csv"}}}
training: {dataset: {target: churned}, train: {estimator: sklearn.svm.SVC}}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that writes files by their path below the bundle, which is the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(**texts: str) -> Path:
        for name, text in texts.items():
            path = tmp_path / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        return tmp_path

    return write


def planned(at: Path, name: str = "churn", environment: str | None = None) -> PipelinePlan:
    return plan(at / f"{name}.yaml", bundle=at, environment=environment, config=FactoryConfig())


def errors(at: Path, *names: str) -> list[str]:
    linted = lint_files([(at / f"{name}.yaml", at) for name in names or ["churn"]], config=FactoryConfig())
    return [str(error) for one in linted for error in one.errors]


def owner(found: PipelinePlan) -> str:
    return found.dags[0].owner


def test_the_nearest_defaults_win_and_the_file_over_all(write: Callable[..., Path]) -> None:
    at = write(
        defaults="owner: root\ntags: [root]\ntimezone: Europe/Oslo\ndefaults: {retries: 1, pool: slow}",
        team__defaults="owner: team\ndefaults: {retries: 2}",
        team__churn=CHURN + "tags: [own]\n",
    )

    found = planned(at, "team/churn")
    assert (owner(found), found.timezone, found.dags[0].tags) == ("team", "Europe/Oslo", ("churn", "mlops", "own"))
    assert (found.dags[0].tasks[0].retries, found.dags[0].tasks[0].pool) == (2, "slow")


def test_what_is_extended_lies_over_the_defaults_and_under_the_file(write: Callable[..., Path]) -> None:
    at = write(
        defaults="owner: defaults\nmodel: defaults\nalias: defaults",
        far="owner: far\nmodel: far",
        base="extends: far.yaml\nowner: base",
        churn=CHURN + "extends: base.yaml\n",
    )

    found = planned(at)
    assert (owner(found), found.model, found.alias) == ("base", "far", "defaults")


def test_environments_merge_as_any_mapping_and_then_lie_over_all(write: Callable[..., Path]) -> None:
    at = write(
        defaults="environments: {prod: {owner: defaults, lake: prod}}",
        base="environments: {prod: {owner: base}}\nowner: nobody",
        churn=CHURN + "extends: base.yaml\nlake: own\n",
    )

    assert (planned(at).lake, owner(planned(at))) == ("own", "nobody")
    found = planned(at, environment="prod")
    assert (found.lake, owner(found)) == ("prod", "base")


def test_null_takes_a_section_away(write: Callable[..., Path]) -> None:
    at = write(
        base=CHURN.replace("pipeline: churn\n", ""), churn="pipeline: churn\nextends: base.yaml\ntraining: null\n"
    )

    assert [dag.section for dag in planned(at).dags] == ["data"]


def test_a_value_says_in_which_file_it_stands(write: Callable[..., Path]) -> None:
    at = write(
        defaults="# of the folder\nmodel: shared\nenvironments:\n  prod:\n    model: live\n",
        base="\n\ndata: {ingest: {visits: {files: a.csv}}}\n",
        churn="pipeline: churn\nextends: base.yaml\nscoring: {dataset: visits, probation: 0}\n",
    )

    for environment, model in ((None, "defaults.yaml:2"), ("prod", "defaults.yaml:5 (prod)")):
        found = {
            task.task_id: task.provenance for dag in planned(at, environment=environment).dags for task in dag.tasks
        }
        assert str(found["ingest"]["datasets"]) == "base.yaml:3"
        assert str(found["score"]["model"]) == model
        assert str(found["score"]["dataset"]) == "churn.yaml:3"


def test_an_error_points_into_the_file_that_it_stands_in_and_is_said_once(write: Callable[..., Path]) -> None:
    at = write(
        defaults="owner: team\nretires: 3\n",
        base="training: {first_after: none}\n",
        churn=CHURN + "extends: base.yaml\n",
        other=CHURN.replace("churn\n", "other\n").replace("visits", "views") + "extends: base.yaml\n",
    )

    linted = lint_files([(at / f"{name}.yaml", at) for name in ("churn", "other")], config=FactoryConfig())
    assert {one.name: len(one.errors) for one in linted} == {
        "churn.yaml": 0,
        "other.yaml": 0,
        "defaults.yaml": 1,
        "base.yaml": 1,
    }
    assert errors_text(linted, "text").splitlines() == [
        "base.yaml:1:25 training.first_after: a whole number is wanted, not 'none'",
        "    1 | training: {first_after: none}",
        "      |                         ^",
        next(line for line in errors_text(linted, "text").splitlines() if "retires" in line and "Known" in line),
        "    2 | retires: 3",
        "      | ^",
    ]


def test_what_is_missing_says_for_which_file(write: Callable[..., Path]) -> None:
    at = write(
        base="training: {train: {estimator: sklearn.svm.SVC}}\n",
        churn="pipeline: churn\nextends: base.yaml\ndata: {ingest: {visits: {files: a.csv}}}\n",
    )

    assert errors(at) == ["base.yaml:1:1 training: 'dataset' is missing (for churn.yaml)"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"churn": "extends: churn.yaml"}, "churn.yaml:4:10 extends: goes round in a circle: churn.yaml -> churn.yaml"),
        ({"churn": "extends: a.yaml", "a": "extends: b.yaml", "b": "extends: ./a.yaml"},
         "b.yaml:1:10 extends: goes round in a circle: churn.yaml -> a.yaml -> b.yaml -> a.yaml"),
        ({"churn": "extends: a0.yaml", **{f"a{i}": f"extends: a{i + 1}.yaml" for i in range(5)}, "a5": "owner: b"},
         ("a4.yaml:1:10 extends: a chain of more than 5 files: churn.yaml -> a0.yaml -> a1.yaml -> a2.yaml -> "
          "a3.yaml -> a4.yaml -> a5.yaml")),
        ({"churn": "extends: bse.yaml", "base": "owner: b"},
         "churn.yaml:4:10 extends: no file 'bse.yaml' in the bundle. Did you mean 'base.yaml'?"),
        ({"churn": "extends: ../base.yaml"},
         "churn.yaml:4:10 extends: '../base.yaml' leaves the bundle: write a path from the bundle's root"),
        ({"churn": "extends: /etc/passwd"},
         "churn.yaml:4:10 extends: '/etc/passwd' leaves the bundle: write a path from the bundle's root"),
        ({"churn": 'extends: "a\\0"'},
         "churn.yaml:4:10 extends: 'a\\x00' leaves the bundle: write a path from the bundle's root"),
        ({"churn": "extends: [base.yaml]", "base": "owner: b"},
         "churn.yaml:4:10 extends: the path of one file is wanted, from the bundle's root"),
        ({"churn": "extends: defaults.yaml", "defaults": "owner: b"},
         "churn.yaml:4:10 extends: 'defaults.yaml' lies under every pipeline of its folder by itself"),
        ({"churn": "", "defaults": "pipeline: a"},
         ("defaults.yaml:1:1 pipeline: 'pipeline' is a pipeline file's own: it cannot stand in defaults.yaml, which "
          "lies under all of them")),
        ({"churn": "", "defaults": "- a"}, "defaults.yaml:1:1 a mapping of keys is wanted"),
        ({"churn": "extends: base.yaml", "base": "a: [b"}, "base.yaml:2:1 not YAML: did not find expected ',' or ']'"),
        ({"churn": "environments: {prod: {extends: base.yaml}}", "base": "owner: b"},
         ("churn.yaml:4:23 environments.prod.extends: a file extends another in every environment, or in none: write "
          "it at the top")),
    ],
)  # fmt: skip
def test_what_cannot_be_composed_is_one_clear_error(
    write: Callable[..., Path], files: dict[str, str], said: str
) -> None:
    at = write(**{name: CHURN + text if name == "churn" else f"{text}\n" for name, text in files.items()})

    assert errors(at) == [said]
    with pytest.raises(PipelineFileError) as caught:
        planned(at)
    assert str(caught.value) == said


@pytest.mark.parametrize("name", ["defaults", "base"])
def test_a_link_out_of_the_bundle_is_not_followed(write: Callable[..., Path], tmp_path_factory: Any, name: str) -> None:
    at = write(churn=CHURN + "extends: base.yaml\n", base="owner: b\n")
    outside = tmp_path_factory.mktemp("outside") / "x.yaml"
    outside.write_text("owner: outside\n")
    (at / f"{name}.yaml").unlink(missing_ok=True)
    (at / f"{name}.yaml").symlink_to(outside)

    (said,) = errors(at)
    assert f"'{name}.yaml' leaves the bundle through a link" in said


def test_a_name_is_not_inherited_and_a_base_is_no_pipeline(write: Callable[..., Path]) -> None:
    at = write(base=CHURN, churn="extends: base.yaml\n")

    assert errors(at) == ["churn.yaml:1:1 'pipeline' is missing"]


def test_the_defaults_are_not_linted_as_a_pipeline(write: Callable[..., Path]) -> None:
    at = write(defaults=CHURN)

    assert errors(at, "defaults") == [
        "defaults.yaml:1:1 is laid under the pipelines of its folder and is none itself: lint and plan those"
    ]


def test_the_limits_hold_for_all_of_them_together(write: Callable[..., Path]) -> None:
    half = "notify: {notifier: a.B, arguments: {%s}}\n"
    at = write(
        base=half % ", ".join(f"a{i}: 1" for i in range(10_500)),
        churn=CHURN + half % ", ".join(f"b{i}: 1" for i in range(10_500)) + "extends: base.yaml\n",
    )

    assert errors(at) == ["churn.yaml:1:1 with base.yaml under it more than 512 KiB or 20,000 values together"]
    long = f"# {'a' * 300_000}\n"
    write(base=long, churn=CHURN + "extends: base.yaml\n" + long)
    assert errors(at) == ["churn.yaml:1:1 with base.yaml under it more than 512 KiB or 20,000 values together"]


def test_an_environment_that_nobody_has_is_an_error_where_it_was_asked_for(write: Callable[..., Path]) -> None:
    at = write(defaults="environments: {production: {owner: p}}", churn=CHURN + "environments: {dev: {owner: d}}\n")

    assert owner(planned(at, environment="production")) == "p"
    with pytest.raises(ConfigError, match=r"^churn\.yaml: no environment 'prodution'\. Did you mean 'production'\?$"):
        planned(at, environment="prodution")
    assert plan(at / "churn.yaml", bundle=at, config=FactoryConfig(environment="prodution")).environment == "prodution"


EDITS: dict[str, tuple[str, str]] = {
    "defaults.yaml": ("owner: new\n", "new"),
    "team/defaults.yaml": ("owner: new\n", "new"),
    "base.yaml": ("owner: new\n", "new"),
    "far.yaml": ("owner: new\n", "new"),
}


@pytest.mark.parametrize("edited", EDITS)
@pytest.mark.parametrize("before", ["owner: old\n", None])
def test_a_kept_plan_sees_each_file_that_comes_changes_or_goes(
    write: Callable[..., Path], tmp_path_factory: Any, edited: str, before: str | None
) -> None:
    at = write(team__churn=CHURN + "extends: base.yaml\n", base="extends: far.yaml\n", far="model: m\n")
    path, text = at / edited, (at / edited).read_text() if (at / edited).exists() else ""
    folder = tmp_path_factory.mktemp("home") / "plans"

    def kept() -> str:
        (found,) = kept_plans(at / "team" / "churn.yaml", bundle=at, config=FactoryConfig(), folder=folder)
        assert found == planned(at, "team/churn")
        return owner(found)

    if before is not None:
        path.write_text(text + before)
    assert kept() == kept() == ("old" if before else "airflow")
    path.write_text(text + "owner: new\n")
    assert kept() == kept() == "new"
    path.write_text(text) if text else path.unlink()
    assert kept() == "airflow"


def test_a_kept_plan_sees_that_what_lies_under_it_now_leads_out(
    write: Callable[..., Path], tmp_path_factory: Any
) -> None:
    at = write(churn=CHURN + "extends: base.yaml\n", base="owner: b\n")
    home = tmp_path_factory.mktemp("home")
    kept = {"bundle": at, "config": FactoryConfig(), "folder": home / "plans"}
    kept_plans(at / "churn.yaml", **kept)
    (at / "base.yaml").rename(home / "base.yaml")
    (at / "base.yaml").symlink_to(home / "base.yaml")

    with pytest.raises(PipelineFileError, match=r"'base\.yaml' leaves the bundle through a link"):
        kept_plans(at / "churn.yaml", **kept)


def test_a_pipe_in_the_place_of_defaults_is_said_and_not_waited_for(write: Callable[..., Path]) -> None:
    at = write(churn=CHURN)
    os.mkfifo(at / "defaults.yaml")

    (said,) = errors(at)
    assert said == "churn.yaml:1:1 defaults.yaml: cannot be read: no regular file"


KEYS = st.sampled_from("abc")
LEAVES = st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=2) | st.none()
# Whether a value is a mapping depends on its depth alone: over one that is none, the order of merging would tell.
LAYER = st.dictionaries(KEYS, st.dictionaries(KEYS, st.dictionaries(KEYS, LEAVES, max_size=3), max_size=3), max_size=3)


def laid(layers: list[dict[str, Any]], tmp_path: Path) -> Document:
    """Return documents composed as a chain of `extends`, the last one on top."""
    for i, layer in enumerate(layers):
        below = {"extends": f"{i - 1}.yaml"} if i else {}
        (tmp_path / f"{i}.yaml").write_text(text_of({**layer, **below}))
    top = f"{len(layers) - 1}.yaml"
    return composed((tmp_path / top).read_bytes(), top, Files(tmp_path))


def text_of(data: dict[str, Any]) -> str:
    return json.dumps(data) + "\n"


@given(st.lists(LAYER, min_size=1, max_size=4))
def test_a_value_is_that_of_the_last_file_that_says_it_and_its_mark_says_which(
    tmp_path_factory: Any, layers: list[dict[str, Any]]
) -> None:
    document = laid(layers, tmp_path_factory.mktemp("chain"))
    expected: dict[tuple[str, ...], tuple[Any, str]] = {}
    for i, layer in enumerate(layers):
        for a, middle in layer.items():
            for b, inner in middle.items():
                expected |= {(a, b, c): (value, f"{i}.yaml") for c, value in inner.items()}

    found = {
        (a, b, c): (value, document.marks[a, b, c].file)
        for a, middle in document.data.items()
        if a != "extends"
        for b, inner in middle.items()
        for c, value in inner.items()
    }
    assert found == expected
    assert set(document.marks) == set(parse(text_of(document.data), "a").marks)


@given(LAYER, LAYER, LAYER)
def test_putting_files_together_is_associative(
    tmp_path_factory: Any, first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]
) -> None:
    def data(*layers: dict[str, Any]) -> dict[str, Any]:
        found = dict(laid(list(layers), tmp_path_factory.mktemp("chain")).data)
        found.pop("extends", None)
        return found

    assert data(data(first, second), third) == data(first, data(second, third)) == data(first, second, third)


@given(LAYER, LAYER, LAYER, LAYER)
def test_the_environment_lies_over_all_files_whichever_says_it(
    tmp_path_factory: Any, base: dict[str, Any], low: dict[str, Any], own: dict[str, Any], high: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("chain")
    document = laid([{**base, "environments": {"e": low}}, {**own, "environments": {"e": high}}], folder)
    merged = dict(document.merged("e").data)
    merged.pop("extends")
    in_turn = dict(laid([base, own, low, high], folder).data)
    in_turn.pop("extends")

    assert merged == in_turn


def test_the_example_of_the_page_is_sound_and_becomes_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "pipeline-file.md").read_text()
    blocks = re.findall(r"^```yaml\n((?:# (\S+\.yaml)\n).*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    for text, name in blocks:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)

    assert main(["lint", "."]) == 0
    assert capsys.readouterr().out == "1 file: no error\n"
    assert main(["plan", "nordic/churn.yaml", "--pipeline", "churn_no"]) == 0
    printed = capsys.readouterr().out.splitlines()
    (shown,) = re.findall(r"^```text\n(churn_no .*?)^```", page, re.MULTILINE | re.DOTALL)
    assert [line for line in shown.splitlines() if line not in printed] == []
