"""What Terraform's AWS provider asks for tables, their policies, users, roles and policies: its calls in its order, by boto3, from
creation over changes to the end.

The order is that of the provider's documented behaviour since version 5: create, wait, read back; on change, what differs; on
removal, what stands in the way first, then wait until it is gone. A plan without changes is a read that gives what was set.
"""

import json
import time
import uuid

import pytest
from botocore.exceptions import ClientError
from conftest import STATE_S, serve, wait_until

ACCOUNT = "000000000000"
TRUST = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    """A region that enforces policies and keeps backups: the provider asks for them of every table."""
    with serve(tmp_path_factory.mktemp("terraform"), '[archive]\nurl = "archive"\nship_seconds = 1\n') as region:
        yield region


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def code(call):
    with pytest.raises(ClientError) as error:
        call()
    return error.value.response["Error"]["Code"]


class Table:
    """`aws_dynamodb_table`"""

    def __init__(self, region, name):
        self.client, self.name = region.client(), name

    def create(self, **more):
        made = self.client.create_table(
            TableName=self.name,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "g", "AttributeType": "N"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            **more,
        )["TableDescription"]
        self.arn = made["TableArn"]
        self.wait_active()

    def wait_active(self):
        def active():
            table = self.describe()
            indexes = [index["IndexStatus"] for index in table.get("GlobalSecondaryIndexes", [])]
            return table["TableStatus"] == "ACTIVE" and set(indexes) <= {"ACTIVE"}

        wait_until(active, "an active table", STATE_S)

    def describe(self):
        return self.client.describe_table(TableName=self.name)["Table"]

    def read(self):
        """Everything that the provider looks at when it refreshes a table."""
        table = self.describe()
        backups = self.client.describe_continuous_backups(TableName=self.name)["ContinuousBackupsDescription"]
        ttl = self.client.describe_time_to_live(TableName=self.name)["TimeToLiveDescription"]
        tags = self.client.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
        return {
            "billing": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
            "units": (table["ProvisionedThroughput"]["ReadCapacityUnits"], table["ProvisionedThroughput"]["WriteCapacityUnits"]),
            "indexes": [index["IndexName"] for index in table.get("GlobalSecondaryIndexes", [])],
            "stream": table.get("StreamSpecification", {}).get("StreamViewType"),
            "protected": table["DeletionProtectionEnabled"],
            "class": table.get("TableClassSummary", {}).get("TableClass", "STANDARD"),
            "recovery": backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"],
            "ttl": (ttl["TimeToLiveStatus"], ttl.get("AttributeName")),
            "tags": {tag["Key"]: tag["Value"] for tag in tags},
        }

    def recovery(self, on):
        specification = {"PointInTimeRecoveryEnabled": on}
        # The provider tries again while the table is being made ready.
        wait_until(lambda: self.switch(specification), "point-in-time recovery", STATE_S)
        wanted = "ENABLED" if on else "DISABLED"
        wait_until(lambda: self.read()["recovery"] == wanted, wanted, STATE_S)

    def switch(self, specification):
        try:
            return self.client.update_continuous_backups(TableName=self.name, PointInTimeRecoverySpecification=specification)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ContinuousBackupsUnavailableException"

    def delete(self):
        self.client.delete_table(TableName=self.name)
        wait_until(lambda: self.is_gone(), "a table that is gone", STATE_S)

    def is_gone(self):
        try:
            self.describe()
        except ClientError as error:
            return error.response["Error"]["Code"] == "ResourceNotFoundException"


def test_a_table_is_made_changed_and_destroyed(region):
    table = Table(region, f"tf-{uuid.uuid4().hex[:8]}")
    index = {
        "IndexName": "by-g",
        "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    units = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    table.create(
        BillingMode="PROVISIONED",
        ProvisionedThroughput=units,
        GlobalSecondaryIndexes=[{**index, "ProvisionedThroughput": units}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        SSESpecification={"Enabled": False},
        DeletionProtectionEnabled=False,
        Tags=[{"Key": "Name", "Value": "one"}],
    )
    table.recovery(True)
    ttl = {"AttributeName": "expires", "Enabled": True}
    table.client.update_time_to_live(TableName=table.name, TimeToLiveSpecification=ttl)
    wait_until(lambda: table.read()["ttl"] == ("ENABLED", "expires"), "a time to live", STATE_S)
    made = {
        "billing": "PROVISIONED", "units": (5, 5), "indexes": ["by-g"], "stream": "NEW_AND_OLD_IMAGES", "protected": False,
        "class": "STANDARD", "recovery": "ENABLED", "ttl": ("ENABLED", "expires"), "tags": {"Name": "one"},
    }  # fmt: skip
    # Nothing to be done, however often it is looked.
    assert table.read() == table.read() == made
    assert table.describe()["LatestStreamArn"].startswith(f"{table.arn}/stream/")

    # Changed: billing (with its indexes), the index goes, the stream ends, tags, protection.
    table.client.update_table(TableName=table.name, BillingMode="PAY_PER_REQUEST")
    table.wait_active()
    table.client.update_table(TableName=table.name, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-g"}}])
    wait_until(lambda: table.read()["indexes"] == [], "an index that is gone", STATE_S)
    table.client.update_table(TableName=table.name, StreamSpecification={"StreamEnabled": False})
    table.wait_active()
    table.client.untag_resource(ResourceArn=table.arn, TagKeys=["Name"])
    table.client.tag_resource(ResourceArn=table.arn, Tags=[{"Key": "Team", "Value": "two"}])
    table.client.update_table(TableName=table.name, DeletionProtectionEnabled=True)
    table.wait_active()
    table.recovery(False)
    changed = made | {
        "billing": "PAY_PER_REQUEST", "units": (0, 0), "indexes": [], "stream": None, "protected": True, "recovery": "DISABLED",
        "tags": {"Team": "two"},
    }  # fmt: skip
    assert table.read() == changed
    # aws_dynamodb_table_item
    item = {"pk": {"S": "1"}, "v": {"S": "x"}}
    names = {"#pk": "pk"}
    absent = "attribute_not_exists(#pk)"
    table.client.put_item(TableName=table.name, Item=item, ConditionExpression=absent, ExpressionAttributeNames=names)
    assert table.client.get_item(TableName=table.name, Key={"pk": item["pk"]}, ConsistentRead=True)["Item"] == item
    table.client.delete_item(TableName=table.name, Key={"pk": item["pk"]})
    # Destroyed: not while it is protected.
    assert code(table.delete) == "ValidationException"
    table.client.update_table(TableName=table.name, DeletionProtectionEnabled=False)
    table.wait_active()
    table.delete()
    assert code(lambda: table.client.describe_continuous_backups(TableName=table.name)) == "TableNotFoundException"
    assert code(lambda: table.client.list_tags_of_resource(ResourceArn=table.arn)) in (
        "ResourceNotFoundException",
        "AccessDeniedException",
    )


def test_a_resource_policy(region):
    """`aws_dynamodb_resource_policy`"""
    table = Table(region, f"tf-{uuid.uuid4().hex[:8]}")
    client = table.client
    client.create_table(
        TableName=table.name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    table.wait_active()
    arn = table.describe()["TableArn"]
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    one = document({"Sid": "one", "Effect": "Allow", "Principal": root, "Action": "dynamodb:GetItem", "Resource": arn})
    made = client.put_resource_policy(ResourceArn=arn, Policy=one, ConfirmRemoveSelfResourceAccess=False)["RevisionId"]
    held = wait_until(lambda: client.get_resource_policy(ResourceArn=arn), "a policy", STATE_S)
    assert (json.loads(held["Policy"]), held["RevisionId"]) == (json.loads(one), made)
    two = one.replace('"one"', '"two"')
    again = client.put_resource_policy(ResourceArn=arn, Policy=two)["RevisionId"]
    assert again != made
    client.delete_resource_policy(ResourceArn=arn, ExpectedRevisionId=again)
    assert code(lambda: client.get_resource_policy(ResourceArn=arn)) == "PolicyNotFoundException"
    table.delete()


def test_a_role_with_its_policies(region):
    """`aws_iam_role`, `aws_iam_policy`, `aws_iam_role_policy`, `aws_iam_role_policy_attachment`"""
    iam, name = region.client("iam"), f"tf-{uuid.uuid4().hex[:8]}"
    tags = [{"Key": "Team", "Value": "one"}]
    role = iam.create_role(RoleName=name, Path="/", AssumeRolePolicyDocument=document(TRUST), MaxSessionDuration=3600, Tags=tags)
    arn = role["Role"]["Arn"]
    iam.get_waiter("role_exists").wait(RoleName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10})

    def read_role():
        role = iam.get_role(RoleName=name)["Role"]
        inline = {
            policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            for page in iam.get_paginator("list_role_policies").paginate(RoleName=name)
            for policy in page["PolicyNames"]
        }
        pages = iam.get_paginator("list_attached_role_policies").paginate(RoleName=name)
        attached = [policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]]
        return role, inline, attached

    got, inline, attached = read_role()
    assert (got["Arn"], got["Tags"], got["MaxSessionDuration"]) == (arn, tags, 3600)
    assert got["AssumeRolePolicyDocument"] == json.loads(document(TRUST))
    assert (inline, attached) == ({}, [])
    read = {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "*"}
    policy = iam.create_policy(PolicyName=name, Path="/", PolicyDocument=document(read), Tags=tags)["Policy"]
    shown = iam.get_policy(PolicyArn=policy["Arn"])["Policy"]
    assert (shown["AttachmentCount"], shown["Tags"]) == (0, tags)
    version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=shown["DefaultVersionId"])["PolicyVersion"]
    assert version["Document"] == json.loads(document(read))
    iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=document(read))
    iam.attach_role_policy(RoleName=name, PolicyArn=policy["Arn"])
    _, inline, attached = read_role()
    assert (inline, attached) == ({"inline": json.loads(document(read))}, [policy["Arn"]])

    # Changed: the policy (its oldest version makes room), the trust, the role's settings and tags.
    write = {**read, "Action": ["dynamodb:GetItem", "dynamodb:PutItem"]}
    for number in range(6):
        pages = iam.get_paginator("list_policy_versions").paginate(PolicyArn=policy["Arn"])
        versions = [version for page in pages for version in page["Versions"]]
        if len(versions) == 5:
            oldest = min((one for one in versions if not one["IsDefaultVersion"]), key=lambda one: one["CreateDate"])
            iam.delete_policy_version(PolicyArn=policy["Arn"], VersionId=oldest["VersionId"])
        changed = document({**write, "Sid": f"s{number}"})
        iam.create_policy_version(PolicyArn=policy["Arn"], PolicyDocument=changed, SetAsDefault=True)
    shown = iam.get_policy(PolicyArn=policy["Arn"])["Policy"]
    version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=shown["DefaultVersionId"])["PolicyVersion"]
    assert version["Document"]["Statement"][0]["Sid"] == "s5" and shown["AttachmentCount"] == 1
    trust = document({**TRUST, "Condition": {"StringEquals": {"sts:ExternalId": "x"}}})
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
    iam.update_role_description(RoleName=name, Description="changed")
    iam.update_role(RoleName=name, MaxSessionDuration=7200)
    iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=policy["Arn"])
    iam.untag_role(RoleName=name, TagKeys=["Team"])
    iam.tag_role(RoleName=name, Tags=[{"Key": "Name", "Value": "two"}])
    got, _, _ = read_role()
    assert got["AssumeRolePolicyDocument"] == json.loads(trust)
    assert (got["MaxSessionDuration"], got["Tags"]) == (7200, [{"Key": "Name", "Value": "two"}])
    assert got["PermissionsBoundary"]["PermissionsBoundaryArn"] == policy["Arn"]

    # Destroyed: what stands in the way first.
    assert code(lambda: iam.delete_role(RoleName=name)) == "DeleteConflict"
    assert code(lambda: iam.delete_policy(PolicyArn=policy["Arn"])) == "DeleteConflict"
    iam.delete_role_permissions_boundary(RoleName=name)
    iam.detach_role_policy(RoleName=name, PolicyArn=policy["Arn"])
    iam.delete_role_policy(RoleName=name, PolicyName="inline")
    assert iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"] == []
    iam.delete_role(RoleName=name)
    assert code(lambda: iam.get_role(RoleName=name)) == "NoSuchEntity"
    for version in iam.list_policy_versions(PolicyArn=policy["Arn"])["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=policy["Arn"], VersionId=version["VersionId"])
    iam.delete_policy(PolicyArn=policy["Arn"])
    assert code(lambda: iam.get_policy(PolicyArn=policy["Arn"])) == "NoSuchEntity"


def test_a_user_in_a_group_with_a_key(region):
    """`aws_iam_user`, `aws_iam_group`, `aws_iam_user_group_membership`, `aws_iam_access_key`, their policies and attachments"""
    iam, name = region.client("iam"), f"tf-{uuid.uuid4().hex[:8]}"
    tags = [{"Key": "Team", "Value": "one"}]
    read = document({"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "*"})
    managed = "arn:aws:iam::aws:policy/AmazonDynamoDBReadOnlyAccess"
    iam.create_user(UserName=name, Path="/", Tags=tags)
    user = iam.get_user(UserName=name)["User"]
    assert user["Tags"] == tags and user["UserId"].startswith("AIDA")
    iam.create_group(GroupName=name, Path="/")
    assert iam.get_group(GroupName=name)["Users"] == []
    iam.add_user_to_group(UserName=name, GroupName=name)
    pages = iam.get_paginator("list_groups_for_user").paginate(UserName=name)
    assert [group["GroupName"] for page in pages for group in page["Groups"]] == [name]
    key = iam.create_access_key(UserName=name)["AccessKey"]
    held = iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
    assert [(one["AccessKeyId"], one["Status"]) for one in held] == [(key["AccessKeyId"], "Active")]
    iam.update_access_key(UserName=name, AccessKeyId=key["AccessKeyId"], Status="Inactive")
    iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=read)
    assert iam.get_user_policy(UserName=name, PolicyName="inline")["PolicyDocument"] == json.loads(read)
    iam.put_group_policy(GroupName=name, PolicyName="inline", PolicyDocument=read)
    assert iam.get_group_policy(GroupName=name, PolicyName="inline")["PolicyDocument"] == json.loads(read)
    iam.attach_user_policy(UserName=name, PolicyArn=managed)
    iam.attach_group_policy(GroupName=name, PolicyArn=managed)
    assert [one["PolicyArn"] for one in iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]] == [managed]
    assert [one["PolicyArn"] for one in iam.list_attached_group_policies(GroupName=name)["AttachedPolicies"]] == [managed]
    # aws_iam_policy_attachment
    entities = iam.list_entities_for_policy(PolicyArn=managed)
    assert name in [one["UserName"] for one in entities["PolicyUsers"]]

    # Changed: another name and path, other tags.
    moved = name + "-2"
    iam.update_user(UserName=name, NewUserName=moved, NewPath="/staff/")
    iam.untag_user(UserName=moved, TagKeys=["Team"])
    iam.tag_user(UserName=moved, Tags=[{"Key": "Name", "Value": "two"}])
    user = iam.get_user(UserName=moved)["User"]
    assert user["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/staff/{moved}" and user["Tags"] == [{"Key": "Name", "Value": "two"}]
    assert code(lambda: iam.get_user(UserName=name)) == "NoSuchEntity"

    # Destroyed, with force_destroy: everything that a user may have is looked for.
    iam.detach_user_policy(UserName=moved, PolicyArn=managed)
    iam.delete_user_policy(UserName=moved, PolicyName="inline")
    for group in iam.list_groups_for_user(UserName=moved)["Groups"]:
        iam.remove_user_from_group(UserName=moved, GroupName=group["GroupName"])
    assert iam.list_mfa_devices(UserName=moved)["MFADevices"] == []
    assert iam.list_ssh_public_keys(UserName=moved)["SSHPublicKeys"] == []
    assert iam.list_signing_certificates(UserName=moved)["Certificates"] == []
    assert iam.list_service_specific_credentials(UserName=moved)["ServiceSpecificCredentials"] == []
    for one in iam.list_access_keys(UserName=moved)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=moved, AccessKeyId=one["AccessKeyId"])
    assert code(lambda: iam.delete_login_profile(UserName=moved)) == "NoSuchEntity"
    assert code(lambda: iam.get_login_profile(UserName=moved)) == "NoSuchEntity"
    iam.delete_user(UserName=moved)
    assert code(lambda: iam.get_user(UserName=moved)) == "NoSuchEntity"
    iam.detach_group_policy(GroupName=name, PolicyArn=managed)
    iam.delete_group_policy(GroupName=name, PolicyName="inline")
    iam.delete_group(GroupName=name)
    assert code(lambda: iam.get_group(GroupName=name)) == "NoSuchEntity"


def test_what_the_provider_asks_of_itself(region):
    """Before anything else: who it is, in which account, and data sources that configurations use."""
    sts, iam = region.client("sts"), region.client("iam")
    identity = sts.get_caller_identity()
    assert identity["Account"] == ACCOUNT and identity["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert isinstance(iam.list_account_aliases()["AccountAliases"], list)
    found = [page for page in iam.get_paginator("list_policies").paginate(Scope="AWS")]
    assert any(one["PolicyName"] == "AdministratorAccess" for page in found for one in page["Policies"])
    assert region.client().describe_limits()["AccountMaxReadCapacityUnits"] > 0
    started = time.monotonic()
    assert code(lambda: iam.get_role(RoleName="none")) == "NoSuchEntity"
    assert time.monotonic() - started < 5
