"""The Python side of the model server's HTTP, the same for a local and a remote one.

What is asked and what an answer means is in `core`, `upload` and `tensors`, which send and receive nothing;
`ServingClient` and `AsyncServingClient` carry it out.
"""

from maas_jupyter.serving.client.aio import AsyncServingClient
from maas_jupyter.serving.client.calls import Inference, ModelMetadata, NoAnswer
from maas_jupyter.serving.client.sync import ServingClient

__all__ = ["AsyncServingClient", "Inference", "ModelMetadata", "NoAnswer", "ServingClient"]
