"""Kept plans: a hit is what a fresh parse gives, errors and all, whatever changed in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlops_provider.factory.cache import kept_plans
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.errors import PipelineFileError
from airflow_mlops_provider.factory.plan import PipelinePlan, plan
from tests.factory.conftest import CODE

ROOT = Path(__file__).parents[2]
CONFIG = FactoryConfig(lake="lake", allowed_modules=("acme",))
VISITS = """
    pipeline: churn
    data:
      ingest: {visits: {python_callable: include.code.visits, unique_key: [id]}}
      validate: {visits: {expectation_suite: suite.json}}
      transform: {project_dir: dbt_project}
      materialize: {feature_repo: include/features, feature_views: [a]}
    training:
      dataset: {target: late}
      train: {python_callable: include.code.train}
    notify: {notifier: acme.Notifier}
    environments: {prod: {owner: prod_team}}
"""


class Bundle:
    """A bundle with one pipeline, and the folder where its plan is kept."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root / "bundle", root / "plans"
        self.file = self.root / "churn.yaml"
        self.config = CONFIG
        (self.root / "include" / "features").mkdir(parents=True)
        (self.root / "dbt_project").mkdir()
        self.write("include/code.py", dedent(CODE))
        self.write("suite.json", "{}")
        self.write("churn.yaml", dedent(VISITS))

    def write(self, path: str, text: str) -> None:
        self.remove(path)
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def remove(self, path: str) -> None:
        found = self.root / path
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        else:
            found.unlink(missing_ok=True)

    def link_out(self, path: str) -> None:
        """Put in its place a link to the same thing outside the bundle."""
        outside = self.root.parent / "outside" / path
        outside.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(self.root / path, outside)
        (self.root / path).symlink_to(outside)

    def kept(self) -> PipelinePlan | str:
        return outcome(lambda: kept_plans(self.file, bundle=self.root, config=self.config, folder=self.folder)[0])

    def fresh(self) -> PipelinePlan | str:
        return outcome(lambda: plan(self.file, bundle=self.root, config=self.config))

    def entries(self) -> dict[str, tuple[int, int]]:
        """Return what tells one writing of each entry from the next."""
        files = self.folder.iterdir() if self.folder.is_dir() else ()
        found = {path.name: path.stat() for path in files if path.name != "swept"}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}

    def entry(self) -> Path:
        (name,) = self.entries()
        return self.folder / name


def outcome(planned: Callable[[], PipelinePlan]) -> PipelinePlan | str:
    try:
        return planned()
    except PipelineFileError as exc:
        return str(exc)


@pytest.fixture
def churn(tmp_path: Path) -> Bundle:
    return Bundle(tmp_path)


def test_a_second_parse_takes_the_plan_that_the_first_one_kept(churn):
    first = churn.kept()
    kept = churn.entries()
    assert isinstance(first, PipelinePlan)
    assert first == churn.kept() == churn.fresh()
    assert churn.entries() == kept
    assert len(kept) == 1


def test_the_demo_has_the_same_plan_kept_and_fresh(tmp_path):
    flights = {"bundle": ROOT, "config": FactoryConfig(lake="lake")}
    found = [kept_plans(ROOT / "dags" / "flights.yaml", folder=tmp_path / "plans", **flights)[0] for _ in range(2)]
    assert found[0].as_json() == found[1].as_json() == plan(ROOT / "dags" / "flights.yaml", **flights).as_json()
    assert repr(found[0].as_json()) == repr(found[1].as_json())  # with the order of keys


def test_all_that_the_checks_look_at_is_kept_with_the_plan(churn):
    churn.kept()
    seen = json.loads(churn.entry().read_bytes().splitlines()[1])["seen"]
    assert {what for what, _, _ in seen} == {"inside", "file", "folder", "document", "sha256"}
    assert {path for _, path, _ in seen} == {
        "include/code.py",
        "suite.json",
        "dbt_project",
        "include/features",
        "defaults.yaml",
        "defaults.yml",
        "acme.py",
        "acme/__init__.py",
    }


@pytest.mark.parametrize("path", ["include/code.py", "suite.json", "dbt_project", "include/features", "include"])
def test_what_is_removed_is_missed_at_once(churn, path):
    churn.kept()
    churn.remove(path)
    assert churn.kept() == churn.fresh()
    assert path.split("/")[0].removesuffix(".py") in str(churn.kept())


@pytest.mark.parametrize("path", ["suite.json", "dbt_project", "include/features"])
def test_what_now_leaves_the_bundle_through_a_link_is_refused(churn, path):
    churn.kept()
    churn.link_out(path)
    assert "leaves the bundle through a link" in churn.kept()


def test_a_function_that_changed_under_the_same_time_and_size_is_refused(churn):
    churn.kept()
    code = churn.root / "include" / "code.py"
    before = code.stat()
    code.write_text(code.read_text().replace("def visits(batch)", "def vizits(batch)"))
    os.utime(code, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert code.stat().st_size == before.st_size
    assert "defines no 'visits'" in churn.kept()


def test_a_file_that_now_stands_before_an_allowed_module_is_looked_into(churn):
    churn.kept()
    churn.write("acme.py", "")
    assert "acme.py defines no 'Notifier'" in churn.kept()


EDITS = {
    "code": lambda b: b.write("include/code.py", dedent(CODE)),
    "other code": lambda b: b.write("include/code.py", dedent(CODE) + "x = 1\n"),
    "no code": lambda b: b.remove("include/code.py"),
    "a package": lambda b: b.write("include/code/__init__.py", dedent(CODE)),
    "no package": lambda b: b.remove("include/code"),
    "no Python": lambda b: b.write("include/code.py", "def ("),
    "suite": lambda b: b.write("suite.json", "{}"),
    "no suite": lambda b: b.remove("suite.json"),
    "file for a folder": lambda b: b.write("dbt_project", "text"),
    "folder": lambda b: (b.remove("dbt_project"), b.write("dbt_project/dbt_project.yml", "")),
    "shadow": lambda b: b.write("acme/__init__.py", ""),
    "no shadow": lambda b: b.remove("acme"),
    "other YAML": lambda b: b.write("churn.yaml", dedent(VISITS) + "owner: people\n"),
    "broken YAML": lambda b: b.write("churn.yaml", dedent(VISITS) + "ovner: people\n"),
    "YAML": lambda b: b.write("churn.yaml", dedent(VISITS)),
    "no modules": lambda b: setattr(b, "config", replace(b.config, allowed_modules=())),
    "modules": lambda b: setattr(b, "config", CONFIG),
    "prod": lambda b: setattr(b, "config", replace(b.config, environment="prod")),
    "other lake": lambda b: setattr(b, "config", replace(b.config, lake="s3://lake")),
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(EDITS)), min_size=1, max_size=6))
def test_after_any_edits_a_parse_gives_what_a_fresh_one_gives(tmp_path_factory, edits):
    churn = Bundle(tmp_path_factory.mktemp("edits"))
    for edit in edits:
        assert churn.kept() == churn.fresh()
        EDITS[edit](churn)
        assert churn.kept() == churn.fresh(), edits
        assert churn.kept() == churn.fresh(), edits


def test_an_error_is_not_kept_and_its_repair_is_seen(churn):
    churn.remove("suite.json")
    assert "no file 'suite.json'" in churn.kept()
    assert churn.entries() == {}
    assert "no file 'suite.json'" in churn.kept()
    churn.write("suite.json", "{}")
    assert isinstance(churn.kept(), PipelinePlan)


@pytest.mark.parametrize(
    "change",
    [
        {"environment": "prod"},
        {"lake": "s3://other"},
        {"allowed_modules": ("acme", "other")},
        {"allowed_roots": ("/data",)},
        {"allowed_connections": ("*",)},
        {"allowed_interpreters": ("/opt/python",)},
    ],
    ids=str,
)
def test_other_settings_make_another_plan(churn, change):
    churn.kept()
    before = churn.entries()
    churn.config = replace(CONFIG, **change)
    assert churn.kept() == churn.fresh()
    assert churn.entries() != before


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 200) | st.binary(max_size=200))
def test_a_broken_entry_is_as_good_as_none(tmp_path_factory, damage):
    churn = Bundle(tmp_path_factory.mktemp("garbage"))
    churn.kept()
    whole = churn.entry().read_bytes()
    cut = whole[: len(whole) * damage // 201] if isinstance(damage, int) else damage
    churn.entry().write_bytes(cut)
    assert churn.kept() == churn.fresh()
    assert churn.entry().read_bytes() == whole


def test_an_entry_changed_by_hand_is_as_good_as_none(churn):
    churn.kept()
    churn.entry().write_bytes(churn.entry().read_bytes().replace(b"include.code.train", b"acme.evil_or_not.x"))
    assert churn.kept() == churn.fresh()


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_folder_that_others_may_enter_is_left_alone(churn, mode):
    churn.folder.mkdir()
    churn.folder.chmod(mode)
    assert churn.kept() == churn.fresh()
    assert churn.entries() == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_left_alone(churn):
    churn.folder.mkdir(mode=0o700)
    os.chown(churn.folder, 12345, -1)
    assert churn.kept() == churn.fresh()
    assert churn.entries() == {}


def test_a_folder_that_is_a_link_is_left_alone(churn):
    elsewhere = churn.root.parent / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    churn.folder.symlink_to(elsewhere)
    assert churn.kept() == churn.fresh()
    assert list(elsewhere.iterdir()) == []


def test_nothing_is_kept_in_the_bundle(churn):
    churn.folder = churn.root / ".mlops_plans"
    assert churn.kept() == churn.fresh()
    assert not churn.folder.exists()


def test_where_nothing_can_be_written_the_plan_is_made_each_time(churn):
    (churn.root.parent / "a_file").write_text("")
    churn.folder = churn.root.parent / "a_file" / "plans"
    assert churn.kept() == churn.kept() == churn.fresh()


def test_an_entry_that_cannot_be_replaced_leaves_nothing_behind(churn):
    churn.kept()
    name = churn.entry().name
    churn.entry().unlink()
    (churn.folder / name).mkdir()
    assert churn.kept() == churn.fresh()
    assert list(churn.entries()) == [name]


def test_the_folder_is_made_for_this_user_alone(churn):
    churn.kept()
    assert churn.folder.stat().st_mode & 0o777 == 0o700
    assert churn.entry().stat().st_mode & 0o777 == 0o600


def test_what_nobody_wrote_for_a_month_is_removed(churn):
    churn.kept()
    current = churn.entry().name
    for name, age_days in (("old", 31), ("young", 29)):
        (churn.folder / name).write_text("")
        written = time.time() - age_days * 86_400
        os.utime(churn.folder / name, (written, written))
    churn.write("churn.yaml", dedent(VISITS) + "owner: people\n")
    churn.kept()
    assert sorted(churn.entries()) == sorted([current, "old", "young"])  # swept today

    os.utime(churn.folder / "swept", (time.time() - 2 * 86_400,) * 2)
    churn.write("churn.yaml", dedent(VISITS) + "owner: others\n")
    churn.kept()
    assert sorted(churn.entries()) == sorted([current, "young"])


WRITER = """
import sys
from pathlib import Path
from airflow_mlops_provider.factory.cache import kept_plans
from airflow_mlops_provider.factory.config import FactoryConfig
root = Path(sys.argv[1])
for i in range(40):
    owner = f"owner{(i + int(sys.argv[2])) % 2}"
    config = FactoryConfig(lake=owner, allowed_modules=("acme",))
    (found,) = kept_plans(root / "bundle" / "churn.yaml", bundle=root / "bundle", config=config, folder=root / "plans")
    assert found.lake == owner, (found.lake, owner)
"""


def test_two_processes_that_keep_different_plans_of_one_file_both_get_theirs(churn):
    command = [sys.executable, "-c", WRITER, str(churn.root.parent)]
    writers = [subprocess.Popen([*command, str(i)], cwd=ROOT, stderr=subprocess.PIPE, text=True) for i in range(2)]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [("", 0), ("", 0)]
    assert len(churn.entries()) == 1
