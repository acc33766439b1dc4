"""What instances are expected to need: learned peaks, estimates, and the file that keeps them."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from infsup.supervisor.footprint import BASE_BYTES, FILE_NAME, MAX_KEYS, Footprint, FootprintStore, kv_cache_bytes
from infsup.supervisor.gguf_facts import Facts

MB = 1_000_000


def reopened(store: FootprintStore, path: Path) -> FootprintStore:
    store.save()
    return FootprintStore(path)


def test_estimate_unknown_key_is_files_context_and_base(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path)
    assert store.estimate("ab", [1000 * MB, 100 * MB], 50 * MB) == Footprint(
        1210 * MB + 50 * MB + BASE_BYTES, learned=False
    )
    assert store.estimate("ab", []) == Footprint(BASE_BYTES, learned=False)


def test_estimate_after_runs_is_the_highest_peak_with_a_margin(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path)
    store.observe("ab", 100 * MB, run="a-1")
    store.observe("ab", 300 * MB, run="a-1", mapped_bytes=900 * MB, load_seconds=4.0)
    store.observe("ab", 200 * MB, run="a-1", mapped_bytes=100 * MB)
    store.observe("ab", 250 * MB, run="a-2", load_seconds=2.0)
    assert store.estimate("ab", [5000 * MB]) == Footprint(
        1260 * MB, learned=True, mapped_bytes=900 * MB, load_seconds=3.0
    )
    assert not store.estimate("cd", []).learned


def test_estimate_after_a_run_without_numbers_is_not_learned(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path)
    store.observe("ab", 0, run="a-1", load_seconds=1.0)
    assert not store.estimate("ab", []).learned


def test_observe_five_more_runs_forgets_a_leak(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path)
    store.observe("ab", 9000 * MB, run="leaky")
    for number in range(5):
        assert store.estimate("ab", []).bytes == 9450 * MB
        store.observe("ab", 100 * MB, run=f"a-{number}")
    assert store.estimate("ab", []).bytes == 105 * MB


def test_save_and_reopen_keeps_what_was_learned(tmp_path: Path) -> None:
    path = tmp_path / "new" / "store"
    store = FootprintStore(path)
    store.observe("ab", 100 * MB, run="a-1", mapped_bytes=1, load_seconds=1.5)
    again = reopened(store, path)
    assert again.estimate("ab", []) == store.estimate("ab", [])
    assert [file.name for file in path.iterdir()] == [FILE_NAME]


def test_observe_same_instance_name_in_a_later_server_is_another_run(tmp_path: Path) -> None:
    store = FootprintStore(tmp_path)
    store.observe("ab", 900 * MB, run="a-1")
    for _ in range(5):
        store = reopened(store, tmp_path)
        store.observe("ab", 100 * MB, run="a-1")
    assert store.estimate("ab", []).bytes == 105 * MB


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
    assert store.estimate("0", []).learned
    store.observe("next", MB, run="a-1")
    store = reopened(store, tmp_path)
    assert store.estimate("0", []).learned
    assert not store.estimate("1", []).learned
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
    assert not store.estimate("ab", []).learned
    store.observe("ab", MB, run="a-1")
    assert reopened(store, tmp_path).estimate("ab", []).learned


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
    assert reopened(store, place).estimate("ab", []).learned


def test_save_onto_a_directory_leaves_no_partial_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE_NAME).mkdir()
    store = FootprintStore(tmp_path)
    store.observe("ab", MB, run="a-1")
    store.save()
    assert len(caplog.records) == 1
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


FACTS = Facts("llama", context_length=4096, block_count=32, kv_heads=32 * 8, key_length=128, value_length=128)


@pytest.mark.parametrize(
    ("context", "parallel", "bytes_per_number", "expected"),
    [
        (1024, 1, 2.0, 134_217_728),  # 128 KiB a token, as Llama 3 8B
        (1024, 4, 2.0, 4 * 134_217_728),
        (0, 1, 2.0, 4 * 134_217_728),
        (1024, 1, 34 / 32, 71_303_168),  # q8_0: 34 bytes for 32 numbers
    ],
)
def test_kv_cache_bytes_is_tokens_times_heads_times_lengths(
    context: int, parallel: int, bytes_per_number: float, expected: int
) -> None:
    assert kv_cache_bytes(FACTS, context, parallel, bytes_per_number) == expected


def test_kv_cache_bytes_of_a_model_without_attention_is_zero() -> None:
    assert kv_cache_bytes(Facts("mamba", context_length=4096, block_count=24), 0) == 0
