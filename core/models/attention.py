"""The pre-norm transformer block that all vision transformers here share.

Names of parameters follow the published checkpoints (timm's and Prithvi's): norm1, attn.qkv, attn.proj, norm2,
mlp.fc1, mlp.fc2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class BlockStyle:
    """What differs between families.

    `eps` of the layer normalisations, which have a learned bias only with `norm_bias`; `bias` of the linear layers;
    `gated`: the feed-forward is SwiGLU (Shazeer, arXiv:2002.05202) with two thirds of the width.
    """

    eps: float = 1e-5
    norm_bias: bool = True
    bias: bool = True
    gated: bool = False
    mlp_ratio: float = 4.0


class Attention(nn.Module):
    """Self-attention of `heads` heads with query, key and value from one linear layer."""

    def __init__(self, dim: int, heads: int, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.proj = nn.Linear(dim, dim, bias=bias)

    def forward(self, x: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        """(N, L, D) to (N, L, D); with `seen` (N, L) bool only tokens where it is True are looked at."""
        n, length, dim = x.shape
        qkv = self.qkv(x).view(n, length, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (N, heads, L, D / heads)
        mask = None if seen is None else seen[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        projected: torch.Tensor = self.proj(mixed.transpose(1, 2).reshape(n, length, dim))
        return projected


class Mlp(nn.Module):
    """Two linear layers with the exact (erf) GELU between."""

    def __init__(self, dim: int, hidden: int, bias: bool = True) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden, bias=bias)
        self.fc2 = nn.Linear(hidden, dim, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return result


class GatedMlp(nn.Module):
    """SwiGLU: fc2(silu(fc1(x)) * fc3(x))."""

    def __init__(self, dim: int, hidden: int, bias: bool = False) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden, bias=bias)
        self.fc2 = nn.Linear(hidden, dim, bias=bias)
        self.fc3 = nn.Linear(dim, hidden, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.fc2(functional.silu(self.fc1(x)) * self.fc3(x))
        return result


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, dim: int, heads: int, style: BlockStyle = BlockStyle()) -> None:
        super().__init__()
        hidden = round(dim * style.mlp_ratio)
        self.norm1 = nn.LayerNorm(dim, eps=style.eps, bias=style.norm_bias)
        self.attn = Attention(dim, heads, style.bias)
        self.norm2 = nn.LayerNorm(dim, eps=style.eps, bias=style.norm_bias)
        self.mlp = GatedMlp(dim, int(2 * hidden / 3), style.bias) if style.gated else Mlp(dim, hidden, style.bias)

    def forward(self, x: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        """(N, L, D) to (N, L, D); `seen` as in `Attention`."""
        x = x + self.attn(self.norm1(x), seen)
        result: torch.Tensor = x + self.mlp(self.norm2(x))
        return result

    def mean_after(self, x: torch.Tensor, weights: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        """(N, D): what `forward` makes of (N, L, D), averaged with `weights` (N, 1, L) that sum to 1.

        The last layer is linear, so it runs on the averages: a third of the block's work less.
        """
        x = x + self.attn(self.norm1(x), seen)
        inner = self.norm2(x)
        if isinstance(self.mlp, GatedMlp):
            mean: torch.Tensor = weights @ (x + self.mlp(inner))
        else:
            mean = weights @ x + self.mlp.fc2(weights @ functional.gelu(self.mlp.fc1(inner)))
        return mean[:, 0]


def run_blocks(
    blocks: Sequence[nn.Module] | nn.ModuleList,
    norm: nn.Module,
    x: torch.Tensor,
    wanted: Sequence[int] = (),
    seen: torch.Tensor | None = None,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Tokens after the last block and `norm`, and those after each of the blocks `wanted` (of the last: after `norm`).

    Shapes (N, L, D) throughout.
    """
    features: dict[int, torch.Tensor] = {}
    for number, block in enumerate(blocks):
        x = block(x, seen)
        if number in wanted:
            features[number] = x
    x = norm(x)
    if len(blocks) - 1 in features:
        features[len(blocks) - 1] = x
    return x, [features[number] for number in wanted]
