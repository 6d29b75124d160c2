"""Continuous backups, point-in-time recovery and backups on demand, by boto3."""

import datetime
import time

import pytest
from botocore.exceptions import ClientError

from conftest import serve, table_definition, wait_until

SHIPPED_EVERY_SECOND = """
[archive]
url = "archive"
ship_seconds = 1
"""


def refused(code, call, message=None):
    with pytest.raises(ClientError) as error:
        call()
    told = error.value.response["Error"]
    assert told["Code"] == code, told
    if message:
        assert told["Message"] == message


def switch(client, table, on=True, **more):
    reply = client.update_continuous_backups(
        TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": on, **more}
    )
    return reply["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]


def recovery(client, table):
    description = client.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    assert description["ContinuousBackupsStatus"] == "ENABLED"
    return description["PointInTimeRecoveryDescription"]


def restorable_until(client, table, moment):
    """Waits until a moment can be restored."""

    def latest():
        return recovery(client, table).get("LatestRestorableDateTime")

    wait_until(lambda: (last := latest()) is not None and last.timestamp() >= moment, f"{table} can be restored to {moment}")


def whole_second():
    """Waits for the next whole second, so that what was written before is before it, and gives it."""
    second = int(time.time()) + 1
    while time.time() < second + 0.05:
        time.sleep(0.05)
    return second


def items(client, table, **more):
    return {item["pk"]["S"]: item["v"]["S"] for item in client.scan(TableName=table, **more)["Items"]}


def put(client, table, key, value):
    client.put_item(TableName=table, Item={"pk": {"S": key}, "v": {"S": value}})


def restored(client, target, **source):
    description = client.restore_table_to_point_in_time(TargetTableName=target, **source)["TableDescription"]
    assert description["TableStatus"] == "CREATING"
    assert description["RestoreSummary"]["RestoreInProgress"] is True
    return active(client, target)


def active(client, table):
    client.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    description = client.describe_table(TableName=table)["Table"]
    assert description["RestoreSummary"]["RestoreInProgress"] is False
    return description


def delete(client, *tables):
    for table in tables:
        client.delete_table(TableName=table)
    for table in tables:
        client.get_waiter("table_not_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


INDEX = {
    "IndexName": "by-v",
    "KeySchema": [{"AttributeName": "v", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}


def test_a_bad_overwrite_is_undone(client, make_table, name):
    make_table("pk", attributes=("v",), GlobalSecondaryIndexes=[INDEX])
    assert recovery(client, name) == {"PointInTimeRecoveryStatus": "DISABLED"}
    on = switch(client, name, RecoveryPeriodInDays=7)
    assert (on["PointInTimeRecoveryStatus"], on["RecoveryPeriodInDays"]) == ("ENABLED", 7)
    wait_until(lambda: "EarliestRestorableDateTime" in recovery(client, name), "the window begins")
    good = {f"k{number}": f"good{number}" for number in range(30)}
    for key, value in good.items():
        put(client, name, key, value)
    moment = whole_second()
    for key in good:
        put(client, name, key, "bad")
    client.delete_item(TableName=name, Key={"pk": {"S": "k3"}})
    put(client, name, "new", "bad")
    now = items(client, name)
    restorable_until(client, name, moment)
    arn = client.describe_table(TableName=name)["Table"]["TableArn"]
    old = name + "-old"
    at = datetime.datetime.fromtimestamp(moment, datetime.timezone.utc)
    description = restored(client, old, SourceTableName=name, RestoreDateTime=at)
    assert items(client, old) == good
    assert items(client, old, IndexName="by-v") == good
    summary = description["RestoreSummary"]
    assert (summary["SourceTableArn"], summary["RestoreDateTime"].timestamp()) == (arn, moment)
    assert "SourceBackupArn" not in summary
    assert description["ItemCount"] == 30
    assert recovery(client, old) == {"PointInTimeRecoveryStatus": "DISABLED"}
    # The last moment there is, without the index, in another mode.
    end = whole_second()
    restorable_until(client, name, end)
    latest = name + "-latest"
    description = restored(
        client,
        latest,
        SourceTableArn=arn,
        UseLatestRestorableTime=True,
        GlobalSecondaryIndexOverride=[],
        BillingModeOverride="PROVISIONED",
        ProvisionedThroughputOverride={"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
    )
    assert items(client, latest) == now
    assert "GlobalSecondaryIndexes" not in description
    assert description["ProvisionedThroughput"]["WriteCapacityUnits"] == 6
    # A restored table is one like any other.
    put(client, old, "k0", "mine")
    assert items(client, old)["k0"] == "mine"
    delete(client, old, latest)


def test_all_of_a_transaction_or_nothing(client, make_table, name):
    make_table("pk")
    switch(client, name)
    wait_until(lambda: "EarliestRestorableDateTime" in recovery(client, name), "the window begins")
    end = time.time() + 3.5
    number = 0
    while time.time() < end:
        number += 1
        writes = [
            {"Put": {"TableName": name, "Item": {"pk": {"S": f"k{key}"}, "v": {"S": str(number)}}}} for key in range(10)
        ]
        client.transact_write_items(TransactItems=writes)
    moment = int(end) - 1
    restorable_until(client, name, moment)
    for second in (moment - 1, moment):
        target = f"{name}-{second}"
        at = datetime.datetime.fromtimestamp(second, datetime.timezone.utc)
        restored(client, target, SourceTableName=name, RestoreDateTime=at)
        found = items(client, target)
        assert len(found) == 10 and len(set(found.values())) == 1, found
        assert 0 < int(found["k0"]) < number
        delete(client, target)


def test_a_deleted_table_comes_back(client, make_table, name):
    table = name + "-gone"
    client.create_table(**table_definition(table, "pk"))
    client.get_waiter("table_exists").wait(TableName=table)
    arn = client.describe_table(TableName=table)["Table"]["TableArn"]
    switch(client, table)
    for number in range(10):
        put(client, table, f"k{number}", str(number))
    before = items(client, table)
    delete(client, table)
    [backup] = client.list_backups(TableName=table, BackupType="SYSTEM")["BackupSummaries"]
    assert backup["BackupName"] == f"{table}$DeletedTableBackup"
    assert backup["BackupStatus"] == "AVAILABLE"
    kept = backup["BackupExpiryDateTime"] - backup["BackupCreationDateTime"]
    assert kept == datetime.timedelta(days=35)
    assert client.list_backups(TableName=table)["BackupSummaries"] == []
    client.restore_table_from_backup(TargetTableName=table + "-b", BackupArn=backup["BackupArn"])
    assert active(client, table + "-b")["RestoreSummary"]["SourceBackupArn"] == backup["BackupArn"]
    assert items(client, table + "-b") == before
    restored(client, table + "-p", SourceTableArn=arn, UseLatestRestorableTime=True)
    assert items(client, table + "-p") == before
    refused(
        "TableNotFoundException",
        lambda: restored(client, table + "-n", SourceTableName=table, UseLatestRestorableTime=True),
    )
    delete(client, table + "-b", table + "-p")


def test_backups_on_demand(client, make_table, name):
    make_table("pk", attributes=("v",), GlobalSecondaryIndexes=[INDEX])
    for number in range(20):
        put(client, name, f"k{number}", str(number))
    before = items(client, name)
    arns = []
    for number in range(3):
        details = client.create_backup(TableName=name, BackupName=f"backup-{number}")["BackupDetails"]
        assert (details["BackupStatus"], details["BackupType"]) == ("CREATING", "USER")
        assert f":table/{name}/backup/" in details["BackupArn"]
        arns.append(details["BackupArn"])

    def status(arn):
        return client.describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]["BackupStatus"]

    wait_until(lambda: all(status(arn) == "AVAILABLE" for arn in arns), "the backups are whole")
    described = client.describe_backup(BackupArn=arns[0])["BackupDescription"]
    assert described["SourceTableDetails"]["ItemCount"] == 20
    assert described["SourceTableDetails"]["BillingMode"] == "PAY_PER_REQUEST"
    indexes = described["SourceTableFeatureDetails"]["GlobalSecondaryIndexes"]
    assert [index["IndexName"] for index in indexes] == ["by-v"]
    pages = client.get_paginator("list_backups").paginate(TableName=name, PaginationConfig={"PageSize": 2})
    assert [b["BackupArn"] for page in pages for b in page["BackupSummaries"]] == arns
    bound = client.list_backups(TableName=name)["BackupSummaries"][1]["BackupCreationDateTime"]
    later = client.list_backups(TableName=name, TimeRangeLowerBound=bound + datetime.timedelta(days=1))
    assert later["BackupSummaries"] == []
    put(client, name, "k0", "changed")
    target = name + "-r"
    client.restore_table_from_backup(TargetTableName=target, BackupArn=arns[0])
    active(client, target)
    assert items(client, target) == before
    delete(client, target)
    for arn in arns:
        deleted = client.delete_backup(BackupArn=arn)["BackupDescription"]
        assert deleted["BackupDetails"]["BackupStatus"] == "DELETED"
    assert client.list_backups(TableName=name)["BackupSummaries"] == []
    refused("BackupNotFoundException", lambda: client.describe_backup(BackupArn=arns[0]), f"Backup not found: {arns[0]}")


def test_refusals(client, make_table, name):
    make_table("pk", attributes=("v",), GlobalSecondaryIndexes=[INDEX])
    none = "no-such-table"
    arn = f"arn:aws:dynamodb:us-east-1:000000000000:table/{name}/backup/01234567890123-a1b2c3d4"

    def restore(table=name, target=name + "-r", **more):
        return client.restore_table_to_point_in_time(SourceTableName=table, TargetTableName=target, **more)

    latest = {"UseLatestRestorableTime": True}
    refused("TableNotFoundException", lambda: switch(client, none), f"Table not found: {none}")
    refused("TableNotFoundException", lambda: recovery(client, none))
    refused("TableNotFoundException", lambda: client.create_backup(TableName=none, BackupName="abc"))
    refused("TableNotFoundException", lambda: restore(none, **latest))
    refused("PointInTimeRecoveryUnavailableException", lambda: restore(**latest))
    refused("BackupNotFoundException", lambda: client.delete_backup(BackupArn=arn))
    refused(
        "BackupNotFoundException",
        lambda: client.restore_table_from_backup(TargetTableName=name + "-r", BackupArn=arn),
    )
    refused("ValidationException", lambda: client.create_backup(TableName=name, BackupName="a b"))
    refused("ValidationException", lambda: switch(client, name, RecoveryPeriodInDays=36))
    switch(client, name)
    restorable_until(client, name, time.time())
    refused("InvalidRestoreTimeException", lambda: restore(RestoreDateTime=datetime.datetime(2020, 1, 1)))
    future = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    refused("InvalidRestoreTimeException", lambda: restore(RestoreDateTime=future))
    refused("TableAlreadyExistsException", lambda: restore(target=name, **latest), f"Table already exists: {name}")
    refused("ValidationException", lambda: restore())
    refused("ValidationException", lambda: restore(RestoreDateTime=future, **latest))
    refused(
        "ValidationException",
        lambda: restore(GlobalSecondaryIndexOverride=[{**INDEX, "IndexName": "other"}], **latest),
    )
    warm = {**INDEX, "WarmThroughput": {"ReadUnitsPerSecond": 12000}}
    refused("ValidationException", lambda: restore(GlobalSecondaryIndexOverride=[warm], **latest))
    refused("ValidationException", lambda: restore(BillingModeOverride="PROVISIONED", **latest))
    off = switch(client, name, on=False)
    assert off == {"PointInTimeRecoveryStatus": "DISABLED"}
    refused("PointInTimeRecoveryUnavailableException", lambda: restore(**latest))


def test_a_region_without_an_archive_has_no_backups(tmp_path):
    with serve(tmp_path) as region:
        client = region.client()
        client.create_table(**table_definition("tab", "pk"))
        client.get_waiter("table_exists").wait(TableName="tab")
        assert recovery(client, "tab") == {"PointInTimeRecoveryStatus": "DISABLED"}
        refused("ContinuousBackupsUnavailableException", lambda: switch(client, "tab"))
        refused("ContinuousBackupsUnavailableException", lambda: client.create_backup(TableName="tab", BackupName="abc"))
        refused("TableNotFoundException", lambda: client.create_backup(TableName="nothing", BackupName="abc"))
        assert switch(client, "tab", on=False) == {"PointInTimeRecoveryStatus": "DISABLED"}
        assert client.list_backups()["BackupSummaries"] == []
        assert "no [archive]" in (tmp_path / "stderr.log").read_text()


def test_kill_9_loses_nothing_of_the_archive(tmp_path):
    """Killed at some instant while the change log is shipped, five times: what was acknowledged can be restored."""
    acknowledged = {}
    for round_ in range(5):
        with serve(tmp_path, SHIPPED_EVERY_SECOND, crash=True) as region:
            client = region.client()
            if round_ == 0:
                client.create_table(**table_definition("tab", "pk"))
                client.get_waiter("table_exists").wait(TableName="tab")
                switch(client, "tab")
            end = time.monotonic() + 1.2 + 0.3 * round_
            number = 0
            while time.monotonic() < end:
                key, value = f"{round_}-{number}", "x" * (number % 50)
                put(client, "tab", key, value)
                acknowledged[key] = value
                number += 1
            if round_ % 2:
                # A restore is under way when it ends; it goes on at the next start.
                restorable_until(client, "tab", time.time() - 1)
                client.restore_table_to_point_in_time(
                    SourceTableName="tab", TargetTableName=f"round{round_}", UseLatestRestorableTime=True
                )
    with serve(tmp_path, SHIPPED_EVERY_SECOND) as region:
        client = region.client()
        restorable_until(client, "tab", time.time() + 1)
        restored(client, "whole", SourceTableName="tab", UseLatestRestorableTime=True)
        paginator = client.get_paginator("scan")

        def keys(table):
            return {item["pk"]["S"] for page in paginator.paginate(TableName=table) for item in page["Items"]}

        assert keys("whole") == set(acknowledged)
        for round_ in (1, 3):
            active(client, f"round{round_}")
            before = {key for key in acknowledged if int(key.split("-")[0]) < round_}
            assert before <= keys(f"round{round_}") <= set(acknowledged)
