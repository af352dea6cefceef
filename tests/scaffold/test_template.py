"""Templates of this package work at once; one that is installed as a package is found and used."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest
import yaml

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.scaffold.template import templates
from airflow_mlops_provider.steps.context import load_function

NAMES = ("classification", "fraud", "regression")


def test_these_there_are(init):
    status, out, _ = init("init", "--list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == list(NAMES)
    assert all(" 1 (airflow-mlops-provider): " in line for line in out.splitlines())


@pytest.mark.parametrize("name", NAMES)
def test_lint_and_plan_accept_it(init, tmp_path, name):
    status, out, err = init("init", f"shop_{name}", "--template", name)
    assert (status, err) == (0, "")
    for line in out.splitlines()[-3:-1]:
        assert init(*line.split()[1:])[0] == 0
    folder = tmp_path / f"shop_{name}"
    assert not [
        file for file in folder.rglob("*") if file.is_file() and ("$NAME" in file.read_text() or "NAME" in file.name)
    ]
    assert "SYNTHETIC" in (folder / f"shop_{name}.yaml").read_text()
    assert "SYNTHETIC" in (folder / "sources.py").read_text()
    assert "**synthetic**" in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_drawn_by_the_batch_alone(init, tmp_path, name, monkeypatch):
    init("init", f"drawn_{name}", "--template", name)
    monkeypatch.setattr(sys, "path", [*sys.path])
    data = yaml.safe_load((tmp_path / f"drawn_{name}" / f"drawn_{name}.yaml").read_text())["data"]
    for source in data["ingest"].values():
        function = load_function(source["python_callable"], str(tmp_path))
        (key,) = source["unique_key"]
        february, march, again = (rows(function, month) for month in (2, 3, 2))
        assert february == again
        assert february != march
        keys = [row[key] for row in february + march]
        assert len(keys) == len(set(keys)) > 100


def rows(function, month):
    batch = Batch(
        id=f"2025-{month:02d}-01",
        start=datetime(2025, month, 1, tzinfo=UTC),
        end=datetime(2025, month + 1, 1, tzinfo=UTC),
    )
    return [row for table in function(batch) for row in table.to_pylist()]


def test_frauds_are_rare_and_known_thirty_days_later(init, tmp_path, monkeypatch):
    init("init", "rare", "--template", "fraud")
    monkeypatch.setattr(sys, "path", [*sys.path])
    outcomes = [
        row for month in (2, 3, 4) for row in rows(load_function("rare.sources.outcomes", str(tmp_path)), month)
    ]
    assert 0.005 < sum(row["fraud"] for row in outcomes) / len(outcomes) < 0.02
    assert max(row["paid_at"] for row in outcomes) < datetime(2025, 4, 1, tzinfo=UTC)
    assert "fraud" not in rows(load_function("rare.sources.payments", str(tmp_path)), 2)[0]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_its_dags_run_once(init, tmp_path, name):
    _, out, _ = init("init", f"run_{name}", "--template", name)
    command = [sys.executable, "-m", "airflow_mlops_provider", *out.splitlines()[-1].split()[1:]]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "version 1 is champion" in ended.stdout


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that installs a package whose folder is a template."""

    def install(name="tiny", template="version: '7'\ndescription: A tiny one.\n", module="acme_templates.tiny"):
        site = tmp_path / "site"
        info, package = site / "acme_templates-1.dist-info", site.joinpath("acme_templates", "tiny")
        for folder in (info, package / "in"):
            folder.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-templates\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[airflow_mlops.templates]\n{name} = {module}\n")
        (site / "acme_templates" / "__init__.py").write_text("")
        (package / "__init__.py").write_text("")
        (package / "template.yaml").write_text(template)
        (package / "NAME.yaml").write_text(
            "pipeline: $NAME\ndata: {ingest: {rows: {files: '$NAME/in/{batch}.csv'}}}\n"
            "training: {dataset: {target: y}, train: {estimator: sklearn.linear_model.LinearRegression}}\n"
        )
        (package / "in" / "README").write_text("$5, $$ and ${OTHER} for $NAME: $NAMES")
        (package / "in" / "picture.png").write_bytes(b"\x89PNG $NAME")
        monkeypatch.syspath_prepend(str(site))

    yield install
    for module in [name for name in sys.modules if name.startswith("acme_templates")]:
        del sys.modules[module]


def test_an_installed_template_is_used(init, installed, tmp_path):
    installed()
    assert "tiny 7 (acme-templates): A tiny one." in init("init", "--list")[1]
    status, out, err = init("init", "mine", "--template", "tiny")
    assert (status, err) == (0, "")
    assert "from tiny, version 7: A tiny one." in out
    assert init("lint", "mine/mine.yaml")[0] == 0
    assert (tmp_path / "mine" / "in" / "README").read_text() == "$5, $ and ${OTHER} for mine: $NAMES"
    assert (tmp_path / "mine" / "in" / "picture.png").read_bytes() == b"\x89PNG $NAME"
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {
        ".airflowignore",
        "README.md",
        "in",
        "mine.py",
        "mine.yaml",
    }


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ({"name": "fraud"}, "template 'fraud' is both airflow-mlops-provider's and acme-templates's"),
        (
            {"module": "acme_templates.gone"},
            "template 'tiny' of acme-templates: acme_templates.gone is no package here",
        ),
        ({"template": "version: 1\n"}, "template 'tiny' of acme-templates: template.yaml cannot be read"),
        ({"template": "!!python/object/apply:os.system ['false']"}, "template.yaml cannot be read"),
    ],
)
def test_a_broken_installed_template_is_told(init, installed, template, says):
    installed(**template)
    status, out, err = init("init", "mine", "--template", "tiny")
    assert (status, out) == (1, "")
    assert says in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["mine", "--template", "frauds"], "no template 'frauds'. Did you mean 'fraud'?"),
        (["json", "--template", "fraud"], "'json' is a Python module here"),
        (["yaml", "--template", "fraud"], "'yaml' is a Python module here"),
        (["mine", "--template", "fraud", "--target", "y"], "--target and --time go with --from"),
        (["--template", "fraud"], "which NAME is the pipeline to have?"),
    ],
)
def test_what_cannot_be(init, tmp_path, words, says):
    status, _, err = init("init", *words)
    assert status == 1
    assert says in err
    assert list(tmp_path.iterdir()) == []


def test_every_template_says_its_version_and_what_it_is():
    assert all(one.info().version and one.info().description.endswith(".") for one in templates().values())
