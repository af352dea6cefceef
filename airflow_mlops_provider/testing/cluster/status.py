"""Errors as the Kubernetes API answers them: an HTTP code and a `Status` body with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_mlops_provider.testing.cluster.objects import Json

__all__ = [
    "ApiError",
    "already_exists",
    "bad_request",
    "conflict",
    "expired",
    "forbidden",
    "internal",
    "invalid",
    "no_such_path",
    "not_allowed",
    "not_found",
    "success",
    "too_many",
    "unauthorized",
    "unavailable",
    "unsupported_media",
]


class ApiError(Exception):
    """An answer other than success; `body` is its `Status` object."""

    def __init__(
        self, code: int, reason: str, message: str, details: Json | None = None, headers: Mapping[str, str] = {}
    ) -> None:
        super().__init__(message)
        self.code = code
        self.headers = dict(headers)
        self.body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            **({"details": details} if details else {}),
            "code": code,
        }


def success(resource: str, name: str, uid: str) -> Json:
    """Return the body that answers the deletion of an object other than a pod."""
    details = {"name": name, "kind": resource, "uid": uid}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def forbidden(verb: str, path: str) -> ApiError:
    """403: the caller's role does not have the verb."""
    resource = path.rsplit("/", 1)[-1]
    return ApiError(403, "Forbidden", f'{resource} is forbidden: User "local" cannot {verb} resource "{resource}"')


def not_found(resource: str, name: str) -> ApiError:
    """404: no object of that name."""
    return ApiError(404, "NotFound", f'{resource} "{name}" not found', {"name": name, "kind": resource})


def no_such_path() -> ApiError:
    """404: no such resource."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def not_allowed(method: str) -> ApiError:
    """405: the resource has no such verb."""
    return ApiError(
        405, "MethodNotAllowed", f"the server does not allow this method on the requested resource ({method})"
    )


def already_exists(resource: str, name: str) -> ApiError:
    """409: the name is taken."""
    return ApiError(409, "AlreadyExists", f'{resource} "{name}" already exists', {"name": name, "kind": resource})


def conflict(resource: str, name: str, why: str = "") -> ApiError:
    """409: the object has moved on since the caller read it, or a precondition does not hold."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
    return ApiError(409, "Conflict", message, {"name": name, "kind": resource})


def expired(message: str) -> ApiError:
    """410: the version asked for is no longer kept."""
    return ApiError(410, "Expired", message)


def invalid(kind: str, name: str, causes: Sequence[tuple[str, str, str]]) -> ApiError:
    """422: the object breaks a rule; `causes` are (reason such as FieldValueInvalid, field, message)."""
    said = [f"{field}: {message}" for _, field, message in causes]
    together = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    details = {
        "name": name,
        "kind": kind,
        "causes": [{"reason": reason, "message": message, "field": field} for reason, field, message in causes],
    }
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {together}', details)


def bad_request(message: str) -> ApiError:
    """400: the request makes no sense."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: no token, or another one."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def unsupported_media(sent: str) -> ApiError:
    """415: a patch of a kind that is not understood."""
    return ApiError(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {sent}")


def too_many(retry_after_s: int) -> ApiError:
    """429: come again in `retry_after_s` seconds."""
    message = "Too many requests, please try again later."
    headers = {"Retry-After": str(retry_after_s)}
    return ApiError(429, "TooManyRequests", message, {"retryAfterSeconds": retry_after_s}, headers)


def internal(message: str) -> ApiError:
    """500: a part behind the API, such as a node, did not answer."""
    details = {"causes": [{"message": message}]}
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", details)


def unavailable() -> ApiError:
    """503: the API is away."""
    return ApiError(503, "ServiceUnavailable", "the server is currently unable to handle the request")
