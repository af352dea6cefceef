"""Tasks of one's own: where they stand, what they may say, and what Airflow makes of them."""

from __future__ import annotations

import pytest

from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.plan import plan

BASH = "airflow.providers.standard.operators.bash.BashOperator"
LOADER = """
from airflow_mlops_provider.factory.build import build_dags

globals().update(build_dags(__file__))
"""
SHOP = """\
pipeline: shop
data: {ingest: {orders: {files: "orders/{batch}.csv"}}}
training: {dataset: {target: late}, train: {estimator: sklearn.dummy.DummyClassifier}}
scoring: {dataset: orders}
tasks:
"""
OWN = """
from airflow.sdk import BaseOperator

class Copy(BaseOperator):
    template_fields = ("to",)

    def __init__(self, *, to, mode="fast", **kwargs):
        super().__init__(**kwargs)
        if mode not in ("fast", "safe"):
            raise ValueError(f"mode {mode} is neither fast nor safe")
        self.to = to

class Always(BaseOperator):
    def __init__(self, **kwargs):
        super().__init__(trigger_rule="all_done", **kwargs)

class Closed(BaseOperator):
    def __init__(self, *, to):
        super().__init__(task_id="closed")

def copy(to): ...
"""
ALLOWED = {"allowed_modules": ("airflow.providers.standard",)}


def task(name: str, rest: str, operator: str = BASH) -> str:
    return f"  {name}: {{operator: {operator}, {rest}}}\n"


@pytest.fixture
def said(bundle, errors):
    """Return a function that gives a file's errors without the file's name."""
    (bundle / "own.py").write_text(OWN)

    def said(text: str, **config) -> list[str]:
        return [line.removeprefix("churn.yaml:") for line in errors(SHOP + text, **(ALLOWED | config))]

    return said


@pytest.fixture
def order(planned):
    """Return a function that gives the tasks of a DAG in their order, with what each waits for."""

    def order(text: str, dag: str) -> list[str]:
        tasks = planned(SHOP + text, **ALLOWED).dag(dag).tasks
        return [f"{one.task_id} < {', '.join(one.upstream)}" for one in tasks]

    return order


def test_a_task_stands_between_what_it_names_in_the_dag_of_that(order, planned):
    text = task("warm", "after: train, before: [evaluate, promote]") + task("first", "before: warm")
    assert order(text, "shop-train") == [
        "train < ",
        "first < ",
        "warm < train, first",
        "evaluate < train, warm",
        "register < evaluate",
        "promote < register, warm",
    ]
    assert order(text, "shop-data") == ["ingest < ", "maintain < ingest"]


def test_the_emission_of_a_dag_stays_where_it_was(planned):
    text = task("late", "after: ingest") + task("early", "before: ingest")
    tasks = planned(SHOP + text, **ALLOWED).dag("shop-data").tasks
    assert [(one.task_id, one.outlets) for one in tasks if one.outlets] == [("ingest", ("mlops://shop/data",))]


def test_options_come_from_the_task_then_from_the_defaults_and_never_a_place_to_run(planned):
    defaults = "defaults: {retries: 2, pool: gpu, runs_on: {python: /opt/bin/python}}\n"
    text = SHOP + task("warm", "after: train, retries: 0, retry_delay: 5m")
    given = planned(defaults + text, **ALLOWED, allowed_interpreters=("/opt/bin/python",))
    (warm,) = (one for one in given.dag("shop-train").tasks if one.task_id == "warm")
    assert (warm.retries, warm.retry_delay_s, warm.pool, warm.runs_on, warm.step) == (0, 300, "gpu", "local", None)
    assert warm.free
    assert not any(one.free for dag in given.dags for one in dag.tasks if one.task_id != "warm")


def test_a_plan_says_where_its_arguments_come_from_and_comes_back_from_json(planned):
    given = planned(SHOP + task("warm", "after: train, arguments: {bash_command: 'true', env: null}"), **ALLOWED)
    (warm,) = (one for one in given.dag("shop-train").tasks if one.task_id == "warm")
    assert warm.arguments == {"bash_command": "true", "env": None}
    assert str(warm.provenance["bash_command"]) == "churn.yaml:6"
    assert type(given).from_json(given.as_json()) == given


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (task("a", "after: trian"), "6:80 tasks.a.after: this pipeline has no task 'trian'. Did you mean 'train'?"),
        (
            task("a", "after: [train, approval]"),
            (
                "6:88 tasks.a.after[1]: this pipeline has no task 'approval'. Known: ingest, maintain, score, train, "
                "evaluate, register, promote"
            ),
        ),
        (task("a", "after: ingest, before: train"), ("6:3 tasks.a: leads to tasks of several DAGs, but a task is in "
         "one: 'ingest' is in data, 'train' is in training")),
        (task("a", "after: b") + task("b", "before: a"), ("6:3 tasks.a: leads to no task of the pipeline's own: which "
         "of its DAGs is it in?")),
        (task("a", "after: evaluate, before: train"), "6:3 tasks.a: waits for itself: a -> train -> evaluate -> a"),
        (task("a", "after: [b, train]") + task("b", "after: a"), "6:3 tasks.a: waits for itself: a -> b -> a"),
        (task("a", "after: a"), "6:3 tasks.a: waits for itself: a -> a"),
        (task("a", "retries: 1"), "6:3 tasks.a: give after, before or both: which tasks does it stand between?"),
        (task("train", "after: score"), "6:3 tasks.train: 'train' is a name of the pipeline's own: choose another"),
        (task("approval", "after: score"), ("6:3 tasks.approval: 'approval' is a name of the pipeline's own: choose "
         "another")),
        (task("data", "after: score"), "6:3 tasks.data: 'data' is a name of the pipeline's own: choose another"),
        (task("a", "after: train, runs_on: local"), ("6:87 tasks.a: unknown key 'runs_on'. Known: after, arguments, "
         "before, execution_timeout, operator, pool, retries, retry_delay")),
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_is_told_with_its_line(said, text, error):
    assert error in said(text)


def test_two_circles_are_two_errors(said):
    text = "".join(task(name, f"after: [{other}, train]") for name, other in ("ab", "ba", "cd", "dc"))
    assert [line for line in said(text) if "waits for itself" in line] == [
        "6:3 tasks.a: waits for itself: a -> b -> a",
        "8:3 tasks.c: waits for itself: c -> d -> c",
    ]


@pytest.mark.parametrize(
    ("operator", "error"),
    [
        ("os.system", ("6:17 tasks.a.operator: no file os.py in the bundle, and 'os' is not under [mlops] "
         "allowed_modules (airflow.providers.standard)")),
        ("own.Cpoy", "6:17 tasks.a.operator: own.py defines no 'Cpoy'. Did you mean 'Copy'?"),
        ("own.copy", "6:17 tasks.a.operator: own.copy is a function; a class is wanted"),
        ("own.Closed", ("6:17 tasks.a.operator: Closed.__init__ takes no **kwargs, so Airflow could not give it its "
         "task_id")),
        ("own.Copy", "6:44 tasks.a.arguments.too: Copy takes no 'too'. Did you mean 'to'?"),
    ],
)  # fmt: skip
def test_a_class_of_the_bundle_is_read_and_never_imported(said, operator, error):
    text = f"  a: {{operator: {operator}, arguments: {{too: x}}, after: train}}\n"
    assert said(text) == [error]


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("task_id: b", "'task_id' is the pipeline file's own matter"),
        ("default_args: x", "'default_args' is the pipeline file's own matter"),
        ("retries: 3", "'retries' is a key of the task itself: write it beside `operator`"),
        ("trigger_rule: all_done", ("'trigger_rule' would let tasks run behind a refusal, or end its run well: a task "
         "runs when all that it waits for succeeded")),
        ("outlets: [a]", "'outlets' would wake the DAGs of others: assets are the pipeline file's own matter"),
        ("upstream: train", "'upstream' is `after` or `before`"),
        ("run_as_user: root", "'run_as_user' is for the people who run Airflow to say"),
        ("on_success_callback: x", "'on_success_callback' takes a function: people are told by `notify`"),
        ("ssh_conn_id: prod", "connection 'prod' is not one of [mlops] allowed_connections (empty)"),
        ("token: abc", ("'token' looks like a secret; a pipeline file holds no secret: name a connection of Airflow "
         "that does")),
        ("cmd: '{{ conn.x }}'", ("template '{{ conn.x }}' is not allowed: a file reads no connection and no variable "
         "of Airflow; name the connection by `conn_id`")),
    ],
)  # fmt: skip
def test_arguments_that_are_not_a_tasks_own_are_refused(said, argument, error):
    (found,) = said(task("a", f"after: train, arguments: {{{argument}}}"))
    assert found.partition(": ")[2] == error
    assert found.startswith(f"6:{99 + len(argument.partition(': ')[0]) + 2} tasks.a.arguments.")


def test_a_file_of_many_tasks_is_answered_soon(said):
    names = [f"t{i}" for i in range(60)]
    assert said("".join(task(name, "after: train") for name in names)) == ["5:1 tasks: more than 50 tasks"]
    # Each waits for all before it: followed one by one, their ways would be 2 to the 48th.
    chain = (task(n, f"after: [{', '.join(['train', *names[max(0, i - 19) : i]])}]") for i, n in enumerate(names[:50]))
    assert said("".join(chain)) == []
    few, many = names[:50], ", ".join(f"x{i}" for i in range(30))
    assert "6:81 tasks.t0.after: more than 20 tasks" in said("".join(task(n, f"after: [{many}]") for n in few))


@pytest.fixture
def pipeline(dags, monkeypatch):
    """Return a function that puts a pipeline file and its loader into the bundle of Airflow."""
    monkeypatch.setenv("AIRFLOW__MLOPS__ALLOWED_MODULES", "airflow.providers.standard")
    (dags / "own.py").write_text(OWN)

    def put(text: str) -> None:
        (dags / "shop.yaml").write_text(SHOP + text)
        (dags / "shop.py").write_text(LOADER)

    return put


def test_the_operator_is_built_with_its_arguments_where_it_stands(pipeline, read_dags, dags):
    pipeline(
        task("warm", "after: train, before: evaluate, retries: 1, arguments: {bash_command: 'echo {{ ds }}'}")
        + task("paper", "after: register, before: [promote], arguments: {to: x}", "own.Copy")
        + task("tell", "after: promote, arguments: {to: x}", "own.Copy")
        + task("also", "after: evaluate, arguments: {to: x}", "own.Copy")
        + task("check", "after: evaluate, before: register, arguments: {to: x}", "own.Copy")
    )
    bag = read_dags()
    assert bag.import_errors == {}
    train = bag.dags["shop-train"]
    warm = train.get_task("warm")
    assert (type(warm).__name__, warm.bash_command, warm.retries) == ("BashOperator", "echo {{ ds }}", 1)
    assert warm.upstream_task_ids == {"train"}
    assert "after: train" in warm.doc_md
    assert train.get_task("evaluate").upstream_task_ids == {"train", "warm"}
    # What leads from the verdict to the promotion alone is skipped with it; what `register` waits for is not.
    assert train.get_task("evaluate").skip_if_refused == ["paper", "promote"]
    assert type(train.get_task("paper")).__module__ == "own"
    for one in plan(dags / "shop.yaml", bundle=dags, config=FactoryConfig(**ALLOWED)).dag("shop-train").tasks:
        assert train.get_task(one.task_id).upstream_task_ids >= set(one.upstream)


@pytest.mark.parametrize(
    ("operator", "arguments", "error"),
    [
        (BASH, "{bash_comand: x, cwd: y}", ("shop.yaml:6:98 tasks.a.arguments.bash_comand: BashOperator takes no "
         "'bash_comand'. Did you mean 'bash_command'?")),
        (BASH, "{cwd: y}", "shop.yaml:6:73 tasks.a.arguments: BashOperator wants 'bash_command', too"),
        ("own.Copy", "{to: x, mode: slow}", ("shop.yaml:6:27 tasks.a.arguments: Copy refuses them: ValueError: mode "
         "slow is neither fast nor safe")),
        ("own.Always", "{}", ("shop.yaml:6:17 tasks.a.operator: own.Always has the trigger rule all_done: a task runs "
         "when all that it waits for succeeded, or it would run behind a refusal")),
        (BASH.replace("BashOperator", "env_var"), "{}", ("env_var cannot be imported: "
         "AttributeError: module 'airflow.providers.standard.operators.bash' has no attribute 'env_var'")),
        (BASH.replace(".bash.", ".bush."), "{}", ("bush.BashOperator cannot be imported: "
         "ModuleNotFoundError: No module named 'airflow.providers.standard.operators.bush'")),
        (BASH.replace("BashOperator", "Callable"), "{}", ("shop.yaml:6:17 tasks.a.operator: "
         "airflow.providers.standard.operators.bash.Callable is no operator of Airflow")),
    ],
)  # fmt: skip
def test_what_only_airflow_knows_is_an_import_error_with_the_files_line(
    pipeline, read_dags, operator, arguments, error
):
    pipeline(task("a", f"arguments: {arguments}, after: train", operator))
    for _ in range(2):  # the second time of a kept plan
        (found,) = read_dags().import_errors.values()
        assert "PipelineFileError: shop.yaml:6:" in found
        assert error in found


def test_every_wrong_argument_of_a_dag_is_told_at_once(pipeline, read_dags):
    pipeline("".join(task(name, "after: train, arguments: {bash_command: x, wrong: y}") for name in "ab"))
    (found,) = read_dags().import_errors.values()
    assert found.count("BashOperator takes no 'wrong'") >= 2
    assert "BuildError" not in found


def test_a_local_run_leaves_it_to_airflow(bundle, planned):
    from airflow_mlops_provider.exceptions import ConfigError
    from airflow_mlops_provider.factory.local import LocalRun

    given = planned(SHOP + task("warm", "after: train"), **ALLOWED)
    local = LocalRun.of(given, bundle, lambda *_: None)
    with pytest.raises(ConfigError, match=r"warm is an operator of Airflow \(airflow.*\): it runs in Airflow only"):
        list(local.run("warm"))


def test_a_section_that_runs_here_leaves_it_out(bundle, planned):
    from airflow_mlops_provider.factory.local import LocalRun

    (bundle / "orders").mkdir()
    (bundle / "orders" / "2026-01-01.csv").write_text("id\n1\n")
    given = planned(SHOP + task("look", "after: ingest"), **ALLOWED)
    ends = list(LocalRun.of(given, bundle, lambda *_: None).run("data", batch="2026-01-01"))
    assert [(end.task_id, end.status, end.detail) for end in ends] == [
        ("ingest", "succeeded", ""),
        ("maintain", "succeeded", ""),
        ("look", "skipped", "BashOperator runs in Airflow only"),
    ]


def test_a_group_of_a_handwritten_dag_has_them_too(pipeline, read_dags, dags):
    pipeline(task("paper", "after: register, before: promote, arguments: {to: x}", "own.Copy"))
    (dags / "shop.py").write_text("""
from airflow.sdk import DAG
from airflow_mlops_provider.factory.groups import section_group

with DAG("nightly", schedule=None) as nightly:
    section_group("shop.yaml", "training")
""")
    bag = read_dags()
    assert bag.import_errors == {}
    nightly = bag.dags["nightly"]
    assert nightly.get_task("training.paper").upstream_task_ids == {"training.register"}
    assert nightly.get_task("training.evaluate").skip_if_refused == ["training.paper", "training.promote"]


def test_a_plan_shows_them_and_what_became_of_them(planned):
    from airflow_mlops_provider.factory.compare import differences_text
    from airflow_mlops_provider.factory.show import plan_text

    old = planned(SHOP + task("warm", "after: train, arguments: {bash_command: 'true'}"), **ALLOWED)
    new = planned(SHOP + task("warm", "after: train, arguments: {bash_command: 'false'}, before: evaluate"), **ALLOWED)
    text = plan_text(new)
    assert '  warm after train: BashOperator\n    bash_command = "false"  # churn.yaml:6\n' in text
    assert "  evaluate after train, warm: EvaluateOperator\n" in text
    told = differences_text(old, new)
    assert '~ shop-train.warm\n    ~ bash_command = "true" -> "false"  # churn.yaml:6\n' in told
    assert '~ shop-train.evaluate\n    ~ upstream = ["train"] -> ["train", "warm"]\n' in told


def test_classes_of_a_pipelines_own_folder_are_found_there(dags, read_dags):
    (dags / "shops" / "mine").mkdir(parents=True)
    (dags / "shops" / "mine" / "own.py").write_text(
        OWN
        + "\nfrom airflow.sdk import BaseNotifier\n\nclass Silent(BaseNotifier):\n    def notify(self, context): ...\n"
    )
    text = task("copy", "after: train, arguments: {to: x}", "own.Copy")
    (dags / "shops" / "shop.yaml").write_text(
        (SHOP + text).replace("scoring: {", "notify: {notifier: own.Silent}\nscoring: {deadline: 1h, ")
    )
    loader = LOADER.replace("__file__", "__file__, bundle=__file__.replace('shop.py', 'mine')")
    (dags / "shops" / "shop.py").write_text(loader)
    bag = read_dags()
    assert bag.import_errors == {}
    assert type(bag.dags["shop-train"].get_task("copy")).__module__ == "shops.mine.own"
    (alert,) = bag.dags["shop-score"].deadline
    assert alert.callback.kwargs["notifier"] == "shops.mine.own.Silent"
