"""What instances are expected to need: learned peaks, estimates, and the file that keeps them."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from infsup.supervisor.footprint import FILE_NAME, MAX_KEYS, Footprint, FootprintStore

MB = 1_000_000


def reopened(store: FootprintStore, path: Path) -> FootprintStore:
    store.save()
    return FootprintStore(path)


def bytes_of(store: FootprintStore, key: str = "ab") -> int:
    footprint = store.learned(key)
    assert footprint is not None
    return footprint.bytes


def test_learned_after_runs_is_the_highest_peak_with_a_margin(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path)
    store.observe("ab", 100 * MB, run="a-1")
    store.observe("ab", 300 * MB, run="a-1", mapped_bytes=900 * MB, load_seconds=4.0)
    store.observe("ab", 200 * MB, run="a-1", mapped_bytes=100 * MB)
    store.observe("ab", 250 * MB, run="a-2", load_seconds=2.0)
    assert store.learned("ab") == Footprint(1260 * MB, learned=True, mapped_bytes=900 * MB, load_seconds=3.0)
    assert store.learned("cd") is None


def test_learned_after_a_run_without_numbers_is_not_learned(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path)
    store.observe("ab", 0, run="a-1", load_seconds=1.0)
    assert store.learned("ab") is None


def test_observe_five_more_runs_forgets_a_leak(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path)
    store.observe("ab", 9000 * MB, run="leaky")
    for number in range(5):
        assert bytes_of(store) == 9450 * MB
        store.observe("ab", 100 * MB, run=f"a-{number}")
    assert bytes_of(store) == 105 * MB


def test_save_and_reopen_keeps_what_was_learned(tmp_path: Path) -> None:
    path = tmp_path / "new" / "store"
    store = FootprintStore(path)
    store.observe("ab", 100 * MB, run="a-1", mapped_bytes=1, load_seconds=1.5)
    again = reopened(store, path)
    assert again.learned("ab") == store.learned("ab")
    assert [file.name for file in path.iterdir()] == [FILE_NAME]


def test_observe_same_instance_name_in_a_later_server_is_another_run(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path)
    store.observe("ab", 900 * MB, run="a-1")
    for _ in range(5):
        store = reopened(store, tmp_path)
        store.observe("ab", 100 * MB, run="a-1")
    assert bytes_of(store) == 105 * MB


def test_save_without_news_leaves_the_file_alone(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path)
    store.save()
    assert not (tmp_path / FILE_NAME).exists()
    store.observe("ab", 5, run="a-1")
    store.save()
    (tmp_path / FILE_NAME).unlink()
    store.observe("ab", 4, run="a-1")  # lower than the peak
    store.save()
    assert not (tmp_path / FILE_NAME).exists()


def test_observe_more_keys_than_fit_drops_the_least_recently_used(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path)
    for number in range(MAX_KEYS):
        store.observe(f"{number:x}", MB, run="a-1")
    assert store.learned("0")
    store.observe("next", MB, run="a-1")
    store = reopened(store, tmp_path)
    assert store.learned("0")
    assert store.learned("1") is None
    assert len(json.loads((tmp_path / FILE_NAME).read_bytes())["keys"]) == MAX_KEYS


RUN = {"own": 5, "mapped": 0, "load_seconds": None}
BROKEN: list[Any] = [
    [],
    None,
    {},
    {"version": 2, "keys": {}},
    {"version": 1, "keys": []},
    {"version": 1, "keys": {"ab": 5}},
    {"version": 1, "keys": {"ab": [5]}},
    {"version": 1, "keys": {"ab": [{**RUN, "own": -1}]}},
    {"version": 1, "keys": {"ab": [{**RUN, "own": 1 << 70}]}},
    {"version": 1, "keys": {"ab": [{**RUN, "own": "5"}]}},
    {"version": 1, "keys": {"ab": [{**RUN, "load_seconds": float("nan")}]}},
]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, *(json.dumps(value).encode() for value in BROKEN)],
    ids=lambda content: repr(content[:60]),
)
def test_open_damaged_file_warns_and_starts_afresh(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    store = FootprintStore(tmp_path)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert store.learned("ab") is None
    store.observe("ab", MB, run="a-1")
    assert reopened(store, tmp_path).learned("ab")


def test_open_missing_file_is_silent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    FootprintStore(tmp_path / "none")
    assert not caplog.records


def test_save_impossible_warns_once_and_tries_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "store"
    store = FootprintStore(place)
    place.write_text("a file where the directory should be")
    for number in range(3):
        store.observe("ab", MB, run=f"a-{number}")
        store.save()
    assert len(caplog.records) == 1
    place.unlink()
    assert reopened(store, place).learned("ab")


def test_save_onto_a_directory_leaves_no_partial_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE_NAME).mkdir()
    store = FootprintStore(tmp_path)
    store.observe("ab", MB, run="a-1")
    store.save()
    assert len(caplog.records) == 1
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]
