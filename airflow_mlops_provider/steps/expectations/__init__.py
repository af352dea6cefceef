"""Great Expectations suites, read strictly and compiled to one Ibis scan."""

from airflow_mlops_provider.steps.expectations.suite import KNOWN, Expectation, Suite, lint_suite, load_suite

__all__ = ["KNOWN", "Expectation", "Suite", "lint_suite", "load_suite"]
