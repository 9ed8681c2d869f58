"""How torch computes here: precision and memory format, chosen by what the hardware does well."""

from contextlib import AbstractContextManager, nullcontext

import torch


def fast_bf16(device: str | torch.device) -> bool:
    """Whether bf16 is multiplied in hardware there: on GPUs, and on CPUs with AMX or AVX-512 BF16."""
    if torch.device(device).type != "cpu":
        return True
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def autocast(device: str | torch.device) -> AbstractContextManager:
    """bf16 autocast where it pays (it halves the time of a convolution there), otherwise float32."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16) if fast_bf16(device) else nullcontext()
