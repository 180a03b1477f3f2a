from __future__ import annotations

import numpy as np
import pytest
from judged import fitted
from models import mlp, wine

import maas_jupyter
from maas_jupyter.errors import Conflict


def test_an_endpoint_scores_what_its_bundle_does(home):
    labels = ["barolo", "grignolino", "barbera"]
    maas_jupyter.register(fitted(mlp(13, 3), *wine(), steps=20), name="poured", data=wine(), labels=labels)
    endpoint = maas_jupyter.publish("poured")
    served, kept = (maas_jupyter.evaluate(subject, data=wine()) for subject in (endpoint, "poured"))
    assert served.subject == "poured on local"
    assert served.metrics == pytest.approx(kept.metrics, abs=1e-6)
    X, y = wine()
    named = maas_jupyter.evaluate(endpoint, data=(X, np.array(labels, dtype=object)[y]))
    assert named.metrics == served.metrics
    judged = maas_jupyter.evaluate(endpoint, data=wine(), no_worse_than="champion")
    assert judged.verdict.passed
    assert maas_jupyter.compare("poured", endpoint, data=wine()).pairs[0].outcome == "no evidence"


def test_a_run_that_goes_on_is_not_evaluated(home):
    run = maas_jupyter.train(mlp(13, 3), data=wine(), epochs=1)
    run.state.status = "training"
    with pytest.raises(Conflict, match="still training"):
        maas_jupyter.evaluate(run, data=wine())
