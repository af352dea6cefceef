# Any step in a pod: the tools and this package, no Airflow. It runs as 50000 on a root file system that is read-only.
# A pipeline's own files come with `code: bundle`, or in an image of yours:
#   FROM acme/mlops-steps
#   COPY . .
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS wheel
WORKDIR /source
COPY LICENSE README.md CHANGELOG.md pyproject.toml ./
COPY airflow_mlops_provider airflow_mlops_provider
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM ${BASE_IMAGE}
COPY requirements/tools.txt /tmp/requirements/
COPY --from=wheel /dist /tmp/dist
RUN python -m pip install --no-cache-dir -r /tmp/requirements/tools.txt \
    && python -m pip install --no-cache-dir --no-deps /tmp/dist/*.whl \
    && python -m pip check \
    && airflow-mlops doctor \
    && rm -r /tmp/requirements /tmp/dist \
    && useradd --uid 50000 --user-group --no-create-home --home-dir /tmp mlops
ENV PYTHONUNBUFFERED=1
WORKDIR /opt/mlops/bundle
USER 50000:50000
