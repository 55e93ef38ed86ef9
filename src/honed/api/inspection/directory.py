"""What a directory that does not run holds, and all that keeps it from running: config.json, headers, names of files.

Not here: directories that run, which are opened as any other (`report.py`). Pickled weights are never opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from honed.api.inspection.config_fields import foreign_fields
from honed.api.inspection.faults import Fault, gather, of_error, patterns
from honed.api.inspection.looked import Looked
from honed.api.inspection.nearest import nearest
from honed.api.inspection.tensors import (
    Tensor,
    compare,
    is_float,
    is_too_many,
    logical_shapes,
    needed_shapes,
    safetensors_tensor,
    superfluous,
)
from honed.checkpoints.compressed_tensors.config import read_layers
from honed.checkpoints.config_against_weights import refuse_remote_code
from honed.checkpoints.gptq_awq.config import METHODS, method_of, read_word_config
from honed.checkpoints.huggingface.directory import CONFIG, INDEX, PICKLES, SINGLE, Directory
from honed.checkpoints.huggingface.encoder_head import with_head_that_is_there
from honed.checkpoints.huggingface.index import read_index
from honed.checkpoints.huggingface.leftovers import check_leftovers
from honed.checkpoints.huggingface.names import canonical_names
from honed.checkpoints.json_files import CONFIG_BYTES, read_object
from honed.checkpoints.members import find_member
from honed.checkpoints.safetensors.reader import SafetensorsFile
from honed.errors import FormatError, HonedError, quoted
from honed.models.encoder_heads import head_kind
from honed.models.encoder_layers import POOLER, POOLER_FIELD, TABLE
from honed.models.factored import without_factors
from honed.models.layers import HEAD
from honed.models.registry import FAMILIES, family_of, is_encoder, read_any
from honed.models.samples import sample_configs

_PICKLED = (
    "holds pickled weights only; reading those can run code, so they are refused. "
    "Convert them to safetensors where you trust them (save_pretrained of transformers does)"
)
_MOST_FILES = 4096
_MOST_TENSORS = 20_000
"""Of a directory that is opened once more to look into its tensors: headers of more take their time."""
_MOST_LEFT = 128
"""Tensors that are looked at one by one for whether they would change the result; of more, one of each kind."""


def look_at_directory(path: Path) -> Looked | None:
    """None where nothing in it is of a model."""
    names = _names(path)
    config, faults = _config(path)
    files, headers = _headers(path, names)
    faults += headers
    pickles = tuple(path / name for name in names if name.endswith(PICKLES) and name not in ("training_args.bin",))
    if config is None and not files and not pickles and not faults:
        return None
    tensors = [
        safetensors_tensor(name, entry.shape, entry.dtype, entry.nbytes)
        for file in files
        for name, entry in file.entries.items()
    ]
    if not files and pickles:
        faults.append(
            Fault(
                "file",
                pickles[0].name,
                _PICKLED,
                count=len(pickles),
                examples=tuple(file.name for file in pickles[:3]),
            )
        )
    elif not files and not headers:
        faults.append(Fault("file", SINGLE, "there are no weights here"))
    kind = "huggingface" if config is not None else "safetensors" if files else "pickle"
    looked = Looked(kind, tuple(f.path for f in files) or pickles, tensors, config or {}, faults)
    if config is None:
        if CONFIG not in names:
            faults.append(
                Fault("file", CONFIG, "is missing, and without it nothing says what model the weights are of")
            )
        return _like(looked)
    return _of_config(looked, path, config)


def look_at_weights(path: Path) -> Looked:
    """One file of weights that was named itself. Errors: FormatError for a header that cannot be read."""
    problem = f"is a file of weights alone; a model is the directory that it lies in: {path.parent}"
    if path.suffix != ".safetensors":
        return Looked("pickle", (path,), [], {}, [Fault("file", path.name, _PICKLED)])
    file = SafetensorsFile(path)
    tensors = [safetensors_tensor(name, e.shape, e.dtype, e.nbytes) for name, e in file.entries.items()]
    return _like(Looked("safetensors", (path,), tensors, {}, [Fault("file", path.name, problem)]))


def _names(path: Path) -> list[str]:
    return sorted(child.name for child in islice(path.iterdir(), _MOST_FILES))


def _config(path: Path) -> tuple[dict[str, Any] | None, list[Fault]]:
    try:
        member = find_member(path, CONFIG)
        return (None, []) if member is None else (read_object(member, CONFIG_BYTES, duplicates="note"), [])
    except HonedError as error:
        return None, [of_error(error, "file", CONFIG)]


def _headers(path: Path, names: list[str]) -> tuple[list[SafetensorsFile], list[Fault]]:
    """The weight files whose headers can be read, and what is wrong with the others."""
    faults: list[Fault] = []
    asked = [SINGLE] if SINGLE in names else [name for name in names if name.endswith(".safetensors")]
    if SINGLE not in names and INDEX in names:
        try:
            asked = list(read_index(path / INDEX))
        except HonedError as error:
            faults.append(of_error(error, "file", INDEX))
    files = []
    for name in asked:
        try:
            member = find_member(path, name)
            if member is None:
                faults.append(Fault("file", name, f"is missing; {INDEX} names it"))
            else:
                files.append(SafetensorsFile(member))
        except HonedError as error:
            faults.append(of_error(error, "file", name))
    return files, faults


def _like(looked: Looked) -> Looked:
    return replace(looked, nearest=nearest(tensor.name for tensor in looked.tensors))


def _of_config(looked: Looked, path: Path, config: Mapping[str, Any]) -> Looked:
    faults = looked.faults
    method, bits, found = _quantization(config, path / CONFIG)
    faults += found
    looked = replace(looked, quantization=method, bits=bits)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        return _of_unknown(looked, path, config)
    family = FAMILIES[kind]
    names = canonical_names([tensor.name for tensor in looked.tensors], path, family)
    tensors = {tensor.name: tensor for tensor in looked.tensors}
    by_name = {name: tensors[spelled] for name, spelled in names.items()}
    config = _as_opened(config, by_name)
    fields = gather(config, partial(read_any, source=path / CONFIG), sample_configs(family)[0], "field")
    faults += fields.faults
    if not fields.sizes_hold:
        return looked
    model = read_any(fields.values, path / CONFIG)
    looked = replace(looked, model=model)
    if is_too_many(model):
        faults.append(Fault("field", "num_hidden_layers", "describes more weights than files can hold"))
        return replace(looked, model=None)
    if not looked.tensors:
        return looked
    forms = family.stored(without_factors(model)) if family.stored is not None else {}
    needed, there = needed_shapes(model, forms), logical_shapes(by_name, quantized=method is not None)
    faults += compare(needed, there, {name: names[name] for name in needed if name in names})
    if method is None:
        faults += _types(by_name[name] for name in needed if name in by_name)
    left = [name for name in there if name not in needed and name in by_name]
    if len(looked.tensors) <= _MOST_TENSORS:
        faults += _left_over(left, path, kind)
    return looked


def _as_opened(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Mapping[str, Any]:
    """What readers make of a config once they see the tensors: a head of its own, a pooler."""
    family = FAMILIES[config["model_type"]]
    if TABLE in tensors:
        config = {**config, POOLER_FIELD: f"{POOLER}.weight" in tensors}
    if is_encoder(config) and (kind := head_kind(config)) is not None:
        config = with_head_that_is_there(config, kind, tensors)
    tied = config.get("tie_word_embeddings", family.ties) is True
    return {**config, "tie_word_embeddings": False} if tied and HEAD in tensors and family.table in tensors else config


def _quantization(config: Mapping[str, Any], path: Path) -> tuple[str | None, int, list[Fault]]:
    """The method, the bits of a code, and why it is not read, if it is not."""
    given = config.get("quantization_config")
    if given is None:
        return None, 4, []
    method = given.get("quant_method") if isinstance(given, dict) else None
    bits = given.get("bits", given.get("w_bit")) if isinstance(given, dict) else None
    bits = bits if isinstance(bits, int) and 1 <= bits <= 8 else 4
    if method in METHODS:

        def read_words(values: Mapping[str, Any]) -> object:
            return read_word_config(values, path) if method_of(values) is not None else None

        return str(method), bits, gather({"quantization_config": given}, read_words, {}, "quantization").faults
    if method != "compressed-tensors":
        shown = str(method) if isinstance(method, str) else "unnamed"
        problem = "this quantization is not read here; use the unquantized checkpoint"
        return shown, bits, [Fault("quantization", "quantization_config.quant_method", problem, quoted(method))]

    def read(values: Mapping[str, Any]) -> object:
        return read_layers({"quantization_config": values.get("quantization_config")}, path)

    found = gather({"quantization_config": given}, read, {}, "quantization").faults
    return method, _packed_bits(given), found


def _packed_bits(quantization: Mapping[str, Any]) -> int:
    groups = quantization.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        bits = weights.get("num_bits") if isinstance(weights, dict) else None
        if isinstance(bits, int) and 1 <= bits <= 8:
            return bits
    return 4


def _of_unknown(looked: Looked, path: Path, config: Mapping[str, Any]) -> Looked:
    """Of a model_type that is not known: what it says of itself, and what it is like."""
    faults = looked.faults
    for check in (partial(family_of, config, path / CONFIG), partial(refuse_remote_code, config, path / CONFIG)):
        try:
            check()
        except HonedError as error:
            name = "auto_map" if check.func is refuse_remote_code else "model_type"
            faults.append(replace(of_error(error, "model_type", name), value=_stated(config, name)))
    inner = config.get("text_config")
    if isinstance(inner, dict) and inner.get("model_type") in FAMILIES:
        problem = f"is a {inner['model_type']}, which runs by itself; a model around it does not"
        faults.append(Fault("field", "text_config", problem, quoted(inner["model_type"])))
    looked = _like(looked)
    if looked.nearest is not None:
        family = looked.nearest.family
        renamed = {**config, "model_type": family.model_type}
        as_near = gather(renamed, partial(read_any, source=path / CONFIG), sample_configs(family)[0], "field")
        faults += [replace(fault, problem=f"read as {family.model_type}: {fault.problem}") for fault in as_near.faults]
    told = {fault.name for fault in faults}
    faults += [fault for fault in foreign_fields(config) if fault.name not in told]
    return looked


def _stated(config: Mapping[str, Any], name: str) -> str | None:
    return None if config.get(name) is None else quoted(config[name])


def _types(tensors: Iterable[Tensor]) -> list[Fault]:
    unread: dict[str, list[str]] = {}
    for tensor in tensors:
        if not is_float(tensor):
            unread.setdefault(tensor.type, []).append(tensor.name)
    return [
        Fault("type", name, "is no type of weights here", count=len(of), examples=tuple(of[:3]))
        for name, of in sorted(unread.items())
    ]


def _left_over(names: list[str], path: Path, kind: str) -> list[Fault]:
    """Of tensors that the model does not have those that would change what is computed."""
    try:
        directory = Directory(path)
    except HonedError:
        return []
    refused: list[str] = []
    groups = [[name] for name in sorted(names)] if len(names) <= _MOST_LEFT else list(patterns(names).values())
    for group in groups[:_MOST_LEFT]:
        try:
            check_leftovers({group[0]}, directory)
        except FormatError:
            refused += group
    return superfluous(refused, f"a {kind} of this config has no such weight, and without it another model would run")
