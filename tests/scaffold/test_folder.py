"""Files go to their place all together or not at all, and never over what is there."""

import shlex
from pathlib import Path

import pytest

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.scaffold.folder import place_of


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["Churn", "1st", "a-b", "", "../x", "a/b", "a" * 64, "ärger", "a b"])
def test_a_name_that_no_pipeline_can_have(name):
    with pytest.raises(ConfigError, match="is no pipeline's name"):
        place_of(name, None)


def test_the_bundles_root_is_the_parent(tmp_path):
    assert place_of("churn", None).command("lint") == "airflow-mlops lint churn/churn.yaml"
    (tmp_path / "dags").mkdir()
    assert place_of("churn", None).command("lint") == "airflow-mlops lint dags/churn/churn.yaml --bundle dags"
    assert place_of("churn", Path("x")).command("plan") == "airflow-mlops plan x/churn/churn.yaml --bundle x"
    assert place_of("churn", Path()).command("lint") == "airflow-mlops lint churn/churn.yaml"
    assert place_of("churn", Path("dags")).folder == Path("dags/churn")
    with pytest.raises(ConfigError, match=r"dags/team lies below dags/, where paths begin"):
        place_of("churn", Path("dags/team"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file is no folder"):
        place_of("churn", Path("file"))


def put(place, text="new"):
    with place.filling() as part:
        (part / "data").mkdir()
        (part / "a" / "b").mkdir(parents=True)
        (part / "a" / "b" / "c.csv").write_text("new")
        (part / "data" / "a.csv").write_text("new")
        (part / "data" / "b.csv").write_text(text)


def test_beside_what_is_there_but_not_over_it(tmp_path):
    place = place_of("churn", None)
    (tmp_path / "churn").mkdir()
    (tmp_path / "churn" / "notes.txt").write_text("mine")
    put(place)
    assert (tmp_path / "churn" / "data" / "a.csv").read_text() == "new"
    (tmp_path / "churn" / "churn.yaml").write_text("mine")
    with pytest.raises(ConfigError, match=r"there already: churn/churn\.yaml; give another name"), place.filling():
        pytest.fail("nothing is to be done")
    (tmp_path / "churn" / "churn.yaml").unlink()
    with pytest.raises(ConfigError, match=r"there already: .*churn/data/a\.csv"):
        put(place)
    assert sorted(p.name for p in (tmp_path / "churn").rglob("*") if p.is_file()) == [
        "a.csv",
        "b.csv",
        "c.csv",
        "notes.txt",
    ]


@pytest.mark.parametrize("data", ["a file", "a dangling link"])
def test_what_cannot_be_written_is_told_and_undone(tmp_path, data):
    (tmp_path / "churn").mkdir()
    if data == "a file":
        (tmp_path / "churn" / "data").write_text("mine")
    else:
        (tmp_path / "churn" / "data").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="churn cannot be written: "):
        put(place_of("churn", None))
    assert [path.name for path in (tmp_path / "churn").iterdir()] == ["data"]


def test_a_file_in_the_folders_place_is_told(tmp_path):
    (tmp_path / "churn").write_text("mine")
    with pytest.raises(ConfigError, match="churn cannot be written: "):
        put(place_of("churn", None))


def test_a_dangling_link_is_something_that_is_there(tmp_path):
    (tmp_path / "churn").mkdir()
    (tmp_path / "churn" / "churn.yaml").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="there already"):
        put(place_of("churn", None))


def test_a_command_can_be_pasted():
    words = shlex.split(place_of("churn", Path("my dags; x")).command("lint"))
    assert words == ["airflow-mlops", "lint", "my dags; x/churn/churn.yaml", "--bundle", "my dags; x"]


def test_nothing_is_written_where_it_fails(tmp_path):
    with pytest.raises(TypeError):
        put(place_of("churn", None), text=None)
    assert list(tmp_path.iterdir()) == []
