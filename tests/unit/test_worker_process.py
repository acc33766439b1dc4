import pytest

from infsup.workers.memory import parse_status, private_bytes
from infsup.workers.process import Launch, LaunchError, read_launch
from infsup.workers.progress import Progress

ENV = {
    "INFSUP_WORKER_ENDPOINT": "ipc:///run/workers",
    "INFSUP_WORKER_TOKEN": "01ff",
    "INFSUP_PARENT_PID": "12",
    "INFSUP_RUN_ID": "r1",
}


def test_read_launch_takes_the_token_out_of_the_environment() -> None:
    env = dict(ENV)
    assert read_launch(env) == Launch("ipc:///run/workers", b"\x01\xff", 12, "r1")
    assert "INFSUP_WORKER_TOKEN" not in env


@pytest.mark.parametrize("name", list(ENV))
def test_read_launch_without_a_variable_names_it(name: str) -> None:
    env = {key: value for key, value in ENV.items() if key != name}
    with pytest.raises(LaunchError, match=f"started by infsup.*{name}"):
        read_launch(env)


@pytest.mark.parametrize(
    ("name", "value"),
    [("INFSUP_WORKER_TOKEN", "xyz"), ("INFSUP_WORKER_TOKEN", "00" * 256), ("INFSUP_PARENT_PID", "me")],
)
def test_read_launch_with_nonsense_says_where(name: str, value: str) -> None:
    with pytest.raises(LaunchError, match=name):
        read_launch({**ENV, name: value})


def test_parse_status_adds_anonymous_and_swapped_memory() -> None:
    status = "Name:\tpython\nVmRSS:\t  9000 kB\nRssAnon:\t    1000 kB\n\nVmSwap:\t      24 kB\n"
    assert parse_status(status) == 1024 * 1024


@pytest.mark.parametrize("status", ["", "RssAnon:", "RssAnon:\tmuch kB"])
def test_parse_status_of_odd_text_is_zero(status: str) -> None:
    assert parse_status(status) == 0


def test_private_bytes_of_this_process_is_more_than_a_megabyte() -> None:
    assert private_bytes() > 1_000_000


def test_progress_counts_up_only_and_beats_tell_it() -> None:
    progress = Progress()
    progress.progress()
    progress.progress(5)
    progress.progress(-3)
    progress.phase("prefill")
    progress.context_used = 9
    beat = progress.beat()
    assert (beat.phase, beat.progress, beat.context_used) == ("prefill", 6, 9)


def test_progress_unknown_phase_is_refused() -> None:
    with pytest.raises(ValueError, match="found 'lunch', allowed are starting, load"):
        Progress().phase("lunch")
