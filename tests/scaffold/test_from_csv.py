"""From CSV files of different shape to a pipeline that lint and plan accept, and that holds what was in them."""

import csv
import io
import json
import subprocess
import sys
from contextlib import chdir, redirect_stdout

import pytest
import yaml

from airflow_mlops_provider.cli import main
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.plan import plan
from tests.scaffold.shapes import SHAPES, no_time, text_target, write

FEATURES = {
    "no_time": ["age", "spend", "plan"],
    "text_target": ["age", "spend", "plan"],
    "all_null": ["age", "spend", "plan", "rebate", "postcode"],
    "wide": [f"x{n:03d}" for n in range(198)],
    "semicolons": ["Größe (cm)", "Umsatz $", 'Tarif "neu"'],
    "snapshots": ["age", "role", "model", "vip", "remark"],
}
# What each file's rows need to be read as what they are.
DIALECTS = {
    "no_time": None,
    "text_target": {
        "types": {"signup_at": "timestamp"},
        "true_values": ["stayed"],
        "false_values": ["left"],
    },
    "all_null": {"types": {"rebate": "number", "postcode": "text"}},
    "wide": {"types": {"at": "timestamp"}},
    "snapshots": {"types": {"vip": "boolean"}},
    "semicolons": {
        "delimiter": ";",
        "decimal_point": ",",
        "types": {"Datum": "timestamp"},
        "true_values": ["ja"],
        "false_values": ["nein"],
    },
}


def words(name):
    shape = SHAPES[name]
    return [
        "init",
        name,
        "--from",
        f"{name}.csv",
        "--target",
        shape.target,
        *(["--time", shape.time] if shape.time else []),
    ]


@pytest.fixture(scope="module", params=SHAPES)
def made(request, tmp_path_factory):
    """Return a shape's name, what init printed of it, and the folder in which it was run."""
    folder = tmp_path_factory.mktemp(request.param)
    SHAPES[request.param].at(folder / f"{request.param}.csv")
    with chdir(folder), redirect_stdout(io.StringIO()) as out:
        assert main(words(request.param)) == 0
    return request.param, out.getvalue(), folder


def said(made):
    name, _, folder = made
    return yaml.safe_load((folder / name / f"{name}.yaml").read_text())


def test_lint_and_plan_accept_it(made, monkeypatch, capsys):
    _, out, folder = made
    monkeypatch.chdir(folder)
    for line in out.splitlines()[-3:-1]:
        assert main(line.split()[1:]) == 0, line
    assert capsys.readouterr().err == ""


def test_what_is_left_out_is_no_feature_of_the_model(made):
    name, out, folder = made
    planned = plan(folder / name / f"{name}.yaml", bundle=folder, config=FactoryConfig())
    (train,) = [task for dag in planned.dags for task in dag.tasks if task.task_id == "train"]
    assert train.arguments["dataset"]["columns"] == FEATURES[name]
    lines = (folder / f"{name}.csv").read_text().splitlines()
    (header,) = csv.reader(lines[:1], delimiter=SHAPES[name].dialect.get("delimiter", ","))
    told = [line.split(": ")[1] for line in out.splitlines() if line.startswith("left out: ")]
    assert sorted([*told, *FEATURES[name], SHAPES[name].target]) == sorted(header)
    text = (folder / name / f"{name}.yaml").read_text()
    assert all(f"    # {one}: " in text for one in told)


def test_every_row_is_in_one_batch(made):
    name, _, folder = made
    dialect = SHAPES[name].dialect.get("delimiter", ",")
    whole = sorted((folder / f"{name}.csv").read_text().splitlines()[1:])
    files = sorted((folder / name / "data").glob("*.csv"))
    rows = [line for file in files for line in file.read_text().splitlines()[1:]]
    if name in ("no_time", "wide"):
        rows = [line.partition(dialect)[2] for line in rows]
    assert sorted(rows) == whole
    data = said(made)["data"]
    assert files[0].stem == str(data["start"])
    assert said(made)["training"]["first_after"] == len(files) - 1


def test_the_dialect(made):
    name = made[0]
    assert said(made)["data"]["ingest"][name].get("csv") == DIALECTS[name]


def test_the_suite_says_nothing_of_target_and_what_is_left_out(made):
    name, _, folder = made
    claims = json.loads((folder / name / "expectations" / f"{name}.json").read_text())["expectations"]
    named = {claim["kwargs"]["column"] for claim in claims if "column" in claim["kwargs"]}
    key_and_time = {*said(made)["data"]["ingest"][name]["unique_key"], SHAPES[name].time}
    assert named <= {*FEATURES[name], *key_and_time}
    # Of shares nothing is said where a batch is empty: those of an empty one are 0.
    assert named >= {*FEATURES[name]} - {"vip"}


@pytest.mark.long
def test_its_dags_run_once(made):
    name, out, folder = made
    command = out.splitlines()[-1].split()[1:]
    assert command == ["test", f"{name}/{name}.yaml"]
    ended = subprocess.run(
        [sys.executable, "-m", "airflow_mlops_provider", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "version 1 is champion" in ended.stdout
    assert "predictions by version 1" in ended.stdout


def test_without_time_it_says_that_the_days_are_made_up(init, tmp_path):
    write(tmp_path / "t.csv", no_time())
    _, out, _ = init("init", "late", "--from", "t.csv", "--target", "late")
    assert "two days were made up" in out
    assert "two days were made up" in (tmp_path / "late" / "late.yaml").read_text()
    assert "made up" in (tmp_path / "late" / "README.md").read_text()
    evaluate = yaml.safe_load((tmp_path / "late" / "late.yaml").read_text())["training"]["evaluate"]
    assert evaluate["holdout"] == 0.2
    assert "refit" not in evaluate


def test_duplicate_rows_are_counted(init, tmp_path):
    header, values = no_time()
    write(tmp_path / "t.csv", (header, [*values, *values[:3]]))
    _, out, _ = init("init", "late", "--from", "t.csv", "--target", "late")
    assert "put in as the first one; complete duplicates of another row: 3" in " ".join(out.split())


def test_what_is_printed_is_printable(init, tmp_path):
    write(tmp_path / "a\x1b[31m\u2028.csv", no_time())
    status, out, _ = init("init", "late", "--from", "a\x1b[31m\u2028.csv", "--target", "late")
    assert status == 0
    assert out.replace("\n", "").isprintable()


def test_below_dags_where_that_folder_is(init, tmp_path):
    (tmp_path / "dags").mkdir()
    write(tmp_path / "t.csv", text_target())
    _, out, _ = init("init", "churn", "--from", "t.csv", "--target", "state", "--time", "signup_at")
    assert out.splitlines()[-3] == "  airflow-mlops lint dags/churn/churn.yaml --bundle dags"
    assert init("lint", "dags/churn/churn.yaml", "--bundle", "dags")[0] == 0
    assert sorted(p.name for p in (tmp_path / "dags" / "churn").iterdir()) == [
        ".airflowignore",
        "README.md",
        "churn.py",
        "churn.yaml",
        "data",
        "expectations",
    ]


ROWS = "".join(f"{i},{i % 2},x\n" for i in range(200))
RARE = "".join(f"{i},{int(i % 5 == 0)},x\n" for i in range(200))
# All of one class are early.
LATE = "".join(f"{i % 7},{int(i < 50)},2025-01-{1 + i // 20:02d}\n" for i in range(200))


@pytest.mark.parametrize(
    ("words", "content", "says"),
    [
        (["churn", "--target", "y"], None, "no file 't.csv'"),
        (["churn", "--target", "y"], "", "t.csv is empty"),
        (["churn", "--target", "y"], "a,b\n1,2\n3\n", "t.csv, line 3: 1 fields, the header has 2"),
        (["churn", "--target", "yy"], f"x,y,z\n{ROWS}", "no column 'yy' for the target. Did you mean 'y'?"),
        (["churn", "--target", "z"], f"x,y,z\n{ROWS}", "target 'z' is 'x' in every row"),
        (["churn", "--target", "y", "--time", "z"], f"x,y,z\n{ROWS}", "time 'z' is text, such as 'x'"),
        (["churn", "--target", "y", "--time", "y"], f"x,y,z\n{ROWS}", "'y' cannot be the target and the time"),
        (
            ["churn", "--target", "y"],
            f"id,y,z\n{ROWS}",
            "no column is left to predict 'y' by: id: the key; z: the same",
        ),
        (["churn", "--target", "y"], f"x,y,z\n{RARE}", "40 rows of one class of y are too few to be dealt by chance"),
        (
            ["churn", "--target", "y", "--time", "z"],
            f"x,y,z\n{LATE}",
            "cannot be parted by time into some to fit on and",
        ),
        (
            ["churn", "--target", "y"],
            f"Row_ID,y,z\n{ROWS}{ROWS}",
            "no column names a row, and 'row_id', which would be",
        ),
        (["Churn!", "--target", "y"], f"x,y,z\n{ROWS}", "'Churn!' is no pipeline's name"),
        (["churn"], f"x,y,z\n{ROWS}", "--from needs --target"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(init, tmp_path, words, content, says):
    if content is not None:
        (tmp_path / "t.csv").write_text(content)
    before = sorted(tmp_path.iterdir())
    status, out, err = init("init", *words, "--from", "t.csv")
    assert (status, out) == (1, "")
    assert says in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_is_overwritten(init, tmp_path):
    write(tmp_path / "t.csv", no_time())
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "README.md").write_text("mine")
    status, _, err = init("init", "late", "--from", "t.csv", "--target", "late")
    assert (status, err) == (1, "there already: late/README.md; give another name, or remove them\n")
    assert [path.name for path in (tmp_path / "late").iterdir()] == ["README.md"]


WITHOUT = """
import sys

for module in ("airflow", "duckdb", "pyarrow", "deltalake", "numpy", "pandas", "sklearn", "mlflow"):
    sys.modules[module] = None  # not installed
from airflow_mlops_provider.cli import main

sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["init", "late", "--from", "t.csv", "--target", "late"], 1, "'airflow-mlops-provider[lake]'"),
        (["suite", "suggest", "t.csv"], 1, "'airflow-mlops-provider[lake]'"),
        (["init", "late", "--template", "fraud"], 0, ""),
        (["init", "--list"], 0, ""),
    ],
)
def test_with_the_base_package_alone(tmp_path, words, status, says):
    write(tmp_path / "t.csv", no_time())
    command = [sys.executable, "-c", WITHOUT, *words]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (status, status), ended.stderr
    assert says in ended.stderr
