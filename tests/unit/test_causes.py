"""Causes of death, and what they mean for jobs and for restarts."""

import pytest

from infsup.protocol.errors import EngineMissing, InvalidRequest, OutOfMemory, WorkerCrashed, WorkerStalled
from infsup.supervisor.causes import Cause, Why
from infsup.supervisor.config import parse_config
from infsup.supervisor.restarts import Restarts


@pytest.mark.parametrize(
    ("why", "error"),
    [(Why.MEMORY, OutOfMemory), (Why.STALL, WorkerStalled), (Why.EXIT, WorkerCrashed), (Why.ENDED, WorkerCrashed)],
)
def test_cause_is_the_error_that_fits(why: Why, error: type[Exception]) -> None:
    assert isinstance(Cause(why, "words").error("m"), error)
    assert "words" in Cause(why, "words").error("m").message


def restarts() -> Restarts:
    config = parse_config({"models": {"m": {"task": "text-completion", "engine": "fault"}}}, None, {})
    one = Restarts(lambda: 10.0)
    one.set_model("m", config.models["m"], anew=True)
    return one


def test_load_failure_that_a_retry_cannot_help_is_for_all_and_never_a_400() -> None:
    one = restarts()
    assert one.on_load_failed("m", OutOfMemory("no room")) is None
    error = one.on_load_failed("m", InvalidRequest("a bad option"))
    assert error is not None
    assert error.status == 503
    assert one.is_out("m")
    assert one.refusal("m") is not None
    one.reset("m")
    assert not one.is_out("m")
    missing = one.on_load_failed("m", EngineMissing("pip install …"))
    assert isinstance(missing, EngineMissing)


def test_removed_model_takes_no_notes() -> None:
    one = restarts()
    one.remove_model("m")
    one.on_served("m")
    one.on_loaded("m")
    assert one.refusal("m") is None
    assert one.not_before("m") == 0.0
