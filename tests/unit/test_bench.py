"""`smolcall bench`: the command on a tiny model, and its counting on rows that say what they are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime import DeploymentConfig, tool
from agent_runtime.bench.generate_rows import call_schema
from agent_runtime.bench.measure import GrowthQuestions, Measured, Measurement, Plan
from agent_runtime.bench.models import count_parameters, write_random_model
from agent_runtime.bench.open_rows import OpenRows
from agent_runtime.bench.questions import Question, bounded, bundled_questions, growth_questions
from agent_runtime.bench.report import BenchReport
from agent_runtime.bench.rows import KIND_OF, KINDS, Answer, BenchModel, RowKind
from agent_runtime.cli import main
from tests.tiny_bundle import make_tiny_bundle
from tests.tiny_model import make_tiny_model

SECONDS_A_CALL = {"b0": 8.0, "b1-xgrammar": 4.0, "b2": 2.0, "b3": 1.0}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("bench") / "model", hidden=32, layers=2)


@pytest.fixture(scope="module")
def model(tiny: Path) -> BenchModel:
    deployment = DeploymentConfig(
        device="cpu", dtype="float32", prefix_cache_tokens=0, max_parallel_calls=1, max_batch=8
    )
    return BenchModel(folder=tiny, name="tiny", is_random=False, deployment=deployment)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SMOLCALL_DEPLOYMENT", "SMOLCALL_MODEL", "SMOLCALL_HEADS"):
        monkeypatch.delenv(variable, raising=False)


# The command.


@pytest.fixture(scope="module")
def quick_run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    folder = tmp_path_factory.mktemp("out")
    words = ["--quick", "--questions", "2", "--lengths", "4", "--batches", "2", "--max-tokens", "64"]
    files = ["--json", str(folder / "bench.json"), "--plot", str(folder / "bench.svg")]
    status = main(["bench", "--model", str(tiny), "--device", "cpu", *words, *files])
    return status, folder


def test_one_command_measures_every_row_it_can(quick_run: tuple[int, Path]) -> None:
    status, folder = quick_run

    report = BenchReport.model_validate_json((folder / "bench.json").read_text())

    assert status == 0
    assert [row.key for row in report.rows] == [kind.key for kind in KINDS]
    for row in report.measured:
        assert row.questions is not None and row.questions.ms.median > 0
        kinds = ["copied"] if row.key == "b0" else ["copied", "made up"]
        assert [one.kind for one in row.growth] == kinds and len(row.batches) == 1
    assert report.is_consistent and {"b3", "b3b-verified"} <= {one.row for one in report.agreements}


def test_own_rows_are_always_valid_and_read_less_than_generate(quick_run: tuple[int, Path]) -> None:
    report = BenchReport.model_validate_json((quick_run[1] / "bench.json").read_text())

    rows = {row.key: row.questions for row in report.measured}

    for key in ("b2", "b3", "b3b", "b3b-verified"):
        figures = rows[key]
        assert figures is not None and figures.valid == 1.0
        assert figures.tokens_a_forward >= 1.0
    assert rows["b0"] is not None and rows["b2"] is not None
    assert rows["b2"].tokens_a_forward > rows["b0"].tokens_a_forward


def test_rows_without_a_bundle_say_what_to_do(quick_run: tuple[int, Path]) -> None:
    report = BenchReport.model_validate_json((quick_run[1] / "bench.json").read_text())

    missing = {row.key: row.missing for row in report.rows if row.missing is not None}

    assert set(missing) == {"diffusion", "verified"}
    assert all("--heads" in reason for reason in missing.values() if reason)


def test_rows_with_a_bundle_are_measured_and_verified_writes_the_calls_of_b2(
    tiny: Path, tmp_path: Path
) -> None:
    heads = make_tiny_bundle(tiny, tmp_path / "heads", spread=0.1)
    file = tmp_path / "bench.json"
    words = ["--quick", "--questions", "2", "--lengths", "--batches", "--max-tokens", "64"]
    rows = ["--rows", "b2", "diffusion", "verified", "--device", "cpu", "--set", "dtype=float32"]

    status = main(["bench", "--model", str(tiny), "--heads", str(heads), *words, *rows, "--json", str(file)])

    report = BenchReport.model_validate_json(file.read_text())
    assert status == 0 and report.settings.heads == str(heads)
    assert {row.key: row.missing for row in report.rows} == {"b2": None, "diffusion": None, "verified": None}
    assert [(one.row, one.holds) for one in report.agreements] == [("verified", True)]
    assert all(row.questions is not None and row.questions.valid == 1.0 for row in report.rows)


def test_json_fits_the_published_schema(quick_run: tuple[int, Path]) -> None:
    written = json.loads((quick_run[1] / "bench.json").read_text())

    schema = BenchReport.model_json_schema()

    jsonschema.Draft202012Validator(schema).validate(written)
    assert schema["additionalProperties"] is False


def test_plot_is_drawn(quick_run: tuple[int, Path]) -> None:
    assert "<svg" in (quick_run[1] / "bench.svg").read_text()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        pytest.param(["--fill", "verified"], "--rows", id="a fill is a row"),
        pytest.param(["--json", "no/such/folder/x.json"], "make it first", id="json into nowhere"),
        pytest.param(["--plot", "no/such/folder/x.png"], "make it first", id="plot into nowhere"),
        pytest.param(["--plot", "x.docx"], ".png", id="plot of no known kind"),
        pytest.param(
            ["--random-weights", "embedded", "--heads", "somewhere"], "contradicts", id="heads of no weights"
        ),
        pytest.param(["--model", "no-such-folder"], "does not exist", id="no such model"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words]) == 2

    said = capsys.readouterr().err
    assert complaint in said and "Traceback" not in said


@pytest.mark.parametrize(
    "words", [["--rows", "b9"], ["--repeats", "0"], ["--batches", "-1"], ["--random-weights", "huge"]]
)
def test_words_that_are_no_choice_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["bench", *words])

    assert leaving.value.code == 2 and "bench" in capsys.readouterr().err


# Rows.


async def test_row_whose_package_is_missing_says_what_to_install(model: BenchModel) -> None:
    kind = RowKind(key="b1-xgrammar", title="B1", packages=("no_such_package_at_all",))
    rows = OpenRows(model)

    await rows.open(kind, plan_of(bundled_questions()[:1]))

    report = rows.report(kind, nothing_measured())
    assert (
        rows.rows == {} and report.missing is not None and "pip install 'smolcall[bench]'" in report.missing
    )


async def test_values_side_by_side_take_as_many_forwards_as_the_longest(
    model: BenchModel,
) -> None:
    opened = OpenRows(model)
    plan = plan_of(bundled_questions()[:1])
    for key in ("b2", "b3b", "b3b-verified"):
        await opened.open(KIND_OF[key], plan)
    question = Question(ask="Go.", tools=(tool_of(a=fixed(9), b=fixed(12), c=fixed(5)),))

    answers = {key: (await row.answer([question], 200))[0] for key, row in opened.rows.items()}
    opened.close()

    # The prompt, at most a token a character of the longest, and the forward over the draft.
    assert answers["b3b"].forwards <= 12 + 3
    assert answers["b3b"].forwards < answers["b2"].forwards
    assert answers["b3b-verified"].calls == answers["b2"].calls


async def test_turns_side_by_side_are_those_alone(model: BenchModel) -> None:
    opened = OpenRows(model)
    questions = bundled_questions()[:3]
    for key in ("b0", "b1-llguidance", "b2"):
        await opened.open(KIND_OF[key], plan_of(questions[:1], max_tokens=16))

    for row in opened.rows.values():
        together = await row.answer(questions, 12)
        assert len(together) == len(questions)
    alone = [(await opened.rows["b2"].answer([question], 48))[0].calls for question in questions]

    assert [answer.calls for answer in await opened.rows["b2"].answer(questions, 48)] == alone
    opened.close()


def test_grammars_of_rivals_allow_what_the_tool_does() -> None:
    offered = tool_of(a=fixed(2), b={"type": "integer"})

    validator = jsonschema.Draft202012Validator(call_schema([offered]))

    assert validator.is_valid({"name": "t", "arguments": {"a": "xx", "b": 1}})
    assert not validator.is_valid({"name": "t", "arguments": {"a": "xx", "b": 1, "c": 2}})
    assert not validator.is_valid({"name": "u", "arguments": {"a": "xx", "b": 1}})


# What is asked.


def test_every_bundled_answer_fits_its_tool() -> None:
    for question in bundled_questions():
        tools = {one["name"]: one for one in question.tools}
        assert question.name in tools and question.arguments is not None

        assert tool(tools[question.name]).validate(question.arguments) == ()


@given(num_tokens=st.integers(1, 80), number=st.integers(1, 3))
@settings(deadline=None, max_examples=40)
def test_growing_questions_ask_for_values_of_that_length(num_tokens: int, number: int) -> None:
    def encode(text: str) -> list[int]:
        return list(text.encode()[::4])

    for kind in ("copied", "made up"):
        for question in growth_questions(encode, num_tokens, kind=kind, number=number):
            properties = question.tools[0]["parameters"]["properties"]
            for name, schema in properties.items():
                assert schema["minLength"] == schema["maxLength"] > 0
                if question.arguments is not None:
                    value = question.arguments[name]
                    assert len(value) == schema["maxLength"] and value in question.ask
                    assert len(encode(value)) <= max(num_tokens, len(encode(value.split()[0])))


def test_bounded_question_has_short_strings_and_no_known_answer() -> None:
    question = bounded(bundled_questions()[0], 16)

    city = question.tools[0]["parameters"]["properties"]["city"]

    assert city["maxLength"] == 16 and question.name is None
    assert "maxLength" not in bundled_questions()[0].tools[0]["parameters"]["properties"]["city"]


def test_random_weights_keep_the_tokenizer_and_are_the_same_each_time(tiny: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_random_model("embedded", tiny, tmp_path / name)

    assert count_parameters(tmp_path / "one") == count_parameters(tiny)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "other")]
    assert weights[0] == weights[1] != (tiny / "model.safetensors").read_bytes()
    assert (tmp_path / "one" / "tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()


# Counting.


class ScriptedRow:
    """Answers with the same call, and moves the clock on."""

    notes: tuple[str, ...] = ()

    def __init__(self, key: str, clock: list[float], order: list[str], answer: Answer) -> None:
        self._key, self._clock, self._order, self._answer = key, clock, order, answer

    async def warm_up(self, questions: Sequence[Question], max_tokens: int) -> None:
        pass

    async def answer(self, questions: Sequence[Question], max_tokens: int) -> list[Answer]:
        self._order.append(self._key)
        self._clock[0] += SECONDS_A_CALL[self._key]
        return [self._answer] * len(questions)


def measured(answers: dict[str, Answer], plan: Plan) -> tuple[Measured, list[str]]:
    clock, order = [0.0], list[str]()
    rows = {key: ScriptedRow(key, clock, order, answer) for key, answer in answers.items()}
    measurement = Measurement(rows, plan, device="cpu", tell=lambda text: None, clock=lambda: clock[0])
    return asyncio.run(measurement.run()), order


RIGHT = Answer(calls=(("t", {"a": "xx"}),), forwards=4, tokens=12)
WRONG = Answer(calls=(("t", {"a": "yy"}),), forwards=4, tokens=12)
NOTHING = Answer(calls=(), forwards=12, tokens=12)


def question_for(right: str) -> Question:
    return Question(ask="?", tools=(tool_of(a=fixed(2)),), name="t", arguments={"a": right})


def test_rows_take_turns_each_time_from_another_on() -> None:
    answers = {"b0": RIGHT, "b2": RIGHT, "b3": RIGHT}

    _, order = measured(answers, plan_of([question_for("xx")], repeats=3))

    untimed, timed = order[:3], order[3:]
    assert untimed == ["b0", "b2", "b3"]
    assert timed == ["b0", "b2", "b3", "b2", "b3", "b0", "b3", "b0", "b2"]


def test_figures_are_medians_shares_and_ratios() -> None:
    answers = {"b0": NOTHING, "b1-xgrammar": WRONG, "b2": RIGHT, "b3": RIGHT}

    result, _ = measured(answers, plan_of([question_for("xx"), question_for("xx")], repeats=2))

    b0, b1, b2, b3 = (result.questions[key] for key in answers)
    assert (b0.valid, b1.valid, b2.valid) == (0.0, 1.0, 1.0)
    assert (b0.exact, b1.exact, b2.exact) == (0.0, 0.0, 1.0)
    assert (b0.ms.median, b3.ms.median) == (8000.0, 1000.0)
    assert (b3.speedup_over_b1, b3.speedup_over_b2) == (4.0, 2.0)
    assert b0.tokens_a_forward == 1.0 and b0.acceptance is None
    assert b3.tokens_a_forward == 3.0 and b3.acceptance == 4.0


def test_other_calls_than_those_of_b2_are_told_of_rows_that_must_not_make_any() -> None:
    result, _ = measured({"b0": WRONG, "b2": RIGHT, "b3": WRONG}, plan_of([question_for("xx")]))

    (agreement,) = result.agreements

    assert (agreement.row, agreement.num_same, agreement.num_compared) == ("b3", 0, 1)
    assert not agreement.holds


def test_growth_tells_written_tokens_and_leaves_out_rows_that_keep_no_length() -> None:
    question = question_for("xx")
    part = GrowthQuestions(
        kind="copied",
        argument_tokens=4,
        max_tokens=9,
        questions=(question,),
        encode=lambda text: list(text.encode()),
        left_out=frozenset({"b0"}),
    )
    plan = plan_of([question], growth=(part,))

    result, _ = measured({"b0": NOTHING, "b2": RIGHT}, plan)

    (point,) = result.growth["b2"]
    assert (point.argument_tokens, point.written_tokens, point.forwards, point.ms) == (4, 2, 4, 2000.0)
    assert result.growth["b0"] == ()


def test_turns_at_once_are_counted_as_calls_a_second() -> None:
    plan = plan_of([question_for("xx")] * 5, batches=(4,))

    result, order = measured({"b2": RIGHT, "b3": RIGHT}, plan)

    assert [figures.calls_per_second for figures in result.batches["b2"]] == [2.0]
    assert [figures.calls_per_second for figures in result.batches["b3"]] == [4.0]
    assert order[20:] == ["b2", "b3", "b2", "b3", "b3", "b2"]


def plan_of(questions: Sequence[Question], **changes: Any) -> Plan:
    parts: dict[str, Any] = {"growth": (), "batches": (), "repeats": 1, "max_tokens": 64}
    return Plan(questions=tuple(questions), **{**parts, **changes})


def nothing_measured() -> Measured:
    return Measured(questions={}, growth={}, batches={}, answering_mb={}, agreements=())


def tool_of(**properties: Any) -> dict[str, Any]:
    return {
        "name": "t",
        "description": "Do it.",
        "parameters": {"type": "object", "properties": properties, "required": list(properties)},
    }


def fixed(length: int) -> dict[str, Any]:
    return {"type": "string", "minLength": length, "maxLength": length}
