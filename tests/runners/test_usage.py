"""What a pod used, and what is said of it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.contracts.pod import GpuClass, Pod
from airflow_mlops_provider.runners import usage
from airflow_mlops_provider.runners.usage import Meter, Usage, bytes_of, cost_of, lines_of

GIB = 2**30
CLASSES = {"a100": GpuClass(price=2.5), "free": GpuClass()}
PROBE = """
import json, subprocess, sys
from pathlib import Path
from airflow_mlops_provider.runners.usage import Meter
meter = Meter(Path("/nowhere"))
if sys.argv[1] == "self":
    large = bytearray(b"x") * (200 << 20)
if sys.argv[1] == "child":
    subprocess.run([sys.executable, "-c", "large = bytearray(b'x') * (200 << 20)"], check=True)
print(json.dumps(meter.read().as_json()))
"""


@pytest.mark.parametrize(("where", "least"), [("nobody", 0), ("self", 200), ("child", 200)])
def test_without_a_group_the_largest_process_counts(where, least):
    done = subprocess.run([sys.executable, "-c", PROBE, where], capture_output=True, text=True, check=True)
    found = Usage.of(json.loads(done.stdout))
    assert least * 2**20 < found.peak_memory_bytes < (least + 150) * 2**20
    assert found.seconds < 60


def group(folder, *, current, inactive=0, procs="1 7"):
    folder.mkdir(exist_ok=True)
    (folder / "cgroup.procs").write_text(procs.replace(" ", "\n") + "\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\n")
    return folder


def test_the_pods_own_group_counts_without_the_cache_that_it_can_give_back(tmp_path):
    meter = Meter(group(tmp_path / "g", current=40 * GIB, inactive=10 * GIB))
    assert meter.read().peak_memory_bytes == 30 * GIB


def test_the_most_at_a_time_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(usage, "_PERIOD_S", 0.01)
    meter = Meter(group(tmp_path / "g", current=40 * GIB))
    group(tmp_path / "g", current=60 * GIB)
    while meter._peak < 60 * GIB:
        pass
    group(tmp_path / "g", current=20 * GIB)
    assert meter.read().peak_memory_bytes == 60 * GIB


def test_a_group_with_strangers_in_it_is_not_the_pods(tmp_path):
    meter = Meter(group(tmp_path / "g", current=4000 * GIB, procs="0 1"))
    assert 0 < meter.read().peak_memory_bytes < 4000 * GIB


@pytest.mark.parametrize("data", [None, [], {}, {"seconds": "1", "peak_memory_bytes": 1}, {"seconds": 1}])
def test_what_is_no_usage_is_none(data):
    assert Usage.of(data) is None


@given(st.floats(0, 1e9), st.integers(0, 2**50))
def test_usage_survives_its_json(seconds, peak):
    used = Usage(seconds, peak)
    assert Usage.of(json.loads(json.dumps(used.as_json()))) == used


def test_a_termination_message_tells_it_or_nothing():
    used = Usage(1.5, 7)
    assert Usage.told(json.dumps({"path": "p", "usage": used.as_json()})) == used
    assert [Usage.told(message) for message in ("", "Killed", "[]", "{}", '{"usage": 1}')] == [None] * 5


@pytest.mark.parametrize(
    ("quantity", "count"),
    [("16Gi", 16 * GIB), ("1.5G", 1.5e9), ("512Mi", 2**29), ("1e9", 1e9), ("1E3", 1000), ("2E", 2e18), ("500m", 0.5)],
)
def test_quantities_of_kubernetes(quantity, count):
    assert bytes_of(quantity) == pytest.approx(count)


def test_cost_is_price_times_devices_times_hours():
    pod = Pod(image="i", gpu="a100", gpus=4)
    assert cost_of(Usage(1800, 1), pod, CLASSES) == 5.0
    assert cost_of(Usage(1800, 1), pod.model_copy(update={"gpu": "free"}), CLASSES) is None
    assert cost_of(Usage(1800, 1), Pod(image="i"), CLASSES) is None


def test_the_log_says_what_was_used_and_what_it_cost():
    pod = Pod(image="i", gpu="a100", memory="16Gi")
    assert list(lines_of(Usage(812, 9 * GIB), pod, CLASSES)) == ["used 9.0 GiB of 16Gi, 812 s, cost 0.56"]
    assert list(lines_of(Usage(3, 50 * 2**20), Pod(image="i"), {})) == ["used 50 MiB, 3 s"]
    assert list(lines_of(None, pod, CLASSES)) == []


def test_more_than_twice_what_was_used_is_worth_a_hint():
    pod = Pod(image="i", memory="16Gi")
    assert len(list(lines_of(Usage(812, 8 * GIB), pod, {}))) == 1
    assert list(lines_of(Usage(812, int(3.2 * GIB)), pod, {})) == [
        "used 3.2 GiB of 16Gi, 812 s",
        "memory: 16Gi is more than twice what was used, 3.2 GiB; ask for less",
    ]
