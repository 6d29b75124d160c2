"""The command line's client side, as a user runs it: status, top, tables, doctor, backups, restores, exports, imports."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from conftest import BINARY, run_dev, table_definition, wait_until

TIMEOUT_S = 60


def run(*arguments, region=None, code=0, **variables):
    """Runs a command to its end; gives what it printed. It must end with `code`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    if region:
        environment |= {
            "AWS_ENDPOINT_URL_DYNAMODB": region.endpoint,
            "AWS_REGION": region.name,
            "AWS_ACCESS_KEY_ID": region.access_key_id,
            "AWS_SECRET_ACCESS_KEY": region.secret_access_key,
        }
    command = [BINARY, *map(str, arguments)]
    ended = subprocess.run(command, env=environment | variables, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert ended.returncode == code, f"{arguments}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout if code == 0 else ended.stdout + ended.stderr


def read(*arguments, **more):
    return json.loads(run(*arguments, "--output", "json", **more))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A region with an archive, and the folder of its buckets."""
    folder = tmp_path_factory.mktemp("command")
    buckets = folder / "buckets"
    with run_dev(folder, "--s3-dir", str(buckets), "--data", str(folder / "data")) as (region, _):
        yield region, buckets


@pytest.fixture
def table(home, name):
    """A table of a hundred items that can be restored to any moment."""
    region, _ = home
    client = region.client()
    client.create_table(**table_definition(name, "pk"))
    switched = {"PointInTimeRecoveryEnabled": True}
    client.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=switched)
    with region.resource().Table(name).batch_writer() as batch:
        for number in range(100):
            batch.put_item({"pk": f"item {number}", "number": number})
    return name


def test_backups_and_restores(home, table):
    region, _ = home
    made = read("backup", "create", table, "--name", "before", "--wait", region=region)
    assert (made["BackupName"], made["BackupStatus"]) == ("before", "AVAILABLE")
    listed = read("backup", "list", "--table", table, "--since", "1h", region=region)
    assert [backup["BackupArn"] for backup in listed] == [made["BackupArn"]]
    assert "before" in run("backup", "list", "--type", "user", region=region)
    described = run("backup", "describe", made["BackupArn"], region=region)
    assert "SourceTableDetails.ItemCount" in described and "AVAILABLE" in described

    restored = read("restore", "backup", made["BackupArn"], "--to", f"{table}-b", "--wait", region=region)
    assert (restored["TableStatus"], restored["TableName"]) == ("ACTIVE", f"{table}-b")
    window = f"{table} has a window"
    wait_until(lambda: "LatestRestorableDateTime" in recovery(region, table), window)
    wait_until(lambda: attempt("restore", "table", table, "--to", f"{table}-p", "--wait", region=region), "restored")
    for name in (f"{table}-b", f"{table}-p"):
        assert region.client().scan(TableName=name, Select="COUNT")["Count"] == 100, name

    run("backup", "delete", made["BackupArn"], region=region)
    told = run("backup", "describe", made["BackupArn"], region=region, code=1)
    assert "BackupNotFoundException" in told and "geodynamo backup list" in told
    told = run("restore", "table", table, "--to", f"{table}-q", "--at", "1970-01-01", region=region, code=1)
    assert "InvalidRestoreTimeException" in told and "what to do:" in told


def recovery(region, table):
    description = region.client().describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    return description["PointInTimeRecoveryDescription"]


def attempt(*arguments, region):
    """Whether a command succeeds: the first moment that can be restored may be before the items."""
    try:
        run(*arguments, region=region)
    except AssertionError:
        return False
    return True


def test_exports_and_imports(home, table):
    region, buckets = home
    wait_until(lambda: "LatestRestorableDateTime" in recovery(region, table), "there is a window")
    export = read("export", "start", table, "--to", "s3://lake/orders", "--wait", region=region)
    assert (export["ExportStatus"], export["ItemCount"]) == ("COMPLETED", 100)
    assert read("export", "describe", export["ExportArn"], region=region)["ExportArn"] == export["ExportArn"]
    assert export["ExportArn"] in run("export", "list", "--table", table, region=region)
    assert read("export", "wait", export["ExportArn"], region=region)["ExportStatus"] == "COMPLETED"

    data = f"s3://lake/orders/AWSDynamoDB/{export['ExportArn'].rsplit('/', 1)[1]}/data"
    imported = read(
        "import", "start", f"{table}-i", "--from", data, "--format", "json", "--compression", "gzip", "--key", "pk:S", "--wait",
        region=region,
    )
    assert (imported["ImportStatus"], imported["ImportedItemCount"]) == ("COMPLETED", 100)
    assert imported["ImportArn"] in run("import", "list", region=region)

    (buckets / "lake" / "bad").mkdir(parents=True)
    (buckets / "lake" / "bad" / "a.csv.gz").write_bytes(b"no gzip")
    bad = ["--from", "s3://lake/bad", "--format", "csv", "--compression", "gzip", "--key", "pk:S", "--wait"]
    told = run("import", "start", f"{table}-x", *bad, region=region, code=1)
    assert "FAILED" in told and "InvalidFileFormat" in told and "what to do:" in told


def test_tables(home, table):
    region, _ = home
    [found] = read("tables", table, region=region)
    assert (found["TableName"], found["ItemCount"]) == (table, 100)
    assert found["ContinuousBackups"]["ContinuousBackupsStatus"] == "ENABLED"
    lines = run("tables", region=region).splitlines()
    assert lines[0].startswith("TABLE") and any(line.startswith(table) and "ACTIVE" in line for line in lines)
    told = run("tables", "nowhere", region=region, code=1)
    assert "ResourceNotFoundException" in told and "what to do:" in told


def test_keys_come_from_profiles_and_are_asked_for(regions, tmp_path):
    first = regions[0]
    told = run("tables", "--endpoint", first.endpoint, code=1)
    assert "MissingAuthenticationToken" in told and "AWS_ACCESS_KEY_ID" in told
    (tmp_path / "config").write_text(f"[profile lab]\nregion = {first.name}\nendpoint_url = {first.endpoint}\n")
    (tmp_path / "credentials").write_text(
        f"[lab]\naws_access_key_id = {first.access_key_id}\naws_secret_access_key = {first.secret_access_key}\n"
    )
    files = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }
    assert isinstance(json.loads(run("tables", "--profile", "lab", "--output", "json", **files)), list)
    told = run("tables", "--endpoint", "http://127.0.0.1:1", code=1)
    assert "does not answer" in told and "what to do:" in told


def is_of_the_disk(trouble):
    return re.fullmatch(r"[\w-]+ has .+ of .+ free", trouble["what"]) is not None


def test_status_and_top(regions):
    first = regions[0]
    admin = first.admin.removeprefix("http://")

    def looked():
        # How full this machine's disk is is not the test's matter.
        ended = subprocess.run([BINARY, "status", "--admin", admin, "--output", "json"], capture_output=True, text=True)
        status = json.loads(ended.stdout)
        assert (ended.returncode == 0) == (status["troubles"] == []), status
        others = [trouble for trouble in status["troubles"] if not is_of_the_disk(trouble)]
        return status if others == [] else None

    status = wait_until(looked, "all is well but for the disk")
    assert [region["region"] for region in status["regions"]] == [region.name for region in regions]
    assert len(status["links"]) == 6 and all(link["up"] for link in status["links"])
    full = len(status["troubles"])
    text = run("status", "--admin", admin, code=1 if full else 0)
    assert ("all is well" in text) == (full == 0) and "us-east-1 → eu-west-1" in text

    first.client().list_tables()
    frame = json.loads(run("top", "--admin", admin, "--every", 1, "--count", 1, "--output", "json"))
    assert {row["region"] for row in frame["regions"]} == {region.name for region in regions}
    assert "REQUESTS/S" in run("top", "--admin", admin, "--every", 1, "--count", 1)
    told = run("status", "--admin", "127.0.0.1:1", code=1)
    assert "does not answer" in told and "--admin" in told


def test_top_on_a_terminal(regions):
    """On a terminal it takes the other screen, draws, draws again only what is different, and leaves as it found it."""
    admin = regions[0].admin.removeprefix("http://")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 130, 0, 0))
    command = [BINARY, "top", "--admin", admin, "--every", "1"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, start_new_session=True)
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + TIMEOUT_S

    def read():
        nonlocal seen
        assert time.monotonic() < deadline, seen[-2000:]
        ready, _, _ = select.select([ours], [], [], 1)
        if ready:
            try:
                more = os.read(ours, 65536)
            except OSError:  # its end, on Linux
                return False
            seen += more
        return True

    while not all(word in seen for word in (b"REQUESTS/S", b"ROUND TRIP", "→".encode(), b"ready")):
        assert read(), seen[-2000:]
    first = len(seen)
    regions[0].client().list_tables()
    while b"ListTables" not in seen[first:]:
        assert read(), seen[-2000:]
    # What has not changed is not drawn again: no heading of a table that was there.
    assert b"REQUESTS/S" not in seen[first:]
    process.send_signal(signal.SIGINT)
    while read() and process.poll() is None:
        pass
    assert process.wait(timeout=TIMEOUT_S) == 0, process.stderr.read()
    assert seen.startswith(b"\x1b[?1049h") and b"\x1b[?1049l" in seen
    os.close(ours)


def test_doctor(tmp_path, regions):
    """What is wrong is found, with what to do; what is right is not. The peer of the configuration is the demo's region."""
    admin = regions[1].admin.removeprefix("http://")
    node = 'replication = "127.0.0.1:{}"\ndata = "127.0.0.1:{}"\nadmin = "{}"\n'
    (tmp_path / "topology.toml").write_text(
        'cluster = "c"\n[[region]]\nname = "us-east-1"\n[[region.node]]\nname = "a"\n'
        + node.format(1, 2, "127.0.0.1:3")
        + '[[region]]\nname = "eu-west-1"\n[[region.node]]\nname = "b"\n'
        + node.format(4, 5, admin)
    )
    subprocess.run([BINARY, "certs", "--topology", "topology.toml", "--out", "certs"], cwd=tmp_path, check=True)
    config = tmp_path / "region.toml"
    config.write_text(
        'region = "us-east-1"\nnode = "a"\ndata_dir = "data"\ntopology = "topology.toml"\n'
        'listen = { data = "127.0.0.1:0", admin = "127.0.0.1:0", replication = "127.0.0.1:0" }\n'
        'cluster_tls = { cert = "certs/a.pem", key = "certs/a.key", ca = "certs/ca.pem" }\n'
        '[archive]\nurl = "archive"\n'
    )

    def examine():
        command = [BINARY, "doctor", "--config", config, "--output", "json"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        findings = json.loads(ended.stdout)
        faults = {finding["check"] for finding in findings if finding["verdict"] == "fault"}
        assert ended.returncode == (1 if faults else 0), findings
        # What this machine itself lacks is not the test's matter.
        return findings, faults - {"free disk", "fsync", "memory"}

    findings, faults = examine()
    assert faults == set(), findings
    checks = {finding["check"] for finding in findings}
    assert {"topology", "free disk", "fsync", "open files", "memory", "certificates", "ports", "peers", "clock"} <= checks
    assert all(finding["advice"] for finding in findings if finding["verdict"] != "ok")
    assert not list(tmp_path.glob("data/*")), "the doctor leaves nothing"

    (tmp_path / "certs" / "a.key").write_bytes((tmp_path / "certs" / "b.key").read_bytes())
    config.write_text(config.read_text().replace('node = "a"', 'node = "z"'))
    assert examine()[1] == {"certificates", "topology"}


def test_completions_and_help():
    assert "geodynamo" in run("completions", "bash")
    assert "Examples:" in run("export", "start", "--help")


def test_an_archive_that_is_not_there(tmp_path):
    """A misspelt place is no whole archive, and nothing is made there."""
    misspelt, empty = tmp_path / "archiv", tmp_path / "empty"
    empty.mkdir()
    for place, said in ((misspelt, "no such folder"), (empty, "holds nothing")):
        told = run("archive", "verify", "--from", place, code=1)
        assert said in told and "what to do: --from" in told, told
    assert not misspelt.exists() and not list(empty.iterdir())
    (tmp_path / "region.toml").write_text('region = "us-east-1"\nnode = "a"\ndata_dir = "data"\n')
    run("restore", "--from", misspelt, "--config", tmp_path / "region.toml", code=1)
    assert not misspelt.exists()


SILENT = "127.0.0.1:1"


@pytest.mark.parametrize(
    "command",
    [
        ["conflicts", "list", "T"],
        ["conflicts", "show", "T", "00"],
        ["account", "list"],
        ["verify"],
        ["region", "forget", "eu-west-1"],
        ["sink", "list"],
        ["link", "list"],
        ["health"],
        ["status"],
    ],
    ids=" ".join,
)
def test_who_does_not_answer_is_named_and_there_is_something_to_do(command):
    told = run(*command, "--admin", SILENT, code=1)
    assert f"{SILENT} does not answer" in told and "what to do: is the region running?" in told, told


@pytest.mark.parametrize("command", [["serve"], ["keys", "status"], ["keys", "rotate"]], ids=" ".join)
def test_a_file_that_is_not_there_is_named(command, tmp_path):
    told = run(*command, "--config", tmp_path / "absent.toml", code=1)
    assert f"{tmp_path}/absent.toml: No such file" in told and "what to do: --config FILE" in told, told


def test_a_profile_is_enough(regions, tmp_path):
    """Faults on links and restores of conflicts are signed by profiles, too, and by keys with a session."""
    us, eu = regions[:2]
    (tmp_path / "keys").write_text(f"[lab]\naws_access_key_id = {us.access_key_id}\naws_secret_access_key = {us.secret_access_key}\n")
    by_profile = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys"), "AWS_PROFILE": "lab"}
    admin = us.admin.removeprefix("http://")
    told = run("link", "delay", eu.name, "--ms", "1", "--admin", admin, code=1)
    assert "what to do: set AWS_ACCESS_KEY_ID" in told, told
    run("link", "delay", eu.name, "--ms", "1", "--admin", admin, **by_profile)
    run("link", "resume", eu.name, "--admin", admin, **by_profile)
    wrong = {"AWS_ACCESS_KEY_ID": us.access_key_id, "AWS_SECRET_ACCESS_KEY": "wrong"}
    told = run("link", "resume", eu.name, "--admin", admin, code=1, **wrong)
    assert "what to do: set AWS_ACCESS_KEY_ID" in told, told
    # A key that this region does not know does not keep its own machine out.
    read("verify", "--admin", admin, AWS_ACCESS_KEY_ID="AKIDNOBODY", AWS_SECRET_ACCESS_KEY="wrong")
