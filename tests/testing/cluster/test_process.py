"""The namespaces themselves: without root, without the server, without the means."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.testing.cluster.logs import Log, LogOptions
from airflow_mlops_provider.testing.cluster.process import ContainerPlan, Mount, Process, check_namespaces


async def said_by(plan):
    log = Log()
    process = await Process.start(plan, log)
    code = await process.wait()
    return code, b"".join([line async for line in log.read(LogOptions())]).decode()


def plan(tmp_path, command, **more):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    settings = {"env": {"PATH": os.environ["PATH"]}, "cwd": "/", "hostname": "here"}
    return ContainerPlan(["sh", "-c", command], scratch=str(scratch), **(settings | more))


@pytest.mark.parametrize("root", [True, False])
def test_mounts_with_and_without_root(tmp_path, monkeypatch, root):
    # Root in a user namespace of its own takes the way of who is not root.
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("mine\n")
    targets = ("/mlops-of-nobody/x y", "/etc/mlops-of-nobody", "/opt")
    mounts = [Mount(str(tmp_path / "data"), target, read_only=True) for target in targets]
    command = "hostname; cat '/mlops-of-nobody/x y/a' /etc/mlops-of-nobody/a /opt/a; touch /opt/b || exit 7"
    code, said = asyncio.run(said_by(plan(tmp_path, command, mounts=mounts)))
    assert (code, said.splitlines()[:4]) == (7, ["here", "mine", "mine", "mine"])
    assert "Read-only file system" in said
    assert not any(Path(target).exists() for target in targets[:2])


@pytest.mark.parametrize("root", [True, False])
def test_a_volume_may_cover_where_the_others_come_from_and_hold_their_mount_points(tmp_path, monkeypatch, root):
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    for name in ("outer", "inner", "deep"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    top = f"/{tmp_path.parts[1]}"
    targets = {"inner": f"{top}/inner", "outer": top, "deep": "/mlops-of-nobody/deep"}
    mounts = [Mount(str(tmp_path / name), target) for name, target in targets.items()]
    command = f"ls {top} {top}/inner /mlops-of-nobody/deep; touch {top}/kept"
    code, said = asyncio.run(said_by(plan(tmp_path, command, mounts=mounts)))
    assert (code, said.split()) == (
        0,
        ["/mlops-of-nobody/deep:", "deep", f"{top}:", "inner", "outer", f"{top}/inner:", "inner"],
    )
    assert (tmp_path / "outer" / "kept").exists()


def test_the_working_directory_and_the_exit_by_signal(tmp_path):
    code, said = asyncio.run(said_by(plan(tmp_path, "pwd; sh -c 'kill -9 $$'; exit $?", cwd=str(tmp_path))))
    assert (code, said.splitlines()[0]) == (137, str(tmp_path))


def test_containers_die_with_a_server_that_is_killed(tmp_path):
    code = """
import sys, time
from airflow_mlops_provider.testing.cluster import Cluster
import json, urllib.request
cluster = Cluster({"any": sys.executable})
cluster.start()
container = {"name": "base", "image": "any", "command": ["sleep", "615"]}
pod = {"metadata": {"name": "a"}, "spec": {"containers": [container]}}
url = cluster.url + "/api/v1/namespaces/default/pods"
urllib.request.urlopen(urllib.request.Request(url, json.dumps(pod).encode(), {"Content-Type": "application/json"}))
while cluster.pods()[0]["status"]["phase"] != "Running":
    time.sleep(.05)
print("up", flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", code]
    environ = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as served:
        assert served.stdout.readline() == "up\n"
        assert sleeping()
        served.kill()
    until = time.monotonic() + 60
    while sleeping():
        assert time.monotonic() < until
        time.sleep(0.02)


def sleeping():
    return [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "615"]]


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="setpriv, unshare, nsenter of util-linux: install util-linux"):
        check_namespaces.__wrapped__()


def test_a_machine_without_namespaces_says_what_to_allow(tmp_path, monkeypatch):
    for tool in ("setpriv", "unshare", "nsenter"):
        (tmp_path / tool).write_text("#!/bin/sh\necho unshare failed: Operation not permitted >&2; exit 1\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"Operation not permitted.*kernel.unprivileged_userns_clone=1"):
        check_namespaces.__wrapped__()


def test_aiohttp_is_asked_for_by_name():
    code = "import sys; sys.modules['aiohttp'] = None; import airflow_mlops_provider.testing.cluster"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'airflow-mlops-provider[testing]'" in ended.stderr
