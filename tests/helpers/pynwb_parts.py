"""Pieces of NWB files that tests assemble: tables from whole columns, containers of pictures, texts as bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hdmf.common import DynamicTable, DynamicTableRegion, EnumData, VectorData, VectorIndex
from pynwb import NWBFile
from pynwb.base import ImageReferences, Images
from pynwb.epoch import TimeIntervals
from pynwb.image import GrayscaleImage, ImageSeries, OpticalSeries, RGBAImage, RGBImage

KINDS = {1: GrayscaleImage, 3: RGBImage, 4: RGBAImage}  # by the number of channels


def column(name: str, data: Any) -> VectorData:
    """A column of a table."""
    return VectorData(name=name, description=name, data=data)


def coded_column(name: str, texts: Sequence[str]) -> EnumData:
    """A column of codes and the texts that they stand for."""
    elements = sorted(set(texts), reverse=True)
    codes = np.array([elements.index(text) for text in texts], "uint8")
    return EnumData(name=name, description=name, data=codes, elements=elements)


def rows_of(name: str, table: DynamicTable, rows: Sequence[int]) -> DynamicTableRegion:
    """A column that refers to rows of another table."""
    return DynamicTableRegion(name=name, description=name, data=list(rows), table=table)


def lists(values: VectorData, ends: Sequence[int]) -> dict[str, VectorData]:
    """A column whose rows hold lists of these values, each list up to one of the ends."""
    index = VectorIndex(name=f"{values.name}_index", data=np.asarray(ends), target=values)
    return {values.name: values, index.name: index}


def table(
    name: str, columns: Mapping[str, Any], kind: type[DynamicTable] = TimeIntervals, first_id: int = 0
) -> DynamicTable:
    """A table of these columns, each an array or a column already, with ids from ``first_id``."""
    made = [data if isinstance(data, VectorData) else column(key, data) for key, data in columns.items()]
    names = [key for key, data in columns.items() if not isinstance(data, VectorIndex)]
    ids = list(range(first_id, first_id + len(made[0])))
    return kind(name=name, description=name, columns=made, colnames=names, id=ids)


def picture_container(name: str, pictures: Mapping[str, np.ndarray], order: Sequence[str] | None) -> Images:
    """A container of pictures (y, x) or (y, x, channel), stored in an order of its own; ``order`` lists their names."""
    found = {key: _picture(key, data) for key, data in pictures.items()}
    stored = [found[key] for key in sorted(found, reverse=True)]
    references = order and ImageReferences(name="order_of_images", data=[found[key] for key in order])
    return Images(name=name, images=stored, description=name, order_of_images=references or None)


def frames(name: str, data: np.ndarray, onsets: Sequence[float], optical: bool) -> ImageSeries:
    """A stack of frames."""
    common = {"name": name, "data": data, "timestamps": list(onsets), "unit": "n.a."}
    if not optical:
        return ImageSeries(**common)
    return OpticalSeries(**common, distance=0.5, field_of_view=[1.0, 1.0], orientation="upper left")


def named_frames(name: str, data: np.ndarray, names: Sequence[str]) -> ImageSeries:
    """A stack of frames whose names stand in ``control_description``."""
    return ImageSeries(
        name=name,
        data=data,
        control=np.arange(len(names), dtype="uint8"),
        control_description=list(names),
        timestamps=[float(k) for k in range(len(names))],
        unit="n.a.",
    )


def external_files(name: str, files: Sequence[str]) -> ImageSeries:
    """A series whose frames are image files."""
    return ImageSeries(
        name=name,
        external_file=list(files),
        format="external",
        starting_frame=list(range(len(files))),
        rate=1.0,
        num_samples=len(files),
        unit="n.a.",
    )


def add_electrodes(nwb: NWBFile, locations: Sequence[str]) -> None:
    """One electrode a location."""
    device = nwb.create_device("array")
    for location in sorted(set(locations)):
        nwb.create_electrode_group(location, location, location, device)
    for location in locations:
        nwb.add_electrode(group=nwb.electrode_groups[location], location=location)


def texts_as_bytes(path: Path, name: str) -> None:
    """Replace each column of texts of that name by one of bytes of fixed width, as MATLAB and older tools write."""
    with h5py.File(path, "r+") as file:
        found: list[h5py.Dataset] = []
        file.visititems(lambda at, item: found.append(item) if at.endswith(f"/{name}") else None)
        for dataset in found:
            group, attributes = dataset.parent, dict(dataset.attrs)
            values = np.array([text.encode() if isinstance(text, str) else text for text in dataset[()]])
            del group[name]
            new = group.create_dataset(name, data=values.astype("S"))
            new.attrs.update(attributes)


def _picture(name: str, data: np.ndarray) -> Any:
    return KINDS[1 if data.ndim == 2 else data.shape[2]](name=name, data=data)
