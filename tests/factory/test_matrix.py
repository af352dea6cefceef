"""`parameters` and `matrix`: typed values put in before anything is judged, and a pipeline for each combination."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.cli import main
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory import check
from airflow_mlops_provider.factory.cache import kept_plans
from airflow_mlops_provider.factory.check import lint_files
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.errors import PipelineFileError
from airflow_mlops_provider.factory.load import Document, parse
from airflow_mlops_provider.factory.matrix import variants
from airflow_mlops_provider.factory.parameters import Filled
from airflow_mlops_provider.factory.plan import one_of, plan, plans
from airflow_mlops_provider.factory.plan_data import PipelinePlan

COUNTRIES = """\
pipeline: churn_${country:lower}
matrix: {country: [SE, NO]}
lake: lake/${country}
data: {ingest: {visits: {files: "in/${country}/{batch}.csv"}}}
training: {dataset: {target: churned}, train: {estimator: sklearn.svm.SVC}}
"""
ONE = """\
pipeline: churn
parameters: {retries: {type: integer, default: 3}, name: {type: string, default: a}}
defaults: {retries: "${retries}"}
data: {ingest: {"${name}x": {files: "in/${name}/{batch}.csv"}}}
"""


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def several(at: Path) -> Callable[..., list[PipelinePlan]]:
    def several(text: str, environment: str | None = None) -> list[PipelinePlan]:
        (at / "churn.yaml").write_text(text)
        return plans(at / "churn.yaml", bundle=at, environment=environment, config=FactoryConfig())

    return several


@pytest.fixture
def errors(at: Path) -> Callable[..., list[str]]:
    def errors(*texts: str) -> list[str]:
        names = ["churn.yaml", *(f"{i}.yaml" for i in range(1, len(texts)))]
        for name, text in zip(names, texts, strict=True):
            (at / name).write_text(text)
        linted = lint_files([(at / name, at) for name in names], config=FactoryConfig())
        return [str(error) for one in linted for error in one.errors]

    return errors


def filled(text: str) -> Any:
    (variant,) = variants(parse(text, "a.yaml"))
    assert variant.errors == []
    return variant.document.data


def test_a_pipeline_for_each_combination_in_the_order_of_the_file(several: Callable[..., list[PipelinePlan]]) -> None:
    text = COUNTRIES.replace("country:lower}", "country:lower}_${size}").replace("[SE, NO]", "[SE, NO], size: [1, 2]")
    found = several(text.replace("lake/${country}", "lake/${country}/${size}"))

    assert [one.pipeline for one in found] == ["churn_se_1", "churn_se_2", "churn_no_1", "churn_no_2"]
    assert [one.lake for one in found] == ["lake/SE/1", "lake/SE/2", "lake/NO/1", "lake/NO/2"]
    assert found[2].dags[0].tasks[0].arguments["datasets"]["visits"]["files"] == "in/NO/{batch}.csv"
    assert [dag.dag_id for dag in found[0].dags] == ["churn_se_1-data", "churn_se_1-train"]


def test_a_whole_value_keeps_its_type_and_within_text_it_is_text() -> None:
    said = "whole: ['${n}', '${f}', '${b}', '${s}'], within: ['a${n}', '${f}${f}', '${b:lower}', '${s}']"
    said += ', "${s}_${n}": 1'
    head = "parameters: {n: {type: integer, default: 3}, f: {type: number, default: 0.5}, "
    head += "b: {type: boolean, default: true}, s: {type: string, default: NO}}"
    assert filled(f"{head}\nx: {{{said}}}\n")["x"] == {
        "whole": [3, 0.5, True, "NO"],
        "within": ["a3", "0.50.5", "true", "NO"],
        "NO_3": 1,
    }


def test_two_dollars_are_the_text_itself_and_what_was_put_in_is_not_read_again() -> None:
    said = "parameters: {a: {type: string, default: '$'}}\nx: ['$${a}', '${a}{a}', '$$${a}', '$a', '$']\n"
    assert filled(said)["x"] == ["${a}", "${a}", "$${a}", "$a", "$"]


def test_an_escape_may_write_the_dollar() -> None:
    assert filled('x: "\\u0024$\\u007ba}"\n')["x"] == "${a}"


def test_a_value_stands_where_its_parameter_is_written(several: Callable[..., list[PipelinePlan]]) -> None:
    (first, _) = several(COUNTRIES)
    provenance = {task.task_id: task.provenance for dag in first.dags for task in dag.tasks}

    assert str(provenance["ingest"]["datasets"]) == "churn.yaml:4"
    assert str(provenance["train"]["model"]) == "churn.yaml:1"


def test_a_key_with_a_parameter_keeps_its_line(errors: Callable[..., list[str]]) -> None:
    assert errors(ONE.replace('files: "in', 'flies: "in'))[0] == (
        "churn.yaml:4:30 data.ingest.ax: unknown key 'flies'. Did you mean 'files'?"
    )


def test_an_environment_or_a_file_that_extends_gives_the_value(
    several: Callable[..., list[PipelinePlan]], errors: Callable[..., list[str]], at: Path
) -> None:
    base = "parameters: {lake: {type: string}}\nlake: ${lake}\ndata: {ingest: {visits: {files: a.csv}}}\n"
    env = "environments: {prod: {parameters: {lake: {default: prod}}}, dev: {parameters: {lake: {default: dev}}}}\n"
    assert several(f"pipeline: churn\n{base}{env}", "prod")[0].lake == "prod"
    assert errors(f"pipeline: churn\n{base}{env}") == []
    with pytest.raises(PipelineFileError, match="'lake' has no value: give it a default, here, in an environment or"):
        several(f"pipeline: churn\n{base}{env}")

    (at / "base.yaml").write_text(base)
    assert several("pipeline: churn\nextends: base.yaml\nparameters: {lake: {default: own}}\n")[0].lake == "own"
    assert errors("pipeline: churn\nextends: base.yaml\n") == [
        (
            "base.yaml:1:14 parameters.lake: 'lake' has no value: give it a default, here, in an environment or in a "
            "file that extends this one, or a matrix (for churn.yaml)"
        )
    ]


def test_a_parameter_of_the_defaults_need_not_be_used(errors: Callable[..., list[str]], at: Path) -> None:
    (at / "defaults.yaml").write_text("parameters: {days: {type: string, default: 10d}}\n")
    assert errors("pipeline: churn\ndata: {ingest: {visits: {files: a.csv}}}\n") == []
    head = "pipeline: churn\nparameters: {dyas: {default: 9d}}\n"
    assert errors(head + "data: {ingest: {visits: {files: 'a${days}'}}}\n") == [
        "churn.yaml:2:14 parameters.dyas: '${dyas}' stands nowhere in the file. Did you mean 'days'?",
        "churn.yaml:2:14 parameters.dyas: 'type' is missing",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("in/${country}", "in/${cuntry}",
         ":4:33 data.ingest.visits.files: no parameter 'cuntry'. Did you mean 'country'?"),
        ("in/${country}", "in/${ country }", ":4:33 data.ingest.visits.files: '${' opens no parameter: write"),
        ("in/${country}", "in/${COUNTRY}", ":4:33 data.ingest.visits.files: '${' opens no parameter: write"),
        ("[SE, NO]", "[SE, SE]", ":2:24 matrix.country[1]: 'SE' stands twice"),
        ("[SE, NO]", "[SE, se]", ":1:11 pipeline: 2 pipelines of the matrix would be called 'churn_se': write"),
        ("[SE, NO]", "[]", ":2:19 matrix.country: at least one entry is wanted, not []"),
        ("[SE, NO]", "SE", ":2:19 matrix.country: a list is wanted, not 'SE'"),
        ("[SE, NO]", "[SE, [NO]]", ":2:24 matrix.country[1]: "),
        ("[SE, NO]", "[SE, '${a}']", ":2:24 matrix.country[1]: a parameter's value takes no '${'"),
        ("[SE, NO]}", "[SE, NO], size: [1, 2]}", ":2:29 matrix.size: '${size}' stands nowhere in the file"),
        ("churn_${country:lower}", "churn",
         ":1:11 pipeline: 2 pipelines of the matrix would be called 'churn': write ${country:lower} into the name"),
        ("lake: lake/${country}\n", "",
         ":3:17 data.ingest.visits: table 'visits' of this lake is written by 'churn_se' of this matrix, too: "),
        ("lake: ", "model: m\nlake: ", ":3:8 model: model 'm' is trained by 'churn_se' of this matrix, too: "),
        ("matrix: ", "parameters: {country: {type: integer}}\nmatrix: ",
         ':3:20 matrix.country[0]: a whole number is wanted, as `type` says, not "SE"'),
        ("matrix: ", "parameters: {country: {type: string, choices: [SE]}}\nmatrix: ",
         ":3:24 matrix.country[1]: 'NO' is none of its choices: SE"),
        ("matrix: ", "parameters: {country: {type: text}}\nmatrix: ",
         ":2:30 parameters.country.type: one of 'string', 'integer', 'number', 'boolean' is wanted, not 'text'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_where_it_stands(errors: Callable[..., list[str]], old: str, new: str, said: str) -> None:
    assert old in COUNTRIES
    found = errors(COUNTRIES.replace(old, new))

    assert any(error.startswith(f"churn.yaml{said}") for error in found), found
    assert len(found) <= 2


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("type: string, default: 3", "default: text is wanted, as `type` says, or quotes around it, not 3"),
        ("type: integer, default: 3.0", "default: a whole number is wanted, as `type` says, not 3.0"),
        ("type: integer, default: true", "default: a whole number is wanted, as `type` says, not true"),
        ("type: number, default: '3'", 'default: a number is wanted, as `type` says, not "3"'),
        ("type: boolean, default: yes", 'default: true or false is wanted, as `type` says, not "yes"'),
        ("type: string, default: NO, choices: [SE, FI]", "default: 'NO' is none of its choices: SE, FI"),
        ("type: string, default: SE, choices: [SE, 3]", "choices[1]: text is wanted"),
        ("type: string, default: SE, value: NO", "unknown key 'value'"),
        ("default: SE", "'type' is missing"),
        ("type: string", "'x' has no value: give it a default"),
    ],
)
def test_a_value_is_of_its_type_and_nothing_is_turned_into_it(
    errors: Callable[..., list[str]], parameter: str, said: str
) -> None:
    text = f"pipeline: churn\nparameters: {{x: {{{parameter}}}}}\ndata: {{ingest: {{visits: {{files: 'a${{x}}'}}}}}}\n"
    (found,) = errors(text)

    assert found.startswith("churn.yaml:2:")
    assert said in found


def test_an_unknown_value_hides_no_other_error_and_is_said_once(errors: Callable[..., list[str]]) -> None:
    wrong = "owner: ['${retries}']\ndefaults: {retries: '${retires}'}"
    found = errors(ONE.replace('defaults: {retries: "${retries}"}', wrong))

    assert "churn.yaml:3:8 owner: text is wanted, not [3]" in found
    assert [error for error in found if "churn.yaml:4:" in error] == [
        "churn.yaml:4:21 defaults.retries: no parameter 'retires'. Did you mean 'retries'?"
    ]


def test_a_table_that_two_files_ingest_into_one_lake_is_said(errors: Callable[..., list[str]]) -> None:
    visits = "data: {ingest: {visits: {files: a.csv}}}\n"
    train = "training: {dataset: {entities: visits, target: c}, train: {estimator: sklearn.svm.SVC}}\n"
    (found,) = errors(f"pipeline: a\nlake: l\n{visits}", f"pipeline: b\nlake: l\n{visits}")

    assert found.startswith("1.yaml:3:17 data.ingest.visits: table 'visits' of this lake is written in churn.yaml:3")
    assert "share the other's by `data: {from: ...}`" in found
    assert errors(f"pipeline: a\nlake: a\n{visits}", f"pipeline: b\nlake: b\n{visits}") == []
    assert errors(f"pipeline: a\nlake: l\n{visits}", f"pipeline: b\nlake: l\ndata: {{from: a}}\n{train}") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (COUNTRIES.replace("[SE, NO]", str(list(range(201)))), "201 pipelines of"),
        (COUNTRIES.replace("[SE, NO]", f"[1], {', '.join(f'a{i}: {list(range(20))}' for i in range(20))}"),
         "at most 200"),
        (COUNTRIES.replace("[SE, NO]", str(list(range(200))))
         + f"notify: {{notifier: a.B, arguments: {{x: {['${country}'] * 1_000}}}}}\n", "100,000 values together"),
        ("pipeline: churn\nparameters: {" + ", ".join(f"p{i}: {{type: string, default: a}}" for i in range(101))
         + "}\nscoring: {dataset: '" + "".join(f"${{p{i}}}" for i in range(101)) + "'}\n",
         "parameters: more than 100 of them"),
        ("pipeline: churn\nparameters: {p: {type: integer, default: 1, choices: " + str(list(range(15_000)))
         + "}}\nscoring: {dataset: a}\n", "parameters.p.choices: more than 200 of them"),
        ("pipeline: churn\nparameters: {p: {type: string, default: " + "a" * 100_000 + "}}\nscoring: {dataset: '"
         + "${p}" * 90_000 + "'}\n", "or 512 KiB, are put in"),
        ("pipeline: churn\nparameters: {p: {type: string, default: " + "a" * 100_000 + "}}\nnotify: {notifier: a.B, "
         "arguments: {x: [" + "'${p}'," * 18_000 + "]}}\n", "or 512 KiB, are put in"),
        ("pipeline: churn\nparameters: {p: {type: string, default: ''}}\nscoring: {dataset: '" + "${p}" * 100_000
         + "'}\nenvironments: {" + ", ".join(f"e{i}: {{owner: a}}" for i in range(50)) + "}\n",
         "more than 20,000 values"),
        ("pipeline: churn_${p}\nmatrix: {p: " + str(list(range(200))) + "}\nscoring: {dataset: '" + "${p}" * 10_000
         + "'}\n", "100,000 values are put into all"),
        ("pipeline: churn_${p}\nmatrix: {p: " + str(list(range(200))) + "}\nscoring: {dataset: '" + "${" * 200_000
         + "'}\n", "'${' opens no parameter"),
        ("pipeline: churn\nscoring: {dataset: '" + "${" * 200_000 + "'}\n", "'${' opens no parameter"),
        ("pipeline: churn\nnotify: {notifier: a.B, arguments: {"
         + ", ".join(f"a{i}: '${{p{i}}}'" for i in range(19_000)) + "}}\n", "no parameter 'p0'"),
        ("pipeline: churn_${a}\nmatrix: {a: " + str(list(range(150)))
         + "}\nlake: ${a}\ndata: {ingest: {v: {files: a.csv}}}\nenvironments: {"
         + ", ".join(f"e{i}: {{owner: a}}" for i in range(50)) + "}\n", "more than 1,000 pipelines"),
    ],
    ids=("pipelines", "power", "values", "parameters", "choices", "long", "whole", "empty", "uses", "openings of many",
         "openings", "unknown", "overlays"),
)  # fmt: skip
def test_a_hostile_file_is_answered_soon(errors: Callable[..., list[str]], text: str, said: str) -> None:
    began = time.process_time()
    found = errors(text)

    assert time.process_time() - began < 2
    assert any(said in error for error in found)


def test_one_of_several_is_chosen_by_name(several: Callable[..., list[PipelinePlan]], at: Path) -> None:
    found = several(COUNTRIES)

    assert one_of(found, "churn_no") == plan(at / "churn.yaml", bundle=at, pipeline="churn_no", config=FactoryConfig())
    with pytest.raises(ConfigError, match=r"^churn\.yaml makes 2 pipelines: say which of churn_se, churn_no$"):
        plan(at / "churn.yaml", bundle=at, config=FactoryConfig())
    with pytest.raises(ConfigError, match=r"makes no pipeline 'chrn_se'\. Did you mean 'churn_se'\?"):
        one_of(found, "chrn_se")


def test_the_commands_take_one_by_its_name(at: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (at / "churn.yaml").write_text(COUNTRIES)
    assert main(["plan", "churn.yaml"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("churn_") and " (" in line] == [
        "churn_se (churn.yaml), environment none, lake lake/SE",
        "churn_no (churn.yaml), environment none, lake lake/NO",
    ]
    assert main(["plan", "churn.yaml", "--format", "json"]) == 0
    assert [one["pipeline"] for one in json.loads(capsys.readouterr().out)] == ["churn_se", "churn_no"]
    assert main(["plan", "churn.yaml", "--format", "json", "--pipeline", "churn_no"]) == 0
    assert json.loads(capsys.readouterr().out)["pipeline"] == "churn_no"
    for command in (
        ["run", "churn.yaml", "data"],
        ["retrain", "simulate", "churn.yaml"],
        ["plan", "churn.yaml", "--manifest", "train"],
    ):
        assert main(command) == 1
        assert capsys.readouterr().err == "churn.yaml makes 2 pipelines: say which of churn_se, churn_no\n"


def test_against_an_earlier_version_each_is_compared_with_its_own(at: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (at / "churn.yaml").write_text(
        COUNTRIES.replace("[SE, NO]", "[SE, NO, DK]").replace("svm.SVC", "dummy.DummyClassifier")
    )
    (at / "old.yaml").write_text(COUNTRIES.replace("[SE, NO]", "[NO, SE, FI]"))

    assert main(["plan", "churn.yaml", "--against", "old.yaml"]) == 0
    se, no, dk, fi = capsys.readouterr().out.split("\n\n")
    assert se.splitlines()[0] == "churn_se (churn.yaml), environment none, against old.yaml"
    assert "~ estimator" in no
    assert "+ churn_dk-data" in dk
    assert "- churn_fi-train" in fi
    assert main(["plan", "churn.yaml", "--against", "old.yaml", "--format", "json", "--pipeline", "churn_dk"]) == 0
    assert {one["kind"] for one in json.loads(capsys.readouterr().out)["differences"] if one["dag_id"]} == {"added"}


def test_a_kept_file_gives_the_one_that_is_wanted_and_its_check_looks_at_no_other(
    at: Path, tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (at / "churn.yaml").write_text(COUNTRIES)
    folder = tmp_path_factory.mktemp("home") / "plans"
    examined: list[str] = []
    real = check.pipeline_of
    monkeypatch.setattr(
        check, "pipeline_of", lambda document: examined.append(document.data["pipeline"]) or real(document)
    )

    def kept(only: str | None) -> list[str]:
        found = kept_plans(at / "churn.yaml", bundle=at, config=FactoryConfig(), folder=folder, only=only)
        fresh = plans(at / "churn.yaml", bundle=at, config=FactoryConfig())
        assert [asdict(one) | {"dags": one.dags} for one in found] == [
            asdict(one) | {"dags": one.dags} for one in fresh if only in (None, one.pipeline)
        ]
        del examined[-len(fresh) :]
        return [one.pipeline for one in found]

    assert (kept("churn_no"), examined) == (["churn_no"], ["churn_no"])
    assert (kept("churn_no"), examined) == (["churn_no"], ["churn_no"])
    assert (kept(None), examined) == (["churn_se", "churn_no"], ["churn_no", "churn_se", "churn_no"])
    assert (kept("churn_se"), len(examined)) == (["churn_se"], 3)
    (at / "churn.yaml").write_text(COUNTRIES.replace("[SE, NO]", "[SE]"))
    assert kept(None) == ["churn_se"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
).filter(lambda value: "${" not in json.dumps(value))


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), PLAIN, max_size=3))
def test_what_has_no_opening_is_left_as_it_is(data: dict[str, Any]) -> None:
    found = Filled(Document("a.yaml", data, {}), {"a": "x", "b": 1}, {})

    assert (found.document.data, found.errors) == (data, [])


LOADER = "from airflow_mlops_provider.factory.build import build_dags\n\nglobals().update(build_dags(__file__))\n"
GROUP = """
from airflow.sdk import DAG
from airflow_mlops_provider.factory.groups import section_group

with DAG("mine"):
    section_group("churn.yaml", "training", group_id="no", pipeline="churn_no")
    section_group("churn.yaml", "training", group_id="se", pipeline="churn_se")
"""


def test_airflow_gets_the_dags_of_all_and_a_task_only_its_own(
    dags: Path, read_dags: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (dags / "churn.yaml").write_text(COUNTRIES)
    (dags / "churn.py").write_text(LOADER)
    bag = read_dags()

    assert bag.import_errors == {}
    assert sorted(bag.dags) == ["churn_no-data", "churn_no-train", "churn_se-data", "churn_se-train"]
    assert bag.dags["churn_no-train"].get_task("train").model == "churn_no"
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "churn_no-train")
    assert sorted(read_dags().dags) == ["churn_no-train"]


def test_a_section_in_a_dag_of_one_s_own_is_of_the_pipeline_that_is_named(
    dags: Path, read_dags: Callable[[], Any]
) -> None:
    (dags / "churn.yaml").write_text(COUNTRIES)
    (dags / "mine.py").write_text(GROUP)
    bag = read_dags()

    assert bag.import_errors == {}
    assert [bag.dags["mine"].get_task(f"{name}.train").model for name in ("no", "se")] == ["churn_no", "churn_se"]
    (dags / "mine.py").write_text(GROUP.replace(', pipeline="churn_se"', ""))
    assert "churn.yaml makes 2 pipelines: say which of churn_se, churn_no" in str(read_dags().import_errors)
