"""Rules for where things are and where they run: paths, addresses, cores, GPUs, engines."""

import difflib
import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

from .engines import ENGINES, SERVED, describe_engines, installed_engines, is_class_path
from .rules import Refused, Rule, choice, whole
from .units import parse_cores

MODEL_NAME = r"[A-Za-z0-9_:.-]+"
MODEL_NAME_WORDS = "letters, digits and _ : . -"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")


def local_path(*, optional: bool = True) -> Rule:
    """Allow paths, `~` included; they become absolute. With `optional`, "" becomes None."""

    def read(value: object, base: Path) -> Path | None:
        if not isinstance(value, str | Path) or "\0" in str(value) or (value == "" and not optional):
            raise Refused
        if value == "":
            return None
        try:
            return base / Path(value).expanduser()
        except RuntimeError:
            raise Refused("no home directory for ~") from None

    words = "a path, absolute or relative to the config file"
    return Rule(f'{words}, or "" for none' if optional else words, read)


def listen_address() -> Rule:
    """Allow IP addresses and host names to listen on."""

    def read(value: object, _base: Path) -> str:
        if not isinstance(value, str):
            raise Refused
        try:
            ipaddress.ip_address(value)
        except ValueError:
            if not _HOST_NAME.fullmatch(value) or value.rpartition(".")[2].isdecimal():
                raise Refused from None
        return value

    return Rule('an IP address or host name, such as "127.0.0.1", "::" or "localhost"', read)


def web_address() -> Rule:
    """Allow http and https addresses, and "" for none."""

    def read(value: object, _base: Path) -> str:
        if not isinstance(value, str):
            raise Refused
        try:
            parts = urlsplit(value)
            named = bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise Refused from None
        if value and (parts.scheme not in {"http", "https"} or not named or re.search(r"\s", value)):
            raise Refused
        return value

    return Rule('an address that begins with https:// or http://, or "" for none', read)


def core_numbers() -> Rule:
    """Allow "auto" and lists of core numbers, which become tuples."""

    def read(value: object, _base: Path) -> str | tuple[int, ...]:
        if not isinstance(value, str):
            raise Refused
        try:
            return value if value == "auto" else parse_cores(value)
        except ValueError:
            raise Refused from None

    return Rule('"auto" or core numbers such as "0-3,6"', read)


def gpu_use() -> Rule:
    """Allow whether, or with which backend, a GPU is used."""
    words = choice("auto", "cuda", "vulkan", "metal")

    def read(value: object, base: Path) -> object:
        return value if isinstance(value, bool) else words.read(value, base)

    return Rule(f"true, false, {words.allowed}", read)


def gpu_slot_count() -> Rule:
    """Allow "auto" and a number of slots."""
    slots = whole(0, 64)

    def read(value: object, base: Path) -> object:
        return value if isinstance(value, str) and value == "auto" else slots.read(value, base)

    return Rule(f'"auto" or {slots.allowed}', read)


def engine_name() -> Rule:
    """Allow the built-in engines, those that installed packages offer, and classes."""

    def read(value: object, _base: Path) -> str:
        if not isinstance(value, str):
            raise Refused
        if value in SERVED or is_class_path(value):
            return value
        installed = installed_engines()
        if value in installed:
            return value
        if value in ENGINES:
            raise Refused("this version does not serve this engine yet")
        close = difflib.get_close_matches(value, (*SERVED, *installed), n=1)
        raise Refused(f'did you mean "{close[0]}"?' if close else "")

    return Rule(describe_engines(), read)
