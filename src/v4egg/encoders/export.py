"""Export of ensembles in the layout of the Hugging Face hub: ``config.json``, ``model.safetensors`` and a model card.

A folder contains one ensemble of one architecture. ``config.json`` contains everything needed to rebuild it and the
SHA-256 of the weights; ``model.safetensors`` contains the state dict of :class:`~v4egg.encoders.ensemble.Ensemble`,
with keys ``members.<index>.<name>``. A tensor shared by several keys (such as one of a frozen network) is stored once,
under the first key, to which ``shared`` in ``config.json`` maps the other keys. Nothing is pickled, and equal ensembles
give identical bytes.

    python -m v4egg.encoders.export results/demo/encoders/attention my-ensemble
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from v4egg.encoders.encoder import Encoder, GroupedEncoder, make_encoder
from v4egg.encoders.ensemble import Ensemble, load_encoder
from v4egg.encoders.model_card import model_card, summary_metrics
from v4egg.errors import V4eggError
from v4egg.io import files

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FORMAT, FORMAT_VERSION = "v4egg-ensemble", 2  # 2: options and core_groups under their present names
IMAGES = {"dims": ["batch", "channel", "y", "x"], "dtype": "float32", "range": [0, 1], "channels": [1, 3]}
RESPONSE_UNITS = {"identity": "z-score over the unit's fit images", "elu+1": "spikes in the counting window"}
_KEYS = {"architecture": str, "units": list, "members": list, "shared": dict, "weights_sha256": str}
_MEMBER_KEYS = {"name": str, "role": str, "spec": dict}
_JSON: dict[type, str] = {str: "text", list: "list", dict: "mapping"}
_REPOSITORY_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def export_ensemble(
    ensemble_or_paths: Ensemble | str | Path | Sequence[str | Path],
    folder: str | Path,
    *,
    license: str = "other",
    metrics: Mapping[str, Mapping[str, float]] | None = None,
) -> Path:
    """Write an ensemble to a folder, atomically.

    Args:
        ensemble_or_paths: the ensemble, or the stores of its members.
        folder: a new or empty folder.
        license: the hub's identifier of the licence of the weights, for the model card; it depends on the recordings.
        metrics: scores for the model card, by session and name, such as ``summary["encoders"]["attention"]``.

    Returns:
        The absolute path of the folder.

    Raises:
        V4eggError: the folder is not empty or cannot be written, or the members lack names or differ in architecture.
    """
    ensemble = ensemble_or_paths if isinstance(ensemble_or_paths, Ensemble) else load_encoder(ensemble_or_paths)
    config = _config(ensemble)
    tensors, config["shared"] = _distinct(ensemble.state_dict())
    folder = Path(folder).resolve()
    try:
        _refuse_occupied(folder)
        with files.replacing(folder) as temporary:
            temporary.mkdir()
            # not save_file, which makes the file readable by its owner only
            (temporary / WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))
            config["weights_sha256"] = files.sha256_of(temporary / WEIGHTS)
            (temporary / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
            (temporary / CARD).write_text(model_card(config, license, metrics or {}), encoding="utf-8")
    except OSError as error:
        raise V4eggError(f"{folder}: cannot be written ({error}); name a folder elsewhere or make room") from error
    return folder


def load_export(folder_or_repo_id: str | Path, revision: str | None = None) -> Ensemble:
    """Load an exported ensemble, whose outputs equal those of the original.

    Args:
        folder_or_repo_id: a local folder, or the id ``owner/name`` of a repository on the hub.
        revision: branch, tag or commit on the hub; only a commit identifies one fixed state.

    Returns:
        The ensemble, frozen and in evaluation mode.

    Raises:
        V4eggError: the folder does not exist, the download fails, or a file is missing, damaged, of another version or
            lacks a key; the message names the file and the key.
    """
    folder = _folder(folder_or_repo_id, revision)
    config = _read_config(folder / CONFIG)
    members = [_empty_member(config, place, folder / CONFIG) for place in range(len(config["members"]))]
    tensors = _read_weights(folder / WEIGHTS, config)
    _fill(members, tensors, folder / WEIGHTS)
    # created last because an ensemble recognises a frozen network that members share by its weights
    return Ensemble(members).eval().requires_grad_(False)


def _refuse_occupied(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise V4eggError(f"{folder}: there is something already; name a new or an empty folder")


def _distinct(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The distinct tensors of a state dict under their first keys, and the first key of each duplicate key."""
    first_keys: dict[tuple, str] = {}
    shared = {}
    for key, tensor in state.items():
        first = first_keys.setdefault((tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()), key)
        if first != key:
            shared[key] = first
    tensors = {key: state[key].cpu().clone(memory_format=torch.contiguous_format) for key in first_keys.values()}
    return tensors, shared


def _config(ensemble: Ensemble) -> dict[str, Any]:
    """The content of ``config.json``, except ``shared`` and the SHA-256 of the weights."""
    for place, member in enumerate(ensemble.members):
        missing = [name for name in ("arch", "member", "role") if not hasattr(member, name)]
        if missing:
            raise V4eggError(f"members[{place}] has no attribute {missing[0]}; set it or give the members' stores")
    architectures = sorted({member.arch for member in ensemble.members})
    if len(architectures) > 1:
        raise V4eggError(f"the members are of {', '.join(architectures)}; export one architecture a folder")
    output = ensemble.members[0].spec["output"]
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "v4egg_version": version("v4egg"),
        "architecture": architectures[0],
        "images": IMAGES,
        "responses": {"dims": ["batch", "unit"], "dtype": "float32", "unit": RESPONSE_UNITS.get(output, output)},
        "units": ensemble.units,
        "members": [{"name": m.member, "role": m.role, "spec": _without_folders(m.spec)} for m in ensemble.members],
    }


def _without_folders(value: Any) -> Any:
    """The value with absolute paths reduced to file names, as an export does not depend on local files.

    Example:
        >>> _without_folders({"weights": "/data/robust.pt", "nodes": ["layer3.0"]})
        {'weights': 'robust.pt', 'nodes': ['layer3.0']}
    """
    if isinstance(value, Mapping):
        return {key: _without_folders(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(entry) for entry in value]
    if isinstance(value, str | Path) and Path(value).is_absolute():
        return Path(value).name
    return value


def _folder(source: str | Path, revision: str | None) -> Path:
    """The folder of an export, which is downloaded from the hub if no local folder has this path."""
    if not Path(source).is_dir():
        return _download(str(source), revision)
    if revision is not None:
        raise V4eggError(f"{source}: a folder of this machine has no revision {revision}; leave revision out")
    return Path(source)


def _download(repository: str, revision: str | None) -> Path:
    if not _REPOSITORY_ID.fullmatch(repository):
        raise V4eggError(f"{repository}: no such folder, and no id owner/name of the hub; correct it")
    from huggingface_hub import snapshot_download  # not required for local folders

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=[CONFIG, WEIGHTS]))
    except Exception as error:  # errors of the HTTP client underneath pass through the library
        source = repository if revision is None else f"{repository} at {revision}"
        raise V4eggError(
            f"{source}: no such folder here, and the hub does not give it ({error}); correct it or connect"
        ) from error


def _read_config(path: Path) -> dict[str, Any]:
    """Read ``config.json`` and check the keys that :func:`load_export` requires.

    Raises:
        V4eggError: the file does not exist, is not JSON, has another format or version, or lacks a key.
    """
    if not path.is_file():
        raise V4eggError(f"{path}: no such file; give a folder or repository that export_ensemble wrote")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise V4eggError(f"{path}: damaged ({error}); fetch it or export the ensemble again") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise V4eggError(f"{path}: key 'format' is not '{FORMAT}'; give a folder that export_ensemble wrote")
    if config.get("format_version") != FORMAT_VERSION:
        raise V4eggError(
            f"{path}: key 'format_version' is {config.get('format_version')}, this v4egg reads {FORMAT_VERSION}; "
            f"use v4egg {config.get('v4egg_version')}, which wrote it, or export the ensemble again"
        )
    _require(config, _KEYS, path, "")
    for place, member in enumerate(config["members"]):
        _require(member, _MEMBER_KEYS, path, f"members[{place}].")
    return config


def _require(entry: Any, keys: Mapping[str, type], path: Path, prefix: str) -> None:
    for key, kind in keys.items():
        value = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(value, kind) or value in ("", []):
            raise V4eggError(f"{path}: key '{prefix}{key}' is missing or no {_JSON[kind]}; export the ensemble again")


def _empty_member(config: Mapping[str, Any], place: int, path: Path) -> Encoder | GroupedEncoder:
    """A member built from its specification in ``config.json``, with random weights."""
    entry = config["members"][place]
    try:
        member = make_encoder(config["units"], entry["spec"])
    except (KeyError, TypeError, ValueError, RuntimeError, V4eggError) as error:
        reason = f"{error} is missing or unknown" if isinstance(error, KeyError) else error
        raise V4eggError(f"{path}: key 'members[{place}].spec' makes no encoder: {reason}") from error
    member.arch, member.member, member.role = config["architecture"], entry["name"], entry["role"]
    return member


def _read_weights(path: Path, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Read ``model.safetensors``; shared tensors are returned under each of their keys.

    Raises:
        V4eggError: the file does not exist, is damaged, or does not match the SHA-256 in ``config.json``.
    """
    if not path.is_file():
        raise V4eggError(f"{path}: no such file; fetch it or export the ensemble again")
    actual, expected = files.sha256_of(path), config["weights_sha256"]
    if actual != expected:
        raise V4eggError(
            f"{path}: damaged, its SHA-256 is {actual[:12]}..., key 'weights_sha256' of {CONFIG} is "
            f"{expected[:12]}...; fetch it or export the ensemble again"
        )
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise V4eggError(f"{path}: damaged ({error}); fetch it or export the ensemble again") from error
    return tensors | {key: tensors[first] for key, first in config["shared"].items() if first in tensors}


def _fill(members: Sequence[Encoder | GroupedEncoder], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load the members' weights in place, after checking that keys and shapes match exactly."""
    states = {f"members.{place}.": member.state_dict() for place, member in enumerate(members)}
    expected = {prefix + name: tensor for prefix, state in states.items() for name, tensor in state.items()}
    for key in [*expected, *tensors]:
        if key not in tensors:
            raise V4eggError(f"{path}: key '{key}' is missing, {CONFIG} asks for it; export the ensemble again")
        if key not in expected:
            raise V4eggError(f"{path}: key '{key}' is none that {CONFIG} asks for; export the ensemble again")
        shape, expected_shape = list(tensors[key].shape), list(expected[key].shape)
        if shape != expected_shape:
            raise V4eggError(
                f"{path}: key '{key}' is {shape}, {CONFIG} asks for {expected_shape}; export the ensemble again"
            )
    for member, (prefix, state) in zip(members, states.items(), strict=True):
        member.load_state_dict({name: tensors[prefix + name] for name in state})


def _member_stores(folder: str | Path) -> list[Path]:
    """The stores m0.zarr, m1.zarr, ... in a folder, in order of their number.

    Raises:
        V4eggError: the folder contains no such store.
    """
    paths = [path for path in Path(folder).glob("m*.zarr") if path.stem[1:].isdecimal()]
    if not paths:
        raise V4eggError(f"{folder}: no members m0.zarr, m1.zarr, ... there; give results/<name>/encoders/<arch>")
    return sorted(paths, key=lambda path: int(path.stem[1:]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line interface.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit code: 0, or 1 after an error that the user can correct.
    """
    parser = argparse.ArgumentParser(
        prog="python -m v4egg.encoders.export",
        description="Export an ensemble to a folder in the layout of the Hugging Face hub.",
    )
    parser.add_argument("members", help="folder of the members' stores, results/<name>/encoders/<arch>")
    parser.add_argument("folder", help="what to write, new or empty")
    parser.add_argument("--license", default="other", help="license of the weights in the model card (default: other)")
    parser.add_argument("--summary", help="summary.json of the run, whose test scores go into the model card")
    arguments = parser.parse_args(argv)
    try:
        ensemble = load_encoder(_member_stores(arguments.members))
        scores = summary_metrics(arguments.summary, ensemble.members[0].arch) if arguments.summary else None
        folder = export_ensemble(ensemble, arguments.folder, license=arguments.license, metrics=scores)
    except V4eggError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{folder}: {len(ensemble.members)} members, {len(ensemble.units)} units")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
