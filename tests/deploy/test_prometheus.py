"""The rules: promtool makes each alert ring and stay silent; they ask only for what a miner exports."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import Any

import exposition
import pytest
import yaml
from deploy_kit import DEPLOY, ROOT, documents, run, tool

from miner.settings import Settings
from miner.wire.synapse import REASONS

FOLDER = DEPLOY / "prometheus"
RULES = [rule for group in documents(FOLDER / "alerts.yml")[0]["groups"] for rule in group["rules"]]
TARGET = 'instance="a:8092",job="streetvision-miner"'
FOREIGN = {"up"}


@dataclass(frozen=True)
class Case:
    """`rings` and `silent`: metric with labels -> values in promtool's notation, one a minute; looked at
    after `minutes`."""

    rings: dict[str, str]
    silent: dict[str, str]
    minutes: int = 60


def steady(value: float) -> str:
    return f"{value}+0x500"


def grows(step: float, start: float = 0) -> str:
    return f"{start}{step:+}x500"


CASES = {
    "MinerDown": Case({"up": steady(0)}, {"up": steady(1)}),
    "EngineNotReady": Case({"svm_engine_ready": steady(0)}, {"svm_engine_ready": steady(1)}),
    "EngineRestarts": Case(
        {"svm_engine_restarts_total": grows(1)}, {"svm_engine_restarts_total": "0x30 1x500"}
    ),
    "ChallengesLost": Case(
        {'svm_challenges_total{outcome="late"}': "_x48 1x500"},
        {
            'svm_challenges_total{outcome="late"}': steady(7),
            'svm_challenges_total{outcome="answered"}': grows(9),
        },
    ),
    "ChallengesShed": Case(
        {
            'svm_challenges_total{outcome="shed"}': grows(1),
            'svm_challenges_total{outcome="answered"}': grows(50),
        },
        {
            'svm_challenges_total{outcome="shed"}': grows(1),
            'svm_challenges_total{outcome="answered"}': grows(500),
        },
    ),
    "DeadlineMarginShort": Case(
        {
            'svm_deadline_margin_seconds_bucket{le="0.5"}': grows(1),
            'svm_deadline_margin_seconds_bucket{le="7.0"}': grows(10),
            'svm_deadline_margin_seconds_bucket{le="+Inf"}': grows(10),
        },
        {
            'svm_deadline_margin_seconds_bucket{le="4.0"}': steady(0),
            'svm_deadline_margin_seconds_bucket{le="7.0"}': grows(10),
            'svm_deadline_margin_seconds_bucket{le="+Inf"}': grows(10),
        },
    ),
    "CascadeCut": Case(
        {"svm_engine_course_changes_total": grows(1)},
        {"svm_engine_course_changes_total": grows(0.05)},
        120,
    ),
    "ServerDown": Case(
        {'svm_server_state{server="qwen",state="crash_loop"}': steady(1)},
        {'svm_server_state{server="qwen",state="ready"}': steady(1)},
    ),
    "ClockOff": Case(
        {'svm_refusals_total{reason="stale",status="401"}': grows(2)},
        {
            'svm_refusals_total{reason="stale",status="401"}': grows(2),
            'svm_challenges_total{outcome="answered"}': grows(1),
        },
    ),
    "Deregistered": Case({"svm_registered": steady(0)}, {"svm_registered": steady(1)}),
    "DeregistrationNear": Case(
        {'svm_alarm{key="place"}': steady(1), "svm_registered": steady(1)},
        {'svm_alarm{key="place"}': steady(1), "svm_registered": steady(0)},
    ),
    "ChainStale": Case(
        {"svm_chain_snapshot_age_seconds": grows(60)}, {"svm_chain_snapshot_age_seconds": steady(60)}
    ),
    "NoChallenges": Case({'svm_alarm{key="halt"}': steady(1)}, {'svm_alarm{key="burn"}': steady(1)}),
    "ValidatorSilent": Case({'svm_alarm{key="silent 5V"}': steady(1)}, {'svm_alarm{key="halt"}': steady(1)}),
    "SubnetBurns": Case({'svm_alarm{key="burn"}': steady(1)}, {'svm_alarm{key="halt"}': steady(1)}, 90),
    "TwinRewardLow": Case(
        {'svm_twin_best{caller="5V"}': steady(0.1)}, {'svm_twin_best{caller="5V"}': steady(0.9)}, 90
    ),
    "TwinDisagrees": Case(
        {'svm_alarm{key="twin 5V"}': steady(1)}, {'svm_alarm{key="silent 5V"}': steady(1)}, 90
    ),
    "IncentiveGone": Case(
        {"svm_incentive": steady(0), "svm_registered": steady(1)},
        {"svm_incentive": steady(0.1), "svm_registered": steady(1)},
        400,
    ),
    "LedgerRowsLost": Case(
        {"svm_ledger_lost_rows_total": grows(1)}, {"svm_ledger_lost_rows_total": steady(5)}, 90
    ),
    "LedgerBehind": Case({"svm_ledger_waiting_rows": steady(5000)}, {"svm_ledger_waiting_rows": steady(3)}),
    "DiskFilling": Case(
        {"svm_disk_free_bytes": grows(-2e8, 2e11)}, {"svm_disk_free_bytes": grows(-1e6, 2e11)}, 450
    ),
    "JobFailed": Case({'svm_job_ok{name="backup"}': steady(0)}, {'svm_job_ok{name="backup"}': steady(1)}),
    "BackupOld": Case(
        {'svm_job_ran_timestamp_seconds{name="backup"}': steady(-200_000)},
        {'svm_job_ran_timestamp_seconds{name="backup"}': steady(-100_000)},
    ),
    "OtherAlarm": Case({'svm_alarm{key="papers x"}': steady(1)}, {'svm_alarm{key="job backup"}': steady(1)}),
    "GpuHot": Case({'svm_gpu_celsius{gpu="0"}': steady(95)}, {'svm_gpu_celsius{gpu="0"}': steady(70)}),
    "GpuMemoryFull": Case(
        {
            'svm_gpu_memory_used_bytes{gpu="0"}': steady(99),
            'svm_gpu_memory_bytes{gpu="0"}': steady(100),
        },
        {
            'svm_gpu_memory_used_bytes{gpu="0"}': steady(90),
            'svm_gpu_memory_bytes{gpu="0"}': steady(100),
        },
    ),
    "DescriptorsShort": Case(
        {"process_open_fds": steady(900), "process_max_fds": steady(1000)},
        {"process_open_fds": steady(100), "process_max_fds": steady(1000)},
    ),
    "MemoryGrows": Case(
        {"process_resident_memory_bytes": grows(1e6, 2e9)},
        {"process_resident_memory_bytes": grows(1e3, 3e9)},
        450,
    ),
}


def labelled(series: str) -> str:
    """With the labels that Prometheus gives to what it scrapes."""
    name, _, rest = series.partition("{")
    return f"{name}{{{TARGET},{rest}" if rest else f"{name}{{{TARGET}}}"


def promtool_test(name: str, series: dict[str, str], minutes: int, rings: bool) -> dict[str, Any]:
    """That `name` rings, by a count since its labels and sentence differ, and that nothing else is needed."""
    query = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'
    return {
        "interval": "1m",
        "name": f"{name} {'rings' if rings else 'is silent'}",
        "input_series": [{"series": labelled(key), "values": values} for key, values in series.items()],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": f"{minutes}m",
                "exp_samples": [{"labels": "{}", "value": int(rings)}],
            }
        ],
    }


def test_every_alert_has_a_case_here_and_every_case_an_alert():
    assert sorted(CASES) == sorted(rule["alert"] for rule in RULES)


def test_every_alert_rings_when_it_should_and_not_otherwise(tmp_path):
    promtool = tool("promtool", "prometheus")
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    tests = [
        promtool_test(name, series, case.minutes, rings)
        for name, case in CASES.items()
        for rings, series in ((True, case.rings), (False, case.silent))
    ]
    whole = {"rule_files": ["alerts.yml"], "evaluation_interval": "5m", "tests": tests}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(whole))
    done = run(promtool, "test", "rules", "tests.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_rules_and_scrape_settings():
    promtool = tool("promtool", "prometheus")
    done = run(promtool, "check", "config", FOLDER / "prometheus.yml")
    assert done.returncode == 0 and f"{len(RULES)} rules found" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_what_a_miner_exports_and_says_what_to_do(rule):
    asked = set(re.findall(r"\b(?:svm|process)_[a-z_]+|\bup\b", rule["expr"])) - FOREIGN
    assert asked <= exposition.names() or not asked
    for metric, selector in re.findall(r"(svm_[a-z_]+)\{([^}]*)\}", rule["expr"]):
        assert set(re.findall(r"(\w+)\s*[=!]~?", selector)) <= exposition.labels(metric)
    assert rule["labels"]["severity"] in ("page", "warn", "info")
    assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{rule['alert'].lower()}"


def test_every_alert_has_its_runbook_and_every_runbook_its_alert():
    text = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    assert sorted(sections) == sorted(rule["alert"] for rule in RULES)


def test_the_scrape_settings_point_at_the_default_page():
    (config,) = documents(FOLDER / "prometheus.yml")
    (job,) = config["scrape_configs"]
    page = Settings().page
    assert job["static_configs"][0]["targets"] == [f"{page.host}:{page.port}"]


def test_the_refusals_that_a_rule_names_exist():
    (clock,) = (rule for rule in RULES if rule["alert"] == "ClockOff")
    assert set(re.search(r'reason=~"([^"]+)"', clock["expr"])[1].split("|")) <= set(REASONS)
