"""Slot languages at real vocabulary size, beside outlines-core, llguidance and xgrammar.

    python -m benchmarks.typed_decoding [--tokenizer FILE_OR_FOLDER] [--rounds N] [--threads N]

Three tables, medians over rounds; in each round every engine takes its turn on the same slot:

    compile   slot language -> ready to give masks, per slot type, nothing cached
    mask      the allowed-token mask of every step along the canonical tokens of an example value
    decode    exact Viterbi over the slots of a call (ours only: the peers expose no full transition table,
              except outlines-core's, without classes)

`-`: the engine was not run (the regex takes it gigabytes), or refuses the example value (outlines-core 0.2.14
loses optional continuations of a value that could end).

Without `--tokenizer` it looks for the 128k stand-in in `../shared/tokenizer-128k` and else says so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import llguidance
import outlines_core
import torch
import transformers
import xgrammar
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from tokenizers import Tokenizer

from agent_runtime.engine.typed_decoding import (
    PackedAutomata,
    class_max,
    decode_slots,
    forward_backward,
    viterbi,
)
from agent_runtime.scaffold import automaton as automaton_module
from agent_runtime.scaffold import language as language_module
from agent_runtime.scaffold.automaton import compile_language
from agent_runtime.scaffold.formats import FORMATS
from agent_runtime.scaffold.grammar import tokenizer_of
from agent_runtime.scaffold.language import language_of
from agent_runtime.scaffold.matcher import matcher_for
from agent_runtime.scaffold.shape import ConstantsShape, IntegerShape, NumberShape, Shape, StringShape
from agent_runtime.scaffold.vocabulary import TokenVocabulary

STAND_IN = Path(__file__).resolve().parents[2] / "shared" / "tokenizer-128k" / "tokenizer.json.zst"

CHARACTER = r'(?:[^"\\\x00-\x1f]|\\["\\bfnrt]|\\u00[01][0-9a-f])'
TOO_LARGE = "-"
SLOW_SECONDS = 1.0
"""An engine that has spent this long on the masks of one slot has been measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotType:
    """A kind of slot: our shape, the same language as a regex for the peers, and an example value."""

    name: str
    shape: Shape
    regex: str
    example: str
    leading_space: bool = False
    outlines_can: bool = True
    """outlines-core writes repeats out: a bounded Unicode string takes it more than 10 GB."""


def _format(name: str, example: str) -> SlotType:
    # Theirs is Rust's or a similar dialect, where `\\d` is a digit of any script.
    regex = (
        FORMATS[name]
        .pattern.removeprefix("^")
        .removesuffix("$")
        .replace("(?!0000)", "")
        .replace(r"\d", "[0-9]")
    )
    return SlotType(name=name, shape=StringShape(format=name), regex=regex, example=example)


COLOURS = ("red", "orange", "yellow", "green", "blue", "indigo", "violet", "black")
SLOT_TYPES = (
    SlotType(
        name="boolean",
        shape=ConstantsShape(values=(True, False)),
        regex=" (?:true|false)",
        example=" true",
        leading_space=True,
    ),
    SlotType(
        name="enum of 8",
        shape=ConstantsShape(values=COLOURS),
        regex=" (?:" + "|".join(f'"{colour}"' for colour in COLOURS) + ")",
        example=' "indigo"',
        leading_space=True,
    ),
    SlotType(
        name="integer",
        shape=IntegerShape(),
        regex=" (?:0|-?[1-9][0-9]{0,18})",
        example=" -1234567",
        leading_space=True,
    ),
    SlotType(
        name="number",
        shape=NumberShape(),
        regex=r" -?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,19})?(?:e[+-]?[0-9]{1,2})?",
        example=" -122.419418",
        leading_space=True,
    ),
    _format("date", "2026-11-20"),
    _format("date-time", "2026-11-20T13:45:00+01:00"),
    _format("uuid", "123e4567-e89b-12d3-a456-426614174000"),
    _format("email", "ada.lovelace@example.org"),
    SlotType(
        name="string",
        shape=StringShape(),
        regex=f"{CHARACTER}*",
        example='A quiet table by the window, please: \\"no. 7\\"',
    ),
    SlotType(
        name="string 5..32",
        shape=StringShape(min_length=5, max_length=32),
        regex=f"{CHARACTER}{{5,32}}",
        example="A quiet table by the window",
        outlines_can=False,
    ),
    SlotType(
        name="string ..255",
        shape=StringShape(max_length=255),
        regex=f"{CHARACTER}{{0,255}}",
        example="A quiet table by the window",
        outlines_can=False,
    ),
)


class Ours:
    """This package."""

    name = "smolcall"

    def __init__(self, vocabulary: TokenVocabulary) -> None:
        self._vocabulary = vocabulary

    def compile(self, slot: SlotType) -> None:
        """From shape to automaton, with empty caches."""
        automaton_module.forget_compiled()
        language_module.forget_languages()
        compile_language(language_of(slot.shape, leading_space=slot.leading_space), self._vocabulary)

    def masks(self, slot: SlotType, token_ids: list[int]) -> list[float]:
        """Seconds per mask."""
        matcher = matcher_for(slot.shape, self._vocabulary, leading_space=slot.leading_space, budget=96)
        return _timed_steps(matcher.allowed, matcher.advance, token_ids)


class Outlines:
    """outlines-core: an index of the regex over the vocabulary."""

    name = "outlines-core"

    def __init__(self, vocabulary: TokenVocabulary) -> None:
        tokens: dict[bytes, list[int]] = {}
        for token_id, token in enumerate(vocabulary.tokens):
            if token:
                tokens.setdefault(token, []).append(token_id)
        self._vocabulary = outlines_core.Vocabulary(len(vocabulary), tokens)
        self._bits = allocate_token_bitmask(1, len(vocabulary) + 1)

    def compile(self, slot: SlotType) -> outlines_core.Index | None:
        """Regex to index."""
        return outlines_core.Index(slot.regex, self._vocabulary) if slot.outlines_can else None

    def masks(self, slot: SlotType, token_ids: list[int]) -> list[float]:
        """Seconds per mask."""
        index = self.compile(slot)
        if index is None:
            return []
        guide = outlines_core.Guide(index)
        if not guide.accepts_tokens(token_ids):
            return []  # 0.2.14 loses continuations out of a final state: `1(\.1)?` refuses `1.1`
        address, size = self._bits.ctypes.data, self._bits.size
        return _timed_steps(
            lambda: guide.write_mask_into(address, size, 4),
            lambda token_id: guide.advance(token_id, return_tokens=False),
            token_ids,
        )


class Llguidance:
    """llguidance: lazy derivatives, a mask per step."""

    name = "llguidance"

    def __init__(self, vocabulary: TokenVocabulary) -> None:
        self._tokenizer = tokenizer_of(vocabulary)
        self._bits = allocate_token_bitmask(1, len(vocabulary) + 1)

    def compile(self, slot: SlotType) -> llguidance.LLMatcher:
        """Regex to matcher, and its first mask: before it nothing is computed."""
        grammar = llguidance.LLMatcher.grammar_from_regex(slot.regex)
        matcher = llguidance.LLMatcher(self._tokenizer, grammar)
        fill_next_token_bitmask(matcher, self._bits)
        return matcher

    def masks(self, slot: SlotType, token_ids: list[int]) -> list[float]:
        """Seconds per mask."""
        matcher = self.compile(slot)
        return _timed_steps(
            lambda: fill_next_token_bitmask(matcher, self._bits), matcher.consume_token, token_ids
        )


class Xgrammar:
    """xgrammar: a pushdown automaton with precomputed token masks."""

    name = "xgrammar"

    def __init__(self, vocabulary: TokenVocabulary) -> None:
        info = xgrammar.TokenizerInfo(
            [token or b"<control>" for token in (*vocabulary.tokens, b"")],
            xgrammar.VocabType.RAW,
            stop_token_ids=[len(vocabulary)],
        )
        self._compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
        self._bits = xgrammar.allocate_token_bitmask(1, len(vocabulary) + 1)

    def compile(self, slot: SlotType) -> xgrammar.CompiledGrammar:
        """Regex to compiled grammar."""
        return self._compiler.compile_regex(slot.regex)

    def masks(self, slot: SlotType, token_ids: list[int]) -> list[float]:
        """Seconds per mask."""
        matcher = xgrammar.GrammarMatcher(self.compile(slot))
        return _timed_steps(
            lambda: matcher.fill_next_token_bitmask(self._bits), matcher.accept_token, token_ids
        )


Engine = Ours | Outlines | Llguidance | Xgrammar


def _timed_steps(
    mask: Callable[[], object], advance: Callable[[int], object], token_ids: list[int]
) -> list[float]:
    seconds: list[float] = []
    for token_id in token_ids:
        started = time.perf_counter()
        mask()
        seconds.append(time.perf_counter() - started)
        advance(token_id)
    return seconds


def _median_seconds(
    action: Callable[[], object], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    seconds: list[float] = []
    for _ in range(rounds):
        started = clock()
        action()
        seconds.append(clock() - started)
    return statistics.median(seconds)


def print_compile_table(engines: list[Engine], vocabulary: TokenVocabulary, rounds: int) -> None:
    """Median milliseconds from a slot's constraint to readiness, and what came out."""
    print("\nCompile, ms (median; x: times ours)\n")
    header = f"{'slot':14s}" + "".join(f"{engine.name:>20s}" for engine in engines)
    print(header + f"{'Q':>6s}{'K':>6s}{'pairs':>8s}{'min':>5s}")
    for slot in SLOT_TYPES:
        seconds: dict[str, list[float]] = {engine.name: [] for engine in engines}
        for _ in range(rounds):
            for engine in engines:
                if isinstance(engine, Outlines) and not slot.outlines_can:
                    continue
                seconds[engine.name].append(_median_seconds(lambda e=engine, s=slot: e.compile(s), 1))  # type: ignore[misc]
        ours = statistics.median(seconds["smolcall"])
        cells = [_cell(seconds[engine.name], ours, 1e3) for engine in engines]
        language = language_of(slot.shape, leading_space=slot.leading_space)
        found = compile_language(language, vocabulary)
        pairs = int((found.next >= 0).sum())
        print(
            f"{slot.name:14s}"
            + "".join(f"{cell:>20s}" for cell in cells)
            + f"{found.num_states:6d}{found.num_classes:6d}{pairs:8d}{found.min_tokens:5d}"
        )


def print_mask_table(
    engines: list[Engine], encode: Callable[[str], list[int]], vocabulary: TokenVocabulary, rounds: int
) -> None:
    """Median microseconds a mask; ours cold (first visit of a place) and warm (as in a running server)."""
    print("\nMask, us a step (median; x: times ours warm)\n")
    print(f"{'slot':14s}{'smolcall cold':>20s}" + "".join(f"{engine.name:>20s}" for engine in engines))
    for slot in SLOT_TYPES:
        token_ids = encode(slot.example)
        assert language_of(slot.shape, leading_space=slot.leading_space).accepts(slot.example), slot
        cold: list[float] = []
        seconds: dict[str, list[float]] = {engine.name: [] for engine in engines}
        for _ in range(rounds):
            engines[0].compile(slot)
            for engine in engines:
                if sum(seconds[engine.name]) > SLOW_SECONDS:
                    continue
                first = engine.masks(slot, token_ids)
                if isinstance(engine, Ours):
                    cold += first
                    first = engine.masks(slot, token_ids)
                seconds[engine.name] += first
        ours = statistics.median(seconds["smolcall"])
        cells = [_cell(cold, ours, 1e6), *(_cell(seconds[engine.name], ours, 1e6) for engine in engines)]
        print(f"{slot.name:14s}" + "".join(f"{cell:>20s}" for cell in cells))


CALLS = (
    ("integer, 8 positions", ("integer",), 8),
    ("string, 16 positions", ("string",), 16),
    ("string, 32 positions", ("string",), 32),
    ("email, 32 positions", ("email",), 32),
    ("string ..255, 32 positions", ("string ..255",), 32),
    ("string, integer, enum; 16 each", ("string", "integer", "enum of 8"), 16),
    ("string, string, date; 16 each", ("string", "string", "date"), 16),
)


def print_decode_table(vocabulary: TokenVocabulary, rounds: int) -> None:
    """Median milliseconds of exact decoding for one call, and of processor time."""
    print("\nTyped decoding, ms a call: wall / processor (median, random logits, float32)\n")
    heads = ("class max", "viterbi", "decode_slots", "marginals")
    print(f"{'call':34s}{'rows':>6s}" + "".join(f"{head:>18s}" for head in heads))
    by_name = {slot.name: slot for slot in SLOT_TYPES}
    for name, slot_names, length in CALLS:
        slots = [by_name[slot_name] for slot_name in slot_names]
        print(
            f"{name:34s}{len(slots) * length:6d}" + "".join(_decode_times(slots, length, vocabulary, rounds))
        )


def _decode_times(
    slots: list[SlotType], length: int, vocabulary: TokenVocabulary, rounds: int
) -> Iterator[str]:
    automata = [
        compile_language(language_of(slot.shape, leading_space=slot.leading_space), vocabulary)
        for slot in slots
    ]
    budgets = [length] * len(slots)
    null_id = len(vocabulary) - 1
    generator = torch.Generator().manual_seed(0)
    log_probs = torch.randn((len(slots), length, len(vocabulary)), generator=generator).log_softmax(-1)
    log_probs[..., null_id] += 6.0
    packed = PackedAutomata.pack(automata, budgets, is_counted=False)
    actions: tuple[Callable[[], object], ...] = (
        lambda: class_max(log_probs, packed),
        lambda: viterbi(log_probs, packed, null_id),
        lambda: decode_slots(log_probs, automata, budgets, null_id),
        lambda: forward_backward(log_probs, packed, null_id),
    )
    for action in actions:
        wall = _median_seconds(action, rounds)
        processor = _median_seconds(action, rounds, time.process_time)
        yield f"{f'{1e3 * wall:.2f} / {1e3 * processor:.2f}':>18s}"


def _cell(seconds: list[float], ours: float, scale: float) -> str:
    if not seconds:
        return TOO_LARGE
    median = statistics.median(seconds)
    return f"{median * scale:.1f} ({median / ours:.1f}x)"


def load_tokenizer(path: Path | None) -> transformers.PreTrainedTokenizerFast:
    """A fast tokenizer from a model folder, a `tokenizer.json` or a compressed one."""
    found = path or STAND_IN
    if not found.exists():
        raise SystemExit(f"{found} does not exist: name a tokenizer.json or a model folder with --tokenizer")
    if found.is_dir():
        return transformers.AutoTokenizer.from_pretrained(found, local_files_only=True)
    if found.suffix == ".zst":
        import zstandard  # an extra: only the stand-in is compressed

        with found.open("rb") as packed, tempfile.TemporaryDirectory() as folder:
            unpacked = Path(folder) / "tokenizer.json"
            unpacked.write_bytes(zstandard.ZstdDecompressor().stream_reader(packed).read())
            return transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_file(str(unpacked)))
    return transformers.PreTrainedTokenizerFast(tokenizer_file=str(found))


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokenizer", type=Path, help="model folder or tokenizer file")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: 1)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tokenizer = load_tokenizer(arguments.tokenizer)
    started = time.perf_counter()
    vocabulary = TokenVocabulary.from_tokenizer(tokenizer)
    read = time.perf_counter()
    nodes = len(vocabulary.prefixes.parent)
    print(
        f"{len(vocabulary)} tokens, {nodes} prefixes; once per tokenizer: bytes read in "
        f"{1e3 * (read - started):.0f} ms, prefix tree in {1e3 * (time.perf_counter() - read):.0f} ms; "
        f"torch threads: {arguments.threads}"
    )
    print("versions: " + json.dumps(_versions()))
    engines: list[Engine] = [
        Ours(vocabulary),
        Outlines(vocabulary),
        Llguidance(vocabulary),
        Xgrammar(vocabulary),
    ]
    assert vocabulary.encode is not None
    encode = vocabulary.encode
    print_compile_table(engines, vocabulary, arguments.rounds)
    print_mask_table(engines, lambda text: list(encode(text)), vocabulary, arguments.rounds)
    print_decode_table(vocabulary, arguments.rounds)


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "numpy", "outlines-core", "llguidance", "xgrammar")}


if __name__ == "__main__":
    main()
