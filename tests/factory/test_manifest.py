from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import pytest

from airflow_mlops_provider.factory.files import Files
from airflow_mlops_provider.factory.manifest import Manifest

REPO = Path(__file__).parents[2]
KINDS = ("nodes", "unit_tests", "exposures", "metrics", "semantic_models", "saved_queries")


def node(name: str, *folders: str, kind: str = "model", tags: tuple[str, ...] = ()) -> dict[str, object]:
    path = "/".join((f"{kind}s", *folders, f"{name}.sql"))
    return {"name": name, "fqn": ["shop", *folders, name], "resource_type": kind, "package_name": "shop",
            "tags": list(tags), "original_file_path": path}  # fmt: skip


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Return that of a project of two models and a seed, `daily.sql` written since."""
    nodes = [node("orders", "staging", tags=("nightly",)), node("customers", "marts"), node("plans", kind="seed")]
    written = {kind: {} for kind in KINDS} | {"nodes": {str(i): one for i, one in enumerate(nodes)}}
    for one in nodes:
        path = tmp_path / "dbt" / str(one["original_file_path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "dbt" / "models" / "daily.sql").touch()
    (tmp_path / "dbt" / "target").mkdir()
    (tmp_path / "dbt" / "target" / "manifest.json").write_text(json.dumps(written))
    for name in ("orders", "customers"):
        next((tmp_path / "dbt").rglob(f"{name}.sql")).unlink()  # the manifest alone must know them
    found = Manifest.of("dbt", Files(tmp_path))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "select",
    ["orders", "+orders", "orders+1", "@orders", "2+orders+", "orders customers", "tag:nightly", "tag:night*", "*",
     "staging", "shop.staging", "staging.orders", "staging.*", "orders.sql", "file:orders", "ord*", "package:shop",
     "resource_type:seed", "orders,tag:nightly", "path:models/marts", "models/staging/", "plans", "daily",
     "state:modified", "config.materialized:table", "source:raw+", "orders+,customers+", "package:this"],
)  # fmt: skip
def test_what_chooses_something_or_may_is_let_through(manifest: Manifest, select: str) -> None:
    assert list(manifest.selection_faults(select)) == []


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ("odrers", "dbt selects nothing by 'odrers'. Did you mean 'orders'?"),
        ("+odrers+ customers", "dbt selects nothing by '+odrers+'. Did you mean 'orders'?"),
        ("tag:nigthly", "dbt selects nothing by 'tag:nigthly'. Did you mean 'nightly'?"),
        ("resource_type:snapshot", ("dbt selects nothing by 'resource_type:snapshot'; if dbt/target/manifest.json is "
         "older than the project, run `dbt parse`")),
        ("marts.orders", "dbt selects nothing by 'marts.orders'. Did you mean 'orders'?"),
        ("path:models/intermediate", "dbt selects nothing by 'path:models/intermediate'; if"),
        ("customers,tag:nightly", "dbt selects nothing by 'customers,tag:nightly': its parts have no node in common"),
    ],
)  # fmt: skip
def test_what_chooses_nothing_is_named(manifest: Manifest, select: str, said: str) -> None:
    (found,) = manifest.selection_faults(select)

    assert found.startswith(said)


def test_a_model_is_known_by_dbt_or_by_its_file(manifest: Manifest) -> None:
    assert [manifest.model_fault(name) for name in ("orders", "daily")] == [None, None]
    assert manifest.model_fault("custmers") == "dbt knows no model 'custmers'. Did you mean 'customers'?"
    assert manifest.model_fault("plan") == "dbt knows no model 'plan'; " + manifest.old


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"nodes": 3}', "[" * 100_000])
def test_a_file_that_dbt_did_not_write_is_no_manifest(tmp_path: Path, content: str) -> None:
    (tmp_path / "dbt" / "target").mkdir(parents=True)
    (tmp_path / "dbt" / "target" / "manifest.json").write_text(content)

    assert Manifest.of("dbt", Files(tmp_path)) is None
    assert Manifest.of("absent", Files(tmp_path)) is None


@pytest.mark.slow
def test_agrees_with_dbt_about_the_demo(tmp_path: Path) -> None:
    project = tmp_path / "dbt_project"
    copytree(REPO / "dbt_project", project, ignore=lambda *_: ["target", "logs", "dbt_packages"])
    selections = ["flight_labels", "+flight_lables", "tag:none", "path:models", "path:model", "origin*", "flights.*",
                  "resource_type:seed", "resource_type:snapshot", "holidays+", "schema.yml", "flight_labels.sql",
                  "carrier_delay,path:models", "carrier_delay,resource_type:seed"]  # fmt: skip
    code = (
        "import json, sys\nfrom dbt.cli.main import dbtRunner\n"
        "given = ['--quiet', '--no-send-anonymous-usage-stats', '--vars', sys.argv[2]]\n"
        "parsed = dbtRunner().invoke(['parse', *given]).result\n"
        "def listed(select):\n"
        "    return bool(dbtRunner(manifest=parsed).invoke(['ls', *given, '--select', select]).result)\n"
        "json.dump({s: listed(s) for s in json.loads(sys.argv[1])}, open('listed.json', 'w'))\n"
    )
    told = json.dumps({"batch_start": "2013-01-01", "batch_end": "2013-02-01", "timezone": "UTC"})
    env = {**os.environ, "MLOPS_WAREHOUSE": str(tmp_path / "w.duckdb"), "DBT_PROFILES_DIR": str(project)}
    command = [sys.executable, "-c", code, json.dumps(selections), told]
    subprocess.run(command, check=True, cwd=project, env=env, stdout=subprocess.DEVNULL)
    manifest = Manifest.of("dbt_project", Files(tmp_path))

    assert manifest is not None
    listed = json.loads((project / "listed.json").read_text())
    assert {select: not list(manifest.selection_faults(select)) for select in selections} == listed
    assert not all(listed.values())
