"""Each job takes a GPU of its own; who finds none waits; a killed job's GPU is free again."""

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from v4egg.device import borrowed, device_of, free_slot, taken_device, usable_device
from v4egg.errors import V4eggError

HOLD = """
import sys, time
from pathlib import Path
from v4egg.device import free_slot
with free_slot(["a", "b"], Path(sys.argv[1]), lambda text: print(text, flush=True), pause=0.01) as index:
    print(index, flush=True)
    sys.stdin.read()
"""


def hold(folder) -> subprocess.Popen:
    """A process that takes a slot, says which, and keeps it until its input is closed."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], **pipes)


def test_processes_take_different_slots_and_wait_for_a_free_one(tmp_path):
    jobs = [hold(tmp_path) for _ in range(3)]
    try:
        said = [job.stdout.readline().strip() for job in jobs]
        assert sorted(said) == ["0", "1", "all 2 GPUs are taken; waiting for one"]
        waiting = jobs[said.index("all 2 GPUs are taken; waiting for one")]
        killed = jobs[said.index("1")]
        killed.send_signal(signal.SIGKILL)
        assert waiting.stdout.readline().strip() == "1"
    finally:
        for job in jobs:
            job.kill()
            job.communicate()


def test_a_slot_is_free_after_use(tmp_path):
    for _ in range(2):
        with free_slot(["a"], tmp_path, print) as index:
            assert index == 0


@pytest.fixture
def two_gpus(monkeypatch, tmp_path) -> list[int]:
    """A torch that sees two GPUs; the list collects which become current."""
    chosen = []
    monkeypatch.delenv("V4EGG_DEVICE", raising=False)
    monkeypatch.setattr("v4egg.device.lock_folder", lambda: tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: SimpleNamespace(uuid=f"GPU-{i}"))
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


def test_two_jobs_side_by_side_get_two_gpus(two_gpus):
    gpu = SimpleNamespace(gpu=1)
    with taken_device(gpu, print) as first, taken_device(gpu, print) as second:
        assert first == second == "cuda"
    assert two_gpus == [0, 1]


def test_no_gpu_is_taken_unasked(two_gpus, monkeypatch):
    with taken_device(SimpleNamespace(), print) as device:
        assert device == "cpu"
    monkeypatch.setenv("V4EGG_DEVICE", "cpu")
    with taken_device(SimpleNamespace(gpu=1), print) as device:
        assert device == "cpu"
    assert two_gpus == []


class Moody(torch.nn.Module):
    """A frozen part in evaluation mode inside a part that trains."""

    def __init__(self):
        super().__init__()
        self.trained, self.frozen = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).eval().requires_grad_(False)


def state(module):
    return [p.requires_grad for p in module.parameters()], [m.training for m in module.modules()], device_of(module)


@pytest.mark.parametrize("device", [None, "cpu", "meta"])
def test_a_borrowed_module_comes_back_as_it_was(device):
    module = Moody()
    before = state(module)
    with pytest.raises(KeyboardInterrupt), borrowed(module, device) as used:
        assert not used.training
        assert not any(parameter.requires_grad for parameter in used.parameters())
        assert device_of(used).type == (device or "cpu")
        assert (used is module) == (device != "meta")
        raise KeyboardInterrupt
    assert state(module) == before


def test_a_device_that_cannot_be_used_is_one_line():
    with pytest.raises(V4eggError, match="device 'nonsense' cannot be used"):
        usable_device("nonsense")
    module = torch.nn.Linear(2, 2)
    module.result = module.weight * 2  # torch refuses to copy what was computed
    with pytest.raises(V4eggError, match="Linear cannot be copied to meta"), borrowed(module, "meta"):
        pass
