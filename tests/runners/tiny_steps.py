"""A third party's step, installed through a real entry point (see conftest): it does what its spec says."""

from __future__ import annotations

import io
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Literal

from airflow_mlops_provider.contracts.base import Contract, StepSpec
from airflow_mlops_provider.exceptions import InputError, LostError, LostRaceError, TransientError
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.registry import Step


class TinySpec(StepSpec):
    do: str = "work"
    number: int = 0
    batches: tuple[str, ...] = ()


class TinyResult(Contract):
    verdict: Literal["pass", "refused"] = "pass"
    seen: tuple[str, ...] = ()
    figure: float = 0.0

    @property
    def rejected(self) -> bool:
        return self.verdict == "refused"


def tiny(spec: TinySpec, context: StepContext) -> TinyResult:
    return globals()[spec.do](spec, context) or TinyResult()


def work(spec, context):
    context.say("half", progress=0.5)
    login = context.connection("db")["login"]
    return TinyResult(seen=(spec.pipeline, context.run_key, login, *spec.batches), figure=spec.number)


def refuse(spec, context):
    return TinyResult(verdict="refused", seen=("too few rows",))


def wrong_input(spec, context):
    raise InputError("orders.csv, row 7: no date; give one")


def conflict(spec, context):
    raise TransientError("a compaction was faster")


def lost(spec, context):
    raise LostError("the pod is gone")


def lost_race(spec, context):
    raise LostRaceError("version 3 was promoted meanwhile")


def users_bug(spec, context):
    return {}["amount"]


def leak(spec, context):
    raise ValueError(f"cannot reach postgres://u:{context.connection('db')['password']}@db")


def tell(spec, context):
    context.say(f"trying postgres://u:{context.connection('db')['password']}@db again")
    return TinyResult()


def caused(spec, context):
    try:
        users_bug(spec, context)
    except KeyError as exc:
        raise InputError("no amount") from exc


def no_module(spec, context):
    import no_such_library.deeper  # noqa: F401


def other_result(spec, context):
    return TinySpec(pipeline="p", lake="l")


def not_a_number(spec, context):
    return TinyResult(figure=float("nan"))


def leave(spec, context):
    sys.exit("enough")


def surroundings(spec, context):
    return TinyResult(seen=(json.dumps(dict(os.environ)), sys.stdin.read(), json.dumps(sys.path)))


def chatter(spec, context):
    print("printed ünder way")
    print("to standard error", file=sys.stderr)
    logging.getLogger("tiny").warning("logged %s", "too")
    print("open end", end="")


def garbage(spec, context):
    os.write(1, b"\xff\xfe{\x00" * 50_000 + b'\n{"type": "outcome"}\n')


def many(spec, context):
    for n in range(spec.number):
        context.say(f"message {n}")


def big(spec, context):
    return TinyResult(seen=("x" * spec.number,))


def vanish(spec, context):
    print("last words", file=sys.stderr, flush=True)
    os._exit(spec.number)


def crash(spec, context):
    os.kill(os.getpid(), signal.SIGSEGV)


def wait(spec, context):
    try:
        helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        context.say(json.dumps([os.getpid(), helper.pid]))
        time.sleep(600)
    finally:
        print("tidied up")


def wait_stubbornly(spec, context):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    context.say("deaf")
    time.sleep(600)


def leave_helper(spec, context):
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    context.say(json.dumps([helper.pid]))


class SlowOutput(io.StringIO):
    """Leaves a thread the time to write after the outcome."""

    def flush(self):
        time.sleep(0.2)


def sleep_and_tell(begun):
    begun.set()
    time.sleep(600)


def fork(spec, context):
    forking = multiprocessing.get_context("fork")
    begun = forking.Event()
    helper = forking.Process(target=sleep_and_tell, args=(begun,))
    helper.start()
    begun.wait()
    helper.terminate()
    helper.join()
    return TinyResult(figure=helper.exitcode)


def leave_thread(spec, context):
    sys.stdout = SlowOutput()

    def talk():
        while True:
            context.say("still here")

    threading.Thread(target=talk).start()


TINY = Step("tiny", "tiny_steps:TinySpec", "tiny_steps:TinyResult", "tiny_steps:tiny", ("lake",))
