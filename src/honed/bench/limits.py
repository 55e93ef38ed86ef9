"""How fast a system could be on this machine, from what a token costs it and what the probes found.

A step of decoding is bounded by the bytes it must read, its weights once for all sequences (of experts those that any
of them goes to) and the keys and values of each, and by the multiplications for every sequence; whichever takes longer
is the limit. Prefill is bounded by the multiplications of its linear layers; attention is left out, which is a few
percent at these lengths and makes the limit a little too high. (The roofline model: Williams, Waterman and Patterson
2009.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from honed.bench.peers.base import Footprint
from honed.bench.probes import Probe
from honed.bench.workload import Workload


@dataclass(frozen=True)
class Limits:
    """Tokens a second, of all sequences together, that memory and arithmetic allow. None where no probe measures the
    arithmetic in use."""

    decode_tok_s: float
    prefill_tok_s: float | None
    prefill_basis: str | None
    """The probe behind the prefill limit."""


def limits(
    footprint: Footprint,
    workload: Workload,
    decode_position: float,
    probes: Sequence[Probe],
    session: Sequence[Probe] = (),
) -> Limits:
    """The limits from the best probe: what the machine has shown that it can do.

    decode_position: keys that an average decode step reads of one sequence. probes: those that read a buffer of the
    size of these weights. session: all with as many threads, since what the machine can multiply is the same for every
    system.
    """
    read = max(probe.read_bytes_s for probe in probes)
    context_bytes = footprint.kv_bytes_per_position * decode_position
    step_s = (footprint.step_bytes(workload.batch) + workload.batch * context_bytes) / read
    if footprint.arithmetic == "int8":
        peak, basis = max(probe.int8_operations_s for probe in [*probes, *session]), "int8 multiply-adds from registers"
    elif footprint.arithmetic == "float32":
        peak, basis = (
            max(probe.float32_operations_s for probe in [*probes, *session]),
            "float32 matrix product of numpy's BLAS",
        )
    else:
        return Limits(workload.batch / step_s, None, None)
    step_s = max(step_s, workload.batch * (footprint.prompt_operations + footprint.head_operations) / peak)
    # The head runs once for each prompt, for its last token.
    operations = footprint.prompt_operations + footprint.head_operations / workload.prompt_tokens
    return Limits(workload.batch / step_s, peak / operations, basis)
