"""`--no-skips`: what cannot run is a failure, for `make test-extras`, where everything is installed.

Examples are the same in every run, and none fails for being slow on a busy machine.
"""

import sys
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # `as_published` is a module for the tests

settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same")

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
Reports = Generator[None, pytest.TestReport, pytest.TestReport]
Collections = Generator[None, pytest.CollectReport, pytest.CollectReport]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="count a skipped test as failed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Reports:
    report = yield
    return _refuse_skip(report, item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Collections:
    report = yield
    return _refuse_skip(report, collector.config)


def _refuse_skip(report: Report, config: pytest.Config) -> Report:
    if report.skipped and config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped although --no-skips was given: {report.longrepr}"
    return report
