"""Reading and writing of Zarr stores: atomic, typed, marked as complete, with provenance.

A store is written under a temporary name, marked as complete and renamed, so that readers never see an unfinished one.
Because a missing Zarr chunk would silently be read as a fill value, :func:`load` refuses stores without the mark.
"""

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
SHARD_BYTES = 512 * 2**20  # a variable up to this size is one file
STREAM_BYTES = 32 * 2**20  # of a variable that is written in pieces: what is in memory at a time, and one file
_PACKAGES = ("v4egg", "torch", "diffusers", "xarray", "zarr", "numpy")


def save(
    dataset: xr.Dataset,
    path: str | Path,
    kind: str,
    *,
    config: Mapping[str, Any] | None = None,
    seed: int | None = None,
    inputs: Sequence[str | Path] = (),
    streamed: Mapping[str, Iterable[np.ndarray]] | None = None,
) -> None:
    """Write a dataset to a Zarr v3 store, completely or not at all.

    Args:
        dataset: the data; its variables are converted to the dtypes of the kind and get its units.
        path: the store; an existing one is replaced.
        kind: a key of :data:`v4egg.io.schemas.KINDS`.
        config: the part of the configuration that the data depend on, for provenance.
        seed: the seed that the data depend on, for provenance.
        inputs: stores and files that the data depend on; their digests are recorded for provenance.
        streamed: further variables of one dimension, each in consecutive pieces, which are never in memory together.

    Raises:
        V4eggError: the kind is unknown, or a variable is missing, unknown, or of other dims or dtype than its kind.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "pool.zarr"
        >>> images = np.zeros((2, 1, 8, 8), "uint8")
        >>> dataset = xr.Dataset({"images": (("image", "channel", "y", "x"), images), "source": ("image", ["a", "b"])})
        >>> save(dataset, path, "pool")
        >>> dict(load(path, "pool").sizes)
        {'image': 2, 'channel': 1, 'y': 8, 'x': 8}
    """
    path = Path(path)
    streamed = streamed or {}
    typed = _typed(dataset, path, kind, list(streamed))
    typed.attrs |= {
        "kind": kind,
        "kind_version": VERSIONS[kind],
        "config": json.dumps(config or {}, sort_keys=True),
        "seed": -1 if seed is None else int(seed),
        "versions": json.dumps(_versions()),
        "inputs": json.dumps({Path(p).name: _input_digest(p) for p in inputs}, sort_keys=True),
    }
    with files.replacing(path) as temporary:
        typed.to_zarr(temporary, mode="w", zarr_format=3, consolidated=False, encoding=_encoding(typed))
        group = zarr.open_group(temporary, mode="r+")
        for name, pieces in streamed.items():
            _write_pieces(group, name, KINDS[kind][name], pieces)
        written = xr.open_zarr(temporary, consolidated=False, mask_and_scale=False)
        group.attrs["digest"] = digest(typed.assign({name: written[name] for name in streamed}))
        group.attrs["complete"] = True
        with warnings.catch_warnings():  # consolidation is an extension of v3 that readers may ignore
            warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
            zarr.consolidate_metadata(temporary)


def load(path: str | Path, kind: str | None = None) -> xr.Dataset:
    """Open a store; its arrays are read when they are used.

    Args:
        path: the store.
        kind: the expected kind; None: any.

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
    # ordinary strings, because numpy cannot cast its variable-length ones to any other type
    return dataset.assign({name: (v.dims, np.array(v.values.tolist(), "U"), v.attrs) for name, v in texts.items()})


def _check_version(attrs: Mapping[str, Any], path: Path) -> None:
    """Refuse a store that another version of this package wrote, whose names may have another meaning."""
    kind, actual = attrs["kind"], attrs.get("kind_version")
    if kind not in VERSIONS:
        raise V4eggError(f"{path}: unknown store kind '{kind}'; delete it and run its rule again")
    if actual != VERSIONS[kind]:
        written = "without a version" if actual is None else f"of version {actual}"
        raise V4eggError(
            f"{path}: a '{kind}' store {written}, but version {VERSIONS[kind]} is needed; "
            "delete it and run its rule again"
        )


def require(dataset: xr.Dataset, dim: str, name: str, path: str | Path) -> None:
    """Check that a dimension of a dataset has a certain coordinate.

    Args:
        dataset: read from a store.
        dim: the dimension.
        name: the coordinate that it must have.
        path: the store, for the error message.

    Raises:
        V4eggError: the coordinate is missing; the message lists those that exist.

    Example:
        >>> require(xr.Dataset(coords={"judge": ["a", "b"]}), "judge", "b", "transfer.zarr")
    """
    names = [str(value) for value in dataset[dim].values]
    if name not in names:
        raise V4eggError(
            f"{path}: {dim} '{name}' is missing, there are only {', '.join(names) or 'none'}; run its rule again"
        )


def save_weights(
    state: Mapping[str, Any],
    path: str | Path,
    *,
    curves: Mapping[str, Sequence[float]] | None = None,
    attrs: Mapping[str, Any] | None = None,
    **provenance: Any,
) -> None:
    """Write a torch state dict to a store of kind ``weights``.

    All floating-point tensors become one flat float32 variable and all integer tensors another, so that a store has few
    files however many layers a network has. ``attrs['layout']`` records the name, shape and offset of each tensor.

    Args:
        state: tensors (or arrays) by name.
        path: the store; an existing one is replaced.
        curves: ``loss`` and ``validation``, one number per epoch each.
        attrs: further attributes of the store.
        provenance: ``config``, ``seed`` and ``inputs`` of :func:`save`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "weights.zarr"
        >>> save_weights({"bias": np.array([1.0, 2.0])}, path)
        >>> load_weights(path)[0]
        {'bias': tensor([1., 2.])}
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
    """Read a store of kind ``weights``.

    Returns:
        The state dict (torch tensors by name) and the store's attributes.

    Raises:
        V4eggError: there is no such store, or it is of another kind or version.
    """
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
    """Return the SHA-256 over names, dims and values of all variables, 64 hexadecimal digits.

    Example:
        >>> first, second = xr.Dataset({"a": ("x", [1.0])}), xr.Dataset({"a": ("x", [1.0])})
        >>> digest(first) == digest(second)
        True
    """
    sha = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        variable = dataset[name]
        sha.update(f"{name}{variable.dims}{variable.shape}".encode())
        if variable.dtype.kind in "OUT":
            sha.update("\x1f".join(map(str, variable.values.ravel())).encode())
        else:
            sha.update(f"{variable.dtype}".encode())
            for block in _blocks(variable):
                sha.update(np.ascontiguousarray(block).tobytes())
    return sha.hexdigest()


def _blocks(variable: xr.DataArray) -> Iterator[np.ndarray]:
    """The values along the first axis, some at a time, so that those of a store are not in memory together."""
    if variable.ndim == 0 or variable.size == 0:
        yield variable.values
        return
    rows = max(1, STREAM_BYTES * variable.shape[0] // variable.nbytes)
    for start in range(0, variable.shape[0], rows):
        yield variable[start : start + rows].values


def _write_pieces(group: zarr.Group, name: str, entry: Variable, pieces: Iterable[np.ndarray]) -> None:
    """Append the pieces of a variable to a store, a whole shard at a time: a shard cannot be extended cheaply."""
    dtype = np.dtype(entry.dtype)
    chunk, shard = CHUNK_BYTES // dtype.itemsize, STREAM_BYTES // dtype.itemsize
    array = group.create_array(
        name,
        shape=(0,),
        dtype=dtype,
        chunks=(chunk,),
        shards=(shard,),
        dimension_names=list(entry.dims),
        attributes={"units": entry.unit, "long_name": entry.meaning},
    )
    waiting: list[np.ndarray] = []
    for piece in pieces:
        waiting.append(np.asarray(piece, dtype))
        if sum(map(len, waiting)) >= shard:
            values = np.concatenate(waiting)
            whole = len(values) // shard * shard
            array.append(values[:whole])
            waiting = [values[whole:]]
    if any(map(len, waiting)):
        array.append(np.concatenate(waiting))


def _typed(dataset: xr.Dataset, path: Path, kind: str, streamed: Sequence[str] = ()) -> xr.Dataset:
    """A copy whose variables have the dtypes and units of their kind; variables must be those of the kind."""
    if kind not in KINDS:
        raise V4eggError(f"{path}: unknown store kind '{kind}'; add it to v4egg.io.schemas.KINDS")
    layout = KINDS[kind]
    missing = [name for name, entry in layout.items() if not (entry.optional or name in dataset or name in streamed)]
    unknown = [str(name) for name in [*dataset.data_vars, *streamed] if name not in layout]
    if missing or unknown:
        raise V4eggError(
            f"{path}: a '{kind}' store: missing variables: {', '.join(missing) or 'none'}; "
            f"unknown variables: {', '.join(unknown) or 'none'}"
        )
    typed = dataset.copy()
    for name in map(str, dataset.data_vars):
        typed[name] = _typed_variable(dataset[name], layout[name], f"{path}: {name}")
    for dim, coordinate in dataset.coords.items():
        if coordinate.dtype.kind in "OUT":
            typed = typed.assign_coords({dim: (coordinate.dims, _strings(coordinate.values), coordinate.attrs)})
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
    """Chunks of a few megabytes along the first axis, gathered in shards so that a store has few files."""
    encoding: dict[str, dict[str, Any]] = {}
    for key, variable in dataset.data_vars.items():
        name = str(key)
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
    """Variable-length strings, the only text that the Zarr v3 specification defines."""
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
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
