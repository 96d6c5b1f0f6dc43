"""What a measurement says, as data: `--json` writes a `BenchReport`, table and plot are made from one."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from .questions import GrowthKind

FORMAT_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Spread(_Part):
    """How a number lies over the questions; of each question the median of its repeats counts."""

    median: float
    mean: float
    p95: float


class QuestionFigures(_Part):
    """A row over the question set, one question at a time."""

    ms: Spread
    """Milliseconds from the question to the call."""

    processor_ms: float
    """Milliseconds of processor time, all threads together, the median: what a busy machine blurs less. A
    thread that waits for a GPU counts too."""

    forwards: Spread
    """Forwards a call, the prompt's included."""

    tokens: Spread
    """Tokens a call, its scaffold included."""

    tokens_a_forward: float
    """All tokens over all forwards."""

    acceptance: float | None
    """Tokens of calls over forwards behind the prompt's, of rows that read drafts: what one verifying forward
    decides. None of the others."""

    valid: float
    """Share of the replies that hold a call whose arguments fit the tool's schema."""

    exact: float | None
    """Share of the calls that are the right one, name and all arguments; None where no answer is known."""

    speedup_over_b1: float | None
    """Median milliseconds of the faster B1 over this row's; None where no B1 was measured."""

    speedup_over_b2: float | None
    """The same against B2."""


class GrowthFigures(_Part):
    """A row over calls with two string arguments of some length."""

    kind: GrowthKind
    """Whether the values stand in the question or are the model's own."""

    argument_tokens: int
    """Tokens of each argument, as the tokenizer cuts the text that is asked for."""

    written_tokens: float | None
    """Tokens of each argument as it was written, the median; None where no call was complete. Values the
    model makes up have as many characters as were asked for, and often more tokens."""

    ms: float
    """Median milliseconds a call."""

    forwards: float
    """Median forwards a call."""

    tokens: float
    """Median tokens a call."""


class BatchFigures(_Part):
    """A row with several turns side by side."""

    turns: int
    """Turns at once."""

    calls_per_second: float
    """Calls finished a second, all turns together; the median of the repeats."""


class MemoryFigures(_Part):
    """Megabytes, roughly: torch's allocator on CUDA, the process' resident set elsewhere."""

    loaded: float | None
    """What loading and warming up took; rows that share weights state the same number, that of the first."""

    answering: float | None
    """The most that one answer took beyond what was taken before it."""


class RowReport(_Part):
    """What a row did, or why it did nothing."""

    key: str
    title: str
    missing: str | None = None
    """Why nothing was measured, and what to do; None where something was."""

    notes: tuple[str, ...] = ()
    questions: QuestionFigures | None = None
    growth: tuple[GrowthFigures, ...] = ()
    batches: tuple[BatchFigures, ...] = ()
    memory: MemoryFigures | None = None


class Agreement(_Part):
    """Whether a row that must write the very calls of B2 did."""

    row: str
    num_same: int
    num_compared: int

    @property
    def holds(self) -> bool:
        """Whether all were the same."""
        return self.num_same == self.num_compared


class Machine(_Part):
    """Where it ran."""

    processor: str
    device: str
    dtype: str
    threads: int
    versions: dict[str, str]


class Settings(_Part):
    """What was asked of it."""

    model: str
    parameters: int
    is_random: bool
    heads: str | None
    num_questions: int
    repeats: int
    max_tokens: int


class BenchReport(_Part):
    """One run of `smolcall bench`."""

    format_version: int = FORMAT_VERSION
    smolcall: str
    started: str
    """When, ISO 8601 in UTC."""

    seconds: float
    machine: Machine
    settings: Settings
    rows: tuple[RowReport, ...]
    agreements: tuple[Agreement, ...]

    @property
    def measured(self) -> Iterator[RowReport]:
        """The rows that did something."""
        return (row for row in self.rows if row.missing is None)

    @property
    def is_consistent(self) -> bool:
        """Whether every row that must write the calls of B2 did."""
        return all(agreement.holds for agreement in self.agreements)
