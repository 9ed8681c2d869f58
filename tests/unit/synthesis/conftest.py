"""Synthesis is tested with exact priors."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def exact():
    """The prior in float32 everywhere: rounded to bf16, an image depends on its batch by more than 1e-5."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("v4egg.priors.loading.fast_bf16", lambda device: False)
        yield
