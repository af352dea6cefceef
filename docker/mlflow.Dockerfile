# An MLflow server that keeps its runs in PostgreSQL and its artifacts in S3.
FROM python:3.12-slim
RUN pip install --no-cache-dir mlflow==3.17.2 psycopg2-binary==2.9.11 boto3==1.40.0 \
    && useradd --create-home --uid 50000 mlflow
USER 50000
EXPOSE 5000
ENTRYPOINT ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000"]
