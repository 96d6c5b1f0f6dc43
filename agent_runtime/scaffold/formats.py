"""Patterns of the `format` keyword: each a subset of what validators accept, none looser.

Ours are stricter where a format's name promises more than common validators check (the calendar of `date`, an
address with one `@`), and cover what people write: leap years, offsets, nested durations, every
abbreviation of an IPv6 address. Lower-case `t` and `z`, leap seconds and comments in e-mail are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

_LEAP = "(?:0[48]|[2468][048]|[13579][26])"
_DATE = (
    r"(?:\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    rf"|02-(?:0[1-9]|1\d|2[0-8]))|(?:\d\d{_LEAP}|{_LEAP}00)-02-29)"
)
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
_TIME = rf"{_CLOCK}:[0-5]\d(?:\.\d{{1,9}})?(?:Z|[+-]{_CLOCK})"
_COUNT = r"\d{1,9}"
_HOURS = rf"T(?:{_COUNT}H(?:{_COUNT}M(?:{_COUNT}S)?)?|{_COUNT}M(?:{_COUNT}S)?|{_COUNT}S)"
_DAYS = rf"(?:{_COUNT}Y(?:{_COUNT}M(?:{_COUNT}D)?)?|{_COUNT}M(?:{_COUNT}D)?|{_COUNT}D)"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = rf"(?:{_BYTE}\.){{3}}{_BYTE}"
_HEX = "[0-9A-Fa-f]"
_GROUP = f"{_HEX}{{1,4}}"
_LAST_GROUPS = f"(?:{_GROUP}:{_GROUP}|{_IPV4})"
# `before` groups, `::`, then at most `6 - before` of the last seven.
_IPV6_SHORTENED = (
    f"{_GROUP}(?::{_GROUP}){{{before - 1}}}::(?:(?:{_GROUP}:){{0,{5 - before}}}{_LAST_GROUPS}|{_GROUP})?"
    for before in range(1, 6)
)
_IPV6_FORMS = (
    f"(?:{_GROUP}:){{6}}{_LAST_GROUPS}",
    f"::(?:{_GROUP}:){{0,5}}{_LAST_GROUPS}",
    f"::{_GROUP}",
    "::",
    *_IPV6_SHORTENED,
    f"{_GROUP}(?::{_GROUP}){{5}}::(?:{_GROUP})?",
    f"{_GROUP}(?::{_GROUP}){{6}}::",
)
_IPV6 = f"(?:{'|'.join(_IPV6_FORMS)})"
_ESCAPED = f"%{_HEX}{{2}}"
_URI_CHARACTER = rf"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|{_ESCAPED})"
_USER = rf"(?:[A-Za-z0-9._~!$&'()*+,;=:-]|{_ESCAPED})*@"
_NAME = rf"(?:[A-Za-z0-9._~!$&'()*+,;=-]|{_ESCAPED})+"
_AUTHORITY = rf"(?:{_USER})?{_NAME}(?::\d{{1,5}})?"
_URI = (
    rf"[A-Za-z][A-Za-z0-9+.-]*:(?://{_AUTHORITY}(?:/{_URI_CHARACTER}*)*"
    rf"|/?{_URI_CHARACTER}+(?:/{_URI_CHARACTER}*)*)"
    rf"(?:\?(?:{_URI_CHARACTER}|[/?])*)?(?:#(?:{_URI_CHARACTER}|[/?])*)?"
)


@dataclass(frozen=True, slots=True)
class Format:
    """How a format is written: the whole value matches `pattern`."""

    pattern: str
    max_length: int | None = None


FORMATS = {
    "date": Format(f"^(?!0000){_DATE}$"),
    "time": Format(f"^{_TIME}$"),
    "date-time": Format(f"^(?!0000){_DATE}T{_TIME}$"),
    "duration": Format(f"^P(?:{_COUNT}W|{_DAYS}(?:{_HOURS})?|{_HOURS})$"),
    "uuid": Format(f"^{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}$"),
    "email": Format(rf"^{_ATOM}(?:\.{_ATOM})*@{_HOST}$", max_length=254),
    "hostname": Format(f"^{_HOST}$", max_length=253),
    "ipv4": Format(f"^{_IPV4}$"),
    "ipv6": Format(f"^{_IPV6}$"),
    "uri": Format(f"^{_URI}$"),
}
"""Formats a slot can hold exactly, by name."""
