"""Commands in a running container, over the websocket of the official client."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from kubernetes.stream import stream
from websocket import WebSocketBadStatusException, create_connection

FOREVER = "import time; time.sleep(600)"


@pytest.fixture
def inside(api, start, running):
    name = start(FOREVER, container={"env": [{"name": "OF_THE_POD", "value": "1"}]})
    running(name)
    sessions = []

    def run(*command, send="", **options):
        options = {
            "stdout": True,
            "stderr": True,
            "stdin": bool(send),
            "tty": False,
            "command": list(command),
        } | options
        call = api.connect_get_namespaced_pod_exec
        sessions.append(stream(call, name, "default", _preload_content=False, **options))
        if send:
            sessions[-1].write_stdin(send)
        sessions[-1].run_forever(timeout=10)
        return sessions[-1]

    yield run
    for session in sessions:
        session.sock.shutdown()  # its own close leaves it open once the server has closed


def test_a_command_sees_the_container_s_processes_and_environment(inside):
    said = inside("sh", "-c", "echo $OF_THE_POD; cat /proc/1/cmdline; ls /dev/termination-log; hostname").read_stdout()
    assert said.startswith("1\npython\0-c\0import time; time.sleep(600)\0/dev/termination-log\npod-")


def test_streams_are_apart_and_the_exit_code_is_told(inside):
    session = inside("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (session.read_stdout(), session.read_stderr(), session.returncode) == ("out\n", "err\n", 3)


def test_a_command_reads_what_is_sent(inside):
    session = inside("sh", "-c", "read a; echo got $a", send="this\n")
    assert (session.read_stdout(), session.returncode) == ("got this\n", 0)


def test_a_terminal_is_one(inside):
    session = inside("sh", "-c", "test -t 0 && test -t 1 && echo yes", tty=True)
    assert session.read_stdout() == "yes\r\n"


def test_a_container_that_has_ended_takes_no_command(cluster, start, ended):
    name = start("pass")
    ended(name)
    url = f"{cluster.url}/api/v1/namespaces/default/pods/{name}/exec?command=true".replace("http", "ws")
    with pytest.raises(WebSocketBadStatusException, match=r"400.*completed pod; current phase is Succeeded"):
        create_connection(url)


def test_a_plain_request_is_told_what_is_served(start, running, cluster):
    name = start(FOREVER)
    running(name)
    url = f"{cluster.url}/api/v1/namespaces/default/pods/{name}/exec?command=true"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url)
    with caught.value as answer:
        assert "websockets alone" in json.loads(answer.read())["message"]
