"""The measured process: `python -m tests.bench.child JSON`, a `Side` with a folder and a number of calls."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["main"]


def cpu() -> float:
    """Return the CPU seconds, user and system, of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def peak_mb() -> float:
    """Return the peak memory in MB of this process or of its largest child."""
    # Not getrusage for this process: there the parent's size at the fork counts.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own = int(status["VmHWM"].split()[0])
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


def measured(
    function: str, arguments: dict[str, Any], template: str | None, settle: str | None, folder: str, calls: int
) -> Any:
    module, _, name = function.partition(":")
    # The function's module imports no tool at its top, so that the first call pays for all that it uses.
    work = getattr(importlib.import_module(module), name)
    times, mb = [], 0.0
    for call in range(calls):
        place = Path(folder, str(call))
        shutil.copytree(template, place) if template else place.mkdir(parents=True)
        if settle:
            subprocess.run([sys.executable, "-m", settle, str(place)], check=True)
        began = cpu()
        work(place, **arguments)
        times.append(cpu() - began)
        mb = mb or peak_mb()
    return {"cpu": times, "mb": mb}


def main() -> None:
    with contextlib.redirect_stdout(sys.stderr):
        found = measured(**json.loads(sys.argv[1]))
    print(json.dumps(found), flush=True)
    # Some libraries abort while they are torn down, long after the work is done.
    os._exit(0)


if __name__ == "__main__":
    main()
