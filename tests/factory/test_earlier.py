from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.earlier import earlier_bytes, earlier_plans
from airflow_mlops_provider.factory.errors import PipelineFileError

TEXT = """\
pipeline: churn
data: {ingest: {visits: {python_callable: include.gone.visits}}}
environments: {prod: {owner: growth}}
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a git repository with `dags/churn.yaml` in two commits, the second one changed again since."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dags").mkdir()
    git("init", "--quiet", "--initial-branch=main")
    for text in (TEXT, TEXT.replace("visits:", "orders:")):
        (tmp_path / "dags" / "churn.yaml").write_text(text)
        git("add", ".")
        git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message=x")
    git("tag", "v2")
    (tmp_path / "dags" / "churn.yaml").write_text("now")
    return tmp_path


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True)


@pytest.mark.parametrize(
    ("revision", "has"), [("HEAD", "orders"), ("HEAD~1", "visits"), ("v2", "orders"), ("main", "orders")]
)
@pytest.mark.parametrize("folder", [".", "dags"])
def test_a_revision_is_read_from_any_folder(
    repository: Path, monkeypatch: pytest.MonkeyPatch, folder: str, revision: str, has: str
) -> None:
    monkeypatch.chdir(folder)
    path = Path("churn.yaml" if folder == "dags" else "dags/churn.yaml")
    name, raw = earlier_bytes(revision, path)

    assert name == f"{revision}:{path}"
    assert f"{{{has}:".encode() in raw
    assert earlier_bytes(revision, path.resolve())[1] == raw


def test_its_plan_needs_nothing_of_what_it_names(repository: Path) -> None:
    (plan,) = earlier_plans("HEAD~1", Path("dags/churn.yaml"), FactoryConfig(environment="prod", lake="lake"), Path())

    assert (plan.file, plan.lake, plan.dags[0].owner) == ("HEAD~1:dags/churn.yaml", "lake", "growth")
    assert list(plan.dags[0].tasks[0].arguments["datasets"]) == ["visits"]


def test_a_file_is_read_as_it_is(repository: Path) -> None:
    (repository / "main").write_text("a file goes before a branch of its name")

    assert earlier_bytes("main", Path("dags/churn.yaml")) == ("main", b"a file goes before a branch of its name")


def test_an_earlier_file_that_is_wrong_is_named(repository: Path) -> None:
    (repository / "old.yaml").write_text(TEXT.replace("ingest", "ingets"))

    with pytest.raises(PipelineFileError, match=r"^old\.yaml:2:8 data: unknown key 'ingets'\. Did"):
        earlier_plans("old.yaml", Path("dags/churn.yaml"), FactoryConfig(), Path())


@pytest.mark.parametrize(
    ("against", "said"),
    [
        ("v9", "--against v9: no such file, and git knows no such revision; is it fetched?"),
        ("--help", "--against --help: no such file, and git knows no such revision; is it fetched?"),
        ("$(touch ran)", "no such file, and git knows no such revision"),
        ("HEAD:dags", "no such file, and git knows no such revision"),
    ],
)
def test_what_is_neither_is_refused(repository: Path, against: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        earlier_bytes(against, Path("dags/churn.yaml"))

    assert said in str(caught.value)
    assert not (repository / "ran").exists()


def test_a_file_that_the_revision_lacks_is_refused(repository: Path) -> None:
    (repository / "new.yaml").touch()

    with pytest.raises(
        ConfigError, match=r"^--against HEAD: new\.yaml is not in that revision; where it had another name"
    ):
        earlier_bytes("HEAD", Path("new.yaml"))


def test_outside_a_repository_a_revision_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    with pytest.raises(ConfigError, match=r"no such file, and no revision, for .* has none: not a git repository"):
        earlier_bytes("HEAD", tmp_path / "a.yaml")


def test_without_git_the_way_out_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigError, match="git, which is not installed; give a file"):
        earlier_bytes("HEAD", tmp_path / "a.yaml")


def test_no_filter_of_the_repository_is_run(repository: Path) -> None:
    git("config", "diff.spy.textconv", "touch ran; cat")
    (repository / ".gitattributes").write_text("*.yaml diff=spy\n")

    assert b"orders" in earlier_bytes("HEAD", Path("dags/churn.yaml"))[1]
    assert not (repository / "ran").exists()


def test_what_lies_under_the_file_is_that_of_the_revision(repository: Path) -> None:
    (repository / "base").mkdir()
    for version in ("then", "now"):
        (repository / "defaults.yaml").write_text(f"tags: [{version}]\n")
        (repository / "base" / "all.yaml").write_text(f"owner: {version}\n")
        (repository / "dags" / "churn.yaml").write_text(
            TEXT + "extends: base/all.yaml\nlake: ${lake}\nmatrix: {lake: [a]}\n"
        )
        if version == "then":
            git("add", ".")
            git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message=x")
    (repository / "dags" / "defaults.yaml").write_text("owner: not there then\n")
    (found,) = earlier_plans("HEAD", Path("dags/churn.yaml"), FactoryConfig(), repository)

    assert (found.dags[0].owner, found.dags[0].tags, found.lake) == ("then", ("churn", "mlops", "then"), "a")
    assert str(found.dags[0].tasks[0].provenance["datasets"]) == "HEAD:dags/churn.yaml:2"
    (before,) = earlier_plans("HEAD~1", Path("dags/churn.yaml"), FactoryConfig(), repository)
    assert (before.dags[0].owner, before.dags[0].tags) == ("airflow", ("churn", "mlops"))
