"""Priors trained elsewhere become stores that synthesis takes, or are refused in one line."""

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from v4egg import load_prior
from v4egg.errors import V4eggError
from v4egg.images.photographs import photograph_crops
from v4egg.images.pool import save_pool
from v4egg.priors.adm import ADMUNet
from v4egg.priors.pretrained import pretrained_prior
from v4egg.synthesis.constraints import PixelRange
from v4egg.synthesis.energy_guided import energy_guided


@pytest.fixture
def adm(tmp_path):
    torch.manual_seed(0)
    options = {"model_channels": 32, "channel_mult": (1, 2), "num_res_blocks": 1, "attention_resolutions": (8,)}
    torch.save(ADMUNet(sample_size=16, num_head_channels=16, **options).state_dict(), tmp_path / "adm.pt")
    return {"weights": str(tmp_path / "adm.pt"), "image_size": 16, "num_head_channels": 16}


@pytest.fixture
def pipeline(tmp_path):
    torch.manual_seed(0)
    blocks = {"block_out_channels": (32, 32), "layers_per_block": 1}
    kinds = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    unet = UNet2DModel(sample_size=16, **blocks, **kinds)
    DDPMPipeline(unet, DDPMScheduler(prediction_type="sample")).save_pretrained(tmp_path / "pipeline")
    return {"weights": str(tmp_path / "pipeline")}


@pytest.fixture
def pool(tmp_path):
    images, sources = photograph_crops(6, 16, "fit", "pool")
    save_pool(images, sources, tmp_path / "pool.zarr")
    return str(tmp_path / "pool.zarr")


@pytest.mark.parametrize("kind", ["adm", "pipeline"])
def test_through_its_rule_s_script_it_is_a_prior_like_any_other(kind, request, run_script, tmp_path, pool):
    options = {**request.getfixturevalue(kind), "check": False}
    output = [str(tmp_path / "prior.zarr")]
    run_script("import_prior", input={"pool": pool}, output=output, params={"options": options})
    prior = load_prior(tmp_path / "prior.zarr")
    assert prior.shape == (3, 16, 16)
    draws = [torch.Generator().manual_seed(0)]
    made = energy_guided(
        lambda images: images.mean((1, 2, 3)), draws, prior, steps=3, energy_scale=5.0, constraint=PixelRange()
    )
    assert made.images.shape == (1, 3, 16, 16)
    assert torch.isfinite(made.images).all()


@pytest.mark.parametrize("kind", ["adm", "pipeline"])
def test_a_checkpointed_prior_keeps_less_for_the_way_back_and_makes_the_same_images(
    kind, request, run_script, tmp_path, pool
):
    kept, images = {}, {}
    for checkpointing in (False, True):
        options, path = {**request.getfixturevalue(kind), "checkpointing": checkpointing}, tmp_path / f"{checkpointing}"
        options["check"] = False
        run_script("import_prior", input={"pool": pool}, output=[str(path)], params={"options": options})
        prior, sizes = load_prior(path), []
        draws, shown = [torch.Generator().manual_seed(0)], {"steps": 2, "constraint": PixelRange()}
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: s.append(t.numel()) or t, lambda t: t):
            made = energy_guided(lambda images: images.mean((1, 2, 3)), draws, prior, energy_scale=5.0, **shown)
        kept[checkpointing], images[checkpointing] = sum(sizes), made.images
    assert torch.allclose(images[False], images[True], atol=1e-5)
    assert kept[True] < kept[False] / 2


@pytest.mark.parametrize("kind", ["adm", "pipeline"])
def test_weights_that_do_not_denoise_the_pool_are_refused_in_one_line(kind, request, run_script, tmp_path, pool):
    options = {**request.getfixturevalue(kind), "check": True}
    with pytest.raises(SystemExit):
        run_script("import_prior", input={"pool": pool}, output=[str(tmp_path / "p.zarr")], params={"options": options})
    (line,) = [line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("error: ")]
    assert f"{options['weights']}: the prior does not take noise away" in line
    assert not (tmp_path / "p.zarr").exists()


def test_what_is_neither_is_one_line(tmp_path, pipeline):
    (tmp_path / "empty").mkdir()
    with pytest.raises(V4eggError, match=r"empty: no diffusers pipeline") as error:
        pretrained_prior(str(tmp_path / "empty"))
    assert "\n" not in str(error.value)
    with pytest.raises(V4eggError, match=r"absent\.pt: no such file"):
        pretrained_prior(str(tmp_path / "absent.pt"))
