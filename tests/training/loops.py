"""The loop by itself, for the tests: no registry, no view."""

from __future__ import annotations

from maas_jupyter.data import as_data
from maas_jupyter.runs import RunState
from maas_jupyter.training import TrainingOptions, TrainingPlan, fit


def trained(module, data, val=None, **given):
    """Train without a registry; return the state, the plan, and the learning rate before each step."""
    options = TrainingOptions(**given)
    rows = as_data(data)
    held_out = None if val is None else as_data(val)
    plan = TrainingPlan.make(module, rows, options, val=held_out)
    rates = []
    plan.optimizer.register_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    state = RunState(run_id="r", name="n")
    fit(module, rows, plan, val=held_out, options=options, state=state, observers=[])
    return state, plan, rates
