"""`geodynamo-loadgen` as a person runs it, against three regions, and one that stalls, dies or loses what it acknowledged."""

import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import TARGET, Region, Server, free_port

LOADGEN = TARGET / "debug" / "geodynamo-loadgen"
RUN_S_MAX = 180


def start(regions, *arguments, **more):
    first = regions[0]
    command = [LOADGEN, *arguments]
    for region in regions:
        command += ["--endpoint", f"{region.name}={region.endpoint.removeprefix('http://')}"]
    keys = {"AWS_ACCESS_KEY_ID": first.access_key_id, "AWS_SECRET_ACCESS_KEY": first.secret_access_key}
    return subprocess.Popen(
        command, env={**os.environ, **keys}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )  # fmt: skip


def end(process, code=0):
    try:
        out, errors = process.communicate(timeout=RUN_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == code, errors + out
    return out, errors


def loadgen(regions, *arguments, code=0):
    return end(start(regions, *arguments), code)[0]


@contextmanager
def dev(folder):
    """`geodynamo dev` of its own, to be stopped and killed: its process and its region."""
    server = Server(["dev", "--port", "0"], folder)
    while not (found := re.search(r"https?://[\w.\-]+:\d+", server.line(240))):
        pass
    try:
        yield server.process, Region("us-east-1", found.group(), "any", "any")
    finally:
        server.process.send_signal(signal.SIGCONT)
        server.kill()


@pytest.fixture(scope="module")
def table(regions):
    loadgen(regions, "load", "--table", "loaded", "--items", "500")
    return "loaded"


def test_what_it_wrote_is_read_back_in_every_region(regions, table, tmp_path):
    out = loadgen(
        regions, "run", "--table", table, "--items", "500", "--workload", "conflicts", "--arrivals", "poisson:100",
        "--seconds", "6", "--warm-up-seconds", "0", "--verify", "--probe", "--json", "--out", tmp_path, "--slo", "errors<1%",
    )  # fmt: skip
    result = json.loads(out)
    assert result["verified"]["items"] > 50
    assert result["verified"]["faults"] == 0, result["verified"]
    assert result["verified"]["broken_off"] is None
    assert {operation["region"] for operation in result["operations"]} == {region.name for region in regions}
    assert len(result["lag"]) == 6 and all(pair["probes"] > 5 and not pair["error"] for pair in result["lag"])
    files = ["run.hgrm", "run.hlog", "run.html", "run.json", "run.service.hgrm"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    page = (tmp_path / "run.html").read_text()
    assert "Lag by pair" in page and "us-east-1 to eu-west-1" in page

    compared = loadgen(regions, "compare", tmp_path / "run.json", tmp_path / "run.json")
    for figure in ("eu-west-1 put p99 ms", "lag us-east-1 to ap-northeast-1 ms"):
        assert re.search(rf"^{figure} .* 1\.000  within noise", compared, re.MULTILINE), compared

    again = tmp_path / "again"
    loadgen(regions, "report", tmp_path / "run.json", "--out", again)
    assert sorted(path.name for path in again.iterdir()) == files
    for name in files:
        if name != "run.json":
            assert (again / name).read_text() == (tmp_path / name).read_text(), name
    assert rounded((again / "run.json").read_text()) == rounded((tmp_path / "run.json").read_text())


def rounded(text):
    """A result without the last digit of its fractions, which reading and writing them once more may change."""
    return json.loads(text, parse_float=lambda number: f"{float(number):.14g}")


@contextmanager
def forgetful(region, forgets):
    """A server before a region that acknowledges the writes that it is told to forget, and passes everything else on."""
    host, port = region.endpoint.removeprefix("http://").rsplit(":", 1)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        number = 0

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            status, answer = 200, b"{}"
            if not forgets(self.headers["x-amz-target"].split(".")[1]):
                upstream = HTTPConnection(host, int(port), timeout=60)
                upstream.request("POST", "/", body, dict(self.headers))
                reply = upstream.getresponse()
                status, answer = reply.status, reply.read()
                upstream.close()
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Region(region.name, f"http://127.0.0.1:{server.server_port}", "any", "any")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("workload", ["puts", "updates", "put=1,delete=1", "batch_write=1", "transactions"])
def test_acknowledged_writes_that_are_lost_are_found(tmp_path, workload):
    writes = ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"]
    with dev(tmp_path / "dev") as (_, region):
        loadgen([region], "load", "--items", "300")
        arguments = ["run", "--items", "300", "--workload", workload, "--arrivals", "constant:100", "--seconds", "2"]
        arguments += ["--warm-up-seconds", "0", "--connections", "4", "--verify", "--json"]
        result = json.loads(loadgen([region], *arguments))
        assert result["verified"]["faults"] == 0 and result["verified"]["items"] > 50, result["verified"]
        with forgetful(region, lambda operation: operation in writes) as liar:
            out, errors = end(start([liar], *arguments), code=3)
        verified = json.loads(out)["verified"]
        # An item that the first run deleted may rightly be gone.
        least = 0.3 if "delete" in workload else 0.9
        assert verified["faults"] > least * verified["items"] > 0, verified
        assert "are not what was acknowledged" in errors

        # One write in twenty.
        count, lock = [0], threading.Lock()

        def one_of_twenty(operation):
            with lock:
                count[0] += operation in writes
                return operation in writes and count[0] % 20 == 0

        with forgetful(region, one_of_twenty) as liar:
            verified = json.loads(loadgen([liar], *arguments, code=3))["verified"]
        assert 0 < verified["faults"] < 0.5 * verified["items"], verified


def test_a_server_that_stands_still_at_the_end_is_no_good_server(tmp_path):
    with dev(tmp_path / "dev") as (process, region):
        loadgen([region], "load", "--items", "300")
        arguments = ["--items", "300", "--workload", "gets", "--arrivals", "constant:100", "--seconds", "5"]
        arguments += ["--warm-up-seconds", "0", "--slo", "*.p99<8ms", "--slo", "errors<0.1%"]
        began = time.monotonic()
        running = start([region], "run", *arguments, "--json")
        stop = threading.Timer(2, process.send_signal, [signal.SIGSTOP])
        stop.start()
        out, errors = end(running, code=2)
        stop.join()
        result = json.loads(out)
        assert time.monotonic() - began < 15
        counted = sum(one["done"] + sum(one["errors"].values()) for one in result["operations"])
        assert counted == 500
        assert result["operations"][0]["errors"]["unfinished"] > 200
        assert errors.count("objective missed") == 2, errors
        assert result["client"]["limit"] is None


@pytest.mark.parametrize("more", [[], ["--verify"]])
def test_a_region_that_dies_leaves_the_results_so_far(tmp_path, more):
    with dev(tmp_path / "dev") as (process, region):
        loadgen([region], "load", "--items", "300")
        arguments = ["--items", "300", "--workload", "puts", "--arrivals", "constant:100", "--seconds", "4"]
        arguments += ["--warm-up-seconds", "0", "--out", tmp_path / "out", *more]
        running = start([region], "run", *arguments)
        death = threading.Timer(2, process.kill)
        death.start()
        out, errors = end(running, code=3 if more else 0)
        death.join()
        result = json.loads((tmp_path / "out" / "run.json").read_text())
        assert result["operations"][0]["done"] > 50
        assert result["operations"][0]["errors"]["connection"] > 50
        assert re.search(r"us-east-1: \d+ of 400 requests failed", errors), errors
        if more:
            assert "reading back stopped after 0 items" in errors
            assert "Connection refused" in result["verified"]["broken_off"]


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_broken_off_leaves_the_results_so_far(tmp_path, told):
    with dev(tmp_path / "dev") as (_, region):
        loadgen([region], "load", "--items", "300")
        arguments = ["--items", "300", "--arrivals", "constant:100", "--seconds", "60", "--warm-up-seconds", "0"]
        running = start([region], "run", *arguments, "--out", tmp_path / "out", "--verify")
        signals = threading.Timer(2.5, running.send_signal, [told])
        signals.start()
        _, errors = end(running, code=130)
        signals.join()
        result = json.loads((tmp_path / "out" / "run.json").read_text())
        assert "breaking off" in errors
        assert result["broken_off"] and result["seconds"] < 10
        assert sum(one["done"] for one in result["operations"]) > 50
        assert result["verified"]["faults"] == 0 and result["verified"]["items"] > 10


def test_nothing_done_is_an_error(tmp_path):
    nobody = Region("us-east-1", f"http://127.0.0.1:{free_port()}", "any", "any")
    arguments = ["run", "--arrivals", "constant:50", "--seconds", "1", "--warm-up-seconds", "0", "--out", tmp_path]
    _, errors = end(start([nobody], *arguments), code=1)
    assert "not one request was done; first error: " in errors and "refused" in errors
    assert json.loads((tmp_path / "run.json").read_text())["operations"][0]["errors"]["connection"] > 0
    _, errors = end(start([nobody], "find-max", "--seconds", "0.2", "--warm-up-seconds", "0", "--start", "10"), code=2)
    assert "no rate that was tried keeps the p99" in errors and "refused" in errors


def test_the_highest_rate_is_found(tmp_path):
    """Of a server that does 100 a second: ten milliseconds each, one at a time."""
    with dev(tmp_path / "dev") as (_, region):
        loadgen([region], "load", "--items", "100")
        gate = threading.Lock()

        def slow(_):
            with gate:
                time.sleep(0.01)
                return False

        with forgetful(region, slow) as server:
            arguments = ["find-max", "--items", "100", "--workload", "gets", "--seconds", "2", "--warm-up-seconds", "0.5"]
            arguments += ["--p99-ms", "150", "--start", "10"]
            found = json.loads(loadgen([server], *arguments, "--json"))
            assert 20 <= found["highest_rate"] <= 105, found
            assert found["tried"][0]["keeps"] and not all(run["keeps"] for run in found["tried"])
            end(start([server], *arguments, "--p99-ms", "5", "--start", "2"), code=2)
    for option in (["--verify"], ["--out", "x"], ["--slo", "errors<1%"], ["--name", "x"], ["--arrivals", "poisson:5"]):
        _, errors = end(start([region], "find-max", *option), code=2)
        assert "unexpected argument" in errors


LATENCIES = "geodynamo_table_request_duration_seconds"


def histogram(region, table, operation):
    """The server's own latencies of an operation on a table: how many up to each bound, in seconds."""
    text = urllib.request.urlopen(f"{region.admin}/metrics", timeout=30).read().decode()
    found = {}
    for line in text.splitlines():
        if line.startswith(f"{LATENCIES}_bucket{{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            if (labels["table"], labels["operation"]) == (table, operation):
                bound = float(labels["le"].replace("+Inf", "inf"))
                found[bound] = found.get(bound, 0) + float(line.split("} ")[1].split()[0])
    return found


def bucket(histogram, quantile):
    """The bounds between which a quantile lies."""
    wanted, lower = quantile * max(histogram.values()), 0.0
    for bound in sorted(histogram):
        if histogram[bound] >= wanted:
            return lower, bound
        lower = bound
    raise AssertionError("no requests")


def disagreement(server, measured):
    """Why the generator's figures of an operation cannot be of the requests that the server counted; empty if they can. The
    generator's service time is the server's and the way there and back, in which requests of two connections also wait for each
    other: so a quantile is in the server's bucket or above it, and not by much."""
    # As CloudWatch's SuccessfulRequestLatency.
    counted, done = max(server.values(), default=0), measured["done"]
    if counted != done:
        return f"the server counted {counted} requests, {done} were done"
    for quantile, name in ((0.5, "p50"), (0.9, "p90")):
        lower, upper = bucket(server, quantile)
        # Rounded to microseconds, and of three digits.
        seconds = (measured["service_ms"][name] + 0.001) / 1e3 * 1.001
        if not lower <= seconds <= 2.5 * upper + 0.002:
            return f"{name} is {seconds} s, of between {lower} and {upper} at the server"
    return ""


@pytest.mark.parametrize("workload", ["puts", "gets", "updates", "queries", "transactions"])
def test_its_figures_are_the_servers_own(regions, workload):
    region, table = regions[0], f"figures-{workload}"
    loadgen([region], "load", "--table", table, "--items", "300", "--workload", workload)
    arguments = ["--table", table, "--items", "300", "--workload", workload, "--connections", "2", "--seconds", "3"]
    result = json.loads(loadgen([region], "run", *arguments, "--warm-up-seconds", "0", "--json"))
    apis = {
        "put": "PutItem", "get": "GetItem", "update": "UpdateItem", "query": "Query",
        "transact": "TransactWriteItems", "transact_get": "TransactGetItems",
    }  # fmt: skip
    assert result["operations"]
    for measured in result["operations"]:
        server = histogram(region, table, apis[measured["operation"]])
        assert measured["done"] > 100
        assert not (why := disagreement(server, measured)), (why, measured["operation"], server)
        # It would be seen if they did not agree.
        assert disagreement(server, measured | {"done": measured["done"] - 1})
        factors = [200]
        if bucket(server, 0.5)[0] > 0:
            factors.append(0.1)
        for factor in factors:
            wrong = {name: value * factor for name, value in measured["service_ms"].items()}
            assert disagreement(server, measured | {"service_ms": wrong}), (server, wrong)


def test_an_objective_that_is_missed_is_the_exit_code(regions, table):
    arguments = ["--items", "500", "--seconds", "1", "--warm-up-seconds", "0", "--slo", "rate>10000000"]
    loadgen(regions, "run", "--table", table, *arguments, code=2)
    # Lag is looked for where it is an objective.
    arguments = ["--items", "500", "--seconds", "2", "--warm-up-seconds", "0", "--arrivals", "constant:30", "--slo"]
    loadgen(regions, "run", "--table", table, *arguments, "lag.p99<50s")
    _, errors = end(start(regions, "run", "--table", table, *arguments, "lag.p50<1us"), code=2)
    assert "objective missed: lag from us-east-1 to eu-west-1: p50 is" in errors


def test_each_directed_pair_is_probed(regions, table):
    pairs = json.loads(loadgen(regions, "probe", "--table", table, "--seconds", "0.3", "--json"))
    assert len(pairs) == 6
    assert all(pair["probes"] > 0 and pair["error"] is None for pair in pairs)
    # A region that is away takes nothing from what is seen of the others.
    nobody = Region("eu-central-1", f"http://127.0.0.1:{free_port()}", "any", "any")
    arguments = ["probe", "--table", table, "--seconds", "0.3", "--json"]
    out, errors = end(start([*regions[:2], nobody], *arguments), code=1)
    seen = {(pair["from"], pair["to"]): pair for pair in json.loads(out)}
    assert len(seen) == 6 and "us-east-1 to eu-central-1: " in errors
    for (first, second), pair in seen.items():
        assert (pair["error"] is None) == (nobody.name not in (first, second)) == (pair["probes"] > 0), pair


def test_what_makes_no_sense_is_refused(regions):
    for arguments in (["--workload", "ycsb-z"], ["--slo", "fast"], ["--arrivals", "often"], ["--size", "0"]):
        loadgen(regions, "run", *arguments, code=2)
    assert "two regions" in end(start(regions[:1], "run", "--probe"), code=1)[1]
