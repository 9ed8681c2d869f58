"""Generators are keyed by what is drawn."""

import torch

from v4egg.seeding import numpy_generator, seed_of, torch_generator


def test_same_key_same_draws():
    assert torch.equal(
        torch.randn(4, generator=torch_generator(1, "u")), torch.randn(4, generator=torch_generator(1, "u"))
    )
    assert numpy_generator(1, "u").integers(1 << 30) == numpy_generator(1, "u").integers(1 << 30)


def test_keys_do_not_run_together():
    assert len({seed_of(1, 23), seed_of(12, 3), seed_of("1", "2", "3"), seed_of(123)}) == 4


def test_seeds_fit_a_signed_64_bit_integer():
    assert all(0 <= seed_of(i) < 2**63 for i in range(100))
