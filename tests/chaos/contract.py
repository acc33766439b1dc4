"""What the HTTP interface promises about errors, written down once more so that the product cannot vouch for itself."""

from collections.abc import Mapping
from typing import Any, cast

INVALID, LIMIT, SERVER = "invalid_request_error", "rate_limit_error", "server_error"
ERRORS: Mapping[str, tuple[int, str]] = {
    "invalid_request": (400, INVALID),
    "unsupported_task": (400, INVALID),
    "context_length_exceeded": (400, INVALID),
    "unsupported_parameter": (400, INVALID),
    "invalid_api_key": (401, "authentication_error"),
    "forbidden": (403, "permission_error"),
    "model_not_found": (404, INVALID),
    "not_found": (404, INVALID),
    "method_not_allowed": (405, INVALID),
    "conflict": (409, INVALID),
    "body_too_large": (413, INVALID),
    "queue_full": (429, LIMIT),
    "rate_limited": (429, LIMIT),
    "cancelled": (499, INVALID),
    "engine_error": (500, SERVER),
    "engine_missing": (501, SERVER),
    "worker_crashed": (502, SERVER),
    "model_loading": (503, SERVER),
    "model_unavailable": (503, SERVER),
    "out_of_memory": (503, SERVER),
    "shutting_down": (503, SERVER),
    "worker_stalled": (504, SERVER),
    "deadline_exceeded": (504, SERVER),
    "slow_consumer": (504, SERVER),
}
_RETRY_AFTER = {429, 503}


def read_error(body: object, status: int | None, headers: Mapping[str, str]) -> tuple[str, str, str]:
    """Return an error's code, its partial text, and what is wrong with its form ("" when nothing is).

    `status` is None for an error that came as an event of a stream.
    """
    fields = _object(body, "error")
    if fields is None:
        return "", "", f"no error object in {str(body)[:200]!r}"
    code, partial = str(fields.get("code")), _object(fields, "partial") or {}
    text = str(partial.get("text", ""))
    if code not in ERRORS:
        return code, text, f"the code {code!r} is not in the contract"
    expected_status, expected_type = ERRORS[code]
    if fields.get("type") != expected_type:
        return code, text, f"{code} has the type {fields.get('type')!r}, not {expected_type!r}"
    if not fields.get("message") or "param" not in fields:
        return code, text, f"{code} lacks a message or param: {sorted(fields)}"
    if status is not None and status != expected_status:
        return code, text, f"{code} came with the status {status}, not {expected_status}"
    if status in _RETRY_AFTER and "Retry-After" not in headers:
        return code, text, f"{code} came without Retry-After"
    return code, text, ""


def _object(value: object, key: str) -> dict[str, Any] | None:
    found = cast("dict[str, Any]", value).get(key) if isinstance(value, dict) else None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
