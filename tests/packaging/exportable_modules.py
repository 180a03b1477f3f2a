"""Modules that export well, and modules that do not."""

from __future__ import annotations

import torch
from torch import nn


class Attention(nn.Module):
    """Computes something else while it is exported."""

    def __init__(self, wrong: float) -> None:
        super().__init__()
        self.scale, self.wrong = nn.Linear(4, 4), wrong

    def forward(self, x):
        y = self.scale(x)
        return y + self.wrong if torch.compiler.is_exporting() else y


class Block(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(4), attention

    def forward(self, x):
        return x + self.attention(x=self.norm(x))


class Stack(nn.Module):
    """Three blocks, of which the last one holds what is given."""

    def __init__(self, last):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([Block(Attention(0.0)), Block(Attention(0.0)), Block(last)])
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class Branch(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x * 2
        return x


class Loop(nn.Module):
    def forward(self, x):
        while x.max() > 1:
            x = x / 2
        return x


class Refusing(nn.Module):
    def forward(self, x):
        if torch.compiler.is_exporting():
            raise RuntimeError("not here")
        return x


class ThroughNumpy(nn.Module):
    """Its graph holds a number of the rows that it was exported with."""

    def forward(self, x):
        return x + float(x.detach().numpy().sum())


class FewRows(nn.Module):
    def forward(self, x):
        return x if x.shape[0] < 10 else -x


class Eigen(nn.Module):
    def forward(self, x):
        return x + torch.linalg.eigvalsh(x.T @ x)


class Noisy(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5, training=True)


class BakedBatch(nn.Module):
    """Its trace, and its trace alone, keeps the number of rows that it was made with."""

    def forward(self, x):
        return x + x.T.contiguous().stride(0)


class FixedBatch(nn.Module):
    def forward(self, x):
        return x + torch.ones(int(x.shape[0]), 4)


class Encoder(nn.Module):
    """Token ids and a mask through a transformer encoder."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(60, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, input_ids, attention_mask):
        hidden = self.encoder(self.words(input_ids), src_key_padding_mask=attention_mask == 0)
        weights = attention_mask.unsqueeze(-1).float()
        return self.head((hidden * weights).sum(1) / weights.sum(1))


class Recurrent(nn.Module):
    def __init__(self, layer):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head = layer(3, 8, batch_first=True, bidirectional=True), nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Linear(3, 2), nn.Embedding(10, 2)

    def forward(self, amount, kind):
        return self.left(amount) + self.right(kind)


class Shifted(nn.Module):
    """Computes something else while it is exported, whatever it is given."""

    def forward(self, x):
        return x + 1 if torch.compiler.is_exporting() else x
