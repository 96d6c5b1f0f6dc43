"""Small vocabularies for tests of the decoding rooms: every byte, and some tokens worth having."""

from __future__ import annotations

from agent_runtime.scaffold.vocabulary import TokenVocabulary

_WORDS = (
    " a", " true", " false", " null", " -", " 1", " 12", "true", "false", "null", "10", "12", "123",
    "000", "2024", "-01", ".5", ".0", "e-", "a", "ab", "abc", " the", "hello", " world", "Paris",
    "\\n", '\\"', "\\u00", '",', '"}', ' "', ' {"', '": ', ', "', " [", "]}", "}}", "é", "ü", "日本",
    "😀", " 😀", "@", ".com", "://", "https", "    ", "-", "--", "T12", ":00", "Z", "+00", "0x",
    "celsius", ' "cel', "sius", "red", ' "red"', "1f", "cafe", "0001",
)  # fmt: skip


def small_vocabulary() -> TokenVocabulary:
    """All bytes, two halves of characters, some words; the last two ids are control tokens without bytes."""
    pieces = [bytes((byte,)) for byte in range(256)]
    pieces += [word.encode() for word in _WORDS]
    pieces += ["é".encode() + "日".encode()[:1], "日".encode()[1:] + b"!"]
    return TokenVocabulary(tokens=(*pieces, b"", b""), end_ids=(len(pieces),))
