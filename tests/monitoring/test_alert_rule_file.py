import re
import shutil
import subprocess

import pytest
import yaml

from maas_jupyter.errors import InvalidInput
from maas_jupyter.monitoring.alerts import Rule, rulefile
from maas_jupyter.serving import families
from maas_jupyter.serving.counts import Counts

RULES = [
    Rule("local", "digits", "p95_above", 250.0, 60),
    Rule("local", "digits", "error_rate_above", 0.05, 120),
    Rule("local", "digits", "no_traffic", None, 600),
    Rule("far away", 'a "quoted" \\ {name} é', "endpoint_down", None, 0),
    Rule("local", "digits", "shadow_disagreement_above", 0.1, 30),
]

OTHERS = """\
# ours
groups:
- name: node
  interval: 30s
  limit: 10
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
  - alert: NodeDown
    expr: |
      up == 0
        and on (instance) on_call == 1
    for: 5m
    labels: {team: no, severity: page, number: 007}
    annotations:
      summary: "{{ $labels.instance }} is down"
- name: maas-jupyter
  rules:
  - alert: Mine
    expr: up == 0
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "monitoring" / "alerts.yml"


def test_rules_are_read_back_as_they_were_written(path):
    rulefile.write(path, RULES)
    assert rulefile.read(path) == RULES
    rulefile.write(path, RULES[:1])
    assert rulefile.read(path) == RULES[:1]
    rulefile.write(path, [])
    assert rulefile.read(path) == []
    assert yaml.safe_load(path.read_text()) == {"groups": []}
    assert [each.name for each in path.parent.iterdir()] == ["alerts.yml"]


def test_the_file_is_one_of_prometheus(path):
    """What `promtool check rules` looks at, as far as it can be said without the program."""
    rulefile.write(path, RULES)
    whole = yaml.safe_load(path.read_text())
    assert set(whole) == {"groups"}
    names = [group["name"] for group in whole["groups"]]
    assert names == ["maas-jupyter"]
    for rule in whole["groups"][0]["rules"]:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"[A-Za-z_]\w*", rule["alert"])
        assert re.fullmatch(r"\d+s", rule["for"])
        for label, value in {**rule["labels"], **rule["annotations"]}.items():
            assert re.fullmatch(r"[a-zA-Z_]\w*", label)
            assert isinstance(value, str)
        assert rule["annotations"]["summary"].count("{{") == rule["annotations"]["summary"].count("}}")


def without_strings(expression):
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_an_expression_uses_only_metrics_and_labels_that_the_server_exposes(rule):
    counts = Counts()
    text = families.text(counts).decode()
    exposed = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    expression = without_strings(rule.expression)
    for opening, closing in ("()", "{}", "[]"):
        assert expression.count(opening) == expression.count(closing)
    used = set(re.findall(r"\bmaas_\w+", expression))
    assert used
    for name in used:
        assert name in exposed or name.removesuffix("_bucket") in exposed, name
    words = set(re.findall(r"[a-z_]\w*", expression)) - used
    functions = {"sum", "by", "rate", "histogram_quantile", "absent", "or"}
    assert words - functions <= {"model", "code", "outcome", "le", "m"}
    assert yaml.safe_load(f"expr: {yaml.safe_dump(rule.expression)}")["expr"] == rule.expression


def test_a_name_cannot_leave_its_string():
    assert RULES[3].expression.count('model="a \\"quoted\\" \\\\ {name} é"') == 2


def test_rules_of_others_stay_to_the_letter(path):
    path.parent.mkdir()
    path.write_text(OTHERS)
    assert rulefile.read(path) == []
    rulefile.write(path, RULES)
    assert rulefile.read(path) == RULES
    text = path.read_text()
    assert "team: no," in text and "number: 007" in text and "limit: 10\n" in text
    before, after = yaml.safe_load(OTHERS), yaml.safe_load(text)
    assert after["groups"][0] == before["groups"][0]
    assert after["groups"][1]["rules"][0] == before["groups"][1]["rules"][0]
    assert len(after["groups"][1]["rules"]) == 1 + len(RULES)
    rulefile.write(path, [])
    assert yaml.safe_load(path.read_text()) == before
    # Nothing grows by being written again.
    text = path.read_text()
    rulefile.write(path, [])
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["", "# nothing\n", "groups: []\n"])
def test_a_file_without_rules_can_be_written_to(path, text):
    path.parent.mkdir()
    path.write_text(text)
    rulefile.write(path, RULES)
    assert rulefile.read(path) == RULES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("groups: [", "expected"),
        ("rules: []", "no list of `groups`"),
        ("- groups", "no list of `groups`"),
        ("groups: [{name: a, rules: 3}]", "are no list"),
        ("groups: [{name: a, rules: [{labels: {maas_kind: no_traffic}}]}]", "has no label 'maas_target'"),
        (
            "groups: [{name: a, rules: [{labels: {maas_kind: x, maas_target: l, maas_endpoint: d}}]}]",
            "no kind of alert",
        ),
        (
            "groups: [{name: a, rules: [{for: soon, labels: {maas_kind: no_traffic, maas_target: l, maas_endpoint: d}}"
            "]}]",
            "no duration",
        ),
        ("a: 1\n---\nb: 2", "expected a single document"),
    ],
)
def test_what_is_no_file_of_rules_is_named(path, text, words):
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InvalidInput, match=words) as caught:
        rulefile.read(path)
    assert str(path) in caught.value.message
    assert "promtool" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("0", 0), ("90s", 90), ("1m30s", 90), ("2h", 7200), ("1d", 86400), ("500ms", 1)]
)
def test_durations_are_those_of_prometheus(text, seconds):
    assert rulefile.seconds_of(text) == seconds


#: What a server counts that is unwell in every way but one until the fifth minute, and is not asked from then on.
SERIES = {
    'maas_request_duration_seconds_bucket{model="digits",version="1",le="0.1"}': "0+5x100",
    'maas_request_duration_seconds_bucket{model="digits",version="1",le="0.5"}': "0+10x100",
    'maas_request_duration_seconds_bucket{model="digits",version="1",le="+Inf"}': "0+10x100",
    'maas_requests_total{model="digits",version="1",protocol="v2",code="200"}': "0+5x30 150+0x100",
    'maas_requests_total{model="digits",version="1",protocol="v2",code="500"}': "0+5x30 150+0x100",
    'maas_shadow_requests_total{model="digits",version="2",outcome="agree"}': "0+5x100",
    'maas_shadow_requests_total{model="digits",version="2",outcome="disagree"}': "0+5x100",
    'maas_loaded_versions{model="digits"}': "1+0x100",
}
FOUND = [
    ("4m", "MaasLatencyHigh", "One in twenty requests to 'digits' takes longer than 460ms."),
    ("4m", "MaasErrorRateHigh", "50% of the requests to 'digits' fail."),
    ("4m", "MaasShadowDisagrees", "50% of the shadow's answers differ from those of 'digits'."),
    ("4m", "MaasNoTraffic", ""),
    ("16m", "MaasNoTraffic", "Nobody asks 'digits'."),
    ("16m", "MaasErrorRateHigh", ""),
    ("4m", "MaasEndpointDown", "'a \"quoted\" \\ {name} é' does not serve."),
]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Prometheus' promtool")
def test_prometheus_finds_what_we_find(path):
    path.parent.mkdir()
    path.write_text(OTHERS)
    rulefile.write(path, RULES)
    subprocess.run(["promtool", "check", "rules", path], check=True, timeout=30)
    labels = {rule.as_prometheus()["alert"]: rule.as_prometheus()["labels"] for rule in RULES}
    labels["MaasEndpointDown"] = {**labels["MaasEndpointDown"], "model": RULES[3].name}  # that metric's own
    expected = [
        {
            "eval_time": time,
            "alertname": alert,
            "exp_alerts": [{"exp_labels": labels[alert], "exp_annotations": {"summary": words}}] if words else [],
        }
        for time, alert, words in FOUND
    ]
    series = [{"series": name, "values": values} for name, values in SERIES.items()]
    whole = {
        "rule_files": [path.name],
        "evaluation_interval": "10s",
        "tests": [{"interval": "10s", "input_series": series, "alert_rule_test": expected}],
    }
    play = path.with_name("play.yml")
    play.write_text(yaml.safe_dump(whole))
    subprocess.run(["promtool", "test", "rules", play], check=True, timeout=30)
