"""The synthetic stream: valid calls, exact evidence, one answer, and every lesson."""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.shared_data import shared
from training.data import Example, leaves, synthetic_example, synthetic_examples
from training.data.synthetic import lessons, repeated, requests, sharing
from training.data.synthetic.callings import called
from training.data.synthetic.city_kinds import city_kind, state_kind
from training.data.synthetic.conversation import Conversation
from training.data.synthetic.draw import Draw
from training.data.synthetic.families import families_of
from training.data.synthetic.grammar import Action, ParameterRule, actions, senses
from training.data.synthetic.kinds import Copy
from training.data.synthetic.lookups import lookup_action, sibling_lookups
from training.data.synthetic.measures import measure_action, sibling_measures
from training.data.synthetic.number_kinds import percent_kind
from training.data.synthetic.numbers import number_words, ordinal
from training.data.synthetic.results import make_result
from training.data.synthetic.tools import draw_tool, is_confusable, subject_of

SAMPLE = 1500


@pytest.fixture(scope="module")
def sample() -> list[Example]:
    return list(itertools.islice(synthetic_examples(7), SAMPLE))


def calls_of(example: Example) -> list[tuple[int, int, dict[str, Any]]]:
    return [
        (index, number, call)
        for index, message in enumerate(example.messages)
        for number, call in enumerate(message.get("tool_calls", ()))
    ]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), index=st.integers(0, 2**40), split=st.sampled_from(["train", "dev"]))
def test_every_call_validates_against_the_tool_it_names(seed: int, index: int, split: Any) -> None:
    example = synthetic_example(seed, index, split=split)
    schemas = {tool["name"]: tool["parameters"] for tool in example.tools}

    assert len(schemas) == len(example.tools)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    for _, _, call in calls_of(example):
        closed = {**schemas[call["name"]], "additionalProperties": False}
        Draft202012Validator(closed, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
            call["arguments"]
        )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), index=st.integers(0, 10**9))
def test_an_example_is_a_function_of_seed_and_index_alone(seed: int, index: int) -> None:
    first = synthetic_example(seed, index)
    synthetic_example(seed + 1, index)

    assert synthetic_example(seed, index) == first


def test_a_stream_resumed_in_the_middle_goes_on_as_if_never_stopped() -> None:
    whole = list(itertools.islice(synthetic_examples(3), 40))

    assert list(itertools.islice(synthetic_examples(3, start=25), 15)) == whole[25:]


def test_other_seeds_give_other_examples() -> None:
    assert synthetic_example(1, 0) != synthetic_example(2, 0)
    assert synthetic_example(1, 0, split="train") != synthetic_example(1, 0, split="dev")


def test_evidence_spans_hold_exactly_their_value(sample: list[Example]) -> None:
    for example in sample:
        for index, number, call in calls_of(example):
            for path, value in leaves(call["arguments"]):
                span = example.evidence[index, number, path]
                if span is not None:
                    text = example.messages[span.message_index]["content"][span.start : span.end]
                    assert text == (value if isinstance(value, str) else json.dumps(value))
                    assert span.message_index < index
                    assert example.messages[span.message_index]["role"] in ("user", "tool")


def test_every_leaf_value_has_an_evidence_entry_and_no_other_path_has(sample: list[Example]) -> None:
    for example in sample:
        paths = {
            (index, number, path)
            for index, number, call in calls_of(example)
            for path, _ in leaves(call["arguments"])
        }
        assert set(example.evidence) == paths


def test_most_strings_and_numbers_are_copied_and_some_are_converted(sample: list[Example]) -> None:
    copied: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for example in sample:
        for index, number, call in calls_of(example):
            for path, value in leaves(call["arguments"]):
                total[type(value).__name__] += 1
                copied[type(value).__name__] += example.evidence[index, number, path] is not None

    for name in ("str", "int", "float"):
        assert 0.6 < copied[name] / total[name] < 0.98
    assert total["bool"] > 50
    assert copied["bool"] == 0


def test_arguments_stand_in_schema_order_and_absent_is_absent(sample: list[Example]) -> None:
    for example in sample:
        schemas = {tool["name"]: tool["parameters"] for tool in example.tools}
        for _, _, call in calls_of(example):
            names = list(schemas[call["name"]]["properties"])
            assert list(call["arguments"]) == [name for name in names if name in call["arguments"]]
            assert None not in call["arguments"].values()


def test_every_lesson_occurs(sample: list[Example]) -> None:
    kinds = Counter(example.kind for example in sample)

    assert set(kinds) == {
        "single", "parallel", "several", "missing", "none_fits", "chat", "report", "follow_up", "chain",
        "second_request",
    }  # fmt: skip
    assert kinds["single"] > SAMPLE * 0.3
    assert kinds["none_fits"] > SAMPLE * 0.05


def test_when_no_tool_fits_the_reply_is_words(sample: list[Example]) -> None:
    for example in sample:
        if example.kind == "none_fits":
            assert example.tools
            assert not calls_of(example)
            assert example.target["content"]


def test_a_missing_value_is_asked_for_by_its_label(sample: list[Example]) -> None:
    asked = [example for example in sample if example.kind == "missing"]

    assert asked
    for example in asked:
        reply = next(message for message in example.messages if message["role"] == "assistant")
        assert reply["content"]
        assert "tool_calls" not in reply


def test_parallel_calls_name_one_tool_with_different_arguments(sample: list[Example]) -> None:
    several = [example for example in sample if example.kind == "parallel"]

    assert any(len(example.target["tool_calls"]) >= 3 for example in several)
    for example in several:
        calls = example.target["tool_calls"]
        assert len({call["name"] for call in calls}) == 1
        assert len({json.dumps(call["arguments"]) for call in calls}) == len(calls)


def test_a_chained_value_is_read_from_the_tool_result() -> None:
    chains = (example for example in synthetic_examples(11) if example.kind == "chain")

    for example in itertools.islice(chains, 20):
        spans = [span for span in example.evidence.values() if span is not None]
        assert any(example.messages[span.message_index]["role"] == "tool" for span in spans) or any(
            "\\" in str(value) for _, _, call in calls_of(example) for _, value in leaves(call["arguments"])
        )


def test_relative_dates_come_with_the_date_they_are_relative_to() -> None:
    def says_relative(example: Example) -> bool:
        said = " ".join(message["content"] for message in example.messages if message["role"] == "user")
        return "tomorrow" in said and any(
            re.fullmatch(r"\d{4}-\d\d-\d\d", str(value)) and str(value) not in said
            for _, _, call in calls_of(example)
            for _, value in leaves(call["arguments"])
        )

    found = list(itertools.islice(filter(says_relative, synthetic_examples(5)), 10))

    assert found
    assert all(example.date is not None for example in found)


def test_names_carry_no_memory(sample: list[Example]) -> None:
    called = Counter(call["name"] for example in sample for _, _, call in calls_of(example))

    assert len(called) > 0.7 * sum(called.values())
    assert called.most_common(1)[0][1] < 12


def test_tools_called_in_dev_are_never_called_in_train() -> None:
    def described(split: Any) -> set[tuple[str, str]]:
        from training.data.synthetic.offering import draw_action

        draws = (draw_action(Draw(1, index), split) for index in range(2500))
        return {(str(action.verbs), action.object) for action in draws}

    assert not described("train") & described("dev")


def test_wordings_speak_only_of_parameters_their_action_has() -> None:
    for action in actions():
        names = {rule.names[0] for rule in action.parameters}
        for ask in action.asks:
            said = {part.split("}")[0] for part in ask.split("{")[1:]}
            assert said <= names, f"{action.object}: {ask}"


def test_several_languages_and_scripts_occur() -> None:
    said = " ".join(
        message["content"]
        for example in itertools.islice(synthetic_examples(2), 6000)
        for message in example.messages
        if message["role"] == "user"
    )

    scripts = {
        unicodedata.name(character, "?").split(" ")[0] for character in set(said) if character.isalpha()
    }
    assert {"LATIN", "CYRILLIC", "CJK", "HIRAGANA", "ARABIC", "GREEK"} <= scripts
    assert "¿" in said


def test_values_cover_the_json_types_and_nesting(sample: list[Example]) -> None:
    types: Counter[str] = Counter()
    depths: Counter[int] = Counter()
    for example in sample:
        for _, _, call in calls_of(example):
            types.update(type(value).__name__ for value in call["arguments"].values())
            depths.update(path.count(".") for path, _ in leaves(call["arguments"]))

    assert set(types) == {"str", "int", "float", "bool", "list", "dict"}
    assert depths[2] > 0


def test_pool_tools_enter_the_stream_where_a_pool_is_named() -> None:
    pool = str(shared("data/tool_pool.jsonl.zst"))

    with_pool = [synthetic_example(1, index, pool=pool) for index in range(60)]

    assert with_pool != [synthetic_example(1, index) for index in range(60)]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (17, "seventeen"),
        (42, "forty-two"),
        (105, "one hundred and five"),
        (3200, "three thousand two hundred"),
    ],
)
def test_numbers_are_spelt_as_words(number: int, words: str) -> None:
    assert number_words(number) == words


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (22, "22nd"), (113, "113th")]
)
def test_ordinals_end_as_they_are_said(number: int, text: str) -> None:
    assert ordinal(number) == text


@pytest.mark.parametrize(
    ("labels", "members"),
    [
        (("num1", "num2"), {(0, 1)}),
        (("c", "a", "b"), {(1, 2, 0)}),
        (("side a", "side b", "unit"), {(0, 1)}),
        (("end date", "start date"), {(1, 0)}),
        (("x1", "y1", "x2", "y2"), {(0, 1, 2, 3)}),
        (("mass1", "speed", "mass2"), {(0, 2)}),
        (("length", "width", "height"), {(0, 1, 2)}),
        (("schema", "data"), set()),
        (("num2", "num3"), set()),
    ],
)
def test_a_series_of_parameters_is_known_by_its_names(
    labels: tuple[str, ...], members: set[tuple[int, ...]]
) -> None:
    assert {family.places for family in families_of(labels, ("number",) * len(labels))} == members


def test_parameters_of_different_sorts_are_no_series() -> None:
    assert families_of(("a", "b"), ("number", "string")) == ()


def _said(action: Action, number: int) -> tuple[str, dict[str, Any]]:
    draw = Draw(5, number)
    tool = draw_tool(draw, action)
    given = requests.choose_values(draw, tool)
    text, _ = requests.write(requests.say_request(draw, tool, given))
    by_rule = {p.rule_name: given[p.name][0] for p in tool.parameters if not p.is_spare}
    return text, by_rule


def test_values_without_names_are_said_in_the_order_of_their_names() -> None:
    rules = tuple(
        ParameterRule((name,), "int", "1000001/9999999", True, None, ()) for name in ("num1", "num2")
    )
    action = Action("t", "do", ("compute",), "the gap", rules)
    unnamed = 0
    for number in range(300):
        text, values = _said(action, number)
        first, second = text.find(str(values["num1"])), text.find(str(values["num2"]))
        if -1 not in (first, second) and first != second and "num" not in text.lower():
            unnamed += 1
            assert first < second

    assert unnamed > 20


def test_two_lists_in_one_request_can_be_told_apart() -> None:
    rules = tuple(
        ParameterRule((name,), "list", "plainword/2/4", True, None, ()) for name in ("left", "right")
    )
    action = Action("t", "do", ("merge",), "the lists", rules)
    for number in range(200):
        text, values = _said(action, number)
        assert text.count("[") == 2, text
        assert all(isinstance(value, list) for value in values.values())


def test_the_schema_tells_whether_a_rate_is_a_fraction() -> None:
    for number in range(400):
        draw = Draw(6, number)
        name = draw.pick(("interest_rate", "percentage"))
        kind = percent_kind(draw, name)
        value, pieces = kind.sample(draw)
        said = "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)
        amount = re.match(r"[\d.]+", said)
        if amount is None or amount[0] == said:
            continue
        is_fraction = value != float(amount[0])
        if is_fraction:
            assert value == pytest.approx(float(amount[0]) / 100)
        tells_fraction = "decimal" in kind.hint or "0 and 1" in kind.hint or "0.0" in kind.hint
        tells_whole = "percent" in kind.hint.split("(")[0] and not tells_fraction
        tells_whole = tells_whole or kind.schema["type"] == "integer"
        assert is_fraction == (tells_fraction or not tells_whole and name == "interest_rate"), kind


def test_siblings_of_a_lookup_ask_for_something_else() -> None:
    for number in range(200):
        draw = Draw(8, number)
        action = lookup_action(draw)
        for other in sibling_lookups(draw, action, 3):
            assert other.object != action.object
            assert other.parameters[0].is_required


def test_tools_that_one_question_could_mean_are_confusable() -> None:
    by_question: dict[str, Action] = {}
    for action in actions():
        for ask in action.asks:
            question = re.sub(r"\{\w+\}", "{}", ask.lower())
            other = by_question.setdefault(question, action)
            assert other is action or is_confusable(other, action)


def test_every_value_said_letter_for_letter_stands_in_the_request_once_the_call_has_it() -> None:
    rules = (
        ParameterRule(("speed",), "int", "1000001/9999999", True, None, ()),
        ParameterRule(("mass",), "int", "1000001/9999999", False, None, ()),
        ParameterRule(("owner",), "email", "", False, None, ()),
    )
    action = Action("t", "do", ("weigh",), "the crate", rules)
    for number in range(200):
        draw = Draw(9, number)
        tool = draw_tool(draw, action)
        given = requests.choose_values(draw, tool)
        text, spans = requests.write(requests.say_request(draw, tool, given))
        for parameter in tool.parameters:
            if parameter.rule_name == "owner":
                is_given = parameter.name in given
                assert ("@" in text) == is_given
                assert (f"0:{parameter.name}" in spans) == is_given


def test_siblings_of_a_measure_take_numbers_and_differ_in_what_they_measure() -> None:
    for number in range(200):
        draw = Draw(10, number)
        action = measure_action(draw)
        siblings = sibling_measures(draw, action, 3)
        objects = [other.object for other in (action, *siblings)]
        assert len(set(objects)) == len(objects)
        assert not any(is_confusable(action, other) for other in siblings)
        for other in siblings:
            assert any(rule.is_required for rule in other.parameters)


def test_a_measure_of_two_things_says_which_number_is_whose() -> None:
    actions_of_two = (measure_action(Draw(15, number)) for number in range(3000))
    found = 0
    for number, action in enumerate(action for action in actions_of_two if " of two " in action.object):
        draw = Draw(16, number)
        tool = draw_tool(draw, action)
        needed = [p for p in tool.parameters if p.is_required]
        assert len(needed) == 4
        given = requests.choose_values(draw, tool, optional_rate=0.0)
        _, spans = requests.write(requests.say_request(draw, tool, given))
        starts = {p.rule_name: spans[f"0:{p.name}"][0] for p in needed if f"0:{p.name}" in spans}
        if len(starts) == 4:  # every one of the numbers is said as the call has it
            found += 1
            assert len(set(starts.values())) == 4
        for other in sibling_measures(draw, action, 3):
            assert other.object != action.object

    assert found > 100


def test_options_that_nobody_speaks_of_are_common_and_left_out() -> None:
    unsaid = said = 0
    for number in range(800):
        draw = Draw(17, number)
        tool = draw_tool(draw, measure_action(draw))
        given = requests.choose_values(draw, tool)
        spares = [p for p in tool.parameters if p.is_spare]
        assert not any(p.is_required for p in spares)
        said += sum(p.name in given for p in spares)
        unsaid += sum(p.name not in given for p in spares)

    assert unsaid > 500
    assert unsaid > 4 * said > 0


def test_like_numbers_of_one_call_are_at_times_equal() -> None:
    rules = tuple(ParameterRule((name,), "int", "100/999999", True, None, ()) for name in ("mass", "speed"))
    action = Action("t", "do", ("weigh",), "the crate", rules, is_composed=True)
    equal = 0
    for number in range(600):
        draw = Draw(18, number)
        tool = draw_tool(draw, action)
        given = requests.choose_values(draw, tool)
        values = [given[p.name][0] for p in tool.parameters if p.is_required]
        equal += values[0] == values[1]
        text, spans = requests.write(requests.say_request(draw, tool, given))
        for path, (start, end) in spans.items():
            assert text[start:end] == str(given[path.partition(":")[2]][0])

    assert 5 < equal < 100


def test_senses_speak_of_things_that_tools_are_about() -> None:
    lookups = {lookup_action(Draw(11, number)).object for number in range(6000)}

    assert set(senses()) <= {action.object for action in actions()} | lookups


def test_tools_asked_about_the_same_thing_are_called_with_the_same_values_and_evidence() -> None:
    found = 0
    for number in range(120):
        draw = Draw(12, number)
        tools = sharing.sharing_tools(draw, lessons.related(draw, "train", 4))
        if not tools:
            continue
        found += 1
        talk = Conversation(draw, system="")
        sharing.talk_sharing(draw, talk, tools)
        calls = talk.messages[-1]["tool_calls"]
        values = Counter(json.dumps(sorted(map(str, call["arguments"].values()))) for call in calls)
        assert set(values.values()) == {len(tools)}
        for (index, _, _), span in talk.evidence.items():
            assert span is None or span.message_index < index

    assert found > 30


def test_one_of_several_requests_may_need_several_calls_itself() -> None:
    several = (example for example in synthetic_examples(21) if example.kind == "several")
    most_of_one = [
        Counter(call["name"] for call in example.target["tool_calls"]).most_common(1)[0][1]
        for example in itertools.islice(several, 80)
    ]

    assert {1, 2, 3} <= set(most_of_one)


@pytest.mark.parametrize("kind", ["parallel", "several"])
def test_the_values_of_every_call_stand_in_the_request(kind: str) -> None:
    chosen = (example for example in synthetic_examples(22) if example.kind == kind)
    for example in itertools.islice(chosen, 150):
        said = example.messages[-2]["content"].lower()
        for _, number, call in calls_of(example):
            for path, value in leaves(call["arguments"]):
                span = example.evidence[len(example.messages) - 1, number, path]
                if isinstance(value, int) and not isinstance(value, bool) and span is not None:
                    assert str(value) in said


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_a_noun_beside_a_value_is_no_part_of_it(seed: int) -> None:
    pieces = called(Draw(seed, 0), "movies", [Copy("0:movie", "Green Harbor")])
    text = "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)

    assert [piece.text for piece in pieces if isinstance(piece, Copy)] == ["Green Harbor"]
    assert "Green Harbor" in text
    assert text == text.strip()


def test_a_city_is_written_as_its_description_wants_it() -> None:
    completed = 0
    for number in range(600):
        draw = Draw(13, number)
        kind = city_kind(draw, "")
        value, pieces = kind.sample(draw)
        if not kind.hint:
            assert pieces == [Copy("", value)]
        else:
            assert ", " in value
            completed += not isinstance(pieces[0], Copy)

    assert completed > 60


def test_a_state_is_written_as_its_description_wants_it() -> None:
    for number in range(300):
        draw = Draw(19, number)
        kind = state_kind(draw, "")
        value, pieces = kind.sample(draw)
        assert (len(value) == 2 and value.isupper()) == bool(kind.hint)
        assert bool(kind.hint) or pieces == [Copy("", value)]


def test_a_result_with_a_date_or_time_is_told_once_in_one_sentence() -> None:
    tool = draw_tool(Draw(20, 0), next(action for action in actions() if action.family == "get"))
    told_times = 0
    for number in range(400):
        payload, told = make_result(Draw(20, number), tool)
        if isinstance(payload, dict) and payload.keys() & {"weekday", "timezone", "datetime"}:
            told_times += 1
            assert told.endswith(".")
            assert told.count(". ") == 0
            assert all(told.count(str(value)) <= 1 for value in payload.values())

    assert told_times > 30


def test_whole_requests_in_one_message_keep_the_values_of_each() -> None:
    rules = (ParameterRule(("speed",), "int", "1000001/9999999", True, None, ()),)
    action = Action("t", "do", ("weigh",), "the crate", rules)
    for number in range(150):
        draw = Draw(14, number)
        tool = draw_tool(draw, action)
        givens = [requests.choose_values(draw, tool) for _ in range(draw.between(2, 4))]
        said = [
            requests.say_request(draw, tool, values, call, is_alone=False)
            for call, values in enumerate(givens)
        ]
        text, spans = requests.write(repeated.join_requests(draw, said))
        for path, (start, end) in spans.items():
            call, _, name = path.partition(":")
            assert text[start:end] == str(givens[int(call)][name][0])


def test_small_talk_beside_tools_is_answered_in_words(sample: list[Example]) -> None:
    chats = [example for example in sample if example.kind == "chat"]

    assert len({example.messages[-2]["content"] for example in chats}) > 20
    assert not any(calls_of(example) for example in chats)


def test_every_action_has_a_subject_to_ask_about() -> None:
    """A robot moved "to a position" has nothing before its preposition."""
    subjects = {action.object: subject_of(action) for action in actions()}
    assert all(subjects.values())
    assert subjects["to a position"] == "position"
