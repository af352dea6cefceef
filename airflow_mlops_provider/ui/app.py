"""Read-only pages inside Airflow: a task's drift report, the rows that it put aside, the history it added to."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TypeVar

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import HTMLResponse

from airflow_mlops_provider.contracts.show import Rows
from airflow_mlops_provider.exceptions import MlopsError
from airflow_mlops_provider.ui.results import Instance, history_of, quarantined, report_of

__all__ = ["pages"]

T = TypeVar("T")

# Who may read a task's XCom may read what it names. A mounted app is open to everybody but for this.
_MAY_READ = [Depends(requires_access_dag(method="GET", access_entity=DagAccessEntity.XCOM))]
_TASK = "/{dag_id}/{run_id}/{task_id}/{map_index}"
# A report is HTML from a task: it gets an origin of its own, without cookies; its figures are inline scripts.
_SANDBOX = {
    "Content-Security-Policy": "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:",
    "X-Content-Type-Options": "nosniff",
}
_PLAIN = {"Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'"}
_STYLE = (
    "body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:2px 6px}"
)


def pages() -> FastAPI:
    """Return the app that is mounted at /mlops."""
    app = FastAPI(title="MLOps", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get(f"{_TASK}/report", dependencies=_MAY_READ)
    def report(dag_id: str, run_id: str, task_id: str, map_index: int) -> HTMLResponse:
        """Show the newest drift report of a task."""
        content = _of(report_of, dag_id, run_id, task_id, map_index)
        return HTMLResponse(content, headers=_SANDBOX)

    @app.get(f"{_TASK}/quarantine", dependencies=_MAY_READ)
    def quarantine(dag_id: str, run_id: str, task_id: str, map_index: int) -> HTMLResponse:
        """Show the rows that a validation put aside, with their reasons."""
        tables = _of(quarantined, dag_id, run_id, task_id, map_index)
        body = "".join(map(_table, tables)) or "<p>No rows were put aside.</p>"
        return HTMLResponse(f"<!doctype html><title>Quarantine</title><style>{_STYLE}</style>{body}", headers=_PLAIN)

    @app.get(f"{_TASK}/monitoring", dependencies=_MAY_READ)
    def monitoring(dag_id: str, run_id: str, task_id: str, map_index: int) -> HTMLResponse:
        """Show what was measured and decided, batch by batch, of the pipeline that a task works for."""
        content = _of(history_of, dag_id, run_id, task_id, map_index)
        return HTMLResponse(content, headers=_PLAIN)

    return app


def _of(read: Callable[[Instance], T], dag_id: str, run_id: str, task_id: str, map_index: int) -> T:
    """Return what a task instance made; 404 with the reason where it is not there."""
    try:
        return read(Instance(dag_id, run_id, task_id, map_index))
    except MlopsError as exc:
        raise HTTPException(404, str(exc)) from exc


def _table(rows: Rows) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in rows.columns)
    lines = "".join("<tr>" + "".join(map(_cell, line)) + "</tr>" for line in rows.lines)
    shown = f"{len(rows.lines)} of {rows.total} rows"
    return f"<h2>{escape(rows.table)}</h2><p>{shown}</p><table><tr>{head}</tr>{lines}</table>"


def _cell(value: str | None) -> str:
    return "<td></td>" if value is None else f"<td>{escape(value)}</td>"
