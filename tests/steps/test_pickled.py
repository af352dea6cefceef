"""A model whose class the bundle defines loads where the bundle is not."""

from __future__ import annotations

import pickle
import subprocess
import sys

import cloudpickle
import pytest
from sklearn.tree import DecisionTreeClassifier

from airflow_mlops_provider.steps.context import load_function
from airflow_mlops_provider.steps.pickled import with_code

LOADED = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).rate())"
FILES = {
    "pickled_parts/__init__.py": "",
    "pickled_parts/base.py": "FACTOR = 2\nclass Base:\n    def rate(self):\n        return FACTOR * self.given\n",
    "pickled_model.py": (
        "from pickled_parts.base import Base\n"
        "class Model(Base):\n    def __init__(self):\n        super().__init__()\n        self.given = 0.25\n"
        "def train(data, params):\n    return Model()\n"
    ),
}


@pytest.fixture
def model(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    yield load_function("pickled_model.train", str(tmp_path))(None, {})
    sys.path.remove(str(tmp_path))
    for name in ("pickled_model", "pickled_parts", "pickled_parts.base"):
        del sys.modules[name]


def elsewhere(pickled):
    return subprocess.run([sys.executable, "-c", LOADED], input=pickled, capture_output=True, check=False)


def test_classes_of_the_bundle_go_into_the_pickle(model, tmp_path):
    with with_code(str(tmp_path)):
        pickled = cloudpickle.dumps(model)
    assert elsewhere(pickled).stdout == b"0.5\n"


def test_outside_of_it_they_do_not(model, tmp_path):
    with with_code(str(tmp_path)):
        pass
    assert b"No module named 'pickled_model'" in elsewhere(cloudpickle.dumps(model)).stderr


def test_what_is_installed_stays_a_name_also_where_the_bundle_holds_the_environment(model, tmp_path):
    plain = pickle.dumps(DecisionTreeClassifier(max_depth=1))
    for bundle in (str(tmp_path), "/", sys.prefix):
        with with_code(bundle):
            assert len(cloudpickle.dumps(DecisionTreeClassifier(max_depth=1))) < 2 * len(plain)
