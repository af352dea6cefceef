"""A training that was killed or stopped goes on: from its checkpoint, on its data, in its MLflow run."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from airflow_mlops_provider.contracts.protocol import Request, decode
from airflow_mlops_provider.contracts.train import TrainSpec
from airflow_mlops_provider.runners.interpreter import Interpreter
from airflow_mlops_provider.runners.pod import outcome_path
from airflow_mlops_provider.steps import models
from tests.steps.flow import DATASET, ZONE, add_month

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

ROOT = Path(__file__).parents[2]
CHILD = """
import sys
from airflow_mlops_provider.runners.execute import answer
outcome = answer(sys.stdin.readline(), lambda message: print(message.text, flush=True))
print(outcome.status, outcome.kind, outcome.error, outcome.trace)
"""


class Trainings:
    """Tries of one training, each in a process of its own, and what their trainer noted in its diary."""

    def __init__(self, world, tmp_path) -> None:
        self.world, self.diary = world, tmp_path / "diary"
        self.diary.touch()

    def request(self, key: str, function: str = "train", **more) -> Request:
        parameters = {"epochs": 12, "every": 3, "pause_s": 0.2, "diary": str(self.diary), **more.pop("parameters", {})}
        spec = TrainSpec(
            **self.world.common,
            model="m",
            dataset=DATASET,
            python_callable=f"tests.steps.epochs.{function}",
            parameters=parameters,
            bundle=str(ROOT),
            timezone=ZONE.key,
            **{"holdout": "P10D", "seed": 7, **more},
        )
        connections = dict(self.world.context.connections)
        return Request("train", spec.model_dump(mode="json", exclude_defaults=True), key, connections=connections)

    def killed(self, request: Request, *, after: int) -> None:
        """Let a try run until its diary has `after` lines more, then kill it."""
        until = len(self.notes()) + after
        with subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
        ) as child:
            child.stdin.write(request.encode() + "\n")
            child.stdin.close()
            while len(self.notes()) < until and child.poll() is None:
                time.sleep(0.005)
            child.kill()
            said = child.stdout.read()
        assert child.returncode == -signal.SIGKILL, said

    def stopped(self, request: Request, *, after: int, times: int = 1):
        """Let a try run as in another interpreter until its diary has `after` lines more, then send it SIGTERM."""
        until = len(self.notes()) + after
        outcomes = []
        thread = threading.Thread(target=lambda: outcomes.append(Interpreter().run(request, emit=lambda message: None)))
        thread.start()
        for _ in range(times):
            while len(self.notes()) < until and thread.is_alive():
                time.sleep(0.005)
            os.kill(int(self.notes()[-1][0]), signal.SIGTERM)
            time.sleep(0.02)
        thread.join()
        return outcomes[0]

    def done(self, request: Request):
        outcome = Interpreter().run(request, emit=lambda message: None)
        assert outcome.status == "succeeded", f"{outcome.error}\n{outcome.trace}"
        return outcome.result

    def notes(self) -> list[tuple[str, str, int]]:
        words = [line.split() for line in self.diary.read_text().splitlines()]
        return [(pid, what, int(number)) for pid, what, number in words]

    def tries(self) -> list[list[tuple[str, int]]]:
        """What each process noted, in their order."""
        noted: dict[str, list[tuple[str, int]]] = {}
        for pid, what, number in self.notes():
            noted.setdefault(pid, []).append((what, number))
        return list(noted.values())

    def weights(self, uri: str) -> bytes:
        """The parameters' bytes of a model in MLflow."""
        models.connect(self.world.context)
        found = models.load(uri).get_raw_model()
        return np.asarray(found.weights).tobytes()

    def runs(self, key: str):
        client = models.connect(self.world.context)
        experiment = client.get_experiment_by_name("m")
        return client.search_runs([experiment.experiment_id], f"tags.`mlops.run_key` = '{key}'")


@pytest.fixture
def trainings(world, tmp_path):
    return Trainings(world, tmp_path)


def begun(noted):
    return [number for what, number in noted if what == "begins"]


def test_killed_at_three_random_points_the_model_is_bit_identical(trainings):
    seed = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(10_000))
    points = [random.Random(f"{seed} {number}").randrange(1, 12) for number in range(3)]
    print(f"KILL_SEED={seed}: killed after {points} lines of the diary")
    request = trainings.request("killed")
    for after in points:
        trainings.killed(request, after=after)
        assert [run.info.status for run in trainings.runs("killed")] == ["RUNNING"]
    # A batch that came meanwhile is not this training's.
    add_month(trainings.world.lake, 3)
    made = trainings.done(request)
    tries = trainings.tries()
    whole = trainings.done(trainings.request("whole", until=made["until"]))
    assert made["until"] == "2013-02-01"
    assert trainings.weights(made["model_uri"]) == trainings.weights(whole["model_uri"])

    assert len(tries) == 4
    kept_until = 0
    for noted in tries:
        begun = [number for what, number in noted if what == "begins"]
        assert begun == list(range(begun[0], begun[0] + len(begun)))
        # The newest may have been kept a moment before its note was written.
        assert begun[0] in (kept_until + 1, kept_until + 4)
        kept_until = max([number for what, number in noted if what == "kept"], default=begun[0] - 1)
    assert kept_until == 12

    (run,) = trainings.runs("killed")
    assert (run.info.status, run.info.run_id) == ("FINISHED", made["run_id"])
    history = models.connect(trainings.world.context).get_metric_history(run.info.run_id, "loss")
    assert {point.step for point in history} == set(range(1, 13))
    assert not list(Path(trainings.world.lake.root).glob("_checkpoints/*"))
    assert trainings.done(request) == made
    assert len(trainings.tries()) == 5


def test_sigterm_ends_a_loop_that_looks_after_the_epoch_and_its_checkpoint(trainings):
    request = trainings.request("stopped")
    outcome = trainings.stopped(request, after=7)
    assert (outcome.status, outcome.kind) == ("failed", "transient")
    assert outcome.error == "stopped by SIGTERM: a retry resumes from the checkpoint of step 4"
    # Epoch 4 is no multiple of 3.
    assert [run.info.status for run in trainings.runs("stopped")] == ["FAILED"]
    made = trainings.done(request)
    assert [begun(noted) for noted in trainings.tries()] == [list(range(1, 5)), list(range(5, 13))]
    assert trainings.weights(made["model_uri"]) == trainings.weights(
        trainings.done(trainings.request("whole"))["model_uri"]
    )
    assert len(trainings.runs("stopped")) == 1


def test_in_a_pod_it_is_the_same(trainings, tmp_path):
    request = trainings.request("evicted")
    (tmp_path / "connections").write_text(json.dumps(request.connections))
    bare = dataclasses.replace(request, connections={})
    given = {"MLOPS_REQUEST": bare.encode(), "MLOPS_POD": "p-1", "MLOPS_CONNECTIONS": str(tmp_path / "connections")}
    main = "import os; from airflow_mlops_provider.runners.pod import main; main(os.environ, 'termination-log')"
    command = [sys.executable, "-c", main]
    environment = {**os.environ, **given, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE) as pod:
        while len(trainings.notes()) < 7:
            time.sleep(0.005)
        pod.terminate()
        pod.stdout.read()
    lake = trainings.world.lake
    outcome = decode(lake.get(f"{lake.root}/{outcome_path('p-1')}").decode())
    assert (outcome.kind, outcome.error) == (
        "transient",
        "stopped by SIGTERM: a retry resumes from the checkpoint of step 4",
    )
    trainings.done(request)
    assert begun(trainings.tries()[1]) == list(range(5, 13))


def test_a_second_sigterm_ends_it_where_it_is(trainings):
    request = trainings.request("twice", parameters={"pause_s": 1})
    outcome = trainings.stopped(request, after=4, times=2)
    assert (outcome.kind, outcome.error) == (
        "transient",
        "stopped by SIGTERM: no checkpoint was saved, so a retry begins anew",
    )


def test_what_a_function_without_a_loop_registered_is_kept_when_sigterm_ends_it(trainings):
    request = trainings.request("registered", "without_a_loop")
    outcome = trainings.stopped(request, after=8)
    assert (outcome.kind, outcome.error) == ("transient", "stopped by SIGTERM: a retry resumes from the checkpoint")
    made = trainings.done(request)
    # Ended half way through epoch 4, which counts for nothing.
    assert [begun(noted) for noted in trainings.tries()] == [[1, 2, 3, 4], list(range(4, 13))]
    whole = trainings.done(trainings.request("whole", "without_a_loop"))
    assert trainings.weights(made["model_uri"]) == trainings.weights(whole["model_uri"])


def test_killed_in_the_refit_the_judged_model_is_not_fitted_again(trainings):
    request = trainings.request("twins", refit=True, parameters={"epochs": 3, "every": 1})
    trainings.killed(request, after=9 + 4)
    made = trainings.done(request)
    first, second = map(begun, trainings.tries())
    assert first[:4] == [1, 2, 3, 1]
    assert second == list(range(second[0], 4))
    assert second[0] > 1
    assert {run.info.run_id for run in trainings.runs("twins")} == {made["run_id"], made["refit_run_id"]}
    assert {run.info.status for run in trainings.runs("twins")} == {"FINISHED"}
    assert (
        models.connect(trainings.world.context).get_run(made["refit_run_id"]).data.tags["mlops.judged_run"]
        == made["run_id"]
    )
