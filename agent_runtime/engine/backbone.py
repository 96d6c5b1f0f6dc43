"""The backbone: a frozen SmolLM3 with its tokenizer, loaded from a folder or the Hub, ready to read.

What it computes is in `forward.py`; when it is asked is the scheduler's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from heads import BackboneEnds, BackboneFacts

from ..errors import ConfigError
from ..scaffold.vocabulary import TokenVocabulary
from .batching import BatchRule
from .cache import PrefixCache
from .chunks import Chunk
from .forward import LeanForward
from .graph_setup import GraphOrder, open_graphs
from .model_folder import find_model_folder, fingerprint_of, read_config, read_tokenizer
from .quantize import Quantization, check_quantization, load_model
from .same_rows import find_batch_rule, keeps_bits_with_any_threads
from .sequence import BackboneSequence, KeyValueCache
from .threads import ThreadChoice
from .weights import FileWeights, ModuleWeights, Weights

if TYPE_CHECKING:
    from ..prompt import PromptFormat

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# Prompts are read (and cached) in blocks of this many tokens; measured in benchmarks/forward.py.
_BLOCK_TOKENS = {"cpu": 64, "cuda": 256, "mps": 128}
_MAX_ROWS = {"cpu": 256, "cuda": 2048, "mps": 256}


class Backbone:
    """A loaded backbone. Use `load`; only the engine's worker thread may call `read`.

    Attributes:
        tokenizer: the folder's transformers tokenizer.
        config: the folder's `SmolLM3Config`.
        folder: where it was read.
        max_positions: tokens of prompt and reply that fit one sequence.
        taps: layers whose states are kept as they are read.
        graphs: reads what is short enough and stands in its pool, where that was asked for and suits.
        batch_rule: which rows may share a forward.
        device: where it computes.
        dtype: of its weights and key/values.
    """

    def __init__(
        self,
        *,
        folder: Path,
        config: Any,
        tokenizer: Any,
        forward: LeanForward,
        max_positions: int,
        adapter: Path | None = None,
        taps: tuple[int, ...] = (),
        graphs: GraphOrder | None = None,
    ) -> None:
        self.folder = folder
        self.config = config
        self.tokenizer = tokenizer
        self.max_positions = max_positions
        self.taps = taps
        self.device = forward.device
        self.dtype = forward.dtype
        self._forward = forward
        self._adapter = adapter
        self._threads = _choose_threads(forward, config.hidden_size)
        with self._threads.for_rows(1):
            self.batch_rule = _find_batch_rule(forward, config.hidden_size)
        self.graphs = None if graphs is None else open_graphs(forward, graphs)
        if self.graphs is not None:
            self.batch_rule = self.graphs.batch_rule(self.batch_rule)

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        quantization: Quantization = "none",
        max_seq_len: int | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        adapter: str | Path | None = None,
        trust_remote_code: bool = False,
        taps: Sequence[int] = (),
        graphs: GraphOrder | None = None,
    ) -> Backbone:
        """Read a backbone.

        Args:
            model: a folder, or a Hub id.
            device: `cpu`, `cuda` or `mps`.
            dtype: `float32`, `bfloat16` or `float16`.
            quantization: `4bit` and `8bit` need CUDA and bitsandbytes.
            max_seq_len: tokens one sequence may have; at most (and by default) what the model was made for.
            revision: branch, tag or commit on the Hub.
            local_files_only: never ask the Hub.
            adapter: a LoRA adapter folder (or Hub id) that peft wrote.
            trust_remote_code: passed to transformers; off unless you need code of the folder's own.
            taps: layers whose states heads stand on, rising; layer n's output, 0 for the embeddings. They
                are kept beside keys and values; without any that costs nothing.
            graphs: how short reads are recorded and replayed; None computes them as prompts are.

        Raises:
            ConfigError: the folder, its parts, or what is asked of this machine cannot be used.
        """
        if dtype not in _DTYPES:
            raise ConfigError(f"dtype={dtype!r}: use one of {', '.join(_DTYPES)}")
        where = torch.device(device)
        check_quantization(quantization, where)
        folder = find_model_folder(model, revision=revision, local_files_only=local_files_only)
        adapter_folder = None
        if adapter is not None:
            adapter_folder = find_model_folder(adapter, local_files_only=local_files_only, what="adapter")
        config = read_config(folder, trust_remote_code=trust_remote_code)
        tokenizer = read_tokenizer(folder, config.vocab_size, trust_remote_code=trust_remote_code)
        max_positions = min(max_seq_len or config.max_position_embeddings, config.max_position_embeddings)
        weights: Weights
        if quantization == "none" and adapter_folder is None:
            weights = FileWeights(folder, device=where, dtype=_DTYPES[dtype])
        else:
            module = load_model(
                folder,
                device=where,
                dtype=_DTYPES[dtype],
                quantization=quantization,
                adapter=adapter_folder,
                trust_remote_code=trust_remote_code,
            )
            weights = ModuleWeights(module)
        try:
            with torch.inference_mode():
                forward = LeanForward(
                    config,
                    weights,
                    max_positions=max_positions,
                    dtype=_DTYPES[dtype],
                    device=where,
                    taps=taps,
                )
            return cls(
                folder=folder,
                config=config,
                tokenizer=tokenizer,
                forward=forward,
                max_positions=max_positions,
                adapter=adapter_folder,
                taps=tuple(taps),
                graphs=graphs,
            )
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"model {str(model)!r} does not fit into the memory of {device!r}: choose another device, a "
                "smaller max_seq_len, or quantization='4bit' or '8bit'"
            ) from error
        except RuntimeError as error:
            raise ConfigError(
                f"model folder {folder}: its weights do not have the shapes its config.json states: {error}"
            ) from error

    @property
    def vocab_size(self) -> int:
        """Columns of the logits; the tokenizer may have fewer tokens."""
        return int(self.config.vocab_size)

    @cached_property
    def prompt_format(self) -> PromptFormat:
        """How conversations are written for this model."""
        from ..prompt import PromptFormat

        return PromptFormat.for_folder(self.folder)

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever the weights do; heads are made for one fingerprint."""
        return fingerprint_of(self.folder, self._adapter)

    @property
    def ends(self) -> BackboneEnds:
        """Embeddings, last norm and vocabulary, which heads share; nothing is copied."""
        return self._forward.ends

    @cached_property
    def facts(self) -> BackboneFacts:
        """What heads for this backbone must have been made for."""
        return BackboneFacts(
            hidden_size=self.config.hidden_size,
            num_layers=self.config.num_hidden_layers,
            vocab_size=self.vocab_size,
            fingerprint=self.fingerprint,
            tokenizer_fingerprint=TokenVocabulary.from_tokenizer(self.tokenizer).fingerprint,
        )

    def new_cache(self, max_tokens: int) -> KeyValueCache:
        """A prefix cache for this backbone's sequences; 0 tokens is off."""
        return PrefixCache(max_tokens=max_tokens, block_tokens=self.batch_rule.block_tokens)

    def new_sequence(self, cache: KeyValueCache) -> BackboneSequence:
        """An empty sequence that shares through `cache`."""
        pool = None if self.graphs is None else self.graphs.pool
        return BackboneSequence(self._forward.key_value_shape, cache, pool)

    def read(self, chunks: Sequence[Chunk]) -> list[Tensor | None]:
        """One forward: what each chunk wanted, (num_wanted, vocab) float32 on the CPU, or None.

        The caller keeps to `batch_rule`.
        """
        if self.graphs is None:
            return self._read_plainly(chunks)
        # Which of the two reads a chunk follows from the chunk alone, so company does not change its bits.
        is_short = [self.graphs.takes(chunk) for chunk in chunks]
        plain = [chunk for chunk, short in zip(chunks, is_short, strict=True) if not short]
        short = [chunk for chunk, short in zip(chunks, is_short, strict=True) if short]
        plainly = iter(self._read_plainly(plain) if plain else ())
        replayed = iter(self.graphs.read(short))
        return [next(replayed if short else plainly) for short in is_short]

    def _read_plainly(self, chunks: Sequence[Chunk]) -> list[Tensor | None]:
        num_rows = sum(len(chunk.token_ids) for chunk in chunks)
        with torch.inference_mode(), self._threads.for_rows(num_rows):
            hidden = self._forward(chunks, with_padding=self.batch_rule.with_padding)
            if not len(hidden):
                return [None] * len(chunks)
            logits = self._forward.logits(hidden)
        read: list[Tensor | None] = []
        start = 0
        for chunk in chunks:
            stop = start + chunk.num_rows
            # Copied outside of inference mode: programs may change their rows, and hold no one else's.
            read.append(logits[start:stop].clone() if chunk.num_rows else None)
            start = stop
        return read


def _find_batch_rule(forward: LeanForward, width: int) -> BatchRule:
    kind = forward.device.type
    return find_batch_rule(
        forward.try_rows,
        width,
        forward.dtype,
        forward.device,
        block_tokens=_BLOCK_TOKENS.get(kind, 128),
        max_rows=_MAX_ROWS.get(kind, 256),
        others=forward.touchy_linears,
    )


def _choose_threads(forward: LeanForward, width: int) -> ThreadChoice:
    block_tokens = _BLOCK_TOKENS.get(forward.device.type, 128)
    num_threads = torch.get_num_threads() if forward.device.type == "cpu" else 1
    rows = torch.randn((block_tokens, width), generator=torch.Generator().manual_seed(0))
    rows = rows.to(device=forward.device, dtype=forward.dtype)
    trials = [partial(forward.try_rows, rows), partial(forward.try_rows, rows[:1])]
    for touchy in forward.touchy_linears() if num_threads > 1 else ():
        trials += [partial(touchy, rows[:count]) for count in (1, 2, 16, block_tokens)]
    for length in (block_tokens, 16 * block_tokens):
        trials += [partial(forward.try_attention, rows[:count], length) for count in (1, block_tokens)]
    return ThreadChoice(
        num_weights=forward.num_weights,
        can_vary=keeps_bits_with_any_threads(trials, num_threads),
        num_threads=num_threads,
    )
