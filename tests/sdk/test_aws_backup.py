"""AWS Backup's API by its unmodified clients: vaults and their locks, jobs, recovery points, plans, copies in other regions."""

import datetime
import hashlib
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from clusters import cluster
from conftest import BINARY, serve, table_definition, wait_until

ARCHIVE = '[archive]\nurl = "archive"\nship_seconds = 1\n'
ROLE = "arn:aws:iam::000000000000:role/backups"
NAMES = ["us-east-1", "eu-west-1", "ap-northeast-1"]


def refused(code, call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == code, error.value.response["Error"]


def make_table(client, name, items=0):
    client.create_table(**table_definition(name, "pk"))
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    put(client, name, range(items))
    return client.describe_table(TableName=name)["Table"]["TableArn"]


def put(client, table, numbers, size=20):
    """Items that zstd cannot make small."""
    numbers = list(numbers)
    for at in range(0, len(numbers), 25):
        requests = []
        for number in numbers[at : at + 25]:
            value = random.Random(number).randbytes(size // 2).hex()
            requests.append({"PutRequest": {"Item": {"pk": {"S": f"key-{number}"}, "v": {"S": value}}}})
        left = client.batch_write_item(RequestItems={table: requests})["UnprocessedItems"]
        while left:
            left = client.batch_write_item(RequestItems=left)["UnprocessedItems"]


def digest(client, table):
    """Of all items, in their order."""
    pages = client.get_paginator("scan").paginate(TableName=table)
    items = sorted(json.dumps(item, sort_keys=True) for page in pages for item in page["Items"])
    return len(items), hashlib.sha256("\n".join(items).encode()).hexdigest()


def ended(describe, member="State", deadline_s=120, **job):
    """A job, once it has ended."""

    def look():
        shown = describe(**job)
        shown = shown.get("CopyJob", shown)
        return shown if shown[member] not in ("CREATED", "PENDING", "RUNNING", "ABORTING") else None

    return wait_until(look, "the job ends", deadline_s)


def back_up(backup, vault, arn, **more):
    job = backup.start_backup_job(BackupVaultName=vault, ResourceArn=arn, IamRoleArn=ROLE, **more)
    done = ended(backup.describe_backup_job, BackupJobId=job["BackupJobId"])
    assert done["State"] == "COMPLETED", done
    return done["RecoveryPointArn"]


def copy(backup, point, vault, to, **more):
    arguments = {"RecoveryPointArn": point, "SourceBackupVaultName": vault, "DestinationBackupVaultArn": to, "IamRoleArn": ROLE}
    return backup.start_copy_job(**arguments, **more)["CopyJobId"]


def restore(backup, client, point, table):
    job = backup.start_restore_job(RecoveryPointArn=point, IamRoleArn=ROLE, Metadata={"targetTableName": table})
    done = ended(backup.describe_restore_job, "Status", RestoreJobId=job["RestoreJobId"])
    assert done["Status"] == "COMPLETED", done
    assert client.describe_table(TableName=table)["Table"]["TableStatus"] == "ACTIVE"
    return done


def vault_arn(region, vault):
    return f"arn:aws:backup:{region}:000000000000:backup-vault:{vault}"


def test_every_call(tmp_path):
    with serve(tmp_path, ARCHIVE, crash=True) as region:
        client, backup = region.client(), region.client("backup")
        arn = make_table(client, "orders", 40)
        assert backup.get_supported_resource_types()["ResourceTypes"] == ["DynamoDB"]
        made = backup.create_backup_vault(BackupVaultName="daily", BackupVaultTags={"a": "b"})
        assert made["BackupVaultArn"] == vault_arn("us-east-1", "daily")
        refused("AlreadyExistsException", backup.create_backup_vault, BackupVaultName="daily")
        backup.create_backup_vault(BackupVaultName="other")
        names = [v["BackupVaultName"] for v in backup.list_backup_vaults()["BackupVaultList"]]
        assert names == ["daily", "other"]
        page = backup.list_backup_vaults(MaxResults=1)
        rest = backup.list_backup_vaults(NextToken=page["NextToken"])
        assert [len(p["BackupVaultList"]) for p in (page, rest)] == [1, 1]
        before = digest(client, "orders")
        point = back_up(backup, "daily", arn, Lifecycle={"DeleteAfterDays": 9}, RecoveryPointTags={"by": "hand"})
        put(client, "orders", range(40, 50))
        points(client, backup, arn, point)
        done = restore(backup, client, point, "restored")
        assert done["CreatedResourceArn"].endswith("table/restored")
        assert digest(client, "restored") == before
        jobs(backup, arn)
        plans(client, backup, arn)
        # A copy to a vault of the same region.
        id = copy(backup, point, "daily", vault_arn("us-east-1", "other"))
        copied = ended(backup.describe_copy_job, CopyJobId=id)
        assert copied["State"] == "COMPLETED", copied
        assert [job["CopyJobId"] for job in backup.list_copy_jobs(ByState="COMPLETED")["CopyJobs"]] == [id]
        other = copied["DestinationRecoveryPointArn"]
        tags(backup, made["BackupVaultArn"], point)
        gone(backup, other)

    # All of it is there after a crash.
    with serve(tmp_path, ARCHIVE) as region:
        client, backup = region.client(), region.client("backup")
        shown = backup.describe_recovery_point(BackupVaultName="daily", RecoveryPointArn=point)
        assert (shown["Status"], shown["Lifecycle"]["DeleteAfterDays"]) == ("COMPLETED", 20)
        restore(backup, client, point, "again")
        assert digest(client, "again") == before
        backup.delete_recovery_point(BackupVaultName="daily", RecoveryPointArn=point)
        refused("ResourceNotFoundException", backup.describe_recovery_point, BackupVaultName="daily", RecoveryPointArn=point)
        backup.delete_backup_vault(BackupVaultName="daily")
        refused("ResourceNotFoundException", backup.describe_backup_vault, BackupVaultName="daily")


def points(client, backup, arn, point):
    shown = backup.describe_recovery_point(BackupVaultName="daily", RecoveryPointArn=point)
    assert (shown["Status"], shown["ResourceArn"], shown["ResourceType"]) == ("COMPLETED", arn, "DynamoDB")
    kept = shown["CalculatedLifecycle"]["DeleteAt"] - shown["CreationDate"]
    assert kept == datetime.timedelta(days=9)
    of_vault = backup.list_recovery_points_by_backup_vault(BackupVaultName="daily", ByResourceArn=arn)["RecoveryPoints"]
    of_table = backup.list_recovery_points_by_resource(ResourceArn=arn)["RecoveryPoints"]
    assert [p["RecoveryPointArn"] for p in of_vault + of_table] == [point, point]
    assert backup.describe_backup_vault(BackupVaultName="daily")["NumberOfRecoveryPoints"] == 1
    later = shown["CreationDate"] + datetime.timedelta(hours=1)
    none = backup.list_recovery_points_by_backup_vault(BackupVaultName="daily", ByCreatedAfter=later)
    assert none["RecoveryPoints"] == []
    changed = backup.update_recovery_point_lifecycle(
        BackupVaultName="daily", RecoveryPointArn=point, Lifecycle={"DeleteAfterDays": 20}
    )
    assert changed["Lifecycle"]["DeleteAfterDays"] == 20
    metadata = backup.get_recovery_point_restore_metadata(BackupVaultName="daily", RecoveryPointArn=point)
    assert metadata["RestoreMetadata"]["originalTableName"] == "orders"
    # As DynamoDB shows it, which may not take it away.
    for kind in ("AWS_BACKUP", "ALL"):
        listed = client.list_backups(BackupType=kind)["BackupSummaries"]
        assert [(b["BackupArn"], b["BackupType"]) for b in listed] == [(point, "AWS_BACKUP")]
    assert client.list_backups(BackupType="USER")["BackupSummaries"] == []
    refused("ValidationException", client.delete_backup, BackupArn=point)
    protected = backup.list_protected_resources()["Results"]
    assert [p["ResourceArn"] for p in protected] == [arn]
    assert backup.describe_protected_resource(ResourceArn=arn)["LastRecoveryPointArn"] == point


def jobs(backup, arn):
    started = backup.list_backup_jobs(ByResourceArn=arn, ByState="COMPLETED")["BackupJobs"]
    assert [(job["BackupVaultName"], job["ResourceType"]) for job in started] == [("daily", "DynamoDB")]
    assert backup.list_backup_jobs(ByState="FAILED")["BackupJobs"] == []
    assert [job["Status"] for job in backup.list_restore_jobs(ByStatus="COMPLETED")["RestoreJobs"]] == ["COMPLETED"]
    refused("ResourceNotFoundException", backup.describe_backup_job, BackupJobId="none")
    refused("InvalidRequestException", backup.stop_backup_job, BackupJobId=started[0]["BackupJobId"])
    missing = arn.replace("orders", "nothing")
    arguments = {"BackupVaultName": "daily", "IamRoleArn": ROLE}
    refused("ResourceNotFoundException", backup.start_backup_job, ResourceArn=missing, **arguments)
    refused("InvalidParameterValueException", backup.start_backup_job, ResourceArn=arn, StartWindowMinutes=5, **arguments)
    # A request that is sent twice is one.
    token = {"IdempotencyToken": "once", "ResourceArn": arn, "BackupVaultName": "other", "IamRoleArn": ROLE}
    twice = {backup.start_backup_job(**token)["BackupJobId"] for _ in range(2)}
    assert len(twice) == 1
    ended(backup.describe_backup_job, BackupJobId=twice.pop())


def plans(client, backup, arn):
    rule = {
        "RuleName": "hourly",
        "TargetBackupVaultName": "daily",
        "ScheduleExpression": "cron(0 * * * ? *)",
        "ScheduleExpressionTimezone": "Asia/Tokyo",
        "Lifecycle": {"MoveToColdStorageAfterDays": 1, "DeleteAfterDays": 91},
        "CopyActions": [{"DestinationBackupVaultArn": vault_arn("us-east-1", "other")}],
    }
    plan = {"BackupPlanName": "plan", "Rules": [rule]}
    made = backup.create_backup_plan(BackupPlan=plan, BackupPlanTags={"p": "q"})
    id = made["BackupPlanId"]
    refused("AlreadyExistsException", backup.create_backup_plan, BackupPlan=plan)
    bad = {"BackupPlanName": "bad", "Rules": [{**rule, "ScheduleExpression": "cron(0/5 * * * ? *)"}]}
    refused("InvalidParameterValueException", backup.create_backup_plan, BackupPlan=bad)
    shown = backup.get_backup_plan(BackupPlanId=id, MaxScheduledRunsPreview=3)
    assert shown["BackupPlan"]["Rules"][0]["CompletionWindowMinutes"] == 10080
    assert [run["ExecutionTime"].minute for run in shown["ScheduledRunsPreview"]] == [0, 0, 0]
    changed = {**plan, "Rules": [{**rule, "ScheduleExpression": "rate(12 hours)"}]}
    updated = backup.update_backup_plan(BackupPlanId=id, BackupPlan=changed)
    assert updated["VersionId"] != made["VersionId"]
    assert len(backup.list_backup_plan_versions(BackupPlanId=id)["BackupPlanVersionsList"]) == 2
    assert [p["BackupPlanName"] for p in backup.list_backup_plans()["BackupPlansList"]] == ["plan"]
    selection = {"SelectionName": "all", "IamRoleArn": ROLE, "Resources": [arn]}
    selected = backup.create_backup_selection(BackupPlanId=id, BackupSelection=selection)["SelectionId"]
    refused("AlreadyExistsException", backup.create_backup_selection, BackupPlanId=id, BackupSelection=selection)
    assert backup.get_backup_selection(BackupPlanId=id, SelectionId=selected)["BackupSelection"]["Resources"] == [arn]
    assert len(backup.list_backup_selections(BackupPlanId=id)["BackupSelectionsList"]) == 1
    refused("InvalidRequestException", backup.delete_backup_plan, BackupPlanId=id)
    assert backup.list_tags(ResourceArn=made["BackupPlanArn"])["Tags"] == {"p": "q"}
    backup.delete_backup_selection(BackupPlanId=id, SelectionId=selected)
    backup.delete_backup_plan(BackupPlanId=id)
    assert backup.list_backup_plans()["BackupPlansList"] == []
    assert len(backup.list_backup_plans(IncludeDeleted=True)["BackupPlansList"]) == 1


def tags(backup, vault, point):
    for arn, before in [(vault, {"a": "b"}), (point, {"by": "hand"})]:
        assert backup.list_tags(ResourceArn=arn)["Tags"] == before
        backup.tag_resource(ResourceArn=arn, Tags={"x": "y"})
        backup.untag_resource(ResourceArn=arn, TagKeyList=list(before))
        assert backup.list_tags(ResourceArn=arn)["Tags"] == {"x": "y"}


def gone(backup, point):
    refused("InvalidRequestException", backup.delete_backup_vault, BackupVaultName="other")
    lock = {"BackupVaultName": "other", "MinRetentionDays": 7, "MaxRetentionDays": 70}
    backup.put_backup_vault_lock_configuration(**lock)
    shown = backup.describe_backup_vault(BackupVaultName="other")
    assert (shown["Locked"], shown["MinRetentionDays"]) == (True, 7) and "LockDate" not in shown
    refused("InvalidRequestException", backup.delete_recovery_point, BackupVaultName="other", RecoveryPointArn=point)
    # Without a grace time it can be taken away.
    backup.delete_backup_vault_lock_configuration(BackupVaultName="other")
    backup.delete_recovery_point(BackupVaultName="other", RecoveryPointArn=point)
    # With one it can, too, until that is over; that it cannot then is shown where the clock can be moved.
    backup.put_backup_vault_lock_configuration(**lock, ChangeableForDays=3)
    date = backup.describe_backup_vault(BackupVaultName="other")["LockDate"]
    assert datetime.timedelta(days=2.9) < date - datetime.datetime.now(datetime.timezone.utc) < datetime.timedelta(days=3)
    backup.delete_backup_vault_lock_configuration(BackupVaultName="other")


def test_policies(tmp_path):
    """Who may do what is asked of policies, and whoever names a role must be allowed to pass it on."""
    with serve(tmp_path, ARCHIVE) as region:
        client, iam, root = region.client(), region.client("iam"), region.client("backup")
        arn = make_table(client, "orders", 3)
        root.create_backup_vault(BackupVaultName="mine")
        root.create_backup_vault(BackupVaultName="theirs")
        iam.create_user(UserName="operator")
        key = iam.create_access_key(UserName="operator")["AccessKey"]
        region.access_key_id, region.secret_access_key = key["AccessKeyId"], key["SecretAccessKey"]
        backup = region.client("backup")

        def allow(*statements):
            document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]}
            iam.put_user_policy(UserName="operator", PolicyName="p", PolicyDocument=json.dumps(document))

        start = {"ResourceArn": arn, "IamRoleArn": ROLE}
        refused("AccessDeniedException", backup.list_backup_vaults)
        mine = {"Action": "backup:*", "Resource": vault_arn("us-east-1", "mine")}
        allow(mine)
        refused("AccessDeniedException", backup.start_backup_job, BackupVaultName="mine", **start)
        allow(mine, {"Action": "iam:PassRole", "Resource": ROLE})
        job = backup.start_backup_job(BackupVaultName="mine", **start)["BackupJobId"]
        refused("AccessDeniedException", backup.start_backup_job, BackupVaultName="theirs", **start)
        # Whoever copies must be let into the vault, too.
        point = ended(root.describe_backup_job, BackupJobId=job)["RecoveryPointArn"]
        copies = {"Action": "backup:StartCopyJob", "Resource": point}
        allow(mine, copies, {"Action": "iam:PassRole", "Resource": ROLE})
        arguments = {"RecoveryPointArn": point, "SourceBackupVaultName": "mine", "IamRoleArn": ROLE}
        theirs = {"DestinationBackupVaultArn": vault_arn("us-east-1", "theirs")}
        refused("AccessDeniedException", backup.start_copy_job, **arguments, **theirs)
        assert copy(backup, point, "mine", vault_arn("us-east-1", "mine"))
        refused("AccessDeniedException", backup.delete_backup_vault, BackupVaultName="theirs")


def test_the_command_lines(tmp_path):
    """`aws backup` and `geodynamo backup copy`."""
    with cluster(tmp_path, NAMES[:2]) as (here, there):
        arn = make_table(here.client(), "orders", 10)
        environment = {**here.region.environment(), "AWS_ENDPOINT_URL": here.region.endpoint}

        def aws(*arguments):
            command = [Path(sys.executable).with_name("aws"), "backup", *arguments, "--output", "json"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout or "{}")

        aws("create-backup-vault", "--backup-vault-name", "daily")
        started = aws("start-backup-job", "--backup-vault-name", "daily", "--resource-arn", arn, "--iam-role-arn", ROLE)
        id = started["BackupJobId"]
        done = wait_until(
            lambda: (job := aws("describe-backup-job", "--backup-job-id", id))["State"] == "COMPLETED" and job, "done"
        )
        point = done["RecoveryPointArn"]
        listed = aws("list-recovery-points-by-backup-vault", "--backup-vault-name", "daily")["RecoveryPoints"]
        assert [p["RecoveryPointArn"] for p in listed] == [point]
        there.client("backup").create_backup_vault(BackupVaultName="far")
        to = vault_arn(there.name, "far")
        arguments = ("--source-backup-vault-name", "daily", "--destination-backup-vault-arn", to, "--iam-role-arn", ROLE)
        id = aws("start-copy-job", "--recovery-point-arn", point, *arguments)["CopyJobId"]
        wait_until(lambda: aws("describe-copy-job", "--copy-job-id", id)["CopyJob"]["State"] == "COMPLETED", "copied")
        assert len(aws("list-copy-jobs")["CopyJobs"]) == 1

        def geodynamo(*arguments):
            command = [BINARY, "backup", *arguments, "--output", "json"]
            return subprocess.run(command, env=environment, capture_output=True, text=True)

        # A backup of DynamoDB's own, and one of a vault.
        plain = here.client().create_backup(TableName="orders", BackupName="plain")["BackupDetails"]["BackupArn"]
        wait_until(
            lambda: here.client().describe_backup(BackupArn=plain)["BackupDescription"]["BackupDetails"]["BackupStatus"]
            == "AVAILABLE",
            "the backup is there",
        )
        for arn, vault in [(plain, "Default"), (point, "far")]:
            copied = geodynamo("copy", arn, "--to", there.name, "--vault", vault, "--keep-days", "30", "--wait")
            assert copied.returncode == 0, copied.stderr
            assert json.loads(copied.stdout)["State"] == "COMPLETED"
        backup = there.client("backup")
        found = backup.list_recovery_points_by_backup_vault(BackupVaultName="Default")["RecoveryPoints"]
        assert [p["Lifecycle"] for p in found] == [{"DeleteAfterDays": 30}]
        restore(backup, there.client(), found[0]["RecoveryPointArn"], "restored")
        assert digest(there.client(), "restored") == digest(here.client(), "orders")
        nowhere = geodynamo("copy", point, "--to", "mars-1")
        assert nowhere.returncode != 0 and "mars-1" in nowhere.stderr


def test_a_copy_outlives_its_region(tmp_path):
    """Three regions: a backup in one, copied to another; the first loses its data and its archive."""
    with cluster(tmp_path, NAMES) as (here, there, far):
        client, backup = here.client(), here.client("backup")
        arn = make_table(client, "orders", 500)
        backup.create_backup_vault(BackupVaultName="daily")
        for node in (there, far):
            node.client("backup").create_backup_vault(BackupVaultName="safe")
        before = digest(client, "orders")
        point = back_up(backup, "daily", arn)
        put(client, "orders", range(500, 520))
        copies = [copy(backup, point, "daily", vault_arn(node.name, "safe")) for node in (there, far)]
        arns = []
        for id in copies:
            done = ended(backup.describe_copy_job, CopyJobId=id)
            assert done["State"] == "COMPLETED", done
            arns.append(done["DestinationRecoveryPointArn"])
        here.kill()
        shutil.rmtree(here.folder / "data")
        shutil.rmtree(here.folder / "archive")
        for node, arn in zip((there, far), arns):
            restore(node.client("backup"), node.client(), arn, "orders")
            assert digest(node.client(), "orders") == before
        # The copy is whole as an archive, too.
        verified = subprocess.run([BINARY, "archive", "verify", "--from", there.folder / "archive"], capture_output=True)
        assert verified.returncode == 0, verified.stdout


def halves(node):
    """Folders of backups in a region's archive that have no record."""
    root = node.folder / "archive" / node.name / "backup"
    folders = [path for path in root.glob("*/*") if any(part.is_file() for part in path.rglob("*"))]
    return [path for path in folders if not (path / "record").exists()]


def test_kill_during_copies(tmp_path):
    """kill -9 of either side at random moments of a copy: in the end it is whole, and never a half shows."""
    chance = random.Random(16)
    with cluster(tmp_path, NAMES[:2]) as (here, there):
        arn = make_table(here.client(), "orders")
        put(here.client(), "orders", range(6000), size=6000)
        before = digest(here.client(), "orders")
        here.client("backup").create_backup_vault(BackupVaultName="daily")
        there.client("backup").create_backup_vault(BackupVaultName="safe")
        point = back_up(here.client("backup"), "daily", arn)
        kills = 0
        for _ in range(3):
            id = copy(here.client("backup"), point, "daily", vault_arn(there.name, "safe"))
            for victim in (there, here, there):
                time.sleep(chance.uniform(0.05, 0.6))
                state = here.client("backup").describe_copy_job(CopyJobId=id)["CopyJob"]["State"]
                kills += state == "RUNNING"
                victim.kill()
                victim.start()
            done = ended(here.client("backup").describe_copy_job, CopyJobId=id)
            assert done["State"] == "COMPLETED", done
            point_there = done["DestinationRecoveryPointArn"]
            shown = there.client("backup").list_recovery_points_by_backup_vault(BackupVaultName="safe")["RecoveryPoints"]
            assert [p["Status"] for p in shown if p["RecoveryPointArn"] == point_there] == ["COMPLETED"]
            assert halves(there) == []
        assert kills > 0, "no kill met a copy"
        assert len(shown) == 3
        # Every one of them is the table.
        for number, shown_point in enumerate(shown):
            restore(there.client("backup"), there.client(), shown_point["RecoveryPointArn"], f"restored-{number}")
            assert digest(there.client(), f"restored-{number}") == before
            there.client().delete_table(TableName=f"restored-{number}")
