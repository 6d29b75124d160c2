"""Celery's DynamoDB result backend: a real worker, its own process; what it computed comes back through DynamoDB only."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WAIT_S = 60


@pytest.fixture
def app(name, tmp_path, monkeypatch):
    """The application as its users see it, and a worker that runs its tasks."""
    monkeypatch.setenv("CELERY_TEST_FOLDER", str(tmp_path))
    monkeypatch.setenv("CELERY_TEST_BACKEND", f"dynamodb://@us-east-1/{name}?read=5&write=5&ttl_seconds=3600")
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.delitem(sys.modules, "celery_app", raising=False)
    import celery_app

    # The backend makes the table; two at once would both try.
    celery_app.app.backend.client
    command = [sys.executable, "-m", "celery", "--app", "celery_app", "worker", "--pool", "threads", "--concurrency", "2"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"]
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(command, cwd=HERE, env=os.environ, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    yield celery_app
    worker.terminate()
    try:
        worker.wait(WAIT_S)
    except subprocess.TimeoutExpired:
        worker.kill()
    print(log.read_text())


def test_results_come_back_through_dynamodb(app, name, client, wait_until_items_expire):
    about = client.describe_table(TableName=name)["Table"]
    assert about["ProvisionedThroughput"]["ReadCapacityUnits"] == 5
    wait_until_items_expire(name, "ttl")

    result = app.add.delay(2, 3)
    assert result.get(timeout=WAIT_S) == 5
    assert (result.state, result.name) == ("SUCCESS", "celery_app.add")
    # Celery's own form of the key: bytes, as Python prints them.
    key = {"id": {"S": str(result.backend.get_key_for_task(result.id))}}
    row = client.get_item(TableName=name, Key=key)["Item"]
    assert set(row) == {"id", "result", "timestamp", "ttl"}
    assert time.time() + 3000 < int(row["ttl"]["N"]) < time.time() + 3700
    assert len(app.large.delay(100_000).get(timeout=WAIT_S)) == 100_000

    failed = app.fail.delay("no")
    with pytest.raises(ValueError, match="no"):
        failed.get(timeout=WAIT_S)
    assert failed.state == "FAILURE"

    result.forget()
    assert "Item" not in client.get_item(TableName=name, Key=key)


def test_groups_and_chords(app):
    from celery import chord, group

    many = group(app.add.s(n, n) for n in range(10)).apply_async()
    assert many.get(timeout=WAIT_S) == [2 * n for n in range(10)]
    many.save()
    assert app.app.GroupResult.restore(many.id).completed_count() == 10
    # The chord's counter is an item that every task's end adds to; the last one starts the body.
    assert chord([app.add.s(n, 1) for n in range(10)])(app.total.s()).get(timeout=WAIT_S) == 55
