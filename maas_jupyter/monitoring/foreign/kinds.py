"""The kinds of servers that are known, by name."""

from __future__ import annotations

from maas_jupyter.monitoring.foreign.bentoml import BENTOML
from maas_jupyter.monitoring.foreign.kind import Kind
from maas_jupyter.monitoring.foreign.kserve import KSERVE
from maas_jupyter.monitoring.foreign.mlserver import MLSERVER
from maas_jupyter.monitoring.foreign.tensorflow import TF_SERVING
from maas_jupyter.monitoring.foreign.triton import TRITON
from maas_jupyter.monitoring.foreign.vllm import VLLM

#: In the order in which they are looked for: KServe may run vLLM, whose metrics say more.
KINDS: dict[str, Kind] = {kind.name: kind for kind in (TRITON, VLLM, TF_SERVING, BENTOML, MLSERVER, KSERVE)}
