"""Channels, neurons and attention heads of a module, removed together with everything that hangs on them.

Which layers hang together is found by torch-pruning (Fang et al., DepGraph: Towards any structural pruning, 2023).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import floor
from typing import Any, Literal

import torch
from torch import Tensor, nn

from maas_jupyter.data import Batch
from maas_jupyter.errors import InvalidInput, MaasError
from maas_jupyter.modules import device_of, run_module
from maas_jupyter.optimization.prune.gradual import Scope
from maas_jupyter.pretrained import is_pretrained

Importance = Literal["l1", "l2", "taylor"]

#: Layers whose rows of numbers cannot be cut: what they are tied to stays as wide as it is.
_FIXED = (nn.MultiheadAttention, nn.Embedding, nn.EmbeddingBag)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
#: How models of transformers call the number of heads.
_HEAD_COUNTS = ("num_attention_heads", "n_heads", "num_heads")
#: Ranked over all layers, none is left with less than this share of its channels.
_LEAST_SHARE = 0.1


@dataclass(frozen=True)
class _Unit:
    """Channels that go together: one channel, or one of each group, or all of a head."""

    layer: int
    channels: Tensor
    importance: float


class Channels:
    """The removable channels of a module, which is changed in place.

    Parameters
    ----------
    module : torch.nn.Module
    rows : Batch
        A few rows that it takes.

    Raises
    ------
    InvalidInput
        If the module cannot be followed, or has recurrent layers.
    """

    def __init__(self, module: nn.Module, rows: Batch) -> None:
        import torch_pruning

        recurrent = next((layer for layer in module.modules() if isinstance(layer, RECURRENT)), None)
        if recurrent is not None:
            raise InvalidInput(
                f"The channels of a {type(recurrent).__name__} cannot be removed.",
                hint="Use magnitude-pruning, or train a narrower one: %maas distil MODEL --student NARROWER_MODULE",
            )
        self._torch_pruning = torch_pruning
        self.module = module
        self._rows = Batch(
            tuple(tensor[:2].to(device_of(module)) for tensor in rows.inputs),
            None if rows.targets is None else rows.targets[:2],
        )
        self._shape = run_module(module, self._rows).shape
        self._attentions = _attentions(module)
        self._graph, kept = self._followed()
        self._layers = self._removable(kept)
        self._cut = False
        # torch-pruning takes a grouped convolution with one channel a group for a depthwise one.
        self._least = [2 if self._grouped(layer, remover) else 1 for layer, remover in self._layers]
        self._widths = [len(units) for units in self._units("l2")]

    @property
    def count(self) -> int:
        """How many channels, neurons and heads there were at first."""
        return sum(self._widths)

    def remove(self, share: float, importance: Importance, scope: Scope) -> None:
        """Remove the least important ones, until a share of all that there were at first is gone.

        Parameters
        ----------
        share : float
        importance : {'l1', 'l2', 'taylor'}
            Norm of a channel's weights in all layers that hang on it, or what the loss would change by to first order
            (Molchanov et al., 2019), for which the gradients have to be there.
        scope : {'global', 'layer'}

        Raises
        ------
        InvalidInput
            If the module does not work any more: it depends on its widths in a way that cannot be followed.
        """
        choose = _least_of_all if scope == "global" else _least
        if self._cut and any(_parts(layer) for layer in self._graph.module2node):
            # torch-pruning does not notice that the parts of what is split have become smaller.
            self._graph, kept = self._followed()
            self._layers = self._removable(kept)
        self._cut = True
        try:
            gone = choose(self._units(importance), self._widths, self._least, share)
            for index, channels in gone.items():
                layer, remover = self._layers[index]
                self._graph.get_pruning_group(layer, remover, channels.tolist()).prune()
        except Exception as error:
            # torch-pruning raises whatever it trips over.
            raise _unknown_structure(error) from error
        self._tell_heads()
        self.check()

    def check(self) -> None:
        """Run the module.

        Raises
        ------
        InvalidInput
            If it fails, or answers in another shape.
        """
        try:
            shape = run_module(self.module, self._rows).shape
        except MaasError as error:
            raise _unknown_structure(error) from error
        if shape != self._shape:
            raise _unknown_structure(ValueError(f"its answer changed from {list(self._shape)} to {list(shape)}"))

    def _followed(self) -> tuple[Any, list[nn.Module]]:
        """Return the graph of what hangs on what, and the layers that have to stay as wide as they are."""
        framed = _Framed(self.module, self._rows.inputs, self._shape)
        framed.to(device_of(self.module)).eval()
        frozen = [parameter for parameter in self.module.parameters() if not parameter.requires_grad]
        was_training = self.module.training
        framed.requires_grad_(True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                graph = self._torch_pruning.DependencyGraph().build_dependency(framed, self._rows.inputs)
        except Exception as error:
            raise _unknown_structure(error) from error
        finally:
            for parameter in frozen:
                parameter.requires_grad_(False)
            self.module.train(was_training)
        known = {id(attention.owner) for attention in self._attentions}
        unknown = [owner for owner in _owners(self.module) if id(owner) not in known]
        kept = [*framed.ends, *_shared(self.module), *(part for owner in unknown for part in owner.children())]
        fixed: tuple[type[nn.Module], ...] = _FIXED
        if any(is_pretrained(part) for part in self.module.modules()):
            # What flows from layer to layer is as wide as the embeddings.
            fixed = (*fixed, nn.LayerNorm)
        kept += [layer for layer in self.module.modules() if isinstance(layer, fixed)]
        return graph, kept

    def _removable(self, kept: list[nn.Module]) -> list[tuple[nn.Module, Any]]:
        """Return a layer for each group of layers that are cut together, and what cuts it."""
        found = []
        roots = (nn.modules.conv._ConvNd, nn.Linear)
        for group in self._graph.get_all_groups(ignored_layers=kept, root_module_types=roots):
            layer, remover = group[0].dep.target.module, group[0].dep.handler
            if any(_attends(item.dep.target.module, self._attentions) for item in group):
                # Seen from the layer behind the attention, a head is a row of neighbours.
                behind = [item.dep for item in group if self._graph.is_in_channel_pruning_fn(item.dep.handler)]
                behind = [dep for dep in behind if isinstance(dep.target.module, nn.Linear)]
                if not behind:
                    continue
                layer, remover = behind[-1].target.module, behind[-1].handler
            if any(len(set(_parts(item.dep.target.module))) > 1 for item in group):
                continue  # parts of different sizes cannot lose as many channels each
            found.append((layer, remover))
        return found

    def _units(self, importance: Importance) -> list[list[_Unit]]:
        weigh = _importance(self._torch_pruning, importance)
        units = []
        for index, (layer, remover) in enumerate(self._layers):
            width = self._width(layer, remover)
            group = self._graph.get_pruning_group(layer, remover, list(range(width)))
            weights = weigh(group)
            channels = torch.arange(width)
            members = [item.dep.target.module for item in group]
            attention = next((found for member in members if (found := _attends(member, self._attentions))), None)
            if attention is not None:
                parts = channels.view(-1, attention.size)
            else:
                groups = max((_groups(member) for member in members), default=1)
                parts = channels.view(groups, -1).T
            values = weights.float().cpu()[parts].mean(1).tolist()
            units.append([_Unit(index, part, value) for part, value in zip(parts, values, strict=True)])
        return units

    def _grouped(self, layer: nn.Module, remover: Any) -> bool:
        group = self._graph.get_pruning_group(layer, remover, list(range(self._width(layer, remover))))
        return any(_groups(item.dep.target.module) > 1 for item in group)

    def _width(self, layer: nn.Module, remover: Any) -> int:
        ins = self._graph.is_in_channel_pruning_fn(remover)
        width: int = self._graph.get_in_channels(layer) if ins else self._graph.get_out_channels(layer)
        return width

    def _tell_heads(self) -> None:
        """Let attention layers know how many heads they have now."""
        for attention in self._attentions:
            setattr(attention.owner, attention.attribute, attention.heads)
            if hasattr(attention.owner, "all_head_size"):
                attention.owner.all_head_size = attention.heads * attention.size


@dataclass(frozen=True)
class _Attention:
    """A self-attention of transformers: who counts its heads, its projections, numbers of a head."""

    owner: Any
    attribute: str
    projections: tuple[nn.Linear, ...]
    size: int

    @property
    def heads(self) -> int:
        return self.projections[0].out_features // self.size


class _Framed(nn.Module):
    """A module between layers that are never cut, so that what they are tied to is known: the input and the answer."""

    def __init__(self, module: nn.Module, inputs: tuple[Tensor, ...], shape: torch.Size) -> None:
        super().__init__()
        self.module = module
        # It has a weight for each channel, and channels are axis 1 of rows of any shape but sequences.
        self.begins = nn.ModuleList(
            nn.PReLU(tensor.shape[1]) if tensor.is_floating_point() and tensor.ndim in (2, 4, 5) else nn.Identity()
            for tensor in inputs
        )
        self.end = nn.PReLU(shape[1]) if len(shape) > 1 else nn.Identity()

    @property
    def ends(self) -> list[nn.Module]:
        return [*self.begins, self.end]

    def forward(self, *inputs: Tensor) -> Tensor:
        framed: Tensor = self.end(
            self.module(*(begin(tensor) for begin, tensor in zip(self.begins, inputs, strict=True)))
        )
        return framed


def _least(units: list[list[_Unit]], widths: list[int], least: list[int], share: float) -> dict[int, Tensor]:
    """Return the channels to remove by layer, the same share of each; some are left in any case."""
    gone = {}
    for index, (present, width, few) in enumerate(zip(units, widths, least, strict=True)):
        # Shares such as 1 - 0.9 of 10 channels are a hair above a whole number.
        left = max(few, width - floor(share * width + 1e-6))
        ranked = sorted(present, key=lambda unit: unit.importance)[: max(0, len(present) - left)]
        if ranked:
            gone[index] = torch.cat([unit.channels for unit in ranked])
    return gone


def _least_of_all(units: list[list[_Unit]], widths: list[int], least: list[int], share: float) -> dict[int, Tensor]:
    """Return the channels to remove by layer, the least important ones wherever they are."""
    present = [len(each) for each in units]
    wanted = floor(share * sum(widths) + 1e-6) - (sum(widths) - sum(present))
    chosen: dict[int, list[Tensor]] = {}
    for unit in sorted((unit for each in units for unit in each), key=lambda unit: unit.importance):
        if wanted <= 0:
            break
        if present[unit.layer] > max(least[unit.layer], _LEAST_SHARE * widths[unit.layer]):
            chosen.setdefault(unit.layer, []).append(unit.channels)
            present[unit.layer] -= 1
            wanted -= 1
    return {index: torch.cat(channels) for index, channels in chosen.items()}


def _importance(torch_pruning: Any, importance: Importance) -> Any:
    if importance == "taylor":
        return torch_pruning.importance.GroupTaylorImportance()
    return torch_pruning.importance.GroupMagnitudeImportance(p=1 if importance == "l1" else 2)


def _attentions(module: nn.Module) -> list[_Attention]:
    """Return the attentions of transformers whose heads can be told apart."""
    found = []
    for owner in _owners(module):
        attribute = next(name for name in _HEAD_COUNTS if hasattr(owner, name))
        heads = getattr(owner, attribute)
        layers = [layer for name, layer in owner.named_children() if name[:1] in "qkv" and isinstance(layer, nn.Linear)]
        widths = {layer.out_features for layer in layers}
        if len(layers) == 3 and len(widths) == 1 and not (width := widths.pop()) % heads:
            found.append(_Attention(owner, attribute, tuple(layers), width // heads))
    return found


def _attends(layer: nn.Module, attentions: list[_Attention]) -> _Attention | None:
    return next((each for each in attentions if any(layer is one for one in each.projections)), None)


def _owners(module: nn.Module) -> list[nn.Module]:
    """Return the parts of transformers models that count heads and have layers of their own."""
    return [
        part
        for inner in module.modules()
        if is_pretrained(inner)
        for part in inner.modules()
        if any(isinstance(getattr(part, name, None), int) for name in _HEAD_COUNTS)
        and any(isinstance(child, nn.Linear) for child in part.children())
    ]


def _groups(layer: nn.Module) -> int:
    """Return in how many groups the channels of a layer are, of which each loses as many: so do parts of a split."""
    if _parts(layer):
        return len(_parts(layer))
    if isinstance(layer, nn.GroupNorm):
        return layer.num_groups
    if isinstance(layer, nn.modules.conv._ConvNd) and layer.groups < layer.in_channels:
        return int(layer.groups)
    return 1


def _parts(node: nn.Module) -> list[int]:
    """Return the sizes of the parts that channels are split into, where torch-pruning stands for it by this."""
    return getattr(node, "split_sizes", None) or []


def _shared(module: nn.Module) -> list[nn.Module]:
    """Return the layers that share a weight with another one: cut in one place, it would not fit in the other."""
    users: dict[int, list[nn.Module]] = {}
    for layer in module.modules():
        for parameter in layer.parameters(recurse=False):
            users.setdefault(id(parameter), []).append(layer)
    return [layer for layers in users.values() if len(layers) > 1 for layer in layers]


def _unknown_structure(error: Exception) -> InvalidInput:
    cause = error.__cause__ if isinstance(error, MaasError) else None
    reason = str(cause or error)
    return InvalidInput(
        "Channels of this model cannot be removed; it depends on its widths in a way that cannot be followed: "
        f"{reason.splitlines()[0] if reason else type(error).__name__}",
        hint="Use magnitude-pruning, or train a narrower model: %maas distil MODEL --student NARROWER_MODULE",
    )
