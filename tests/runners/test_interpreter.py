"""What only a process of its own can do wrong, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from airflow_mlops_provider.contracts.protocol import Message, Outcome
from airflow_mlops_provider.runners.interpreter import Interpreter


@pytest.fixture
def there(tools_python):
    return Interpreter(tools_python, grace_s=5)


@pytest.fixture
def fake_python(tmp_path):
    """An executable that is given the worker's arguments and does as its body says."""

    def make(body, name="python"):
        path = tmp_path / name
        path.write_text(f"#!{sys.executable}\nimport os, sys\n" + textwrap.dedent(body))
        path.chmod(0o755)
        return Interpreter(str(path), grace_s=1)

    return make


def run(runner, request):
    said = []
    return runner.run(request, emit=said.append), [m.text for m in said]


def open_files():
    return psutil.Process().num_fds()


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_gone(*pids):
    deadline = time.monotonic() + 60
    while not all(map(gone, pids)):
        assert time.monotonic() < deadline, f"still there: {[p for p in pids if not gone(p)]}"
        time.sleep(0.02)


def test_it_runs_elsewhere_in_an_empty_environment(there, tiny_request, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("TZ", "America/New_York")
    outcome, _ = run(there, tiny_request("surroundings"))
    environment, stdin, path = outcome.result["seen"]
    environment = json.loads(environment)
    assert set(environment) <= {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"} | {
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "CUDA_VISIBLE_DEVICES",
    }
    assert environment["TZ"] == "America/New_York"
    assert environment["PATH"].startswith(f"{Path(there.python).parent}:")
    assert stdin == ""
    assert not {"", str(tmp_path), "/elsewhere"} & set(json.loads(path))


def test_what_it_prints_and_logs_comes_as_messages(there, tiny_request):
    said = []
    outcome = there.run(tiny_request("chatter"), emit=said.append)
    assert outcome.status == "succeeded"
    assert sorted(said, key=str) == sorted(
        [
            Message("printed ünder way"),
            Message("to standard error"),
            Message("logged too", level="warning"),
            Message("open end"),
        ],
        key=str,
    )


def test_garbage_on_standard_output_is_only_a_print(there, tiny_request):
    outcome, said = run(there, tiny_request("garbage"))
    assert outcome.status == "succeeded"
    assert said[-1] == '{"type": "outcome"}'
    assert max(map(len, said)) <= 2 * 65_536


def test_a_hundred_thousand_messages_arrive_whole_and_in_order(there, tiny_request):
    outcome, said = run(there, tiny_request("many", number=100_000))
    assert outcome.status == "succeeded"
    assert said == [f"message {n}" for n in range(100_000)]


def test_a_large_request_and_a_large_result_pass(there, tiny_request):
    outcome, _ = run(there, tiny_request("big", number=5_000_000, batches=["y" * 5_000_000]))
    assert outcome.result["seen"] == ["x" * 5_000_000]


def test_killed_from_outside_it_is_lost(there, tiny_request):
    def kill(message):
        os.kill(json.loads(message.text)[0], signal.SIGKILL)

    outcome = there.run(tiny_request("wait"), emit=kill)
    assert outcome == Outcome(
        "failed",
        kind="lost",
        error=f"no outcome on the channel of the worker in {there.python}, which was killed by SIGKILL (out of memory?)"
        "; a retry resumes the work. The last lines of its standard error are in the trace.",
    )


@pytest.mark.parametrize(
    ("do", "number", "how"),
    [
        ("vanish", 0, "ended with exit code 0"),
        ("vanish", 1, "ended with exit code 1"),
        ("crash", 0, "was killed by SIGSEGV"),
    ],
)
def test_without_an_outcome_it_is_lost_whatever_the_exit_code(there, tiny_request, do, number, how):
    outcome, _ = run(there, tiny_request(do, number=number))
    assert outcome.kind == "lost"
    assert f"no outcome on the channel of the worker in {there.python}, which {how};" in outcome.error
    assert outcome.trace == ("last words" if do == "vanish" else "")


def test_an_outcome_counts_only_if_the_exit_code_agrees(fake_python, tiny_request):
    line = Outcome("succeeded", result={}).encode()
    runner = fake_python(f"os.write(int(sys.argv[-2]), {line.encode()!r} + b'\\n'); sys.exit(3)")
    outcome, _ = run(runner, tiny_request("work"))
    assert outcome.kind == "lost"
    assert outcome.error.startswith("outcome 'succeeded' on the channel")
    assert "ended with exit code 3" in outcome.error


def test_half_an_outcome_is_none(fake_python, tiny_request):
    line = Outcome("succeeded", result={}).encode()[:-1]
    outcome, _ = run(fake_python(f"os.write(int(sys.argv[-2]), {line.encode()!r})"), tiny_request("work"))
    assert outcome.status == "failed"


@pytest.mark.parametrize(
    ("wrote", "error"),
    [
        ("hello", "broke the protocol: not a line of protocol 1: 'hello'"),
        (Outcome("succeeded", result={}).encode() + "\n" + Message("x").encode(), "Message has no place there"),
        ('{"type": "request", "step": "s", "spec": {}, "run_key": ""}', "Request has no place there"),
    ],
)
def test_a_channel_that_speaks_no_protocol_is_a_bug(fake_python, tiny_request, wrote, error):
    outcome, _ = run(fake_python(f"os.write(int(sys.argv[-2]), {wrote!r}.encode() + b'\\n')"), tiny_request("work"))
    assert outcome.kind == "bug"
    assert error in outcome.error


def test_an_answer_in_another_protocol_is_bad_input(fake_python, tiny_request):
    line = '{"type": "outcome", "verdict": "fine", "protocol": 7}'
    runner = fake_python(f"os.write(int(sys.argv[-2]), {line.encode()!r} + b'\\n')")
    outcome, _ = run(runner, tiny_request("work"))
    assert outcome.kind == "bad_input"
    assert (
        f"{runner.python} answered in another protocol: protocol 7 is not spoken by {sys.executable}" in outcome.error
    )


def test_a_child_that_never_reads_is_no_deadlock(fake_python, tiny_request):
    runner = fake_python("print('x' * 1_000_000)")
    outcome, said = run(runner, tiny_request("work", batches=["y" * 1_000_000]))
    assert outcome.kind == "lost"
    assert sum(map(len, said)) == 1_000_000


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda folder: folder / "none", "No such file or directory"),
        (lambda folder: folder, "Permission denied"),
        (lambda folder: (folder / "file").touch() or folder / "file" / "python", "Not a directory"),
    ],
)
def test_an_interpreter_that_is_not_there_is_bad_input(tmp_path, tiny_request, make, error):
    python = make(tmp_path)
    outcome, _ = run(Interpreter(str(python)), tiny_request("work"))
    assert outcome == Outcome(
        "failed", kind="bad_input", error=f"runs_on: {python} cannot be started: {error}; give the path of a Python"
    )


def test_an_interpreter_without_the_package_is_bad_input_and_says_what_to_install(bare_python, tiny_request):
    outcome, _ = run(Interpreter(bare_python), tiny_request("work"))
    assert outcome.kind == "bad_input"
    assert outcome.error == (
        f"runs_on: airflow-mlops-provider is not installed for {bare_python}: "
        f"{bare_python} -m pip install 'airflow-mlops-provider==0.1.0' with the extras of its steps"
    )


def test_it_leaves_no_file_open(there, tiny_request):
    run(there, tiny_request("work"))
    before = open_files()
    for do in ("work", "crash"):
        run(there, tiny_request(do))
    run(Interpreter("/no/such/python"), tiny_request("work"))
    assert open_files() == before


def test_what_a_step_left_running_ends_with_it(there, tiny_request):
    outcome, said = run(there, tiny_request("leave_helper"))
    assert outcome.status == "succeeded"
    wait_until_gone(*json.loads(said[0]))


def test_a_thread_that_talks_on_does_not_spoil_the_outcome(there, tiny_request):
    outcome, _ = run(there, tiny_request("leave_thread"))
    assert outcome.status == "succeeded"


def test_a_forked_helper_ends_by_sigterm_as_any_process_does(there, tiny_request):
    outcome, _ = run(there, tiny_request("fork"))
    assert outcome.result["figure"] == -signal.SIGTERM


def test_an_exception_in_the_caller_stops_the_child_first(there, tiny_request):
    pids = []

    def interrupt(message):
        pids.extend(json.loads(message.text))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        there.run(tiny_request("wait"), emit=interrupt)
    wait_until_gone(*pids)


def test_sigterm_is_forwarded_and_the_step_tidies_up(there, tiny_request):
    said, former_called = [], []
    former = signal.signal(signal.SIGTERM, lambda *_: former_called.append(True))

    def terminate(message):
        said.append(message.text)
        if len(said) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        outcome = there.run(tiny_request("wait"), emit=terminate)
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, former)
    assert (outcome.kind, outcome.error) == (
        "transient",
        "stopped by SIGTERM before the step ended; a retry resumes it",
    )
    assert former_called == [True]
    assert "tidied up" in said
    wait_until_gone(*json.loads(said[0]))


def test_a_step_that_is_deaf_to_sigterm_is_killed_after_the_grace_period(tools_python, tiny_request):
    began = time.monotonic()

    def terminate(message):
        os.kill(os.getpid(), signal.SIGTERM)

    outcome = Interpreter(tools_python, grace_s=0.5).run(tiny_request("wait_stubbornly"), emit=terminate)
    assert outcome.kind == "lost"
    assert "killed by SIGKILL" in outcome.error
    assert time.monotonic() - began < 60


def test_it_runs_in_a_thread_too(there, tiny_request):
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(run(there, tiny_request("work"))[0]))
    thread.start()
    thread.join()
    assert outcomes[0].status == "succeeded"


def test_the_death_of_the_parent_ends_the_child_and_what_it_started(tools_python, tiny_request):
    script = textwrap.dedent(
        """
        import sys
        from airflow_mlops_provider.contracts.protocol import decode
        from airflow_mlops_provider.runners.interpreter import Interpreter
        Interpreter(sys.argv[1]).run(decode(sys.stdin.readline()), emit=lambda m: print(m.text, flush=True))
        """
    )
    with subprocess.Popen(
        [tools_python, "-c", script, tools_python], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        parent.stdin.write(tiny_request("wait").encode() + "\n")
        parent.stdin.flush()
        pids = json.loads(parent.stdout.readline())
        assert not any(map(gone, pids))
        parent.kill()
        wait_until_gone(*pids)
