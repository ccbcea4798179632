"""The alert rules, evaluated by Prometheus' own promtool: each fires on its night, and no other."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

RULES = Path(__file__).parents[2] / "deployments" / "monitoring" / "alerts.yaml"
NOW_S, WINDOW_S = 7_200, 600
LABELS = 'federation="labs",instance="here",job="node"'
GOOD = {
    f"hyperfed_{name}{{{LABELS}}}": value
    for name, value in {
        "round": 12,
        "round_committed": 1,
        "round_deadline_seconds": NOW_S - WINDOW_S // 2,
        "committed_deadline_seconds": NOW_S - WINDOW_S // 2,
        "window_seconds": WINDOW_S,
        "clients": 10,
        "quorum": 5,
        "clients_counted": 10,
        "clients_missing": 0,
        "clients_barred": 0,
        "objects_refused": 0,
        "trust_median": 0.9,
        "budget_left_ratio": 0.8,
        "budget_left_rounds": 90,
    }.items()
} | {
    f'hyperfed_stage_seconds{{stage="{stage}",{LABELS}}}': value
    for stage, value in {"collect": 400, "reconcile": 60, "broadcast": 30}.items()
}
NIGHTS: dict[str, dict[str, float]] = {
    "HyperfedNoRun": {"round_deadline_seconds": NOW_S - 2 * WINDOW_S},
    "HyperfedNoResult": {"committed_deadline_seconds": NOW_S - 3 * WINDOW_S},
    "HyperfedRoundVoid": {"round_committed": 0},
    "HyperfedAtQuorum": {"clients_counted": 5},
    "HyperfedClientsMissing": {"clients_missing": 3},
    "HyperfedObjectsRefused": {"objects_refused": 2},
    "HyperfedClientsBarred": {"clients_barred": 1},
    "HyperfedTrustLow": {"trust_median": 0.4},
    "HyperfedBudgetLow": {"budget_left_ratio": 0.1},
    "HyperfedBudgetEnds": {"budget_left_rounds": 6},
    "HyperfedRoundSlow": {"reconcile": 150},
}
"""What differs from a good night, by the only alert that it calls."""
QUIET: list[dict[str, float]] = [{}, {"quorum": 10}, {"clients": 5, "clients_counted": 5}]
"""What differs from a good night and calls no alert: all clients are counted, and must be."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("promtool") is None and "HYPERFED_CI" not in os.environ,
        reason="promtool (Debian: prometheus) is not installed",
    ),
]


def night(changes: dict[str, float]) -> dict[str, float]:
    """The series of a good night with some figures changed, each named by its end."""
    series = dict(GOOD)
    for name, value in changes.items():
        (key,) = [key for key in GOOD if key.startswith(f"hyperfed_{name}{{") or f'"{name}"' in key]
        series[key] = value
    return series


def case(
    series: dict[str, float], alert: str | None, rules: list[dict[str, Any]]
) -> dict[str, Any]:
    """One night for promtool: which alert it calls, and that no other is called."""
    return {
        "name": alert or "a good night",
        "interval": "1m",
        "input_series": [
            {"series": key, "values": f"{value}x{NOW_S // 60}"} for key, value in series.items()
        ],
        "alert_rule_test": [
            {"eval_time": f"{NOW_S}s", "alertname": rule["alert"], "exp_alerts": []}
            if rule["alert"] != alert
            else {"eval_time": f"{NOW_S}s", "alertname": alert, "exp_alerts": [expected(rule)]}
            for rule in rules
        ],
    }


def expected(rule: dict[str, Any]) -> dict[str, Any]:
    """The alert as it is sent: with the federation's name, and with the number that called it."""
    if rule["alert"] == "HyperfedNoFigures":
        return {"exp_labels": rule["labels"], "exp_annotations": rule["annotations"]}
    of_node = {"federation": "labs", "instance": "here", "job": "node"}
    value = next(iter(NIGHTS[rule["alert"]].values()))
    return {
        "exp_labels": of_node | rule["labels"],
        "exp_annotations": {
            name: text.replace("{{ $labels.federation }}", "labs").replace(
                "{{ $value }}", f"{value:g}"
            )
            for name, text in rule["annotations"].items()
        },
    }


def test_each_alert_is_called_by_its_night_and_by_no_other(tmp_path: Path) -> None:
    rules = [
        rule
        for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]
    assert {rule["alert"] for rule in rules} == {*NIGHTS, "HyperfedNoFigures"}
    cases = [case(night(changes), alert, rules) for alert, changes in NIGHTS.items()]
    cases += [case(night(changes), None, rules) for changes in QUIET]
    cases += [case({}, "HyperfedNoFigures", rules)]
    file = tmp_path / "nights.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": cases}))
    said = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "SUCCESS" in said.stdout + said.stderr
    # and it does look: a night that calls no alert does not pass for one that does
    cases = [case(GOOD, "HyperfedRoundVoid", rules)]
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": cases}))
    said = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True)
    assert said.returncode != 0
