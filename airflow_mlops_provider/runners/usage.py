"""What a pod used: measured by its main, read by whoever asked for it."""

from __future__ import annotations

import json
import resource
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from airflow_mlops_provider.contracts.pod import GpuClass, Pod

__all__ = ["Meter", "Usage", "bytes_of", "cost_of", "lines_of", "price_of"]

_CGROUP = Path("/sys/fs/cgroup")
_PERIOD_S = 1.0
_POWERS: dict[str, float] = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "E": 10**18,
    "m": 1e-3,
} | {f"{letter}i": 2 ** (10 * power) for power, letter in enumerate("KMGTPE", 1)}
_WASTE = 2


@dataclass(frozen=True, slots=True)
class Usage:
    """Wall time of the pod's main, and the most memory that it and its children held at a time."""

    seconds: float
    peak_memory_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)

    @classmethod
    def told(cls, message: str) -> Usage | None:
        """Return what a termination message says beside the outcome, None where it says nothing of it."""
        try:
            data = json.loads(message)
        except ValueError:
            return None
        return cls.of(data.get("usage")) if isinstance(data, dict) else None

    @classmethod
    def of(cls, data: Any) -> Usage | None:  # whatever JSON held
        """Return what `as_json` gave, None for anything else."""
        if not isinstance(data, Mapping):
            return None
        seconds, peak = data.get("seconds"), data.get("peak_memory_bytes")
        if not isinstance(seconds, int | float) or not isinstance(peak, int):
            return None
        return cls(float(seconds), peak)


class Meter:
    """Watches this process from now on.

    Memory is what the kubelet counts and the kernel kills by: the cgroup's, without the file cache that it can give
    back at once, looked at every second. Where there is no such group (cgroup v2) it is the resident size of the
    largest of this process and its children.
    """

    def __init__(self, cgroup: Path = _CGROUP) -> None:
        self._since = time.monotonic()
        self._cgroup = cgroup
        self._peak = working_set(cgroup) or 0
        if self._peak:
            threading.Thread(target=self._watch, name="mlops-usage", daemon=True).start()

    def read(self) -> Usage:
        """Return what was used until now."""
        self._look()
        return Usage(round(time.monotonic() - self._since, 3), self._peak or _largest_process())

    def _watch(self) -> None:
        while True:
            time.sleep(_PERIOD_S)
            self._look()

    def _look(self) -> None:
        self._peak = max(self._peak, working_set(self._cgroup) or 0)


def working_set(cgroup: Path) -> int | None:
    """Return the bytes that a group (cgroup v2) holds and cannot give back; None where it is not this pod's own."""
    try:
        # A process of another pid namespace shows as 0: then the group is the machine's.
        if "0" in (cgroup / "cgroup.procs").read_text().split():
            return None
        held = int((cgroup / "memory.current").read_text())
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        return max(held - int(stat.get("inactive_file", 0)), 0)
    except (OSError, ValueError):
        return None


def _largest_process() -> int:
    # Not this one's ru_maxrss, nor the sum: what is started by a process begins with that one's figure.
    lines = Path("/proc/self/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024


def bytes_of(quantity: str) -> float:
    """Return a quantity of Kubernetes, such as 16Gi, 1.5G or 1e9, as a number. Raises ValueError for anything else."""
    number = quantity.rstrip("mkKMGTPEi")
    return float(number) * _POWERS[quantity.removeprefix(number)]


def cost_of(usage: Usage, pod: Pod, classes: Mapping[str, GpuClass]) -> float | None:
    """Return the price of a device for an hour, times devices, times hours; None where the class has no price."""
    found = classes.get(pod.gpu) if pod.gpu else None
    return None if found is None or found.price is None else found.price * pod.gpus * pod.workers * usage.seconds / 3600


def price_of(pod: Pod, classes: Mapping[str, GpuClass]) -> dict[str, Any] | None:
    """Return class, number and price of a pod's devices, of one for an hour or None; None where it has no device."""
    found = classes.get(pod.gpu) if pod.gpu else None
    return None if found is None else {"class": pod.gpu, "devices": pod.gpus * pod.workers, "price": found.price}


def lines_of(usage: Usage | None, pod: Pod, classes: Mapping[str, GpuClass]) -> Iterator[str]:
    """Yield what the task's log says of a pod that has ended: what it used, what that cost, what it can do without.

    Nothing where the pod did not come to say it.
    """
    if usage is None:
        return
    asked = bytes_of(pod.memory) if pod.memory else None
    of = f" of {pod.memory}" if pod.memory else ""
    cost = cost_of(usage, pod, classes)
    price = "" if cost is None else f", cost {cost:.2f}"
    yield f"used {_gib(usage.peak_memory_bytes)}{of}, {usage.seconds:.0f} s{price}"
    if asked and asked > _WASTE * usage.peak_memory_bytes:
        yield f"memory: {pod.memory} is more than twice what was used, {_gib(usage.peak_memory_bytes)}; ask for less"


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
