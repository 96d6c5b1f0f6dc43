"""Random scalar shapes for hypothesis, and the JSON Schema that says the same."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from agent_runtime.scaffold.shape import ConstantsShape, IntegerShape, NumberShape, Shape, StringShape

FORMATS = ("date", "time", "date-time", "duration", "uuid", "email", "uri", "hostname", "ipv4", "ipv6")

PATTERNS = (
    "^[A-Z]{2}\\d{4}$",
    "[0-9]",
    "^\\S+$",
    "a|^b",
    "^(?:\\+?\\d{1,3})?[ -]?\\d{6,12}$",
    "^(?!.*--)[a-z-]+$",
    "^(?=.*\\d)(?=.*[a-z]).{3,}$",
    '"',
    "^[^/\\\\]+\\.(png|jpe?g)$",
    "[\\u4e00-\\u9fff]",
    "^\\w+([-.]\\w+)*$",
    "\\t$",
)

json_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(-1e6, 1e6, allow_nan=False),
    st.text(max_size=8),
).filter(lambda value: not isinstance(value, str) or value.isprintable())

constants = st.lists(json_scalars, min_size=1, max_size=5).map(
    lambda values: ConstantsShape(values=tuple(values))
)


@st.composite
def integers(draw: st.DrawFn) -> IntegerShape:
    """Bounds on either, both or no side; sometimes a step that has a multiple between them."""
    low = draw(st.none() | st.integers(-(10**6), 10**6))
    high = draw(st.none() | st.integers(low if low is not None else -(10**6), 10**6 + 1))
    step = draw(st.none() | st.integers(1, 60))
    if (
        step is not None
        and low is not None
        and high is not None
        and low % step
        and low // step == high // step
    ):
        step = None
    return IntegerShape(minimum=low, maximum=high, multiple_of=step)


@st.composite
def numbers(draw: st.DrawFn) -> NumberShape:
    """Bounds that leave room between them, or none."""
    bound = st.decimals(-1000, 1000, places=3).map(float) | st.integers(-1000, 1000)
    low = draw(st.none() | bound)
    high = draw(st.none() | bound.filter(lambda value: low is None or value > low + 0.01))
    return NumberShape(
        minimum=low,
        maximum=high,
        is_minimum_exclusive=low is not None and draw(st.booleans()),
        is_maximum_exclusive=high is not None and draw(st.booleans()),
        multiple_of=draw(st.sampled_from((None, None, None, 0.5, 0.25)))
        if low is None or high is None
        else None,
    )


@st.composite
def strings(draw: st.DrawFn) -> StringShape:
    """Lengths, a format or a pattern; a pattern brings no upper length that could contradict it."""
    kind = draw(st.sampled_from(("plain", "format", "pattern")))
    if kind == "format":
        return StringShape(format=draw(st.sampled_from(FORMATS)))
    if kind == "pattern":
        return StringShape(
            patterns=(draw(st.sampled_from(PATTERNS)),), max_length=draw(st.none() | st.integers(20, 40))
        )
    low = draw(st.integers(0, 6))
    return StringShape(min_length=low, max_length=draw(st.none() | st.integers(low, low + 10)))


scalar_shapes: st.SearchStrategy[Shape] = st.one_of(constants, integers(), numbers(), strings())


def schema_of(shape: Shape) -> dict[str, Any]:
    """What a validator is asked about a value of the shape."""
    match shape:
        case ConstantsShape():
            return {"enum": list(shape.values)}
        case IntegerShape():
            found = {"minimum": shape.minimum, "maximum": shape.maximum, "multipleOf": shape.multiple_of}
            return {"type": "integer"} | _given(found)
        case NumberShape():
            low = "exclusiveMinimum" if shape.is_minimum_exclusive else "minimum"
            high = "exclusiveMaximum" if shape.is_maximum_exclusive else "maximum"
            return {"type": "number"} | _given(
                {low: shape.minimum, high: shape.maximum, "multipleOf": shape.multiple_of}
            )
        case StringShape():
            limits: dict[str, Any] = {
                "minLength": shape.min_length,
                "maxLength": shape.max_length,
                "format": shape.format,
            }
            return {"type": "string", "allOf": [{"pattern": one} for one in shape.patterns]} | _given(limits)
    raise AssertionError(shape)


def _given(keywords: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in keywords.items() if value is not None}
