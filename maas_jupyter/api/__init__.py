"""The verbs: what ``%maas verb``, ``maas verb`` and ``maas_jupyter.verb(...)`` do, each defined once.

The faces build their arguments, options and help from these signatures and docstrings. Importing this package imports
nothing heavy; each verb imports what it needs.
"""

from maas_jupyter.api import subjects
from maas_jupyter.api.card import card
from maas_jupyter.api.compression import distil, prune
from maas_jupyter.api.connections import connect, disconnect, serve, targets
from maas_jupyter.api.deletion import delete
from maas_jupyter.api.evaluation import compare, evaluate
from maas_jupyter.api.explanation import explain
from maas_jupyter.api.export import export
from maas_jupyter.api.optimization import optimize, quantize
from maas_jupyter.api.picking import pick
from maas_jupyter.api.playing import play
from maas_jupyter.api.registry import alias, models, register
from maas_jupyter.api.runs import attach, interrupt, runs
from maas_jupyter.api.serving import endpoints, logs, metrics, predict, publish, start, stop
from maas_jupyter.api.traffic import history, load, promote, rollback, unload, unpublish
from maas_jupyter.api.training import train
from maas_jupyter.api.tuning import tune
from maas_jupyter.api.watching import unwatch, watch

#: In the order of a model's life.
VERBS = (
    train,
    tune,
    evaluate,
    compare,
    explain,
    export,
    quantize,
    prune,
    distil,
    optimize,
    pick,
    register,
    alias,
    models,
    card,
    delete,
    runs,
    attach,
    interrupt,
    publish,
    promote,
    rollback,
    load,
    unload,
    unpublish,
    history,
    predict,
    play,
    endpoints,
    metrics,
    logs,
    start,
    stop,
    connect,
    disconnect,
    targets,
    watch,
    unwatch,
    serve,
)

__all__ = ["VERBS", "subjects", *(verb.__name__ for verb in VERBS)]
