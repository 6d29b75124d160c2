"""The book: links lead somewhere, commands exist and take the flags that are shown, and the blocks marked `sh` run as they stand, those
marked `sh stopped` while the region does not. What is in neither is said, with the reason."""

import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import botocore
import botocore.session
import pytest

from conftest import BINARY, run_dev, serve, table_definition, wait_until
from test_kinesis import KEYS, moto

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import book

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```([\w ]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    (.*)$", re.MULTILINE)
# How long a page's commands may take, in seconds.
PAGE_S = 120


def blocks(page, language):
    return [text for marked, text in BLOCK.findall(page.read_text()) if marked == language]


def test_links_lead_somewhere():
    missing = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
                missing.append(f"{page.relative_to(ROOT)}: {target}")
    assert missing == []


def anchors(page):
    """The names that a page's headings have, as mdBook and GitHub make them: letters, digits, - and _, spaces as -."""
    headings = re.findall(r"^#+ +(.*?) *$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def test_anchors_are_headings():
    missing = []
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#\s:]*)#([^)]+)\)", page.read_text()):
            there = page.parent / target if target else page
            if there.suffix == ".md" and anchor not in anchors(there):
                missing.append(f"{page.relative_to(ROOT)}: {target}#{anchor}")
    assert missing == []
    # What looks for them finds such as are not there.
    assert "one-region" in anchors(ROOT / "docs/start.md") and "two-regions" not in anchors(ROOT / "docs/start.md")


def test_the_book_is_built(tmp_path):
    """By mdBook, without a warning. Links and pictures lead somewhere in the book, too, not in its sources alone."""
    good, said = book.build(ROOT, tmp_path)
    assert good, said
    chapters = [f"docs/{name}" for name in re.findall(r"\]\(([^)]+)\.md\)", (ROOT / "docs/SUMMARY.md").read_text())]
    chapters += [page.removesuffix(".md") for _, page in book.OUTSIDE]
    missing = []
    for chapter in chapters:
        page = tmp_path / f"{chapter}.html"
        for target in re.findall(r'(?:href|src)="([^"#?:]+)(?:[#?][^"]*)?"', page.read_text()):
            if not (page.parent / target).exists():
                missing.append(f"{chapter}: {target}")
    assert missing == []


def test_a_book_that_lacks_a_chapter_is_not_built(tmp_path):
    for folder in ("docs", "grafana"):
        shutil.copytree(ROOT / folder, tmp_path / "root" / folder)
    (tmp_path / "root/docs/concepts.md").unlink()
    good, said = book.build(tmp_path / "root", tmp_path / "book")
    assert not good and "concepts.md" in said


def test_the_book_has_every_page():
    listed = set(re.findall(r"\]\(([^)]+)\)", (ROOT / "docs/SUMMARY.md").read_text()))
    there = {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")} - {"SUMMARY.md"}
    assert listed == there


def commands(*programs):
    """Every line of a block, joined where a backslash goes on, that calls one of the programs."""
    for page in PAGES:
        text = page.read_text()
        shown = [text for language, text in BLOCK.findall(text) if language in ("sh", "sh stopped", "console")]
        shown.append("\n".join(INDENTED.findall(text)))
        for line in "\n".join(shown).replace("\\\n", " ").splitlines():
            for command in line.split("#")[0].split(";"):
                words = command.split()
                if words and words[0] in programs:
                    yield page.relative_to(ROOT), words


def test_commands_exist_and_take_what_is_shown():
    help_of, wrong, seen = {}, [], 0
    for page, words in commands("geodynamo", "geodynamo-loadgen"):
        program = BINARY if words[0] == "geodynamo" else Path(BINARY).with_name(words[0])
        names = [word for word in words[1:4] if re.fullmatch(r"[a-z][a-z-]*", word)]
        # The longest run of words that is a command: what follows are its values. `a|b` shows several.
        choices = re.fullmatch(r"[a-z|-]+", words[2]) if len(words) > 2 and "|" in words[2] else None
        for path in [[words[1], choice] for choice in words[2].split("|")] if choices else [names]:
            while path and (text := helped(program, path, help_of)) is None:
                path = path[:-1]
            if not path:
                wrong.append(f"{page}: {' '.join(words)}: no such command")
                continue
            seen += 1
            for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join(words)):
                if flag not in text:
                    wrong.append(f"{page}: {' '.join(words)}: {flag}")
    assert wrong == []
    assert seen > 20


def test_aws_commands_are_of_the_api():
    """By the newest model, which has options that the AWS CLI here does not know yet."""
    session = botocore.session.get_session()
    models, wrong, seen = {}, [], 0
    own = {"--endpoint-url", "--region", "--query", "--output", "--profile"}
    for page, words in commands("aws"):
        if len(words) < 3 or not re.fullmatch(r"[a-z-]+", words[2]) or words[2] == "wait":
            continue
        # What is asked for in passing is not of this command.
        words = words[: next((at for at, word in enumerate(words) if "$(" in word), len(words))]
        service, operation = words[1:3]
        model = models.setdefault(service, session.get_service_model(service))
        named = {botocore.xform_name(name, "-"): name for name in model.operation_names}
        if operation not in named:
            wrong.append(f"{page}: {' '.join(words)}: no such operation")
            continue
        members = {f"--{botocore.xform_name(name, '-')}" for name in model.operation_model(named[operation]).input_shape.members}
        flags = {word for word in words[3:] if re.fullmatch(r"--[a-z][a-z-]*", word)}
        unknown = {flag for flag in flags - members - own if flag.replace("--no-", "--", 1) not in members}
        wrong += [f"{page}: {' '.join(words)}: {flag}" for flag in sorted(unknown)]
        seen += 1
    assert wrong == []
    assert seen > 10


# What the book shows and no test runs as it stands: the beginning of the line, and why.
NOT_RUN = {
    r"make (demo|test|bench|compare|netns-demo)": "builds everything, or takes hours; the targets' programs have tests of their own",
    r"bench ": "takes minutes on a machine that does nothing else",
    r"docker |open http://localhost|curl http://localhost:9091": "needs a Docker engine: `make docker-test` has one",
    r"geodynamo (dev|demo|serve) ": "goes on until it is stopped: all tests here run it",
    r"(export|OTEL_EXPORTER_OTLP_ENDPOINT=)": "says where things are; a test's are elsewhere",
    r"aws dynamodb list-tables": "stands beside such an `export`",
    r"geodynamo schema cassandra": "needs a Cassandra: tests/sdk/test_cassandra.py has one",
    r"cargo run --release .* --example classes": "a release build, for figures",
    r"\$\(scripts/python-env --path\)/bin/python scripts/reactions.py": "takes minutes on a machine that does nothing else",
    r"aws dynamodb update-table .*isassociat": "the AWS CLI here has no such option yet: tests/sdk/test_groups.py does it by boto3",
    r"geodynamo (certs|keys|doctor|status|top|tables|backup|export) ": "README's list of commands, with words to be replaced",
    r"aws iam (create-open-id-connect-provider|create-role|put-role-policy) ": "needs a Kubernetes cluster: scripts/roles.py has an issuer of its own",
    r"geodynamo-loadgen ": "README's list, with words to be replaced; benchmarks.md runs them",
}
PROGRAM = re.compile(r"(?:\$ )?((?:geodynamo|geodynamo-loadgen|aws|make|docker|bench|cargo|curl|open|export|OTEL_\w+=\S+|\$\(scripts\S*) .*)")


def shown_alone():
    """Every command of the book that is in no block that is run."""
    for page in PAGES:
        text = page.read_text()
        kept = [block for language, block in BLOCK.findall(text) if language == "console"]
        kept.append("\n".join(INDENTED.findall(BLOCK.sub("", text))))
        for line in "\n".join(kept).replace("\\\n", " ").splitlines():
            if found := PROGRAM.match(line):
                yield page.relative_to(ROOT), found[1]


def test_every_command_is_run_or_it_is_said_why_not():
    shown, used, left = list(shown_alone()), set(), []
    for page, line in shown:
        reason = next((pattern for pattern in NOT_RUN if re.match(pattern, line)), None)
        used.add(reason)
        if not reason:
            left.append(f"{page}: {line}")
    assert left == []
    assert used == set(NOT_RUN)
    # A command that nobody thought of is found.
    assert not any(re.match(pattern, "geodynamo archive verify --from x") for pattern in NOT_RUN)
    # And each page with blocks to run is run by a test below.
    run = {page.name for page in PAGES for language, _ in BLOCK.findall(page.read_text()) if language.startswith("sh")}
    tests = Path(__file__).read_text()
    assert {name for name in run if f'"{name}"' not in tests} == set()


def helped(program, path, known):
    key = (str(program), *path)
    if key not in known:
        done = subprocess.run([program, *path, "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
        known[key] = done.stdout if done.returncode == 0 else None
    return known[key]


@pytest.mark.parametrize("name", ["production.md"])
def test_configurations_are_taken(name, tmp_path):
    topology, region = (text for text in blocks(ROOT / "docs" / name, "toml"))
    tomllib.loads(topology)
    (tmp_path / "topology.toml").write_text(topology)
    (tmp_path / "region.toml").write_text(region)
    certs = [BINARY, "certs", "--topology", "topology.toml", "--out", "certs"]
    subprocess.run(certs, cwd=tmp_path, check=True, timeout=60)
    for line in ("cert = ", "key = ", "ca = ", "cluster_key_file = "):
        for file in re.findall(rf'^{line}"(certs/[^"]+)"', region, re.MULTILINE):
            assert (tmp_path / file).exists(), file
    # It fails for want of a data directory, and for nothing that is wrong with the file.
    status = subprocess.run([BINARY, "keys", "status", "--config", "region.toml"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "region.toml" not in status.stderr, status.stderr


def run_blocks(names, folder, language, variables):
    script = "set -eu\n" + "".join(text for name in names for text in blocks(ROOT / "docs" / name, language))
    variables = {"PATH": f"{Path(BINARY).parent}:{Path(os.sys.executable).parent}:{os.environ['PATH']}", **variables}
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=os.environ | variables, capture_output=True, text=True, timeout=PAGE_S
    )
    assert done.returncode == 0, f"{names}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def run_pages(names, folder, region, **more):
    """Runs the `sh` blocks of pages one after the other, as somebody would who has these variables; gives what they print."""
    variables = {
        "AWS_ENDPOINT_URL": region.endpoint,
        "AWS_DEFAULT_REGION": region.name,
        "AWS_REGION": region.name,
        "AWS_ACCESS_KEY_ID": region.access_key_id,
        "AWS_SECRET_ACCESS_KEY": region.secret_access_key,
        "AWS_PAGER": "",
        "ADMIN": region.admin.removeprefix("http://"),
    }
    return run_blocks(names, folder, "sh", variables | more)


def make(region, name, *keys, **more):
    region.client().create_table(**table_definition(name, *keys, **more))
    region.client().get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def drop(region, name):
    region.client().delete_table(TableName=name)
    wait_until(lambda: name not in region.client().list_tables()["TableNames"], f"{name} is gone")


def test_the_first_ten_minutes(regions, tmp_path):
    us, eu, ap = regions
    addresses = {"US": us.endpoint, "EU": eu.endpoint, "AP": ap.endpoint, "WAN": us.wan}
    told = run_pages(["start.md", "conflicts.md"], tmp_path, us, US_ADMIN=us.admin.removeprefix("http://"), **addresses)
    assert '"lamps"' in told, told[-2000:]
    us.client().delete_table(TableName="carts")


def test_backups(regions, tmp_path):
    us, eu, _ = regions
    make(eu, "orders", "id")
    eu.client().put_item(TableName="orders", Item={"id": {"S": "a"}})
    us.client("backup").create_backup_vault(BackupVaultName="far")
    run_pages(["backups.md"], tmp_path, eu, US=us.endpoint)
    assert us.client().get_item(TableName="orders-there", Key={"id": {"S": "a"}})["Item"]
    wait_until(lambda: "orders-restored" in eu.client().list_tables()["TableNames"], "the restore has made its table")
    backup = eu.client("backup")
    backup.delete_backup_vault_lock_configuration(BackupVaultName="daily")
    for plan in backup.list_backup_plans()["BackupPlansList"]:
        if plan["BackupPlanName"] == "orders":
            of_it = {"BackupPlanId": plan["BackupPlanId"]}
            for selection in backup.list_backup_selections(**of_it)["BackupSelectionsList"]:
                backup.delete_backup_selection(SelectionId=selection["SelectionId"], **of_it)
            backup.delete_backup_plan(**of_it)
    drop(eu, "orders")
    drop(us, "orders-there")


def asks_for_replica(region, table, of):
    """Whether the region is asked; it is not before this one knows that an earlier test's table of that name is gone there."""
    try:
        region.client().update_table(TableName=table, ReplicaUpdates=[{"Create": {"RegionName": of}}])
    except botocore.exceptions.ClientError as error:
        assert "already existed as tables" in str(error), error
        return False
    return True


def test_global_tables(regions, tmp_path):
    us, eu, _ = regions
    make(us, "orders", "id", BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 5})
    wait_until(lambda: asks_for_replica(us, "orders", eu.name), f"{eu.name} has no other table of that name any more")
    replicated = lambda: all(r["ReplicaStatus"] == "ACTIVE" for r in us.client().describe_table(TableName="orders")["Table"]["Replicas"])
    wait_until(lambda: replicated() and "orders" in eu.client().list_tables()["TableNames"], "it has a replica")
    eu.client().get_waiter("table_exists").wait(TableName="orders", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    told = run_pages(["groups.md"], tmp_path, eu)
    assert "delayed by 200 ms" in told and told.rstrip().splitlines()[-1].split()[1:] == ["up"], told[-500:]
    drop(us, "orders")


def test_hot_keys_and_copies(tmp_path):
    with serve(tmp_path) as region:
        index = {"IndexName": "by-customer", "KeySchema": [{"AttributeName": "customer", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"}}
        make(region, "orders", "id", attributes=("customer",), GlobalSecondaryIndexes=[index])
        told = run_pages(["insights.md", "sinks.md"], tmp_path, region)
        assert "orders" in told and "by-customer" in told and "lake" in told
        (tmp_path / "lake").mkdir(exist_ok=True)
        wait_until(lambda: list((tmp_path / "lake").glob("orders/metadata/*.json")), "the copy is made")


def test_triggers(tmp_path):
    class Taker(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with run_dev(tmp_path, "--function", f"thumbs=http://127.0.0.1:{server.server_port}/thumbs") as (region, _):
        make(region, "pictures", "id", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
        make(region, "dead", "mapping")
        run_pages(["triggers.md"], tmp_path, region)
    server.shutdown()


def test_keys(tmp_path):
    with moto(tmp_path) as (_, port):
        kms = boto3.client("kms", endpoint_url=f"http://127.0.0.1:{port}", **KEYS)
        for alias in ("alias/orders", "alias/orders-2"):
            kms.create_alias(AliasName=alias, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        subprocess.run([BINARY, "keys", "new", tmp_path / "region.key"], check=True, timeout=60)
        service = f'endpoint = "http://127.0.0.1:{port}"\naccess_key_id = "moto"\nsecret_access_key = "moto"\n'
        settings = f'[encryption]\nkey_file = "{tmp_path}/region.key"\n[table_keys]\ncheck_seconds = 1\n[table_keys.kms]\n{service}'
        with serve(tmp_path, settings) as region:
            told = run_pages(["encryption.md"], tmp_path, region)
            assert "(new files)" in told and "under the region key" in told


def test_a_drill_of_a_restore(tmp_path):
    archive = f'[archive]\nurl = "{tmp_path}/archive"\nship_seconds = 1\n'
    with serve(tmp_path, archive) as region:
        make(region, "orders", "id")
        client = region.client()
        client.update_continuous_backups(TableName="orders", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
        client.put_item(TableName="orders", Item={"id": {"S": "a"}})
    shutil.rmtree(tmp_path / "data")
    told = run_blocks(["production.md"], tmp_path, "sh stopped", {"ARCHIVE": str(tmp_path / "archive")})
    assert "orders" in told, told
    with serve(tmp_path, archive) as region:
        assert region.client().get_item(TableName="orders", Key={"id": {"S": "a"}})["Item"]


def test_a_data_directory_is_encrypted_afterwards(tmp_path):
    with serve(tmp_path, "[encryption]\nenabled = false\n") as region:
        make(region, "orders", "id")
    config = tmp_path / "region.toml"
    config.write_text(config.read_text().replace("enabled = false", ""))
    run_blocks(["encryption.md"], tmp_path, "sh stopped", {})
    with serve(tmp_path) as region:
        assert region.client().list_tables()["TableNames"] == ["orders"]


def test_accounts(tmp_path):
    with serve(tmp_path) as region:
        told = run_pages(["accounts.md"], tmp_path, region)
        assert "731064480265  shop" in told and "assumed-role/reader/me" in told, told


def test_load(tmp_path):
    with run_dev(tmp_path) as (region, _):
        told = run_pages(["benchmarks.md"], tmp_path, region)
        assert "us-east-1 update p99 ms" in told, told[-2000:]
