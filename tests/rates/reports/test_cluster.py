"""Every report by DuckDB and by a Spark cluster with two workers: the same rows to the last digit."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import pytest
from conftest import EMPTY, SPAN

from vosctl.rates.reports.catalogue import REPORTS
from vosctl.rates.reports.run import Request, on_engine
from vosctl.rates.reports.scope import PERIODS, Scope

pytestmark = [
    pytest.mark.requires("java"),
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session on a cluster of two workers, each a process of its own, all on loopback."""
    folder = tmp_path_factory.mktemp("spark")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyspark  # noqa: PLC0415  its own imports warn
        from pyspark.sql import SparkSession  # noqa: PLC0415

        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("SPARK_HOME", str(Path(pyspark.__file__).parent))
        patch.chdir(folder)
        session = (
            SparkSession.builder.master("local-cluster[2,1,1024]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.executor.memory", "512m")
            .config("spark.sql.shuffle.partitions", "4")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
            .getOrCreate()
        )
        try:
            yield session
        finally:
            session.stop()
            shutil.rmtree(Path(os.environ["SPARK_HOME"]) / "work", ignore_errors=True)


def test_every_report_is_the_same_on_a_cluster(spark: Any, duck: Any, rated_file: Path):
    assert _members(spark, 3) == 3  # two workers and the driver
    cluster = ibis.pyspark.connect(spark).read_parquet(str(rated_file))
    here = duck(rated_file)
    zone = Scope(zone="Europe/Berlin")
    for at, (name, report) in enumerate(REPORTS.items()):
        period = ["", *PERIODS][at % 4]
        request = Request(report, zone, period)
        expected = on_engine(here, SPAN, request, EMPTY)
        assert expected.rows
        found = on_engine(cluster, SPAN, request, EMPTY)
        assert (name, found.rows, found.total) == (name, expected.rows, expected.total)


def _members(spark: Any, wanted: int) -> int:
    """Wait up to a minute for workers to report; a busy machine starts one well after the other."""
    until = time.monotonic() + 60
    while True:
        found = int(spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size())
        if found == wanted or time.monotonic() > until:
            return found
        time.sleep(0.2)
