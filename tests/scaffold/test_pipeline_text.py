"""Whatever a file, its columns and its classes are called, the pipeline file says what is meant and nothing else."""

from datetime import date
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlops_provider.factory.load import parse
from airflow_mlops_provider.scaffold.columns import Column
from airflow_mlops_provider.scaffold.csv_file import CsvFile
from airflow_mlops_provider.scaffold.folder import Place
from airflow_mlops_provider.scaffold.found import Found
from airflow_mlops_provider.scaffold.leaks import LeftOut
from airflow_mlops_provider.scaffold.pipeline_text import pipeline_text
from airflow_mlops_provider.scaffold.schedule import dealt
from airflow_mlops_provider.scaffold.target import Target

# What YAML, of one version or another, takes for the end of a line, and what begins a key.
ENDS = st.sampled_from(
    ["\n", "\r", "\x85", "\u2028", "\u2029", "\ntasks: [1]", "\u2028tasks: 1", "\x85 - x: 1", " #", ": "]
)
ANY = st.lists(st.one_of(ENDS, st.text(max_size=8)), min_size=1, max_size=4).map("".join)
# As `csv_file` and `target_of` let them through.
PRINTABLE = st.characters(exclude_categories=("C", "Z"), exclude_characters="${", include_characters=" ")
NAMES = (
    st.lists(
        st.one_of(st.text(PRINTABLE, max_size=8), st.sampled_from([" #", ": ", "- ", "[", "'", '"', "\\"])),
        min_size=1,
        max_size=4,
    )
    .map("".join)
    .filter(str.strip)
)


@settings(max_examples=40, deadline=None)
@given(ANY, st.lists(NAMES, min_size=4, max_size=4, unique=True), NAMES, NAMES, ANY)
def test_only_the_keys_that_are_meant(file_name, names, positive, negative, reason):
    key, target, feature, other = (Column(name, "text", 200, 0, 2, None, None) for name in names)
    found = Found(
        CsvFile(Path("x", file_name), ",", tuple(names), 200),
        ".",
        (key, target, feature, other),
        Target(target, "classification", positive, negative, 0.5),
        dealt(date(2025, 3, 1)),
        "0.2",
        (key.name,),
        (LeftOut(key.name, "the key"), LeftOut(other.name, f"read as text: {reason}")),
        types={feature.name: "text"},
    )
    text = pipeline_text(found, Place(Path("dags"), "churn"))
    for said in (yaml.safe_load(text), parse(text, "churn.yaml").data):
        assert [*said] == ["pipeline", "timezone", "data", "training", "scoring", "monitoring"]
        assert said["data"]["ingest"]["churn"] == {
            "files": "churn/data/{batch}.csv",
            "csv": {"types": {feature.name: "text"}, "true_values": [positive], "false_values": [negative]},
            "unique_key": [key.name],
        }
        assert said["training"]["dataset"] == {"target": target.name, "columns": [feature.name]}
