"""Priors over latents: diffusers' own samples at lambda 0, energies of decoded images, stores, what is refused."""

import json

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiffusionPipeline,
    LDMPipeline,
    PNDMScheduler,
    ScoreSdeVeScheduler,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from safetensors.torch import load_file, save_file

from v4egg import load_prior
from v4egg.encoders.backbones import make_backbone
from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess
from v4egg.priors.latent import LatentPrior
from v4egg.priors.pretrained import pretrained_prior
from v4egg.priors.training import new_prior, sample
from v4egg.seeding import torch_generator
from v4egg.synthesis.constraints import PixelRange
from v4egg.synthesis.energy_guided import energy_guided, load_guide
from v4egg.synthesis.pipeline import EnergyGuidedPipeline
from v4egg.xdream.generators.diffusion import Diffusion

ENCODER = {"block_out_channels": (32, 32), "down_block_types": ("DownEncoderBlock2D",) * 2}
DECODER = {"up_block_types": ("UpDecoderBlock2D",) * 2}
FILE = "diffusion_pytorch_model.safetensors"


def denoiser(channels, **options):
    kinds = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    torch.manual_seed(1)
    shape = {"in_channels": channels, "out_channels": channels, "block_out_channels": (32, 32)}
    return UNet2DModel(sample_size=8, layers_per_block=1, **{**shape, **kinds, **options})


def autoencoder(kind):
    torch.manual_seed(2)
    if kind == "vq":
        return VQModel(**ENCODER, **DECODER, latent_channels=3, num_vq_embeddings=64, scaling_factor=0.5)
    return AutoencoderKL(**ENCODER, **DECODER, latent_channels=4, scaling_factor=0.5)


def scheduler():
    return DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False)


@pytest.fixture(scope="module", params=["vq", "kl"])
def folder(request, tmp_path_factory):
    """A pipeline of random weights, as others publish theirs."""
    vae, path = autoencoder(request.param), tmp_path_factory.mktemp("ldm") / request.param
    LDMPipeline(vae, denoiser(vae.config.latent_channels), scheduler()).save_pretrained(path)
    return path


@pytest.fixture
def pixels(tmp_path):
    DDPMPipeline(denoiser(3), scheduler()).save_pretrained(tmp_path / "pixels")
    return tmp_path / "pixels"


def draws(units):
    return [torch_generator("latent", unit) for unit in units]


def dark(images):
    return images.mean((1, 2, 3))


def guide(prior, units, scale=3.0, **options):
    options = {"steps": 4, "constraint": PixelRange(), **options}
    return energy_guided(dark, draws(units), prior, energy_scale=scale, **options)


def frozen(folder):
    return pretrained_prior(str(folder)).eval().requires_grad_(False)


def test_lambda_zero_gives_diffusers_own_samples(folder):
    pipe = LDMPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    expected = pipe(batch_size=2, generator=draws([0, 1]), num_inference_steps=4, output_type="np").images
    made = guide(frozen(folder), [0, 1], scale=0.0, sampler="ddim")
    assert made.images.shape == (2, 3, 16, 16)
    assert np.allclose(made.images.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_lambda_zero_is_plain_sampling_bit_for_bit(folder):
    prior = frozen(folder)
    assert torch.equal(guide(prior, [0, 1], scale=0.0).images, sample(prior, draws([0, 1]), 4))


def test_codes_of_the_image_generator_are_latents(folder):
    generator = Diffusion(frozen(folder), steps=2)
    assert generator.shape == (3, 16, 16)
    assert generator(torch.randn(1, generator.size)).shape == (1, 3, 16, 16)


def test_decoding_undoes_scale_and_shift_of_the_latents():
    vae, latents = autoencoder("kl").eval(), torch.randn(2, 4, 8, 8, generator=torch_generator("latents"))
    vae.register_to_config(shift_factor=0.25)
    with torch.no_grad():
        made = LatentPrior(denoiser(4), scheduler().config, vae).decode((latents - 0.25) * 0.5)
        assert torch.allclose(made, (vae.decode(latents).sample + 1) / 2, atol=1e-5)


@pytest.mark.parametrize("guidance", ["full", "straight_through"])
def test_guidance_walks_latents_down_the_energy_of_images_whatever_the_batch(folder, guidance):
    prior = frozen(folder)
    free, guided = guide(prior, [0, 1], 0.0, guidance=guidance), guide(prior, [0, 1], guidance=guidance)
    assert (guided.energies < free.energies).all()
    assert torch.allclose(guide(prior, [1], guidance=guidance).images, guided.images[1:], atol=1e-4)


def test_through_a_store_it_is_the_same_and_bridged_to_any_encoder(folder, tmp_path):
    prior = frozen(folder)
    prior.save(tmp_path / "prior.zarr")
    loaded = load_prior(tmp_path / "prior.zarr")
    assert isinstance(loaded, LatentPrior)
    assert loaded.spec() == prior.spec()
    assert loaded.image_shape == (3, 16, 16)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert torch.allclose(guide(loaded, [0]).images, guide(prior, [0]).images, atol=1e-5)
    assert load_guide(tmp_path / "prior.zarr", Preprocess(12, 1, [0.5], [0.2])).shape == prior.shape


def test_the_pipeline_loads_what_others_publish_and_saves_what_the_prior_reads(folder, tmp_path):
    options = {"num_inference_steps": 4, "energy_scale": 3.0, "output_type": "pt"}
    expected = guide(frozen(folder), [0]).images
    published = EnergyGuidedPipeline.from_pretrained(folder)
    published.set_progress_bar_config(disable=True)
    deterministic = guide(frozen(folder), [0], sampler="ddim").images  # the scheduler in the folder
    assert torch.allclose(published(dark, generator=draws([0]), **options).images, deterministic, atol=1e-5)
    published.scheduler = DDPMScheduler.from_config(published.scheduler.config)
    for kind in (published, EnergyGuidedPipeline.from_prior(frozen(folder))):
        kind.set_progress_bar_config(disable=True)
        assert torch.allclose(kind(dark, generator=draws([0]), **options).images, expected, atol=1e-5)
    kind.save_pretrained(tmp_path / "again")
    assert torch.allclose(guide(frozen(tmp_path / "again"), [0]).images, expected, atol=1e-5)


def test_a_folded_prior_of_pixels_comes_back_through_its_pipeline(tmp_path):
    torch.manual_seed(0)
    prior = new_prior({"size": 16, "channels": 3, "patch_size": 2, "widths": [32, 32], "layers": 1})
    prior = prior.eval().requires_grad_(False)
    EnergyGuidedPipeline.from_prior(prior).save_pretrained(tmp_path / "pipe")
    again = frozen(tmp_path / "pipe")
    assert again.shape == (3, 16, 16)
    assert torch.equal(guide(again, [0]).images, guide(prior, [0]).images)


def test_pixels_that_no_schedule_clips_are_not_clipped(tmp_path):
    DDPMPipeline(denoiser(3), PNDMScheduler()).save_pretrained(tmp_path / "pndm")
    assert pretrained_prior(str(tmp_path / "pndm")).schedule["clip_sample"] is False


def refused(folder, words):
    with pytest.raises(V4eggError, match=words) as error:
        pretrained_prior(str(folder))
    assert str(error.value).startswith(str(folder))
    assert "\n" not in str(error.value)


def test_a_pipeline_that_wants_a_text_is_refused(pixels):
    index = json.loads((pixels / "model_index.json").read_text())
    index |= {"text_encoder": ["transformers", "CLIPTextModel"], "safety_checker": [None, None]}
    (pixels / "model_index.json").write_text(json.dumps(index))
    refused(pixels, "the pipeline also has text_encoder, .* give an unconditional pipeline")


def test_a_denoiser_that_wants_a_condition_is_refused(pixels):
    torch.manual_seed(0)
    blocks = {"down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",)}
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(32,), layers_per_block=1, cross_attention_dim=8, **blocks
    )
    unet.save_pretrained(pixels / "unet")
    refused(pixels, "unet is a UNet2DConditionModel; give an unconditional pipeline whose unet is UNet2DModel or")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_class_embeds": 4}, "unet is conditioned on classes"),
        ({"in_channels": 6}, "unet has 6 channels in and 3 out"),
    ],
)
def test_other_conditions_are_refused(pixels, options, words):
    denoiser(3, **options).save_pretrained(pixels / "unet")
    refused(pixels, words)


def test_latents_of_another_autoencoder_are_refused(tmp_path):
    LDMPipeline(autoencoder("kl"), denoiser(3), scheduler()).save_pretrained(tmp_path / "mixed")
    refused(tmp_path / "mixed", "has latents of 3 channels and the autoencoder of 4")


def test_another_kind_of_noise_is_refused(pixels):
    ScoreSdeVeScheduler().save_pretrained(pixels / "scheduler")
    refused(pixels, "ScoreSdeVeScheduler has no schedule of betas")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda state: state.pop("conv_in.bias"),
            "unet do not fit its config.json: conv_in.bias is missing",
        ),
        (lambda state: state.update(extra=torch.zeros(1)), "extra is not of this network"),
        (lambda state: state.update({"conv_in.bias": torch.zeros(3)}), "no diffusers pipeline .*conv_in.bias"),
    ],
)
def test_weights_of_another_architecture_are_refused_rather_than_made_up(pixels, change, words):
    state = load_file(pixels / "unet" / FILE)
    change(state)
    save_file(state, pixels / "unet" / FILE)
    refused(pixels, words)


def test_damaged_weights_are_refused(pixels):
    (pixels / "unet" / FILE).write_bytes(b"nothing")
    refused(pixels, "no diffusers pipeline")


def test_unet_and_scheduler_alone_will_do(pixels):
    (pixels / "model_index.json").unlink()
    with pytest.raises(OSError, match="model_index"):
        DiffusionPipeline.load_config(pixels)
    assert pretrained_prior(str(pixels)).shape == (3, 8, 8)


def configure(folder, part="unet", **options):
    """Change the configuration of a part of a pipeline."""
    path = folder / part / ("config.json" if part == "unet" else "scheduler_config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | options))


def test_the_side_is_that_of_the_folder_or_given(pixels):
    configure(pixels, sample_size=[8, 8])
    assert pretrained_prior(str(pixels)).shape == (3, 8, 8)
    configure(pixels, sample_size=[8, 16])
    refused(pixels, "the network's sample_size is 8 x 16; only square images are supported")
    configure(pixels, sample_size=None)
    refused(pixels, "the network states no sample_size; set image_size")
    assert pretrained_prior(str(pixels), image_size=16).shape == (3, 16, 16)


def test_a_given_side_of_latents_is_that_of_their_images(folder):
    prior = pretrained_prior(str(folder), image_size=32)
    assert (prior.shape[1:], prior.image_shape[1:]) == ((16, 16), (32, 32))
    with pytest.raises(V4eggError, match="image_size is 31; it must be a multiple of 2, the network's reduction"):
        pretrained_prior(str(folder), image_size=31)


def test_the_folder_s_schedule_is_obeyed_unless_another_is_given(pixels):
    configure(pixels, "scheduler", beta_schedule="linear", num_train_timesteps=500, beta_start=0.001, beta_end=0.03)
    configure(pixels, "scheduler", prediction_type="v_prediction")
    own = pretrained_prior(str(pixels)).schedule
    assert (own["num_train_timesteps"], own["prediction_type"]) == (500, "v_prediction")
    assert (own["beta_start"], own["beta_end"]) == (0.001, 0.03)
    other = pretrained_prior(str(pixels), schedule="cosine", steps=4000, predicts="sample").schedule
    assert (other["beta_schedule"], other["num_train_timesteps"]) == ("squaredcos_cap_v2", 4000)
    assert other["prediction_type"] == "sample"
    betas = pretrained_prior(str(pixels), betas=(0.002, 0.02)).schedule
    assert (betas["beta_schedule"], betas["num_train_timesteps"], betas["beta_end"]) == ("linear", 500, 0.02)
    assert betas["prediction_type"] == "v_prediction"


def test_trained_betas_are_obeyed(pixels):
    betas = np.linspace(0.001, 0.2, 20).tolist()
    configure(pixels, "scheduler", trained_betas=betas, num_train_timesteps=20)
    kept = pretrained_prior(str(pixels)).scheduler().alphas_cumprod.numpy()
    assert np.allclose(kept, np.cumprod(1 - np.array(betas)), rtol=1e-5)


def test_predicted_noise_where_nothing_else_is_left_is_refused(pixels):
    configure(pixels, "scheduler", rescale_betas_zero_snr=True)
    refused(pixels, "the noise schedule ends in noise alone .rescale_betas_zero_snr")
    assert pretrained_prior(str(pixels), predicts="v").schedule["prediction_type"] == "v_prediction"


def test_a_variance_that_is_not_predicted_is_refused(pixels):
    configure(pixels, "scheduler", variance_type="learned_range")
    refused(pixels, "variance is 'learned_range', and the network has no channels for a variance")


def test_a_revision_is_that_of_the_hub(pixels, monkeypatch):
    asked = []
    real = UNet2DModel.from_pretrained

    def from_pretrained(weights, **options):
        asked.append(options.pop("revision", None))
        return real(weights, **options)

    monkeypatch.setattr(UNet2DModel, "from_pretrained", from_pretrained)
    pretrained_prior(str(pixels))
    pretrained_prior(str(pixels), revision="abc123")
    assert asked == [None, "abc123"]


def test_its_denoiser_is_no_backbone():
    vae = autoencoder("vq")
    prior = LatentPrior(denoiser(3), {"beta_schedule": "linear"}, vae)
    with pytest.raises(V4eggError, match="reads a prior over pixels"):
        make_backbone("denoiser", network=prior.spec())
