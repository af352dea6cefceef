"""SIGTERM in the main of a step's process: the step ends in order, and the outcome says that a retry resumes it."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

BEGIN = """
import multiprocessing, os, signal, sys, time
from airflow_mlops_provider.contracts.protocol import Outcome
from airflow_mlops_provider.runners.stopping import until_stopped
from airflow_mlops_provider.steps.stopping import Stop, StoppedError

stop = Stop()

def looks():
    while not stop.came():
        time.sleep(0.01)
    print("saves")
    stop.check()

def looks_once():
    stop.came()
    print("begun", flush=True)
    time.sleep(0.2)
    print("begun", flush=True)
    waits()

def waits():
    time.sleep(60)

def within(work):
    def run():
        with stop.caught():
            print("begun", flush=True)
            work()
        return Outcome("succeeded", result={})
    return run
"""


def told(end: str, *signals: int) -> tuple[int, list[str]]:
    """Run the script; at each line `begun` send it the next signal. Return its exit code and what it said."""
    given = list(signals)
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN + textwrap.dedent(end)], stdout=subprocess.PIPE, text=True
    ) as child:
        said = []
        for line in child.stdout:
            if line == "begun\n" and given:
                child.send_signal(given.pop(0))
            else:
                said.append(line.strip())
    return child.returncode, said


def test_what_is_not_stopped_ends_as_it_does():
    code, said = told("print(until_stopped(within(lambda: None)).status)")
    assert (code, said) == (0, ["begun", "succeeded"])


@pytest.mark.parametrize("work", ["within(waits)", "lambda: print('begun', flush=True) or waits()"])
def test_code_that_does_not_look_is_ended_where_it_is(work):
    code, said = told(f"ended = until_stopped({work}); print(ended.kind, ended.error)", signal.SIGTERM)
    assert (code, said) == (0, ["transient stopped by SIGTERM before the step ended; a retry resumes it"])


def test_code_that_looks_ends_at_its_own_point():
    code, said = told("stop.came(); print(until_stopped(within(looks)).kind)", signal.SIGTERM)
    assert (code, said) == (0, ["saves", "transient"])


def test_a_second_sigterm_ends_code_that_looked_only_once():
    code, said = told("print(until_stopped(within(looks_once)).kind)", 0, signal.SIGTERM, signal.SIGTERM)
    assert (code, said) == (0, ["transient"])


def test_code_that_keeps_something_is_ended_at_once():
    code, said = told("stop.keeps = True; print(until_stopped(within(waits)).kind)", signal.SIGTERM)
    assert (code, said) == (0, ["transient"])


def test_sigterm_after_the_end_no_longer_matters():
    script = """
    ended = until_stopped(within(lambda: None))
    os.kill(os.getpid(), signal.SIGTERM)
    print(ended.status)
    """
    assert told(script) == (0, ["begun", "succeeded"])


def test_outside_a_worker_code_that_does_not_look_dies_of_it():
    assert told("within(waits)()", signal.SIGTERM) == (-signal.SIGTERM, [])


def test_outside_a_worker_code_that_looks_does_not():
    script = """
    stop.came()
    try:
        within(looks)()
    except StoppedError:
        print("ended")
    print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
    """
    assert told(script, signal.SIGTERM) == (0, ["saves", "ended", "True"])


def test_a_handler_that_lets_it_go_on_is_called_as_ever():
    script = """
    signal.signal(signal.SIGTERM, lambda *_: print("on_kill"))
    within(lambda: time.sleep(0.3))()
    print(stop.seen)
    """
    assert told(script, signal.SIGTERM) == (0, ["on_kill", "False"])


def test_a_forked_helper_ends_by_sigterm_as_any_process_does():
    script = """
    def helped():
        helper = multiprocessing.get_context("fork").Process(target=waits)
        helper.start()
        time.sleep(0.1)
        helper.terminate()
        helper.join()
        print(helper.exitcode)
    stop.came()
    until_stopped(within(helped))
    """
    assert told(script) == (0, ["begun", str(-signal.SIGTERM)])


def test_in_a_thread_there_is_nothing_to_catch():
    script = """
    import threading
    former = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=within(lambda: print(signal.getsignal(signal.SIGTERM) == former)))
    thread.start()
    thread.join()
    """
    assert told(script) == (0, ["begun", "True"])
