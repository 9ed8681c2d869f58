"""A stand-in for the library timm that knows one small network, and a session for heads on its features."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from v4egg.encoders.frozen_features import frozen_features
from v4egg.encoders.training_data import TrainingSession

OPTIONS = {
    "size": 16,
    "channels": 3,
    "loss": "mse",
    "epochs": 8,
    "batch_size": 16,
    "learning_rate": 0.01,
    "weight_decay": 0.01,
    "shift": 1,
    "noise": 0.05,
    "adversarial": 0.0,
    "ema_decay": 0.5,
    "patience": 0,
}
BACKBONE = {"name": "timm", "model": "tiny", "nodes": ["layer1.0", "layer2"], "grid": 4}
ARCHITECTURE = {
    "core": {"name": "task_driven", "backbone": BACKBONE, "channels": 8, "blocks": 1},
    "readout": {"name": "attention", "dim": 8},
    "size": 32,
}


class Tiny(nn.Module):
    """A stand-in network in timm's manner: named layers of other strides."""

    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(3, 5, 3, stride=4, padding=1), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(5, 7, 3, stride=4, padding=1), nn.BatchNorm2d(7))
        self.fc = nn.Linear(7, 2)

    def forward(self, images):
        return self.fc(self.layer2(self.layer1(images)).mean((2, 3)))


def trained_tiny():
    torch.manual_seed(5)
    network = Tiny()
    network.layer2[1].running_mean.normal_()
    return network


@pytest.fixture(autouse=True)
def timm(monkeypatch):
    """A timm that knows one network; ``pretrained`` gives its trained weights."""
    module = ModuleType("timm")
    module.create_model = lambda name, pretrained: trained_tiny() if pretrained else Tiny()
    monkeypatch.setitem(sys.modules, "timm", module)


def session(features=None, n=96):
    """Units that like the red and the blue of the image's left half."""
    images = np.random.default_rng(0).integers(0, 255, (n, 3, 16, 16), dtype=np.uint8)
    images[:, :, :, :8] = np.random.default_rng(1).integers(0, 255, (n, 3, 1, 1), dtype=np.uint8)
    drive = images[:, :, :, :8].mean((2, 3))[:, [0, 2]]
    target = ((drive - drive.mean(0)) / drive.std(0)).astype(np.float32)
    rows = np.arange(n - 24), np.arange(n - 24, n)
    return TrainingSession(
        "s1", ["s1-u000", "s1-u001"], images, target, np.ones(target.shape, np.float32), *rows, features
    )


def features_of(images, **options):
    return frozen_features(images, BACKBONE, size=32, **options)
