"""The ADM prior: the reference's outputs and gradients, what its file shows and does not, guided sampling with it."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from v4egg import load_prior
from v4egg.errors import V4eggError
from v4egg.priors.adm import ADMUNet, load_adm
from v4egg.priors.pretrained import pretrained_prior
from v4egg.seeding import torch_generator
from v4egg.synthesis.energies import Energy
from v4egg.synthesis.energy_guided import energy_guided

TINY = {
    "sample_size": 16,
    "in_channels": 3,
    "out_channels": 6,
    "model_channels": 32,
    "channel_mult": [1.0, 2.0],
    "num_res_blocks": 1,
    "attention_resolutions": [8],
    "num_head_channels": 16,
}
GIVEN = {"image_size": 16, "num_head_channels": 16}


def network(**options):
    torch.manual_seed(0)
    return ADMUNet(**TINY | options)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("adm") / "tiny.pt"
    torch.save(network().state_dict(), path)
    return path


@pytest.fixture
def prior(weights):
    return load_adm(weights, **GIVEN)


@pytest.fixture
def golden():
    """The folder of the reference's small network: beside the clone, or in the folder of public data."""
    places = [Path(__file__).parents[4] / "shared", Path(os.environ.get("V4EGG_DATA", "data"))]
    folders = [place / "golden" / "adm_small" for place in places]
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        pytest.skip("no golden/adm_small beside the clone nor in V4EGG_DATA")
    return folder


@pytest.mark.parametrize("checkpointing", [False, True])
def test_outputs_and_gradients_are_the_reference_s(golden, checkpointing):
    values = np.load(golden / "io.npz", allow_pickle=False)
    prior = load_adm(golden / "model.pt", image_size=64, num_head_channels=16)
    if checkpointing:
        prior.enable_gradient_checkpointing()
    noisy = torch.tensor(values["x"], requires_grad=True)
    output = prior.predict(noisy, torch.tensor(values["t"]))
    (gradient,) = torch.autograd.grad(output[:, :3].square().sum(), noisy)
    assert np.abs(output.detach().numpy() - values["y"]).max() < 1e-4
    assert np.abs(gradient.numpy() - values["grad_of_sum_eps_squared"]).max() < 1e-4


def test_the_published_network_has_the_published_size():
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in ADMUNet().parameters()) == 552_814_086


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_res_blocks": 2, "attention_resolutions": [16]},
        {"model_channels": 64, "channel_mult": [0.5, 1.0, 1.5], "attention_resolutions": [16, 4]},
        {"in_channels": 1, "out_channels": 1, "attention_resolutions": []},
        {"channel_mult": [1.0], "num_res_blocks": 3, "attention_resolutions": []},
    ],
    ids=["tiny", "blocks", "fractions", "fixed variance", "one level"],
)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_the_architecture_is_read_off_the_tensors(tmp_path, options, suffix):
    made, path = network(**options), tmp_path / f"w.{suffix}"
    (torch.save if suffix == "pt" else save_file)(made.state_dict(), path)
    prior = load_adm(path, **GIVEN)
    found = {key: prior.unet.config[key] for key in TINY}
    assert found == TINY | options
    assert prior.shape == (found["in_channels"], 16, 16)
    learned = found["out_channels"] == 2 * found["in_channels"]
    assert prior.schedule["variance_type"] == ("learned_range" if learned else "fixed_large")
    noisy = torch.randn(2, *prior.shape)
    times = torch.tensor([3, 700])
    with torch.no_grad():
        expected = made.eval()(noisy, times).sample
    assert torch.allclose(prior.predict(noisy, times), expected, atol=1e-5)
    assert not prior.training
    assert not any(parameter.requires_grad for parameter in prior.parameters())


def test_a_schedule_is_that_of_the_training(weights):
    prior = load_adm(weights, **GIVEN, schedule="cosine", steps=4000)
    assert prior.scheduler(50).timesteps.tolist()[::-1][:3] == [0, 82, 163]
    assert prior.scheduler(50).timesteps[0] == 3999
    assert prior.schedule["clip_sample"]
    assert load_adm(weights, **GIVEN, predicts="sample").schedule["prediction_type"] == "sample"
    with pytest.raises(V4eggError, match=r"tiny\.pt: variance is 'fixed_small', and the network has channels"):
        load_adm(weights, **GIVEN, variance="fixed_small")


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm_solver"])
def test_every_sampler_clips_what_a_cosine_schedule_amplifies(weights, sampler):
    """Of random weights the first x0_hat is some thousand; unclipped, samples end far from images."""
    prior = load_adm(weights, **GIVEN, schedule="cosine", steps=4000)
    scheduler, draws = prior.scheduler(8, sampler), [torch_generator("cosine")]
    noisy = torch.randn((1, 3, 16, 16), generator=draws[0])
    options = {"generator": draws} if sampler == "ancestral" else {}
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            output = prior.predict(noisy, timestep)
            output = output if sampler == "ancestral" else output[:, :3]
            noisy = scheduler.step(output, timestep, noisy, **options).prev_sample
    assert noisy.abs().max() < 1.5


def test_rescaled_time_steps_are_those_of_a_thousand(weights):
    noisy = torch.randn(2, 3, 16, 16)
    plain = load_adm(weights, **GIVEN)
    rescaled = load_adm(weights, **GIVEN, steps=4000, rescale_timesteps=True)
    assert torch.allclose(rescaled.predict(noisy, 1200), plain.predict(noisy, 300), atol=1e-5)
    assert not torch.allclose(rescaled.predict(noisy, 300), plain.predict(noisy, 300), atol=1e-3)


def test_one_time_step_is_that_of_every_image(prior):
    noisy = torch.randn(3, 3, 16, 16)
    each = prior.predict(noisy, torch.tensor([417, 417, 417]))
    for timestep in (417, torch.tensor(417)):
        assert torch.equal(prior.predict(noisy, timestep), each)
    assert not torch.allclose(prior.predict(noisy, 10), each, atol=1e-3)


def test_checkpointing_computes_stages_again_and_gives_the_same_gradient(weights):
    def gradient_and_runs(checkpointing):
        prior, runs = pretrained_prior(str(weights), **GIVEN, checkpointing=checkpointing), []
        prior.unet.middle_block.register_forward_pre_hook(lambda *_: runs.append(1))
        noisy = torch.randn(1, 3, 16, 16, generator=torch_generator(0)).requires_grad_()
        return torch.autograd.grad(prior.denoise(noisy, 300).square().sum(), noisy)[0], len(runs)

    (kept, once), (again, twice) = gradient_and_runs(False), gradient_and_runs(True)
    assert (once, twice) == (1, 2)
    assert torch.allclose(kept, again, rtol=1e-4, atol=1e-4)


def test_clean_reads_the_noise_and_not_the_variance(prior):
    clean, noise, time = torch.rand(2, 3, 16, 16), torch.randn(2, 3, 16, 16), torch.tensor([100, 800])
    noisy = prior.scheduler().add_noise(clean, noise, time)
    for variance in (torch.zeros_like(noise), torch.full_like(noise, torch.nan)):
        assert torch.allclose(prior.clean(noisy, torch.cat([noise, variance], 1), time), clean, atol=1e-4)
    assert prior.denoise(noisy, time).shape == noisy.shape


def test_steps_are_the_published_ones(prior):
    assert prior.scheduler(50).timesteps.tolist()[::-1][:4] == [0, 20, 41, 61]
    assert prior.scheduler(100).timesteps.tolist()[::-1][:3] == [0, 10, 20]
    assert prior.scheduler(100).timesteps[0] == 999
    assert torch.allclose(prior.scheduler().betas[[0, -1]], torch.tensor([1e-4, 0.02]))


@pytest.mark.parametrize(("v", "bounded"), [(-1.0, False), (0.3, False), (1.0, False), (50.0, True)])
def test_ancestral_steps_use_the_learned_variance_up_to_its_bound(prior, v, bounded):
    """EGG's step 2, written out: v is the share of log beta in the log-variance, from -1 (posterior) to 1."""
    scheduler = prior.scheduler(10)
    t, before = scheduler.timesteps[8], scheduler.timesteps[9]
    kept, kept_before = scheduler.alphas_cumprod[t].double(), scheduler.alphas_cumprod[before].double()
    beta = 1 - kept / kept_before
    posterior = beta * (1 - kept_before) / (1 - kept)
    log_variance = (v + 1) / 2 * beta.log() + (1 - v) / 2 * posterior.log()
    assert bool(log_variance > 5) == bounded
    noisy, noise = torch.randn(1, 3, 16, 16), torch.randn(1, 3, 16, 16)
    output = torch.cat([noise, torch.full_like(noise, v)], 1)
    clean = prior.clean(noisy, output, t)
    mean = kept_before.sqrt() * beta / (1 - kept) * clean
    mean = mean + (kept / kept_before).sqrt() * (1 - kept_before) / (1 - kept) * noisy
    drawn = torch.randn(1, 3, 16, 16, generator=torch_generator("z"))
    expected = mean + (log_variance.clamp(max=5) / 2).exp() * drawn
    stepped = scheduler.step(output, t, noisy, generator=[torch_generator("z")]).prev_sample
    assert torch.allclose(stepped, expected.float(), rtol=1e-4, atol=1e-4)


class Match(Energy):
    """Squared distance of each image from one pattern."""

    pattern = torch.rand(3, 16, 16, generator=torch_generator("pattern"))

    def __call__(self, images):
        return (images - self.pattern).square().sum((1, 2, 3))


def guide(prior, units, scale=5.0):
    draws = [torch_generator("egg", unit) for unit in units]
    return energy_guided(Match(), draws, prior, steps=6, energy_scale=scale, constraint=torch.sigmoid)


def test_guided_sampling_goes_down_the_energy_whatever_the_batch(prior):
    guided, free = guide(prior, [0, 1]), guide(prior, [0, 1], scale=0.0)
    assert guided.images.shape == (2, 3, 16, 16)
    assert (guided.energies < free.energies).all()
    assert guided.trajectory.shape == (2, 6)
    alone = torch.cat([guide(prior, [unit]).images for unit in (0, 1)])
    assert torch.allclose(guided.images, alone, atol=1e-3)  # clean images amplify the rounding of the noise


def test_lambda_zero_is_plain_sampling(prior):
    draws, scheduler = [torch_generator("egg", 0)], prior.scheduler(6)
    noisy = torch.randn((1, 3, 16, 16), generator=draws[0])
    for timestep in scheduler.timesteps:
        output = prior.predict(noisy, timestep)
        clean = prior.clean(noisy, output, timestep)
        noisy = scheduler.step(output, timestep, noisy, generator=draws).prev_sample
    assert torch.equal(guide(prior, [0], scale=0.0).images, torch.sigmoid((clean + 1) / 2))


def test_prior_through_a_store_is_the_same(prior, tmp_path):
    prior.save(tmp_path / "prior.zarr")
    loaded = load_prior(tmp_path / "prior.zarr")
    assert loaded.spec() == prior.spec()
    noisy = torch.randn(1, 3, 16, 16)
    assert torch.equal(loaded.predict(noisy, 500), prior.predict(noisy, 500))


def without(state, key):
    return {name: tensor for name, tensor in state.items() if name != key}


@pytest.mark.parametrize(
    ("change", "given", "words"),
    [
        (lambda s: without(s, "time_embed.0.weight"), {}, "time_embed.0.weight is missing, expected 2 dims"),
        (lambda s: without(s, "middle_block.1.norm.bias"), {}, r"middle_block.1.norm.bias is missing, .* \(64,\)"),
        (lambda s: s | {"label_emb.weight": torch.zeros(10, 128)}, {}, r"label_emb.weight is \(10, 128\), expected no"),
        (
            lambda s: s | {"input_blocks.1.0.emb_layers.1.weight": torch.zeros(32, 128)},
            {},
            r"input_blocks.1.0.emb_layers.1.weight is \(32, 128\), expected \(64, 128\)",
        ),
        (lambda s: s | {"out.2.weight": torch.zeros(5, 32, 3, 3)}, {}, "gives 5 channels for images of 3"),
        (lambda s: s | {"out.2.weight": torch.zeros(6)}, {}, r"out.2.weight is \(6,\), expected 4 dims"),
        (lambda s: s | {"input_blocks.4.0.op.bias": torch.zeros(1)}, {}, "5 input blocks for 2 levels"),
        (
            lambda s: s | {"input_blocks.3.0.in_layers.2.weight": torch.zeros(40, 32, 3, 3)},
            {},
            "width of 40; the group norms need multiples of 32",
        ),
        (lambda s: [s], {}, "contains no state dict"),
        (lambda s: {"state_dict": s}, {}, "contains no state dict"),
        (lambda s: s, {"num_head_channels": 48}, "num_head_channels is 48; it must divide the 64 channels"),
        (lambda s: s, {"num_head_channels": 0}, "num_head_channels is 0"),
        (lambda s: s, {"image_size": 17}, "image_size is 17; 2 levels need a multiple of 2"),
    ],
)
def test_weights_of_something_else_are_refused_in_one_line(weights, tmp_path, change, given, words):
    path = tmp_path / "other.pt"
    torch.save(change(torch.load(weights, weights_only=True)), path)
    with pytest.raises(V4eggError, match=words) as error:
        load_adm(path, **GIVEN | given)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["damaged.pt", "damaged.safetensors"])
def test_missing_and_damaged_files_are_named(weights, tmp_path, name):
    path = tmp_path / name
    with pytest.raises(V4eggError, match=f"{name}: no such file"):
        load_adm(path)
    path.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(V4eggError, match=f"{name}: unreadable weights"):
        load_adm(path)
