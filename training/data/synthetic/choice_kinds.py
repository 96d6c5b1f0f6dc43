"""Values out of a few: flags, enums, things with a code, examples of a description."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .draw import Draw
from .kinds import STRING, Copy, Kind, Said, text_copy


def flag_kind(draw: Draw, argument: str) -> Kind:
    """`flag(said when true,other/said when false,other)`."""
    yes, _, no = argument.partition("/")
    yes_said, no_said = tuple(yes.split(",")), tuple(no.split(",")) if no else ()

    def sample(d: Draw) -> Said:
        if no_said and d.chance(0.45):
            return False, [d.pick(no_said)]
        return True, [d.pick(yes_said)]

    hint = f"true means {draw.pick(yes_said)}" if draw.chance(0.2) else ""
    return Kind({"type": "boolean"}, sample, hint, ("{}",), is_self_explaining=True)


def enum_kind(draw: Draw, argument: str) -> Kind:
    """`enum(value:said,said/value/...)`: a value without `said` is said as it stands."""
    options = []
    for option in argument.split("/"):
        value, _, said = option.partition(":")
        options.append((value, tuple(said.split(",")) if said else ()))
    if len(options) > 3 and draw.chance(0.3):
        options = draw.sample(options, draw.between(3, len(options)))
    style = draw.random()
    values: list[Any] = [value for value, _ in options]
    if style < 0.12 and len({value.upper() for value in values}) == len(values):
        values = [value.upper() for value in values]
    elif style < 0.2 and min(len(value) for value in values) > 3:
        values = [value.replace("_", " ").title() for value in values]
    is_listed_in_text = draw.chance(0.2)
    schema: dict[str, Any] = {"type": "string"}
    if not is_listed_in_text:
        schema["enum"] = values
    hint = ""
    if is_listed_in_text:
        hint = draw.pick(("one of: {}", "options: {}", "can be {}", "either {}")).format(
            ", ".join(f"'{value}'" for value in values)
        )

    def sample(d: Draw) -> Said:
        number = int(d.random() * len(options))
        value, said = values[number], options[number][1]
        if said and d.chance(0.68):
            return value, [d.pick(said)]
        plain = options[number][0]
        if value == plain and ("_" not in plain or d.chance(0.2)):
            return value, [Copy("", plain)]
        return value, [plain.replace("_", " ")]

    return Kind(schema, sample, hint)


def coded_kind(options: Sequence[str], noun: str, phrases: tuple[str, ...]) -> Callable[[Draw, str], Kind]:
    """Things with a code ("Germany|DE"): the description says which of the two is wanted."""
    pairs = [tuple(option.split("|")) for option in options]

    def build(draw: Draw, _: str) -> Kind:
        if draw.chance(0.5):
            return Kind(STRING, lambda d: text_copy(d.pick(pairs)[0]), "", phrases)
        example = draw.pick(pairs)
        hint = f"{noun}, e.g. '{example[1]}' for {example[0]}" if draw.chance(0.6) else noun

        def sample(d: Draw) -> Said:
            name, code = d.pick(pairs)
            return (code, [name]) if d.chance(0.6) else text_copy(code)

        return Kind(STRING, sample, hint, phrases)

    return build


def one_of_kind(draw: Draw, argument: str) -> Kind:
    """`oneof(a|b|c)`: example values of a tool's own description."""
    options = argument.split("|")
    return Kind(STRING, lambda d: text_copy(d.pick(options)))
