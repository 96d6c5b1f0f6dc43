"""What the shipped weights answer through LangChain, beside a copying toy that understands nothing.

LangChain's own suites can be passed by copying the first number and the first name of a question, so these
controls are made such that copying is wrong. THESE TESTS JUDGE THE WEIGHTS: look at them again when the
embedded model is replaced. They ask for a share of each kind, not for every sentence; the toy gets none.
`python -m tests.unit.test_langchain_semantics` prints the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from agent_runtime import Turn
from agent_runtime.testing import call, calls, scripted_runtime
from agent_runtime.turn_engine import TurnOrder
from integrations.langchain import AskBackMiddleware, ChatSmolLM3, argument_report


def get_weather(city: str, days: int = 1) -> None:
    """Current weather for a city.

    Args:
        city: City name.
        days: Number of days.
    """


def add(a: int, b: int) -> None:
    """Add two numbers.

    Args:
        a: First number.
        b: Second number.
    """


def set_volume(percent: int) -> None:
    """Set the volume of the speaker.

    Args:
        percent: Volume in percent.
    """


def switch_light(room: str, on: bool) -> None:
    """Switch the light in a room on or off.

    Args:
        room: Name of the room.
        on: Whether the light is on.
    """


@dataclass(frozen=True)
class Control:
    """A question whose right call (or none) cannot be had by copying what comes first."""

    kind: str
    question: str
    tool: Callable[..., None]
    expected: dict[str, Any] | None


CONTROLS = [
    *(
        Control("not first", question, tool, expected)
        for question, tool, expected in [
            ("It was 3 degrees yesterday. What's the weather in Oslo for 5 days?", get_weather,
             {"city": "Oslo", "days": 5}),
            ("I have 2 kids and live in Bergen. What's the weather in Oslo for 5 days?", get_weather,
             {"city": "Oslo", "days": 5}),
            ("Hello, I am Anna. What's the weather in Paris for 3 days?", get_weather,
             {"city": "Paris", "days": 3}),
            ("My flight is number 7. Set the volume to 40 percent.", set_volume, {"percent": 40}),
        ]
    ),
    *(
        Control("two integers", question, add, expected)
        for question, expected in [
            ("Add 12 and 7.", {"a": 12, "b": 7}),
            ("Add 7 and 12.", {"a": 7, "b": 12}),
            ("What is 45 plus 19?", {"a": 45, "b": 19}),
            ("Add 3 and 250.", {"a": 3, "b": 250}),
        ]
    ),
    *(
        Control("text of another type", question, tool, expected)
        for question, tool, expected in [
            ("What's the weather in Oslo for five days?", get_weather, {"city": "Oslo", "days": 5}),
            ("Set the volume to forty percent.", set_volume, {"percent": 40}),
            ("Turn on the light in the kitchen.", switch_light, {"room": "kitchen", "on": True}),
            ("Turn off the light in the bedroom.", switch_light, {"room": "bedroom", "on": False}),
        ]
    ),
    *(
        Control("unicode", question, get_weather, expected)
        for question, expected in [
            ("What's the weather in São Paulo for 4 days?", {"city": "São Paulo", "days": 4}),
            ("I have 3 kids. What's the weather in Zürich for 2 days?", {"city": "Zürich", "days": 2}),
            ("I am Anna. What's the weather in Kraków for 2 days?", {"city": "Kraków", "days": 2}),
            ("It was 3 degrees yesterday. What's the weather in Malmö?", {"city": "Malmö"}),
        ]
    ),
    *(
        Control("needs no tool", question, tool, None)
        for question, tool in [
            ("Thank you for the weather in Oslo.", get_weather),
            ("Tell me a joke about the weather.", get_weather),
            ("Thanks, the volume is fine.", set_volume),
            ("Good morning! Nice weather today.", get_weather),
        ]
    ),
]  # fmt: skip
KINDS = list(dict.fromkeys(control.kind for control in CONTROLS))


def _copied(kind: Any, text: str) -> Any:
    """The first thing in the text that could be a value of this type."""
    if kind == "integer":
        found = re.search(r"\d+", text)
        return int(found.group()) if found else 0
    if kind == "boolean":
        return True
    quoted = re.search(r"['\"](\w[^'\"]*)['\"]", text)
    name = re.search(r"(?<=[a-zı,] )[^\W\d_a-z]\w+", text)
    return quoted.group(1) if quoted else name.group() if name else text.split()[0]


def copying_toy(order: TurnOrder) -> str | Turn:
    """No language model: calls when words overlap, copies what comes first."""
    text = order.messages[-1].content
    words = set(re.findall(r"\w{4,}", text.lower()))
    for offered in order.tools:
        if words & set(
            re.findall(r"\w{4,}", f"{offered.name} {offered.description}".lower().replace("_", " "))
        ):
            properties = offered.parameters["properties"]
            return calls(
                call(offered.name, {key: _copied(schema["type"], text) for key, schema in properties.items()})
            )
    return "I do not know."


def is_right(model: ChatSmolLM3, control: Control) -> bool:
    message = model.bind_tools([control.tool]).invoke(control.question)
    made = [(made["name"], made["args"]) for made in message.tool_calls]
    expected = [] if control.expected is None else [(control.tool.__name__, control.expected)]
    return made == expected


def toy() -> ChatSmolLM3:
    return ChatSmolLM3(runtime=scripted_runtime(copying_toy))


@pytest.mark.parametrize("kind", KINDS)
def test_controls_of_each_kind_are_answered_right(kind: str) -> None:
    """Half of those that need a call, and one of those that need none: these weights call too readily."""
    controls = [control for control in CONTROLS if control.kind == kind]

    right = [control.question for control in controls if is_right(ChatSmolLM3(), control)]

    needed = len(controls) / 2 if any(control.expected for control in controls) else 1
    assert len(right) >= needed, right


@pytest.mark.parametrize("control", [pytest.param(control, id=control.question) for control in CONTROLS])
def test_the_copying_toy_fails_every_control(control: Control) -> None:
    assert not is_right(toy(), control)


def test_the_copying_toy_answers_where_copying_is_right() -> None:
    control = Control(
        "", "Please tell me the weather in Oslo for 5 days", get_weather, {"city": "Oslo", "days": 5}
    )

    assert is_right(toy(), control)


def test_the_question_of_the_readme_is_answered_with_evidence() -> None:
    message = ChatSmolLM3().bind_tools([get_weather]).invoke("What's the weather in Oslo for 5 days?")

    assert [made["args"] for made in message.tool_calls] == [{"city": "Oslo", "days": 5}]
    (report,) = argument_report(message)
    city, days = report.arguments["city"].evidence, report.arguments["days"].evidence
    assert city is not None and (city.start, city.end, city.text) == (22, 26, "Oslo")
    assert days is not None and days.text == "5"


# Asking instead of guessing.


def transfer(recipient: str, amount: float) -> None:
    """Transfer money to someone.

    Args:
        recipient: Who gets it.
        amount: How much.
    """


def set_alarm(time: str) -> None:
    """Set an alarm.

    Args:
        time: Time of day.
    """


COMPLETE = [
    ("What's the weather in Oslo for 5 days?", get_weather),
    ("What's the weather in Paris?", get_weather),
    ("Transfer 20 euros to Anna.", transfer),
    ("Send 50 euros to Tom.", transfer),
    ("Set an alarm for 7:30.", set_alarm),
    ("Wake me at 6:15.", set_alarm),
]
LACKING = [
    ("What's the weather like?", get_weather),
    ("How is the weather?", get_weather),
    ("Transfer some money to Anna.", transfer),
    ("Transfer 20 euros.", transfer),
    ("Set an alarm.", set_alarm),
    ("Wake me early.", set_alarm),
]


def asks_back(question: str, offered: Callable[..., None]) -> bool:
    message = ChatSmolLM3().bind_tools([offered], tool_choice="any").invoke(question)
    return any(AskBackMiddleware(0.5).doubtful_calls(message))


def test_questions_that_lack_a_value_are_asked_back_about_more_than_complete_ones() -> None:
    lacking = [question for question, offered in LACKING if asks_back(question, offered)]
    complete = [question for question, offered in COMPLETE if asks_back(question, offered)]

    assert len(lacking) >= len(LACKING) / 2, lacking
    assert len(complete) <= len(COMPLETE) / 3, complete


if __name__ == "__main__":
    import sys

    for control in CONTROLS:
        verdict = [is_right(model, control) for model in (ChatSmolLM3(), toy())]
        sys.stdout.write(f"{verdict[0]!s:6} {verdict[1]!s:6} {control.kind:22} {control.question}\n")
    for lacks, questions in ((False, COMPLETE), (True, LACKING)):
        for question, offered in questions:
            answer = "asks" if asks_back(question, offered) else "runs"
            sys.stdout.write(f"{answer:13} {'lacks a value' if lacks else 'complete':22} {question}\n")
