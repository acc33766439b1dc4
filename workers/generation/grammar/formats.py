"""JSON Schema's formats as regular expressions: all that they match is of the format, though some allow only the
usual among what is (addresses with odd characters, URIs without a host).

Sources: RFC 3339 (date, time and appendix A for durations), RFC 4122 (UUID), RFC 5321 (addresses), RFC 1123 (host
names), RFC 4291 (IPv6), RFC 3986 (URI).
"""

from collections.abc import Mapping

_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9][0-9]|[0-9][1-9][0-9]{2}|[1-9][0-9]{3})"
_BY_FOUR = "(?:0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR = f"(?:[0-9]{{2}}{_BY_FOUR}|{_BY_FOUR}00)"
_DAY = "(?:0[1-9]|1[0-9]|2[0-8])"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[1-9]|1[0-2])-{_DAY}|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)|{_LEAP_YEAR}-02-29)"
)
_HOUR = "(?:[01][0-9]|2[0-3])"
_TIME = rf"{_HOUR}:[0-5][0-9]:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+\-]{_HOUR}:[0-5][0-9])"
_LONG_TIME = "(?:[0-9]{1,9}H(?:[0-9]{1,9}M(?:[0-9]{1,9}S)?)?|[0-9]{1,9}M(?:[0-9]{1,9}S)?|[0-9]{1,9}S)"
_LONG_DATE = "(?:[0-9]{1,9}Y(?:[0-9]{1,9}M(?:[0-9]{1,9}D)?)?|[0-9]{1,9}M(?:[0-9]{1,9}D)?|[0-9]{1,9}D)"
_HEX = "[0-9A-Fa-f]"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_GROUP = f"{_HEX}{{1,4}}"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9\\-]{0,61}[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}\.){{0,2}}[A-Za-z](?:[A-Za-z0-9\-]{{0,61}}[A-Za-z0-9])?"
_ATOM = "[A-Za-z0-9!#%&'*+/=?\\^_`\\{\\|\\}~\\-]{1,20}"
_PATH_CHARACTER = r"(?:[A-Za-z0-9\-._~!\$&'()*+,;=:@]|%[0-9A-Fa-f]{2})"


def _ipv6() -> str:
    whole = f"(?:{_GROUP}:){{7}}{_GROUP}"
    shortened = (
        f"(?:{_GROUP}(?::{_GROUP}){{{left - 1}}})?::(?:{_GROUP}(?::{_GROUP}){{0,{6 - left}}})?"
        for left in range(1, 7)
    )  # fmt: skip
    leading = f"::(?:{_GROUP}(?::{_GROUP}){{0,6}})?"
    return "|".join((whole, leading, *shortened))


FORMATS: Mapping[str, str] = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": f"P(?:[0-9]{{1,9}}W|{_LONG_DATE}(?:T{_LONG_TIME})?|T{_LONG_TIME})",
    "uuid": f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}",
    "ipv4": _IPV4,
    "ipv6": _ipv6(),
    "hostname": _HOST,
    "email": rf"{_ATOM}(?:\.{_ATOM}){{0,2}}@{_LABEL}\.{_HOST}",
    "uri": rf"(?:https?|wss?|ftp)://{_HOST}(?::[0-9]{{1,5}})?(?:/{_PATH_CHARACTER}*)*"
    rf"(?:\?(?:{_PATH_CHARACTER}|[/?])*)?(?:#(?:{_PATH_CHARACTER}|[/?])*)?",
}
"""Patterns in the common syntax of `patterns.explicit`, matching all of a text."""
