"""`geodynamo-loadgen` as a person runs it, against three regions."""

import json
import os
import subprocess

import pytest
from conftest import TARGET

LOADGEN = TARGET / "debug" / "geodynamo-loadgen"


def loadgen(regions, *arguments, code=0):
    first = regions[0]
    command = [LOADGEN, *arguments]
    for region in regions:
        command += ["--endpoint", f"{region.name}={region.endpoint.removeprefix('http://')}"]
    keys = {"AWS_ACCESS_KEY_ID": first.access_key_id, "AWS_SECRET_ACCESS_KEY": first.secret_access_key}
    done = subprocess.run(command, env={**os.environ, **keys}, capture_output=True, text=True, timeout=180)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def table(regions):
    loadgen(regions, "load", "--table", "loaded", "--items", "500")
    return "loaded"


def test_what_it_wrote_is_read_back_in_every_region(regions, table, tmp_path):
    out = loadgen(
        regions, "run", "--table", table, "--items", "500", "--workload", "conflicts", "--arrivals", "poisson:100",
        "--seconds", "3", "--warm-up-seconds", "0", "--verify", "--json", "--out", tmp_path, "--slo", "errors<1%",
    )  # fmt: skip
    result = json.loads(out)
    assert result["verified"]["items"] > 50
    assert result["verified"]["faults"] == 0
    assert {operation["region"] for operation in result["operations"]} == {region.name for region in regions}
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".hgrm", ".hlog", ".html", ".json"]
    loadgen(regions, "compare", tmp_path / "run.json", tmp_path / "run.json")


def test_an_objective_that_is_missed_is_the_exit_code(regions, table):
    arguments = ["--items", "500", "--seconds", "1", "--warm-up-seconds", "0", "--slo", "rate>10000000"]
    loadgen(regions, "run", "--table", table, *arguments, code=2)


def test_each_directed_pair_is_probed(regions, table):
    pairs = json.loads(loadgen(regions, "probe", "--table", table, "--seconds", "0.3", "--json"))
    assert len(pairs) == 6
    assert all(pair["probes"] > 0 for pair in pairs)


def test_what_makes_no_sense_is_refused(regions):
    for arguments in (["--workload", "ycsb-z"], ["--slo", "fast"], ["--arrivals", "often"], ["--size", "0"]):
        loadgen(regions, "run", *arguments, code=2)
