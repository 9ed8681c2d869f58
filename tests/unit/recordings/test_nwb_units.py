"""The units of an NWB file: which are kept, what is known of each, their spike times, and when they were recorded."""

import numpy as np
import pytest
from pynwb import NWBHDF5IO
from pynwb.ecephys import ElectricalSeries
from pynwb.misc import Units

from nwb_files import ONSET, ORDER, Session, counted, named, spikes, true_counts
from pynwb_parts import coded_column
from v4egg.errors import V4eggError
from v4egg.recordings.recording import load_recording

LONG = 1.0 + 0.3 * np.arange(400)  # onsets of a session of two minutes
LONG_ORDER = np.resize(ORDER, len(LONG))


def session(times=None, **columns):
    """Images and presentations by name, and these units."""
    return Session().units(times, **columns).images().presentations(named())


def refusal(made, folder, **columns):
    """The one line with which a file is refused."""
    with pytest.raises(V4eggError) as caught:
        made.read(folder, **columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def long_session(times, **columns):
    """400 presentations, and these units."""
    made = Session().units(times, **columns).images()
    return made.presentations(named(LONG_ORDER), start_time=LONG, stop_time=LONG + 0.2)


def busy(start=0.5, stop=122.0, rate=20.0):
    """Spike times of a unit that fires at random."""
    return np.sort(np.random.default_rng(2).uniform(start, stop, int(rate * (stop - start))))


# --- tables, columns and filters --------------------------------------------------------------------------------------


def module_with_units(made, name):
    units = Units(name=name, description="sorted")
    for unit in range(2):
        units.add_unit(spike_times=spikes(unit))
    made.nwb.create_processing_module(name, name).add(units)


def test_units_in_a_processing_module(tmp_path):
    made = Session().images().presentations(named())
    module_with_units(made, "sorting")
    np.testing.assert_array_equal(counted(made.read(tmp_path)), true_counts())


def test_of_several_tables_of_units_one_is_named(tmp_path):
    made = Session().images().presentations(named())
    module_with_units(made, "first")
    module_with_units(made, "second")
    text = refusal(made, tmp_path)
    assert text.endswith("columns.units to one of: /processing/first/first, /processing/second/second")
    np.testing.assert_array_equal(counted(made.read(tmp_path, units="second")), true_counts())
    assert "columns.units names third; tables of units are" in refusal(made, tmp_path, units="third")


def test_the_units_of_the_file_come_first(tmp_path):
    made = session()
    module_with_units(made, "sorting")
    assert len(made.read(tmp_path, units=None).units) == 2


def test_filters_know_codes_numbers_flags_and_missing_values(tmp_path):
    made = session(
        [spikes(0), spikes(1), spikes(0)], snr=[1.0, 2.0, np.nan], good=[True, False, True], area=["V4", "", "V1"]
    )
    for unit_filter, kept in [
        ({"snr": 2}, [1]),
        ({"snr": None}, [2]),
        ({"good": True}, [0, 2]),
        ({"area": None}, [1]),
        ({"area": ["V4", "V1"], "good": True}, [0, 2]),
    ]:
        recording = made.read(tmp_path, unit_filter=unit_filter)
        assert list(recording.units.index) == [f"s1-u{unit:03d}" for unit in kept]
        assert list(recording.spikes) == list(recording.units.index)


def test_codes_of_electrodes_and_units_without_electrodes(tmp_path):
    made = Session().images().presentations(named())
    device = made.nwb.create_device("array")
    group = made.nwb.create_electrode_group("probe", "probe", "probe", device)
    for location in ("V1", "V4"):
        made.nwb.add_electrode(group=group, location=location)
    area = coded_column("area", ["V1", "V4"])
    made.nwb.electrodes.add_column(
        name="area", description="area", data=area.data, col_cls=type(area), enum=list(area.elements.data)
    )
    made.nwb.add_unit(spike_times=spikes(0), electrodes=[1, 0])
    made.nwb.add_unit(spike_times=spikes(1), electrodes=[])
    recording = made.read(tmp_path)
    assert recording.units["location"].tolist() == ["V4", ""]
    assert recording.units["area"].tolist() == ["V4", ""]
    assert recording.units["group"].tolist() == ["probe", ""]
    assert list(made.read(tmp_path, unit_filter={"area": "V4"}).units.index) == ["s1-u000"]


def test_a_column_with_a_space_in_its_name_stays(tmp_path):
    made = session(None, **{"peak to trough": [0.25, 0.5]})
    made.read(tmp_path).save(tmp_path / "s.zarr")
    assert load_recording(tmp_path / "s.zarr").units["peak to trough"].tolist() == [0.25, 0.5]


def test_units_without_spike_times(tmp_path):
    made = Session().images().presentations(named())
    made.nwb.add_unit_column("snr", "snr")
    made.nwb.add_unit(snr=1.0)
    assert "has no column spike_times, only snr" in refusal(made, tmp_path)


# --- spike times ------------------------------------------------------------------------------------------------------


def test_spike_times_in_any_order_with_nan_and_before_zero(tmp_path):
    mixed = np.random.default_rng(1).permutation(np.concatenate([spikes(1), [-0.5, np.nan]]))
    recording = session([spikes(0), mixed]).read(tmp_path)
    np.testing.assert_array_equal(counted(recording), true_counts())
    np.testing.assert_allclose(recording.spikes["s1-u001"], np.concatenate([[-0.5], spikes(1)]))
    assert recording.warnings == [
        "session.nwb: 1 spike times of 1 unit (s1-u001) are not finite and left out",
        "session.nwb: spike times of 1 unit (s1-u001) are not in order in the file and were sorted",
    ]


def test_spikes_of_one_time_all_count_and_are_named(tmp_path):
    recording = session([spikes(0), np.repeat(spikes(1), 2)]).read(tmp_path)
    np.testing.assert_array_equal(counted(recording), true_counts() * [1, 2])
    assert "spikes of 1 unit (s1-u001) have the time of another spike" in recording.warnings[0]


def test_a_unit_without_spikes_is_kept(tmp_path):
    recording = session([spikes(0), []]).read(tmp_path)
    np.testing.assert_array_equal(counted(recording), true_counts() * [1, 0])


def test_spike_times_stay_in_the_file_and_the_file_can_be_written(tmp_path):
    made = session()
    recording = made.read(tmp_path)
    with NWBHDF5IO(made.path, "a"):  # refused by HDF5 while it is open for reading
        np.testing.assert_allclose(recording.spikes["s1-u001"], spikes(1))
    assert len(recording.spikes) == 2


# --- what was recorded ------------------------------------------------------------------------------------------------


def test_observation_intervals_say_when_a_unit_was_lost(tmp_path):
    half = float(ONSET[4])
    made = session([spikes(0), spikes(1)[spikes(1) < half]], obs_intervals=[[[0.0, 9.0]], [[0.0, half]]])
    expected = true_counts()
    expected[4:, 1] = np.nan
    np.testing.assert_array_equal(counted(made.read(tmp_path)), expected)


def test_observation_intervals_in_pieces(tmp_path):
    pieces = [[float(ONSET[2]), float(ONSET[3])], [0.0, float(ONSET[1])]]  # in any order
    made = session(obs_intervals=[[[0.0, 9.0]], pieces])
    expected = true_counts()
    expected[[1, 3, 4, 5, 6, 7], 1] = np.nan
    np.testing.assert_array_equal(counted(made.read(tmp_path)), expected)


def test_a_unit_with_spikes_and_no_interval_was_always_recorded(tmp_path):
    recording = session(obs_intervals=[[[0.0, float(ONSET[4])]], np.empty((0, 2))]).read(tmp_path)
    expected = true_counts()
    expected[4:, 0] = np.nan
    np.testing.assert_array_equal(counted(recording), expected)
    assert "1 unit (s1-u001) have spikes and no obs_intervals" in recording.warnings[0]


def test_invalid_times_are_cut_out_of_all_units(tmp_path):
    made = session(obs_intervals=[[[0.0, 9.0]], [[0.0, float(ONSET[6])]]])
    made.nwb.add_invalid_time_interval(start_time=float(ONSET[1]) + 0.1, stop_time=float(ONSET[2]) + 0.1)
    expected = true_counts()
    expected[1:3], expected[6:, 1] = np.nan, np.nan
    recording = made.read(tmp_path)
    np.testing.assert_array_equal(counted(recording), expected)
    assert "0.3 s of /intervals/invalid_times count as not recorded" in recording.warnings[0]


def test_intervals_without_an_end_are_refused(tmp_path):
    made = session()
    made.nwb.add_invalid_time_interval(start_time=1.0, stop_time=np.nan)
    assert "/intervals/invalid_times has an interval without start or stop" in refusal(made, tmp_path)


def test_a_recording_that_ends_before_the_presentations(tmp_path):
    end = float(LONG[300]) + 0.1
    recording = long_session([busy(stop=end), busy(stop=end) - 0.001]).read(tmp_path)
    counts = counted(recording)
    assert np.isfinite(counts[:300]).all()
    assert np.isnan(counts[302:]).all()
    assert "98 of 400 presentations lie outside of the spikes of all units" in recording.warnings[-1]


def test_a_recording_that_begins_after_the_presentations(tmp_path):
    recording = long_session([busy(start=float(LONG[50]) - 0.01)]).read(tmp_path)
    counts = counted(recording)
    assert np.isnan(counts[:48]).all()
    assert np.isfinite(counts[50:]).all()


def test_a_short_silence_at_the_end_counts_as_zero(tmp_path):
    recording = session([spikes(0)[:-1], spikes(1)[: -len(spikes(1, ORDER[-1:], ONSET[-1:]))]]).read(tmp_path)
    assert np.isfinite(counted(recording)).all()
    assert recording.recorded is None


def test_units_that_the_filter_removes_tell_how_long_the_recording_ran(tmp_path):
    slow = busy(stop=float(LONG[200]), rate=5)
    recording = long_session([slow, busy()], area=["V4", "V1"]).read(tmp_path, unit_filter={"area": "V4"})
    assert recording.recorded is None
    assert np.isfinite(counted(recording)).all()
    assert "1 unit (s1-u000) are silent at the start or the end" in recording.warnings[0]


def electrical(made, start, samples, rate=10.0, name="raw"):
    if made.nwb.electrodes is None:
        device = made.nwb.create_device("array")
        group = made.nwb.create_electrode_group("probe", "probe", "probe", device)
        made.nwb.add_electrode(group=group, location="V4")
    region = made.nwb.create_electrode_table_region([0], "all")
    made.nwb.add_acquisition(
        ElectricalSeries(name=name, data=np.zeros((samples, 1)), electrodes=region, starting_time=start, rate=rate)
    )


def test_the_raw_recording_tells_when_it_ran(tmp_path):
    first, last = LONG + 0.07, LONG + 0.17
    ran = (last <= 40) | (first >= 45) & (last <= 61.5)
    made = long_session([spikes(0, LONG_ORDER[ran], LONG[ran])])
    electrical(made, 0.0, 400)  # 40 s
    electrical(made, 45.0, 165, name="later")  # 16.5 s
    recording = made.read(tmp_path)
    np.testing.assert_array_equal(np.isfinite(counted(recording)[:, 0]), ran)
    assert "outside of the raw recording (0 to 61.5 s)" in recording.warnings[-1]


def test_a_snippet_of_the_raw_recording_tells_nothing(tmp_path):
    made = long_session([busy()])
    electrical(made, 0.0, 100)  # 10 s of two minutes with spikes
    recording = made.read(tmp_path)
    assert recording.recorded is None


# --- one clock --------------------------------------------------------------------------------------------------------


def test_spike_times_that_begin_at_zero_in_every_trial(tmp_path):
    made = long_session([busy(0, 0.3, 9000), busy(0, 0.3, 3000)])
    text = refusal(made, tmp_path)
    assert "presentations of /intervals/presentations from 1 to 120.7 s, which is no common clock" in text
    assert "begin at 0 in every trial" in text


def test_spike_times_in_milliseconds(tmp_path):
    text = refusal(long_session([busy() * 1000]), tmp_path)
    assert "spike times look like milliseconds: write them in s" in text


def test_onsets_in_milliseconds(tmp_path):
    made = Session().units([busy()]).images()
    made.presentations(named(LONG_ORDER), start_time=LONG * 1000, stop_time=LONG * 1000 + 200)
    assert "onsets are milliseconds" in refusal(made, tmp_path)


def test_presentations_long_after_the_spikes(tmp_path):
    made = Session().units().images().presentations(named(), start_time=ONSET + 100, stop_time=ONSET + 100.2)
    assert "which is no common clock" in refusal(made, tmp_path)


def test_units_whose_spikes_are_elsewhere_are_named(tmp_path):
    recording = long_session([busy(), 500 + busy(stop=10.0)]).read(tmp_path)
    assert "spikes of 1 unit (s1-u001) lie near no presentation" in recording.warnings[0]
