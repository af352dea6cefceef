"""Files of somebody who wants to run something, read something or stop everything: an error, soon, and nothing runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_mlops_provider.factory.check import lint, lint_files
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.load import parse
from tests.factory.test_schema import PLACES, WHOLE

REPO = Path(__file__).parents[2]
# What would be there if anything of a hostile file had run.
TOUCH = "touch ran"
HEAD = "pipeline: a\ndata: {ingest: {visits: {files: 'in/{batch}.csv'}}}\n"
SCORED = "pipeline: a\ndata: {from: b}\nscoring: {dataset: '"
TRAINED = HEAD + "training: {dataset: {target: t}, train: "
CHECKED = (
    "pipeline: a\ndata:\n  ingest: {visits: {files: in.csv}}\n  validate: {visits: {expectation_suite: suite.json}}\n"
)


def ingested(source: str) -> str:
    return HEAD.replace("files: 'in/{batch}.csv'", source)


LAUGHS = "pipeline: a\na: &a [1,1]\n" + "".join(
    f"b{i}: &b{i} [{','.join(['*a' if i == 0 else f'*b{i - 1}'] * 9)}]\n" for i in range(9)
)
JINJA = "{{ cycler.__init__.__globals__.os.popen('" + TOUCH + "').read() }}"

# A text, and what its first error says.
FILES: dict[str, tuple[str | bytes, str]] = {
    "tag: apply": (f'pipeline: !!python/object/apply:os.system ["{TOUCH}"]\n', "tags are not read"),
    "tag: new": (f'x: !!python/object/new:subprocess.Popen [["{TOUCH}"]]\n', "tags are not read"),
    "tag: name": ("x: !!python/name:os.system\n", "tags are not read"),
    "tag: on a key": ('!!python/object/apply:os.system ["x"]: 1\n', "a key must be text"),
    "tag: own": ("x: !include /etc/passwd\n", "tags are not read"),
    "laughs": (LAUGHS, "are aliases multiplying?"),
    "aliases: a million": ("pipeline: a\na: &a 1\nb: [" + "*a," * 1_000_000 + "1]\n", "larger than 512 KiB"),
    "aliases: what fits": ("pipeline: a\na: &a 1\nb: [" + "*a," * 150_000 + "1]\n", "are aliases multiplying?"),
    "alias: of itself": ("pipeline: a\na: &a [*a]\n", "no anchor before it"),
    "size: 50 MB": ("pipeline: a\n" + "x: y\n" * 10_000_000, "larger than 512 KiB"),
    "size: one line": ("pipeline: a" + "a" * 500_000 + "\n", "at most 63 characters"),
    "depth: flow": ("a: " + "[" * 200_000, "nested more than 40 deep"),
    "depth: block": ("".join(" " * i + f"k{i}:\n" for i in range(900)), "nested more than 40 deep"),
    "keys": ("pipeline: a\n" + "".join(f"k{i}: 1\n" for i in range(15_000)), "unknown key 'k0'"),
    "number: a million digits": (f"pipeline: a\ndefaults: {{retries: {'9' * 400_000}}}\n", "retries"),
    "template: openings": (SCORED + "{{" * 200_000 + "'}\n", "template '{{' is not allowed"),
    "template: long": (SCORED + "{{ " + "a " * 200_000 + "}}'}\n", "template '{{ a a"),
    "template: runs": (SCORED + JINJA.replace("'", "''") + "'}\n", "is not allowed"),
    "template: in a key": (f'pipeline: a\n"{JINJA}": 1\n', "unknown key"),
    "template: statement": (SCORED + "{% for x in ().__class__.__mro__ %}{% endfor %}'}\n", "not allowed"),
    "environments": (
        "pipeline: a\nscoring: {dataset: v}\nenvironments:\n" + "".join(f"  e{i}: {{owner: [x]}}\n" for i in range(99)),
        "more than 50 environments",
    ),
    "null byte: in the file": (b"pipeline: a\0\n", "not YAML"),
    "null byte: in a function": (ingested('python_callable: "os\\0.system"'), "no dotted name"),
    "null byte: in a path": (HEAD.replace("'in/{batch}.csv'", '"in\\0.csv"'), "null"),
    "null byte: in a suite": (CHECKED.replace("suite.json", '"suite\\0.json"'), "null"),
    "null byte: in the lake": (HEAD + 'lake: "l\\0"\n', "null"),
    "code: os.system": (ingested("python_callable: os.system"), "no file os.py in the bundle"),
    "code: builtins.eval": (ingested("python_callable: builtins.eval"), "allowed_modules"),
    "code: estimator": (TRAINED + "{estimator: subprocess.Popen}}\n", "allowed_modules"),
    "code: estimator beside": (TRAINED + "{estimator: sklearn_evil.SVC}}\n", "allowed_modules"),
    "code: notifier": (
        HEAD + f"notify: {{notifier: subprocess.Popen, arguments: {{args: [{TOUCH}]}}}}\n",
        "allowed_modules",
    ),
    "code: operator": (
        HEAD + f"tasks: {{t: {{operator: subprocess.Popen, arguments: {{args: [{TOUCH}]}}, after: ingest}}}}\n",
        "allowed_modules",
    ),
    "code: no name": (ingested("python_callable: __import__('os').system"), "no dotted name"),
    "path: climbs": (HEAD.replace("in/{batch}.csv", "../../etc/passwd"), "climbs out with '..'"),
    "path: absolute": (HEAD.replace("in/{batch}.csv", "/etc/passwd"), "outside the bundle"),
    "path: home": (HEAD.replace("in/{batch}.csv", "~/.ssh/id_rsa"), "outside the bundle"),
    "path: scheme": (HEAD.replace("in/{batch}.csv", "file:///etc/passwd"), "outside the bundle"),
    "path: suite": (CHECKED.replace("suite.json", "../suite.json"), "climbs out with '..'"),
    "path: batch climbs": (HEAD.replace("in/{batch}.csv", "{batch}/../../x.csv"), "climbs out with '..'"),
    "path: extends climbs": (HEAD + "extends: ../../base.yaml\n", "leaves the bundle"),
    "path: extends is absolute": (HEAD + "extends: /etc/passwd\n", "leaves the bundle"),
    "path: extends has a null byte": (HEAD + 'extends: "a\\0.yaml"\n', "leaves the bundle"),
    "extends: itself": (HEAD + "extends: a.yaml\n", "a.yaml"),
    "matrix: a billion": (
        "pipeline: 'a${a}${b}${c}'\nmatrix:\n"
        + "".join(f"  {k}: [{', '.join(map(str, range(1000)))}]\n" for k in "abc")
        + HEAD.partition("\n")[2],
        "matrix",
    ),
    "parameters: doubling": (
        "pipeline: a\nparameters:\n  p0: {type: string, default: 'xxxxxxxxxx'}\n"
        + "".join(f"  p{i}: {{type: string, default: '${{p{i - 1}}}${{p{i - 1}}}'}}\n" for i in range(1, 40))
        + "owner: '${p39}'\n" + HEAD.partition("\n")[2],
        "parameters",
    ),
    "secret: password": (
        HEAD + "notify: {notifier: include.code.Notifier, arguments: {password: hunter2}}\n",
        "connection",
    ),
    "secret: address": (
        TRAINED + "{estimator: sklearn.svm.SVC, parameters: {url: 'postgres://me:hunter2@db/x'}}}\n",
        "connection",
    ),
}  # fmt: skip
SUITE = {"name": "s", "expectations": []}
DEEP = "[" * 100_000 + "]" * 100_000
SUITES: dict[str, tuple[str, str]] = {
    "condition that runs": (
        json.dumps({**SUITE, "expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {
            "column": "id", "row_condition": f"__import__('os').system('{TOUCH}')", "condition_parser": "pandas"}}]}),
        "",
    ),
    "nested": (DEEP, "suite.json"),
    "no JSON": ("{", "suite.json"),
    "large": ('{"name": "s", "expectations": [' + ",".join(["{}"] * 5_000_000) + "]}", "suite.json"),
}  # fmt: skip

CHILD = (
    "import re, sys, time; from airflow_mlops_provider.cli import main; "
    "print(main(['lint', 'a.yaml']), file=sys.stderr); "
    # Not ru_maxrss: a child begins with that of its parent.
    "peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]; "
    "print(time.process_time(), peak, file=sys.stderr)"
)


@pytest.fixture
def linted(bundle: Path) -> Callable[[str | bytes], str]:
    """Return a function that lints a text in a process of its own, within 2 s and 200 MB; it gives the output."""

    def linted(text: str | bytes) -> str:
        (bundle / "a.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        done = subprocess.run(
            [sys.executable, "-c", CHILD],
            cwd=bundle,
            env={**os.environ, "PYTHONPATH": str(REPO)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        status, cost = done.stderr.splitlines()[-2:]
        seconds, kilobytes = map(float, cost.split())
        assert (seconds < 2, kilobytes < 200_000) == (True, True), cost
        assert not list(bundle.rglob("ran"))
        return f"{status} {done.stdout}"

    return linted


@pytest.mark.parametrize(("text", "said"), FILES.values(), ids=FILES)
def test_a_hostile_file_ends_in_an_error(linted: Callable[[str | bytes], str], text: str | bytes, said: str) -> None:
    status, *lines = linted(text).splitlines()

    assert status.startswith("1 "), status
    assert said in "\n".join([status, *lines])
    assert "Traceback" not in status
    assert all(len(line) < 2_000 for line in lines[:5])


@pytest.mark.parametrize(("suite", "said"), SUITES.values(), ids=SUITES)
def test_a_hostile_suite_is_read_and_never_run(
    bundle: Path, linted: Callable[[str | bytes], str], suite: str, said: str
) -> None:
    (bundle / "suite.json").write_text(suite)

    assert said in linted(CHECKED)


@pytest.mark.parametrize("kind", ["pipe", "folder", "endless"])
def test_what_is_no_file_is_said_to_be_none(bundle: Path, kind: str) -> None:
    path = bundle / "a.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")

    (error,) = lint_files([(path, bundle)], config=FactoryConfig())[0].errors

    assert "cannot be read" in str(error)


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_bytes_lint_answers(bundle: Path, raw: bytes) -> None:
    (bundle / "a.yaml").write_bytes(raw)

    assert lint(bundle / "a.yaml", bundle=bundle, config=FactoryConfig())


HOSTILE = st.sampled_from(
    [JINJA, "\0", "../..", "/etc/passwd", "os.system", "${x}", "${", "$${a}", "{{", "a" * 10_000,
     "\ud7ff", "\x85", "1" * 400, "-", "@", "%", "1e999", ".inf", ".nan", "0x10", "2013-02-30", "PT5S", "9" * 30]
) | st.text(max_size=30)  # fmt: skip
HOSTILE_VALUES = st.recursive(
    HOSTILE | st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(HOSTILE, inner, max_size=3)),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.sampled_from(PLACES), HOSTILE_VALUES), min_size=1, max_size=3))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_a_place_lint_answers_with_lines(bundle: Path, changes: list[tuple[tuple, object]]) -> None:
    data = parse(WHOLE, "a.yaml").data
    for path, value in changes:
        place = data
        for key in path[:-1]:
            place = place.get(key) if isinstance(place, dict) else None
        if isinstance(place, dict) and path:
            place[path[-1]] = deepcopy(value)
    # JSON is YAML, but for numbers that JSON does not have either.
    text = json.dumps(data).replace("\\ud", "\\\\ud")
    (bundle / "a.yaml").write_text(text)

    for error in lint(bundle / "a.yaml", bundle=bundle, config=FactoryConfig()):
        assert str(error).startswith("a.yaml:") or error.file.endswith("a.yaml")
        assert error.line >= 1
