"""Students side by side: the same numbers and gradients as one at a time."""

import pytest
import torch
from torch.nn import functional

from compact_nets import active_network
from v4egg.compact import students as module
from v4egg.compact.students import Depthwise, Students, new_network
from v4egg.seeding import torch_generator

SIZE = 16
WIDTHS = [(4, 5, 3, 6, 3), (3, 3, 4, 3, 5), (6, 3, 3, 4, 3)]


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    monkeypatch.setattr(module, "fast_bf16", lambda device: False)


def seen(n=5):
    return torch.randn(n, 3, SIZE, SIZE, generator=torch_generator("seen", n)) * 60


def networks():
    return [active_network(widths, size=SIZE) for widths in WIDTHS]


def test_responses_and_networks_are_those_of_the_units():
    students = Students(networks())
    torch.testing.assert_close(students(seen()), torch.stack([n(seen()) for n in networks()], 1), rtol=1e-4, atol=1e-3)
    for own, back in zip(networks(), students.networks(), strict=True):
        assert own.widths == back.widths
        torch.testing.assert_close(dict(back.named_buffers()), dict(own.named_buffers()))


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_gradients(stride):
    draw = torch_generator("depthwise", stride)
    maps = torch.randn(2, 6, 8, 8, generator=draw, requires_grad=True)
    kernels = torch.randn(6, 1, 5, 5, generator=draw, requires_grad=True)
    padding = (2, 2, 2, 2) if stride == 1 else (1, 3, 1, 3)
    exact = maps.detach().double().requires_grad_(), kernels.detach().double().requires_grad_()
    expected = functional.conv2d(functional.pad(exact[0], padding), exact[1], stride=stride, groups=6)
    found = Depthwise.apply(maps, kernels, stride, 1.0)
    torch.testing.assert_close(found, expected.float())
    weights = torch.randn(found.shape, generator=draw)
    # in float64, because two sums in float32 differ by their order, and that depends on the processor
    wanted = tuple(part.float() for part in torch.autograd.grad((expected * weights).sum(), exact))
    torch.testing.assert_close(torch.autograd.grad((found * weights).sum(), (maps, kernels)), wanted)
    halves = [
        torch.autograd.grad((Depthwise.apply(part, kernels, stride, 0.5) * own).sum(), kernels)[0]
        for part, own in ((maps, weights), (maps.flip(0), weights.flip(0)))
    ]
    torch.testing.assert_close((halves[0] + halves[1]) / 2, wanted[1])  # the estimate is right on average


def test_silent_padding_stays_silent():
    students = Students(networks())
    optimizer = torch.optim.Adam(students.parameter_groups(0.01))
    for _ in range(3):
        optimizer.zero_grad()
        students(seen()).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(
        students(seen()), torch.stack([n(seen()) for n in students.networks()], 1), rtol=1e-3, atol=1e-2
    )


def test_calibrated_filters_are_standardised():
    students = Students([new_network(widths, SIZE, (2, 2, 1, 1), i) for i, widths in enumerate(WIDTHS)])
    students.calibrate(seen(8))
    network = students.networks()[1]
    sums = functional.conv2d(seen(8), network.conv0_weight, network.conv0_bias, padding=2)
    torch.testing.assert_close(sums.std((0, 2, 3)), torch.ones(3))
    torch.testing.assert_close(sums.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    assert all(0 < float((m > 0).float().mean()) < 1 for m in network.layers(seen(8)))
    torch.testing.assert_close(
        students(seen()), torch.stack([n(seen()) for n in students.networks()], 1), rtol=1e-3, atol=1e-3
    )


def test_bf16_gradients_resemble_those_of_float32(monkeypatch):
    students = Students([new_network((8,) * 5, SIZE, (2, 2, 1, 1), i) for i in range(2)])
    students.calibrate(seen(8))

    def gradient():
        students.zero_grad()
        students(seen(8)).square().sum().backward()
        return torch.cat([p.grad.flatten() for p in students.parameters()])

    exact = gradient()
    monkeypatch.setattr(module, "fast_bf16", lambda device: True)
    assert torch.nn.functional.cosine_similarity(gradient(), exact, dim=0) > 0.99
