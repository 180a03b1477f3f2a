"""The entries of TensorFlow Serving's V1 and of MLflow's scoring protocol."""

from __future__ import annotations

from maas_jupyter.serving.protocols import mlflow, v1
from maas_jupyter.serving.protocols.openapi.operations import (
    COMPUTING,
    Operation,
    Parameter,
    ScoringError,
    of_versions,
)
from maas_jupyter.serving.protocols.v1_examples import ExamplesRequest, ExamplesResponse

TAG = "TensorFlow Serving V1"
MLFLOW = "MLflow scoring"
_ROWS = {"instances": [[0.1, 0.2, 0.3, 0.4]]}
_TABLE = {"dataframe_split": {"columns": ["a", "b"], "data": [[0.1, 1], [0.2, 2]]}}
_INVOCATIONS = """
Exactly one of dataframe_split, dataframe_records, instances and inputs, or CSV with a header line. Columns
become the inputs of their names; a model with one input of [-1, n] that no column is named after takes all
columns in their order. A null becomes NaN in an input of floating point. The answer has one prediction per row:
the value of the only output, otherwise a record of all outputs, so a classification gives label and scores.
"""


def _verb(verb: str, summary: str, description: str, body: object, answer: object, example: object) -> list[Operation]:
    return of_versions(
        Operation(
            method="post",
            path=f"/v1/models/{{model}}:{verb}",
            tag=TAG,
            summary=summary,
            description=description,
            body=body,
            example=example,
            answer=answer,
            errors=COMPUTING,
        ),
        labels=True,
    )


OPERATIONS = [
    Operation(
        method="get",
        path="/v1/models",
        tag=TAG,
        summary="All models, for KServe's and OpenAI's clients",
        answer=v1.V1Models,
    ),
    *of_versions(
        Operation(
            method="get",
            path="/v1/models/{model}",
            tag=TAG,
            summary="State of a model's versions",
            description="For clients of TensorFlow Serving, KServe and OpenAI. Labels are stable, canary and shadow.",
            answer=v1.V1Status,
            errors=(400, 404, 503),
        ),
        labels=True,
    ),
    *of_versions(
        Operation(
            method="get",
            path="/v1/models/{model}/metadata",
            tag=TAG,
            summary="What a model takes and gives, as a SignatureDef",
            answer=v1.V1Metadata,
            errors=(400, 404, 503),
        ),
        labels=True,
    ),
    *_verb(
        "predict",
        "Compute a model's outputs",
        "Either instances (one item per row; answered with predictions) or inputs (one item per input; answered with "
        'outputs). A single output is unnamed. Binary values are {"b64": "..."}, in outputs named ..._bytes too.',
        v1.PredictRequest,
        v1.PredictResponse,
        _ROWS,
    ),
    *_verb(
        "classify",
        "Label and score of every class, for each example",
        "A feature is a value or a flat list of values. context holds features of all examples.",
        ExamplesRequest,
        ExamplesResponse,
        {"examples": [{"x": [0.1, 0.2, 0.3, 0.4]}]},
    ),
    *_verb(
        "regress",
        "A number for each example",
        "A feature is a value or a flat list of values. context holds features of all examples.",
        ExamplesRequest,
        ExamplesResponse,
        {"context": {"b": 1}, "examples": [{"a": 0.5}]},
    ),
    Operation(
        method="get",
        path="/",
        tag=TAG,
        summary="Whether the server is there, for KServe's clients",
        answer=dict[str, str],
        is_open=True,
    ),
    *(
        Operation(
            method="post",
            path=path,
            tag=MLFLOW,
            summary=summary,
            description=_INVOCATIONS,
            body=mlflow.ScoringRequest,
            body_media=("application/json", "text/csv"),
            example=_TABLE,
            answer=mlflow.ScoringResponse,
            error=ScoringError,
            errors=COMPUTING,
            parameters=parameters,
        )
        for path, summary, parameters in (
            (
                "/invocations",
                "Compute predictions of the only model, or of the one that is named",
                (
                    Parameter("model", "query", "The model, where there are several."),
                    Parameter("X-Model", "header", "The same as a header."),
                ),
            ),
            ("/models/{model}/invocations", "Compute a model's predictions", ()),
            ("/models/{model}/versions/{version}/invocations", "Compute a model's predictions (one version)", ()),
        )
    ),
    *(
        Operation(
            method="get",
            path=path,
            tag=MLFLOW,
            summary="Whether the server is ready",
            answer_media=("application/json",),
            errors=(503,),
            error=None,
            is_open=True,
        )
        for path in ("/ping", "/health")
    ),
    Operation(
        method="get",
        path="/version",
        tag=MLFLOW,
        summary="The server's version",
        answer=str,
        answer_media=("text/plain",),
    ),
]
