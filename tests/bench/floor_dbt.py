"""`python -m tests.bench.floor_dbt '[place, batch]'`: views of the lake's files, then one `dbt build`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.bench.joined import files
from tests.bench.measure import ROOT

__all__ = ["main"]


def main() -> None:
    place, batch = json.loads(sys.argv[1])
    import duckdb
    from dbt.cli.main import dbtRunner

    with duckdb.connect(os.environ["MLOPS_WAREHOUSE"]) as con:
        con.execute("create schema lake")
        for table in ("flights", "weather", "arrivals", "planes", "airlines"):
            con.execute(f"create view lake.{table} as select * from {files(Path(place), table)}")
    project = ROOT / "dbt_project"
    given = {"batch_id": batch["id"], "batch_start": batch["start"], "batch_end": batch["end"]}
    done = dbtRunner().invoke(
        [
            "build",
            "--quiet",
            "--log-level=none",
            "--log-level-file=info",
            "--no-send-anonymous-usage-stats",
            "--no-version-check",
            f"--project-dir={project}",
            f"--profiles-dir={project}",
            f"--target-path={place}/target",
            f"--log-path={place}/logs",
            f"--vars={json.dumps(given | {'timezone': batch['timezone']})}",
            "--threads=2",
        ]
    )
    if not done.success:
        failed = [r.message for r in done.result or [] if str(r.status) not in ("success", "pass")]
        sys.exit(f"{done.exception} {failed}")
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
