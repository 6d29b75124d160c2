"""Encryption at rest: what a region writes is searched, byte by byte, for what it was given; and its keys are taken away."""

import os
import secrets
import shutil
import stat
import subprocess
import time

import pytest

from conftest import BINARY, serve, table_definition, wait_until

# Words in names, tags, keys and values; and bytes that no compression changes.
WORD = "plantedsecret"
BYTES = secrets.token_bytes(24)
ARCHIVE = '[archive]\nurl = "archive"\nship_seconds = 1\n'
INDEXES = {
    "GlobalSecondaryIndexes": [
        {
            "IndexName": f"{WORD}-index",
            "KeySchema": [{"AttributeName": "word", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    "Tags": [{"Key": f"{WORD}-tag", "Value": f"{WORD}-value"}],
}


def item(number):
    noise = secrets.token_bytes(400)
    return {
        "pk": {"B": number.to_bytes(4, "big") + BYTES},
        "word": {"S": f"{WORD}-{number}"},
        "value": {"B": noise + BYTES + noise},
    }


def holders(folder):
    """The names of files below a folder that hold what was planted."""
    found = set()
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if WORD.encode() in content or BYTES in content:
                found.add(path.relative_to(folder))
    return found


def story(folder, settings):
    """Tables, indexes, tags, a stream, backups; flushes, a clean end and a kill."""
    # Small memtables: tables are written while it runs.
    settings = f"{settings}{ARCHIVE}[memory]\nwrite_buffer_mb = 8\n"
    table = f"{WORD}-table"
    for crash in (False, True):
        with serve(folder, settings, crash=crash) as region:
            client = region.client()
            if not crash:
                client.create_table(**table_definition(table, "pk:B", attributes=["word"], **INDEXES))
                client.get_waiter("table_exists").wait(TableName=table)
                client.update_continuous_backups(
                    TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
                )
            for number in range(0, 1500, 25):
                puts = [{"PutRequest": {"Item": item(number + n)}} for n in range(25)]
                client.batch_write_item(RequestItems={table: puts})
            moment = time.time()
            backup = client.create_backup(TableName=table, BackupName=f"{WORD}-backup-{crash}")["BackupDetails"]["BackupArn"]

            def is_kept(backup=backup, moment=moment):
                status = client.describe_backup(BackupArn=backup)["BackupDescription"]["BackupDetails"]["BackupStatus"]
                told = client.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
                last = told["PointInTimeRecoveryDescription"].get("LatestRestorableDateTime")
                return status == "AVAILABLE" and last is not None and last.timestamp() >= moment

            wait_until(is_kept, "the backups are there")
    return table


def count(folder, table):
    with serve(folder, ARCHIVE) as region:
        found = region.client().scan(TableName=table, Select="COUNT")
        return found["Count"]


def test_nothing_is_in_the_clear(tmp_path):
    table = story(tmp_path, "")
    assert (tmp_path / "data.key").exists()
    assert holders(tmp_path / "data") == set()
    assert holders(tmp_path / "archive") == set()
    assert count(tmp_path, table) > 0

    # The keys are changed while it is served, and what was written is still read.
    before = (tmp_path / "data.key").read_text()
    config = str(tmp_path / "region.toml")
    with serve(tmp_path, ARCHIVE) as region:
        subprocess.run([BINARY, "keys", "rotate", "--data-key", "--config", config], check=True)
        assert region.client().scan(TableName=table, Select="COUNT")["Count"] > 0
    assert (tmp_path / "data.key").read_text() != before
    assert count(tmp_path, table) > 0
    told = subprocess.run([BINARY, "keys", "status", "--config", config], check=True, capture_output=True, text=True).stdout
    assert told.count("data key ") == 2 and told.count("(new files)") == 1, told

    # Of the data directory nothing is left: the archive and the key are enough.
    shutil.rmtree(tmp_path / "data")
    restore = [BINARY, "restore", "--from", str(tmp_path / "archive"), "--config", config]
    restored = subprocess.run(restore, check=True, capture_output=True, text=True).stdout
    assert table in restored
    assert count(tmp_path, table) > 0
    assert holders(tmp_path / "data") == set()
    # The old key opens nothing any more.
    (tmp_path / "data.key").write_text(before)
    refused = subprocess.run([BINARY, "serve", "--config", config], capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0 and "sealed under the region key" in refused.stderr, refused.stderr


def test_without_encryption_all_is_found(tmp_path):
    """The negative control: the same search finds it in every kind of file."""
    story(tmp_path, "[encryption]\nenabled = false\n")
    assert not (tmp_path / "data.key").exists()
    found = {path.suffix or path.name.split("-")[0] for path in holders(tmp_path / "data")}
    assert {".log", ".sst"} <= found, found
    assert holders(tmp_path / "archive")

    # Then it is encrypted where it is.
    table = f"{WORD}-table"
    before = count(tmp_path, table)
    config = str(tmp_path / "region.toml")
    encrypt = [BINARY, "keys", "encrypt", "--config", config]
    with serve(tmp_path, ARCHIVE):
        running = subprocess.run(encrypt, capture_output=True, text=True)
        assert running.returncode != 0 and "the region runs" in running.stderr
    subprocess.run(encrypt, check=True)
    assert holders(tmp_path / "data") == set()
    assert count(tmp_path, table) == before
    assert subprocess.run(encrypt, capture_output=True).returncode != 0


def test_keys_that_are_missing_wrong_or_open_are_refused(tmp_path):
    with serve(tmp_path) as region:
        client = region.client()
        client.create_table(**table_definition("tab", "pk"))
    config, key = tmp_path / "region.toml", tmp_path / "data.key"
    keyring = (tmp_path / "data" / "keyring.json").read_bytes()

    def refusal():
        run = subprocess.run([BINARY, "serve", "--config", config], capture_output=True, text=True, timeout=60)
        assert run.returncode != 0
        assert (tmp_path / "data" / "keyring.json").read_bytes() == keyring
        return run.stderr

    key.chmod(0o640)
    assert "chmod 600" in refusal()
    key.chmod(0o600)
    text = key.read_text()
    key.unlink()
    assert "data.key is not there" in refusal()
    subprocess.run([BINARY, "keys", "new", str(key)], check=True)
    assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
    assert "sealed under the region key" in refusal()
    key.write_text(text)
    with serve(tmp_path) as region:
        assert region.client().list_tables()["TableNames"] == ["tab"]


@pytest.mark.parametrize("arguments", [[], ["--encrypt"]])
def test_dev_encrypts_if_asked(tmp_path, arguments):
    from conftest import run_dev

    data = tmp_path / "kept"
    with run_dev(tmp_path, "--data", str(data), *arguments) as (region, _):
        region.client().create_table(**table_definition(f"{WORD}-table", "pk"))
    assert bool(holders(data)) is not bool(arguments)
    assert (tmp_path / "kept.key").exists() is bool(arguments)
    # It stays what it is.
    with run_dev(tmp_path, "--data", str(data)) as (region, _):
        assert region.client().list_tables()["TableNames"] == [f"{WORD}-table"]
