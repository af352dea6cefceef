# Training with CUDA: what docker/steps.Dockerfile has, on a CUDA image of Debian or Ubuntu with Python >= 3.11, and what
# REQUIREMENTS, a file of yours below the build's context, pins: torch, xgboost and the like.
#   docker build -f docker/train.Dockerfile --build-arg REQUIREMENTS=include/train.txt -t acme/mlops-train .
ARG BASE_IMAGE=nvidia/cuda:12.8.1-base-ubuntu24.04

FROM python:3.12-slim AS wheel
WORKDIR /source
COPY LICENSE README.md CHANGELOG.md pyproject.toml ./
COPY airflow_mlops_provider airflow_mlops_provider
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM ${BASE_IMAGE}
ARG REQUIREMENTS=requirements/tools.txt
# Unpinned, because the base image is an argument: it says which distribution's Python this is.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgomp1 python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/mlops/venv
ENV PATH=/opt/mlops/venv/bin:$PATH PYTHONUNBUFFERED=1
COPY requirements/tools.txt /tmp/requirements/
COPY ${REQUIREMENTS} /tmp/requirements/own.txt
COPY --from=wheel /dist /tmp/dist
RUN python -m pip install --no-cache-dir -r /tmp/requirements/tools.txt -r /tmp/requirements/own.txt \
    && python -m pip install --no-cache-dir --no-deps /tmp/dist/*.whl \
    && python -m pip check \
    && airflow-mlops doctor \
    && rm -r /tmp/requirements /tmp/dist \
    && useradd --uid 50000 --user-group --no-create-home --home-dir /tmp mlops
WORKDIR /opt/mlops/bundle
USER 50000:50000
