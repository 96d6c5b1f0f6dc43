"""Answers and scores on disk, in the layout of the official program.

    OUT/result/NAME/run.json                               what answered, so that runs are not mixed
    OUT/result/NAME/non_live/BFCL_v4_CATEGORY_result.json  one answer a line, written as it comes
    OUT/score/NAME/non_live/BFCL_v4_CATEGORY_score.json    the share, then one line a wrong answer
    OUT/score/NAME/summary.json                            shares, intervals and error types

The official program's `evaluate` reads the result files as if it had asked the questions itself.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from agent_runtime.errors import ConfigError
from agent_runtime.evaluation.bfcl import LIVE

FILE_PREFIX = "BFCL_v4"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")


class BfclFolder:
    """The files of one model, under a name of its own.

    Raises:
        ConfigError: a name that the official program could not read back.
    """

    def __init__(self, out: Path, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"the name {name!r} becomes a folder that the official program reads: use letters, digits, "
                "'.' and '-' only"
            )
        self.name = name
        self.results = out / "result" / name
        self.scores = out / "score" / name

    def result_file(self, category: str) -> Path:
        """Where the answers of a category stand."""
        return self.results / _group(category) / f"{FILE_PREFIX}_{category}_result.json"

    def score_file(self, category: str) -> Path:
        """Where the score of a category stands."""
        return self.scores / _group(category) / f"{FILE_PREFIX}_{category}_score.json"

    def claim(self, run: Mapping[str, Any]) -> None:
        """Note what answers, or make sure that the answers here came from the same.

        Args:
            run: model and settings, as JSON values.

        Raises:
            ConfigError: the answers here came from another model or with other settings.
        """
        file = self.results / "run.json"
        if file.is_file():
            before = _read_json(file)
            different = [key for key in {**before, **run} if before.get(key) != run.get(key)]
            if different:
                raise ConfigError(
                    f"the answers in {self.results} were given with another {', '.join(different)}: choose "
                    "another --name or --out, or begin all its categories anew with --fresh"
                )
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(file, json.dumps(run, indent=2, ensure_ascii=False) + "\n")

    def forget(self, categories: Iterable[str]) -> None:
        """Remove answers and scores of these categories; with the last, the note of what gave them."""
        for category in categories:
            self.result_file(category).unlink(missing_ok=True)
            self.score_file(category).unlink(missing_ok=True)
        if not any(self.results.rglob("*_result.json")):
            (self.results / "run.json").unlink(missing_ok=True)

    def read_answers(self, category: str) -> dict[str, dict[str, Any]]:
        """Answers by question id. A last line that breaks off, where a run was killed, is cut away.

        Raises:
            ConfigError: the file holds something else.
        """
        file = self.result_file(category)
        if not file.is_file():
            return {}
        text = file.read_text(encoding="utf-8")
        whole, _, rest = text.rpartition("\n")
        if rest:
            _write_whole(file, whole + "\n" if whole else "")
        answers: dict[str, dict[str, Any]] = {}
        for number, line in enumerate(whole.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                answers[row["id"]] = {**row, "result": row["result"]}
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(
                    f"{file}, line {number}: not an answer ({error!r}): repair it, or begin anew with --fresh"
                ) from error
        return answers

    def open_answers(self, category: str) -> IO[str]:
        """The file to append answers to."""
        file = self.result_file(category)
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("a", encoding="utf-8")

    def drop_answers(self, category: str, ids: Collection[str]) -> None:
        """Forget these answers, so that they are asked for again."""
        answers = self.read_answers(category)
        _write_lines(self.result_file(category), (row for id, row in answers.items() if id not in ids))

    def sort_answers(self, category: str, ids: Iterable[str]) -> None:
        """Put the answers into the order of the questions; others keep their order behind them."""
        answers = self.read_answers(category)
        before = list(answers)
        ordered = [id for id in ids if id in answers]
        ordered += [id for id in before if id not in set(ordered)]
        if ordered != before:
            _write_lines(self.result_file(category), (answers[id] for id in ordered))

    def write_score(self, category: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the score of a category: the header first, then the wrong answers."""
        _write_lines(self.score_file(category), rows)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write what the table shows, for programs."""
        file = self.scores / "summary.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(file, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")


def json_line(row: Mapping[str, Any]) -> str:
    """One line of such a file."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def _group(category: str) -> str:
    return "live" if category in LIVE else "non_live"


def _write_lines(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    _write_whole(file, "".join(map(json_line, rows)))


def _write_whole(file: Path, text: str) -> None:
    """Write all or nothing: an interrupted run leaves the old file."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, file)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file}: not JSON: {error}: begin anew with --fresh") from error
    if not isinstance(read, dict):
        raise ConfigError(f"{file}: expected an object: begin anew with --fresh")
    return read
