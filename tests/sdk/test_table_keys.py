"""Tables under a key of their own, in moto's KMS, behind a proxy that disables keys as AWS does."""

import pytest
from botocore.exceptions import ClientError
from conftest import serve, table_definition, wait_until
from test_aws_backup import ARCHIVE, ROLE, back_up, ended
from test_key_services import kms  # noqa: F401 (a fixture)

PLANTED = "planted-table-secret"


def settings(proxy):
    return f"""
[encryption]
enabled = false
[table_keys]
check_seconds = 1
[table_keys.kms]
endpoint = "{proxy.address}"
access_key_id = "moto"
secret_access_key = "moto"
"""


def make(client, name, **more):
    client.create_table(**table_definition(name, "pk", **more))
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def described(client, name):
    return client.describe_table(TableName=name)["Table"]


def planted_in(folder):
    """Files of the database that hold the planted secret; they are not encrypted here."""
    return [path.name for path in folder.glob("data/db/*") if PLANTED.encode() in path.read_bytes()]


def test_a_table_under_a_key_of_kms(kms, tmp_path):  # noqa: F811
    proxy, _, (key, other) = kms
    proxy.mode = "pass"
    with serve(tmp_path, settings(proxy)) as region:
        client = region.client()
        make(client, "sealed", SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key})
        shown = described(client, "sealed")["SSEDescription"]
        assert shown["Status"] == "ENABLED" and shown["SSEType"] == "KMS" and shown["KMSMasterKeyArn"].endswith(f":key/{key}")
        client.put_item(TableName="sealed", Item={"pk": {"S": "a"}, "text": {"S": PLANTED}})
        assert client.get_item(TableName="sealed", Key={"pk": {"S": "a"}})["Item"]["text"]["S"] == PLANTED
        # Another key, while it serves.
        client.update_table(TableName="sealed", SSESpecification={"Enabled": True, "KMSMasterKeyId": other})
        wait_until(lambda: described(client, "sealed")["SSEDescription"]["Status"] == "ENABLED", "under the other key")
        assert described(client, "sealed")["SSEDescription"]["KMSMasterKeyArn"].endswith(f":key/{other}")
        refusals(client)
    assert planted_in(tmp_path) == []

    with serve(tmp_path, settings(proxy)) as region:
        client = region.client()
        assert client.get_item(TableName="sealed", Key={"pk": {"S": "a"}})["Item"]["text"]["S"] == PLANTED
        make(client, "plain")
        client.put_item(TableName="plain", Item={"pk": {"S": "a"}})
        # A table that has rows gets a key: they are written anew, in the engine that regions have.
        client.update_table(TableName="plain", SSESpecification={"Enabled": True, "KMSMasterKeyId": key})
        wait_until(lambda: described(client, "plain")["SSEDescription"]["Status"] == "ENABLED", "rows are sealed")
        client.update_table(TableName="plain", SSESpecification={"Enabled": False})
        wait_until(lambda: "SSEDescription" not in described(client, "plain"), "the key is gone")
        assert client.get_item(TableName="plain", Key={"pk": {"S": "a"}})["Item"]
        proxy.mode = "disabled"
        wait_until(
            lambda: described(client, "sealed")["TableStatus"] == "INACCESSIBLE_ENCRYPTION_CREDENTIALS", "it is away"
        )
        assert "InaccessibleEncryptionDateTime" in described(client, "sealed")["SSEDescription"]
        for call in (
            lambda: client.get_item(TableName="sealed", Key={"pk": {"S": "a"}}),
            lambda: client.put_item(TableName="sealed", Item={"pk": {"S": "b"}}),
            lambda: client.scan(TableName="sealed"),
        ):
            with pytest.raises(ClientError, match="AccessDeniedException.*KMS key access denied"):
                call()
        assert client.get_item(TableName="plain", Key={"pk": {"S": "a"}})["Item"]
        proxy.mode = "pass"
        wait_until(lambda: described(client, "sealed")["TableStatus"] == "ACTIVE", "it is back")
        assert client.get_item(TableName="sealed", Key={"pk": {"S": "a"}})["Item"]["text"]["S"] == PLANTED
    # The control: a table without a key has it in its files.
    with serve(tmp_path, settings(proxy)) as region:
        client = region.client()
        client.put_item(TableName="plain", Item={"pk": {"S": "b"}, "text": {"S": PLANTED}})
    assert planted_in(tmp_path) != []


def refusals(client):
    for specification, says in (
        ({"Enabled": False, "KMSMasterKeyId": "abc"}, "KMSMasterKeyId can not be specified"),
        ({"Enabled": True, "SSEType": "AES256"}, "AES256"),
        ({"Enabled": True, "KMSMasterKeyId": "00000000-0000-0000-0000-000000000000"}, "KMS validation error"),
    ):
        with pytest.raises(ClientError, match=f"ValidationException.*{says}"):
            client.create_table(**table_definition("refused", "pk", SSESpecification=specification))
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.describe_table(TableName="refused")


def test_what_is_filled_in_bulk_is_sealed(kms, tmp_path):  # noqa: F811
    """Imports and restores go past the log of commits: what they store is sealed all the same."""
    proxy, _, (key, other) = kms
    proxy.mode = "pass"
    with serve(tmp_path, settings(proxy) + ARCHIVE) as region:
        client, backup = region.client(), region.client("backup")
        bucket = tmp_path / "data" / "s3" / "bucket"
        bucket.mkdir(parents=True)
        lines = (f'{{"Item":{{"pk":{{"S":"{number}"}},"text":{{"S":"{PLANTED}"}}}}}}\n' for number in range(3000))
        (bucket / "items.json").write_text("".join(lines))
        definition = table_definition("imported", "pk", SSESpecification={"Enabled": True, "KMSMasterKeyId": key})
        arn = client.import_table(
            S3BucketSource={"S3Bucket": "bucket"}, InputFormat="DYNAMODB_JSON", TableCreationParameters=definition
        )["ImportTableDescription"]["ImportArn"]

        def done():
            shown = client.describe_import(ImportArn=arn)["ImportTableDescription"]
            return shown if shown["ImportStatus"] != "IN_PROGRESS" else None

        shown = wait_until(done, "the import ends")
        assert (shown["ImportStatus"], shown["ImportedItemCount"]) == ("COMPLETED", 3000), shown
        assert described(client, "imported")["ItemCount"] == 3000
        assert client.get_item(TableName="imported", Key={"pk": {"S": "2999"}})["Item"]["text"]["S"] == PLANTED
        assert planted_in(tmp_path) == []
        backup.create_backup_vault(BackupVaultName="daily")
        point = back_up(backup, "daily", described(client, "imported")["TableArn"])
        metadata = backup.get_recovery_point_restore_metadata(BackupVaultName="daily", RecoveryPointArn=point)
        assert metadata["RestoreMetadata"]["encryptionType"] == "KMS"
        for table, asked, under in (
            ("as-it-was", {}, key),
            ("other", {"encryptionType": "KMS", "kmsMasterKeyArn": other}, other),
            ("none", {"ENCRYPTIONTYPE": "Default", "kmsmasterkeyarn": "Not Applicable"}, None),
        ):
            asked["targetTableName"] = table
            job = backup.start_restore_job(RecoveryPointArn=point, IamRoleArn=ROLE, Metadata=asked)
            assert ended(backup.describe_restore_job, "Status", RestoreJobId=job["RestoreJobId"])["Status"] == "COMPLETED"
            table = described(client, table)
            assert table["ItemCount"] == 3000
            assert table.get("SSEDescription", {}).get("KMSMasterKeyArn", "").endswith(under or "")
            assert under or "SSEDescription" not in table
        for asked in ({"encryptionType": "AES"}, {"kmsMasterKeyArn": key}, {"encryptionType": "Default", "kmsMasterKeyArn": key}):
            with pytest.raises(ClientError, match="InvalidParameterValueException"):
                backup.start_restore_job(
                    RecoveryPointArn=point, IamRoleArn=ROLE, Metadata={"targetTableName": "refused", **asked}
                )
