"""What Prometheus and Grafana are given: files that they take, alarms that sound in time, figures that there are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs.pages import read, reference, section, tables
from tests.support.promtool import Promtool

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "compose" / "observability"
ADDED: dict[str, Any] = yaml.safe_load((ROOT / "compose" / "compose.observability.yaml").read_text())
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PLACE / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
CASES: dict[str, Any] = yaml.safe_load((ROOT / "tests" / "deploy" / "alerts.test.yml").read_text())
DASHBOARD: dict[str, Any] = json.loads((PLACE / "grafana" / "spinal-cord.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = {f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]}


def names(expression: str) -> set[str]:
    """Return the figures that an expression is about; of a histogram its own name."""
    found = set(re.findall(r"\b(?:spine|process)_[a-z_]+", re.sub(r'"[^"]*"', "", expression)))
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in found}


# --- promtool --------------------------------------------------------------------------------------------------------


@pytest.mark.docker
def test_the_configuration_and_its_rules_are_taken(promtool: Promtool, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "viewer.token").write_text("spn_viewer\n")
    code, said = promtool.run(
        "check config prometheus.yml", PLACE, {tmp_path / "viewer.token": "/run/secrets/viewer.token"}
    )
    assert code == 0, said
    assert f"{len(ALERTS)} rules found" in said


@pytest.mark.docker
def test_each_alarm_sounds_when_it_should_and_not_before(promtool: Promtool) -> None:
    code, said = promtool.run("test rules alerts.test.yml", ROOT / "tests" / "deploy", {PLACE: "/etc/prometheus"})
    assert code == 0, said


@pytest.mark.docker
def test_prometheus_understands_what_the_dashboard_asks(promtool: Promtool, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    rules = [
        {"record": f"asked:{n}", "expr": asked.replace("$target", ".*").replace("$__rate_interval", "1m")}
        for n, asked in enumerate(EXPRESSIONS.values())
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    code, said = promtool.run("check rules rules.yml", tmp_path)
    assert code == 0, said
    assert f"{len(rules)} rules found" in said


# --- what they are about ---------------------------------------------------------------------------------------------


def test_alarms_and_panels_are_about_figures_that_there_are() -> None:
    there = {row["name"] for found in tables(reference("metrics.md")) for row in found}
    asked = {rule["alert"]: rule["expr"] for rule in ALERTS} | EXPRESSIONS
    assert {title: names(expression) - there for title, expression in asked.items() if names(expression) - there} == {}
    assert {title for title, expression in asked.items() if not names(expression)} == {
        "SpineDown",
        "SpineNotScraped",
        "Spines that answer A",
    }


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_an_alarm_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert rule["annotations"].keys() == {"summary", "action"}
    assert all(len(text) > 20 for text in rule["annotations"].values())


def test_every_alarm_is_tried_and_silent_while_all_is_well() -> None:
    well, *others = CASES["tests"]
    assert [looked["exp_samples"] for looked in well["promql_expr_test"]] == [[], []]
    text = " ".join(series["series"] for series in well["input_series"])
    told = {name for rule in ALERTS for name in names(rule["expr"])}
    assert told - names(text) - {"spine_http_request_seconds"} == set()
    seen = {
        re.fullmatch(r'\{alertname="(\w+)"\}', sample["labels"])[1]  # type: ignore[index]
        for case in others
        for looked in case["promql_expr_test"]
        for sample in looked["exp_samples"]
    }
    assert seen == {rule["alert"] for rule in ALERTS}


def test_the_page_has_every_alarm_with_its_weight() -> None:
    rows = tables(section(read(ROOT / "docs" / "howto" / "observe.md"), "Alarms"))[0]
    assert {row["alarm"]: row["severity"] for row in rows} == {
        rule["alert"]: rule["labels"]["severity"] for rule in ALERTS
    }


# --- the files of Grafana and Compose --------------------------------------------------------------------------------


def test_the_dashboard_is_one_that_can_be_imported() -> None:
    assert (DASHBOARD["uid"], DASHBOARD["title"]) == ("spinal-cord", "Spinal Cord")
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "target"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    sources = {target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]}
    assert sources == {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    there = PLACE / "grafana" / "provisioning"
    (source,) = yaml.safe_load((there / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = yaml.safe_load((there / "dashboards" / "spinal-cord.yml").read_text())["providers"]
    assert provider["type"] == "file"


def test_what_is_added_is_shut_as_the_others_are() -> None:
    assert ADDED["services"]["spine"] == {
        "secrets": ["viewer.token"],
        "environment": {"VIEWER_TOKEN_FILE": "/run/secrets/viewer.token"},
    }
    assert ADDED["services"].keys() == {"spine", "prometheus"}
    found = ADDED["services"]["prometheus"]
    assert (found["init"], found["read_only"], found["restart"]) == (True, True, "unless-stopped")
    assert (found["cap_drop"], found["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert found["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    assert (found["mem_limit"], found["pids_limit"]) == ("${PROMETHEUS_MEMORY:-512m}", 128)
    assert found["ports"] == ["${PROMETHEUS_PUBLISH:-127.0.0.1:9090}:9090"]
    assert found["secrets"] == ["viewer.token"]
    assert not {"privileged", "cap_add", "devices", "network_mode", "user", "environment"} & found.keys()
    assert ADDED["secrets"] == {"viewer.token": {"file": "secrets/viewer.token"}}
    assert all(
        (ROOT / "compose" / re.search(r":-([^}]*)", config["file"])[1]).is_file()
        for config in ADDED["configs"].values()
    )  # type: ignore[index]
