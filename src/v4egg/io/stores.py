"""The one way in and out of Zarr: atomic, complete-marked, typed, with provenance.

A store is written beside its final path, marked complete and renamed, so a reader never meets half of one. A missing
Zarr chunk reads silently as NaN, hence the mark: :func:`load` refuses a store without it.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from v4egg.errors import V4eggError
from v4egg.io import files
from v4egg.io.schemas import KINDS, VERSIONS, Variable

CHUNK_BYTES = 4 * 2**20  # small enough to stream, large enough to compress well
SHARD_BYTES = 512 * 2**20  # one file a variable up to here
_PACKAGES = ("v4egg", "torch", "diffusers", "xarray", "zarr", "numpy")


def save(
    dataset: xr.Dataset,
    path: str | Path,
    kind: str,
    *,
    config: Mapping[str, Any] | None = None,
    seed: int | None = None,
    inputs: Sequence[str | Path] = (),
) -> None:
    """Write ``dataset`` to the Zarr v3 store ``path``, whole or not at all.

    ``kind`` names a layout of :data:`v4egg.io.schemas.KINDS`; variables are checked against it and get its units.
    ``config``, ``seed`` and the digests of the ``inputs`` stores become provenance attributes.

    Raises:
        V4eggError: a variable is missing, unknown, or of other dims or dtype than its kind says.
    """
    path = Path(path)
    typed = _typed(dataset, path, kind)
    typed.attrs |= {
        "kind": kind,
        "kind_version": VERSIONS[kind],
        "digest": digest(typed),
        "config": json.dumps(config or {}, sort_keys=True),
        "seed": -1 if seed is None else int(seed),
        "versions": json.dumps(_versions()),
        "inputs": json.dumps({Path(p).name: _input_digest(p) for p in inputs}, sort_keys=True),
    }
    with files.replacing(path) as temporary:
        typed.to_zarr(temporary, mode="w", zarr_format=3, consolidated=False, encoding=_encoding(typed))
        zarr.open_group(temporary, mode="r+").attrs["complete"] = True
        with warnings.catch_warnings():  # consolidation is an extension of v3 that readers may ignore
            warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
            zarr.consolidate_metadata(temporary)


def load(path: str | Path, kind: str | None = None) -> xr.Dataset:
    """Open a store lazily.

    Raises:
        V4eggError: there is no store, it is not complete, or it is of another kind or of another version of its kind.
    """
    path = Path(path)
    if not (path / "zarr.json").exists():
        raise V4eggError(f"{path}: no Zarr store there; run the rule that makes it, or correct the path")
    try:
        dataset = xr.open_zarr(path, consolidated=None, mask_and_scale=False)
    except (ValueError, KeyError, OSError) as error:
        raise V4eggError(f"{path}: not a readable Zarr store ({error}); delete it and run its rule again") from error
    if not dataset.attrs.get("complete", False):
        raise V4eggError(f"{path}: the store is not marked complete; delete it and run its rule again")
    if kind is not None and dataset.attrs["kind"] != kind:
        raise V4eggError(f"{path}: holds '{dataset.attrs['kind']}', expected '{kind}'; give a store of that kind")
    _check_version(dataset.attrs, path)
    texts = {name: v for name, v in dataset.variables.items() if isinstance(v.dtype, np.dtypes.StringDType)}
    # numpy casts its own variable-length strings to nothing else: hand out the ordinary ones
    return dataset.assign({name: (v.dims, np.array(v.values.tolist(), "U"), v.attrs) for name, v in texts.items()})


def _check_version(attrs: Mapping[str, Any], path: Path) -> None:
    """Refuse a store that another version of this package wrote: its names may no longer mean the same."""
    kind, found = attrs["kind"], attrs.get("kind_version")
    if kind not in VERSIONS:
        raise V4eggError(f"{path}: unknown store kind '{kind}'; delete it and run its rule again")
    if found != VERSIONS[kind]:
        written = "without a version" if found is None else f"of version {found}"
        raise V4eggError(
            f"{path}: a '{kind}' store {written}, but version {VERSIONS[kind]} is needed; "
            "delete it and run its rule again"
        )


def require(dataset: xr.Dataset, dim: str, name: str, path: str | Path) -> None:
    """Refuse a store without that entry of a dimension.

    Raises:
        V4eggError: names the store and the entries that there are.
    """
    names = [str(value) for value in dataset[dim].values]
    if name not in names:
        raise V4eggError(f"{path}: {dim} '{name}' is missing, there are {names}; run the rule that makes it again")


def save_weights(
    state: Mapping[str, Any],
    path: str | Path,
    *,
    curves: Mapping[str, Sequence[float]] | None = None,
    attrs: Mapping[str, Any] | None = None,
    **provenance: Any,
) -> None:
    """Write a torch state dict as a store of kind ``weights``.

    All floating tensors become one flat float32 variable and all integer ones another, so that a store is a handful of
    files however many layers a network has; ``attrs['layout']`` says where each tensor lies.
    ``curves`` (``loss``, ``validation``) are sequences of one number an epoch.
    """
    flat: dict[str, list[np.ndarray]] = {"float32": [], "int64": []}
    layout = []
    offsets = {"float32": 0, "int64": 0}
    for name, tensor in state.items():
        array = tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else np.asarray(tensor)
        dtype = "float32" if array.dtype.kind == "f" else "int64"
        layout.append({"name": name, "dtype": dtype, "shape": list(array.shape), "offset": offsets[dtype]})
        flat[dtype].append(array.astype(dtype).ravel())
        offsets[dtype] += array.size
    variables = {"float32": ("parameter", _concatenate(flat["float32"], "float32"))}
    if flat["int64"]:
        variables["int64"] = ("counter", _concatenate(flat["int64"], "int64"))
    for name, curve in (curves or {}).items():
        variables[name] = ("epoch", np.asarray(curve, "float32"))
    save(xr.Dataset(variables, attrs={**(attrs or {}), "layout": json.dumps(layout)}), path, "weights", **provenance)


def load_weights(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state dict (torch tensors by name) of a ``weights`` store, and the store's attributes."""
    import torch

    dataset = load(path, "weights")
    flat = {name: dataset[name].values for name in ("float32", "int64") if name in dataset}
    state = {}
    for entry in json.loads(dataset.attrs["layout"]):
        size = int(np.prod(entry["shape"], dtype=int))
        part = flat[entry["dtype"]][entry["offset"] : entry["offset"] + size]
        state[entry["name"]] = torch.from_numpy(part.reshape(entry["shape"]).copy())
    return state, dict(dataset.attrs)


def digest(dataset: xr.Dataset) -> str:
    """SHA-256 over names, dims and values of all variables: equal data, equal digest."""
    sha = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        variable = dataset[name]
        values = variable.values
        sha.update(f"{name}{variable.dims}{values.shape}".encode())
        if values.dtype.kind in "OUT":
            sha.update("\x1f".join(map(str, values.ravel())).encode())
        else:
            sha.update(f"{values.dtype}".encode() + np.ascontiguousarray(values).tobytes())
    return sha.hexdigest()


def _typed(dataset: xr.Dataset, path: Path, kind: str) -> xr.Dataset:
    """A copy whose variables have the dtype and unit of their kind; refuses what the kind does not know."""
    if kind not in KINDS:
        raise V4eggError(f"{path}: unknown store kind '{kind}'; add it to v4egg.io.schemas.KINDS")
    known = KINDS[kind]
    missing = [name for name, entry in known.items() if not entry.optional and name not in dataset]
    unknown = [name for name in dataset.data_vars if name not in known]
    if missing or unknown:
        raise V4eggError(
            f"{path}: a '{kind}' store: missing variables: {missing or 'none'}; unknown variables: {unknown or 'none'}"
        )
    typed = dataset.copy()
    for name in dataset.data_vars:
        typed[name] = _typed_variable(dataset[name], known[name], f"{path}: {name}")
    for name, coordinate in dataset.coords.items():
        if coordinate.dtype.kind in "OUT":
            typed = typed.assign_coords({name: (coordinate.dims, _strings(coordinate.values), coordinate.attrs)})
    return typed


def _typed_variable(variable: xr.DataArray, entry: Variable, where: str) -> xr.DataArray:
    if variable.dims != entry.dims:
        raise V4eggError(f"{where} has dims {variable.dims}, expected {entry.dims}")
    if entry.dtype == "str":
        result = variable.copy(data=_strings(variable.values))
    elif variable.dtype.kind == "f" and np.dtype(entry.dtype).kind in "iub":
        raise V4eggError(f"{where} has dtype {variable.dtype}, expected {entry.dtype}")
    else:
        result = variable.astype(entry.dtype)
    result.attrs = {**variable.attrs, "units": entry.unit, "long_name": entry.meaning}
    result.encoding = {}
    return result


def _encoding(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Chunks of a few megabytes along the first axis, gathered in shards, so that a store stays a few files."""
    encoding = {}
    for name, variable in dataset.data_vars.items():
        if variable.nbytes <= CHUNK_BYTES or variable.dtype.kind in "OUT":  # text is never long here
            if variable.ndim and variable.size:
                encoding[name] = {"chunks": variable.shape}
            continue
        row = max(1, variable.nbytes // variable.shape[0])
        rows = max(1, CHUNK_BYTES // row)
        per_shard = max(1, min(-(-variable.shape[0] // rows), SHARD_BYTES // (rows * row)))
        chunk = (min(rows, variable.shape[0]), *variable.shape[1:])
        encoding[name] = {"chunks": chunk, "shards": (chunk[0] * per_shard, *variable.shape[1:])}
    return encoding


def _strings(values: np.ndarray) -> np.ndarray:
    """Variable-length strings: the only text that the Zarr v3 specification knows."""
    return np.asarray(values).astype(np.dtypes.StringDType())


def _concatenate(parts: list[np.ndarray], dtype: str) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def _input_digest(path: str | Path) -> str:
    """A store's own digest, or the SHA-256 of a file."""
    path = Path(path)
    if path.is_dir():
        return load(path).attrs["digest"]
    return files.sha256_of(path)


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
