"""The native API: what operators see, cancelling a job over HTTP, readiness."""

import json
import threading
import time
from pathlib import Path
from typing import Any

from .real_server import RealServer, say, serve, wait_for

SLOW = """
[models.slow]
task = "text-completion"
engine = "fault"
min_instances = 1
prepare = "blocking"
options = { load_delay = 6.0 }
"""


ONE = """
[models.m]
task = "text-completion"
engine = "fault"
"""


class Call(threading.Thread):
    """A request in the background."""

    def __init__(self, server: RealServer, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self._server, self._body, self._headers = server, body, headers
        self.status = 0
        self.answer: Any = None

    def run(self) -> None:
        self.status, self.answer = self._server.request("POST", "/v1/chat/completions", self._body, self._headers)


def jobs(server: RealServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get("/infsup/v1/jobs")[1]["jobs"]
    return found


def test_delete_of_a_running_and_of_a_waiting_job_ends_them_with_499(faults: RealServer) -> None:
    calls = [Call(faults, {"model": "other", "messages": say("!tokens 2000 0.01")}) for _ in range(2)]
    for call in calls:
        call.start()
    wait_for(lambda: sorted(job["state"] for job in jobs(faults)) == ["queued", "running"], 10)
    for job in sorted(jobs(faults), key=lambda one: str(one["state"])):
        status, reply = faults.request("DELETE", f"/infsup/v1/jobs/{job['id']}")
        assert (status, reply["job"]) == (200, job["id"])
    for call in calls:
        call.join(10)
        assert (call.status, call.answer["error"]["code"]) == (499, "cancelled")
    wait_for(lambda: not jobs(faults), 10)


def test_delete_of_a_stream_by_the_id_of_its_completion_ends_it(faults: RealServer) -> None:
    stream = faults.client().chat.completions.create(model="other", messages=say("!tokens 2000 0.01"), stream=True)
    first = next(iter(stream))
    assert stream.response.headers["x-job-id"].removeprefix("job-") == first.id.removeprefix("chatcmpl-")
    assert faults.request("DELETE", f"/infsup/v1/jobs/{first.id}")[0] == 200
    wait_for(lambda: not jobs(faults), 10)
    stream.close()


def test_delete_of_a_job_that_is_not_there_is_404(faults: RealServer) -> None:
    status, body = faults.request("DELETE", "/infsup/v1/jobs/job-none")
    assert (status, body["error"]["code"]) == (404, "not_found")


def test_delete_of_another_clients_job_is_404_and_it_goes_on(tmp_path: Path) -> None:
    config = '[server]\napi_keys = ["first-key-123", "second-key-456"]\n' + ONE
    mine, theirs = ({"Authorization": f"Bearer {key}"} for key in ("first-key-123", "second-key-456"))
    with serve(config, tmp_path) as server:
        call = Call(server, {"model": "m", "messages": say("!tokens 100 0.01")}, mine)
        call.start()

        def listed() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = server.request("GET", "/infsup/v1/jobs", headers=mine)[1]["jobs"]
            return found

        wait_for(lambda: len(listed()) == 1, 10, server.output)
        job = listed()[0]["id"]
        assert server.request("DELETE", f"/infsup/v1/jobs/{job}", headers=theirs)[0] == 404
        call.join(20)
        assert call.status == 200


def test_ready_before_min_instances_are_up_is_503_and_then_200(tmp_path: Path) -> None:
    with serve(SLOW, tmp_path) as server:
        status, state = server.get("/ready")
        assert (status, list(state["waiting"])) == (503, ["slow"])
        assert server.get("/health")[0] == 200
        wait_for(lambda: server.get("/ready")[0] == 200, 30, server.output)


def test_views_show_models_instances_and_deaths(faults: RealServer) -> None:
    assert {model["id"] for model in faults.get("/infsup/v1/models")[1]["models"]} == {"echo", "other", "vectors"}
    instance = next(one for one in faults.get("/infsup/v1/instances")[1]["instances"] if one["model"] == "echo")
    assert faults.request("DELETE", f"/infsup/v1/instances/{instance['id']}")[0] == 200
    wait_for(lambda: instance["id"] in {one["instance"] for one in faults.get("/infsup/v1/deaths")[1]["deaths"]}, 10)
    faults.wait_idle("echo")


def test_load_unload_and_reset_over_http(faults: RealServer) -> None:
    assert faults.request("POST", "/infsup/v1/models/vectors/load")[0] == 200
    faults.wait_idle("vectors")
    assert faults.request("POST", "/infsup/v1/models/vectors/unload")[0] == 200
    wait_for(lambda: not faults.instances("vectors"), 10)
    assert faults.request("POST", "/infsup/v1/models/vectors/reset")[0] == 200
    status, body = faults.request("POST", "/infsup/v1/models/nobody/load")
    assert (status, body["error"]["code"]) == (404, "model_not_found")


def test_preparing_with_a_file_that_vanished_says_so_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    config = f'[models.m]\ntask = "text-completion"\nengine = "fault"\nfile = "{file}"\n'
    with serve(config, tmp_path) as server:
        file.unlink()
        body = {"model": "m", "messages": say("hello")}
        status, answer = server.request("POST", "/v1/chat/completions", body)
        assert (status, answer["error"]["code"]) == (503, "model_unavailable")
        assert json.dumps(str(file))[1:-1] in answer["error"]["message"]
        assert server.get("/")[1]["store"]["m"]["status"] == "unavailable"
        file.write_bytes(b"GGUF")
        deadline = time.monotonic() + 10
        while server.request("POST", "/v1/chat/completions", body)[0] != 200:
            assert time.monotonic() < deadline
