"""Serve a cluster until interrupted: `python -m airflow_mlops_provider.testing.cluster --port 8001`."""

from __future__ import annotations

import argparse
import signal
import sys

from airflow_mlops_provider.testing.cluster import Cluster


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m airflow_mlops_provider.testing.cluster", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="the API's port; default: a free one")
    parser.add_argument("--image", action="append", default=[], metavar="NAME[=PYTHON]", help="an image and its Python")
    asked = parser.parse_args()
    named = (text.partition("=") for text in asked.image or ["python"])
    images = {name: interpreter or sys.executable for name, _, interpreter in named}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Cluster(images, port=asked.port) as cluster:
        print(f"export KUBECONFIG={cluster.kubeconfig}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    _main()
