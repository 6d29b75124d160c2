"""Tables: their life, waiters, settings, tags, the refusals."""

import pytest
from conftest import key_schema, table_definition


def test_life(client, name):
    created = client.create_table(**table_definition(name, "pk", "sk:N"))["TableDescription"]
    assert created["TableName"] == name
    assert created["TableStatus"] in ("CREATING", "ACTIVE")
    assert created["TableArn"].endswith(f":table/{name}")
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})

    table = client.describe_table(TableName=name)["Table"]
    assert table["TableStatus"] == "ACTIVE"
    assert table["KeySchema"] == key_schema("pk", "sk")
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["ItemCount"] == 0
    assert table["TableId"] == created["TableId"]

    deleted = client.delete_table(TableName=name)["TableDescription"]
    assert deleted["TableStatus"] == "DELETING"
    assert set(deleted) == {
        "BillingModeSummary",
        "DeletionProtectionEnabled",
        "ItemCount",
        "ProvisionedThroughput",
        "TableArn",
        "TableId",
        "TableName",
        "TableSizeBytes",
        "TableStatus",
    }
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_table(TableName=name)


def test_a_table_made_anew_is_empty(client, make_table, name):
    make_table("pk")
    client.put_item(TableName=name, Item={"pk": {"S": "a"}})
    first = client.describe_table(TableName=name)["Table"]["TableId"]
    client.delete_table(TableName=name)
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    client.create_table(**table_definition(name, "pk"))
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    assert client.describe_table(TableName=name)["Table"]["TableId"] != first
    assert client.scan(TableName=name)["Items"] == []


def test_list_tables_pages(client, make_table, name):
    names = sorted(make_table("pk", name=f"{name}-{i}") for i in range(5))
    pages = client.get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 2})
    listed = [table for page in pages for table in page["TableNames"]]
    assert [table for table in listed if table in names] == names


def test_a_second_table_of_the_name_is_refused(client, make_table, name):
    make_table("pk")
    with pytest.raises(client.exceptions.ResourceInUseException):
        client.create_table(**table_definition(name, "pk"))


def test_deletion_protection(client, make_table, name):
    make_table("pk", DeletionProtectionEnabled=True)
    with pytest.raises(client.exceptions.ClientError) as refused:
        client.delete_table(TableName=name)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    updated = client.update_table(TableName=name, DeletionProtectionEnabled=False)["TableDescription"]
    assert updated["DeletionProtectionEnabled"] is False


def test_a_stream_is_switched_on_and_off(client, make_table, name):
    make_table("pk")
    on = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    client.update_table(TableName=name, StreamSpecification=on)
    table = client.describe_table(TableName=name)["Table"]
    assert table["StreamSpecification"] == on
    assert f":table/{name}/stream/" in table["LatestStreamArn"]
    client.update_table(TableName=name, StreamSpecification={"StreamEnabled": False})
    assert "StreamSpecification" not in client.describe_table(TableName=name)["Table"]


def test_tags(client, make_table, name):
    make_table("pk", Tags=[{"Key": "team", "Value": "blue"}])
    arn = client.describe_table(TableName=name)["Table"]["TableArn"]

    def tags():
        return {tag["Key"]: tag["Value"] for tag in client.list_tags_of_resource(ResourceArn=arn)["Tags"]}

    assert tags() == {"team": "blue"}
    client.tag_resource(ResourceArn=arn, Tags=[{"Key": "team", "Value": "red"}, {"Key": "stage", "Value": "test"}])
    assert tags() == {"team": "red", "stage": "test"}
    client.untag_resource(ResourceArn=arn, TagKeys=["team"])
    assert tags() == {"stage": "test"}


def test_tags_of_nothing(client, make_table, name):
    make_table("pk")
    arn = client.describe_table(TableName=name)["Table"]["TableArn"] + "-no-more"
    for call in (
        lambda: client.list_tags_of_resource(ResourceArn=arn),
        lambda: client.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}]),
        lambda: client.untag_resource(ResourceArn=arn, TagKeys=["a"]),
    ):
        with pytest.raises(client.exceptions.ResourceNotFoundException) as refused:
            call()
        # DynamoDB's own spelling.
        assert refused.value.response["Error"]["Message"] == f"Requested resource not found: ResourcArn: {arn} not found"


def test_tags_that_cannot_be(client, make_table, name):
    """As the service said it in October 2026."""
    make_table("pk", Tags=[{"Key": "kept", "Value": "as it is"}])
    arn = client.describe_table(TableName=name)["Table"]["TableArn"]

    def refusal(call, **arguments):
        with pytest.raises(client.exceptions.ClientError) as refused:
            call(**arguments)
        assert refused.value.response["Error"]["Code"] == "ValidationException"
        return refused.value.response["Error"]["Message"]

    tag = lambda *tags: refusal(  # noqa: E731
        client.tag_resource, ResourceArn=arn, Tags=[{"Key": key, "Value": value} for key, value in tags]
    )
    for mark in "!%\"'#,()[]{}&*;?|\\<>~\U0001f511":
        assert tag(("good", "good"), (f"a{mark}", "b")) == f"The Tag Key provided is invalid, Key: a{mark}"
        assert tag(("a", f"b{mark}")) == f"The Tag Value provided is invalid, Value: b{mark}"
    assert tag(("aws:a", "b")) == "Tag Key cannot be prefixed with aws:, Key: aws:a"
    assert tag(("a", "b"), ("a", "c")) == "Duplicate Tag Keys provided as input: Duplicate Tag Key found a"
    assert tag() == "Atleast one Tag needs to be provided as Input."
    many = [(str(number), "") for number in range(51)]
    too_many = "Number of Tags exceed the current limit for the provided ResourceArn"
    assert tag(*many) == tag(*many[:50]) == too_many
    untag = lambda *keys: refusal(client.untag_resource, ResourceArn=arn, TagKeys=list(keys))  # noqa: E731
    assert untag() == "Atleast one Tag Key needs to be provided as Input."
    assert untag(*(key for key, _ in many)) == too_many
    assert untag("a!") == "The Tag Key provided is invalid, Key: a!"
    assert client.list_tags_of_resource(ResourceArn=arn)["Tags"] == [{"Key": "kept", "Value": "as it is"}]
    for text in ("ключ", "café", "表", "a\u00a0b", "a+b-c=d.e_f:g/h@i 1"):
        client.tag_resource(ResourceArn=arn, Tags=[{"Key": text, "Value": text}])
        client.untag_resource(ResourceArn=arn, TagKeys=[text])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda arn: "I_do_not_exist", "One or more parameter values were invalid: ARNs must start with 'arn:': {}"),
        (lambda arn: f"{arn}/index/by-h", "Invalid TableArn: Invalid ResourceArn provided as input {}"),
        (
            lambda arn: f"{arn}/stream/2026-11-30T00:00:00.000",
            "Invalid TableArn: Invalid ResourceArn provided as input {}",
        ),
        (
            lambda arn: arn.replace("us-east-1", "eu-west-1"),
            "Invalid TableArn: Invalid ResourceArn provided as input {}",
        ),
        (lambda arn: arn.replace("dynamodb", "sqs"), "Invalid TableArn: Invalid ResourceArn provided as input {}"),
    ],
    ids=["no ARN", "an index", "a stream", "another region", "another service"],
)
def test_only_tables_have_tags(client, make_table, name, change, says):
    make_table("pk")
    arn = change(client.describe_table(TableName=name)["Table"]["TableArn"])
    for call in (
        lambda: client.list_tags_of_resource(ResourceArn=arn),
        lambda: client.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}]),
        lambda: client.untag_resource(ResourceArn=arn, TagKeys=["a"]),
    ):
        with pytest.raises(client.exceptions.ClientError) as refused:
            call()
        error = refused.value.response["Error"]
        assert (error["Code"], error["Message"]) == ("ValidationException", says.format(arn))


def test_what_libraries_ask_first(client, make_table, name):
    make_table("pk")
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert ttl["TimeToLiveStatus"] == "DISABLED"
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert backups["ContinuousBackupsStatus"] == "ENABLED"
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED"
    assert client.describe_limits()["AccountMaxReadCapacityUnits"] > 0
    assert client.describe_endpoints()["Endpoints"][0]["CachePeriodInMinutes"] > 0


@pytest.mark.parametrize(
    "broken",
    [
        {"KeySchema": [{"AttributeName": "other", "KeyType": "HASH"}]},
        {"KeySchema": [{"AttributeName": "pk", "KeyType": "RANGE"}]},
        {"AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "BOOL"}]},
        {"TableName": "a!"},
        {"BillingMode": "PROVISIONED"},
    ],
    ids=["undefined key", "no HASH", "a type of no key", "a bad name", "no throughput"],
)
def test_a_bad_definition_is_refused(client, name, broken):
    with pytest.raises(client.exceptions.ClientError) as refused:
        client.create_table(**{**table_definition(name, "pk"), **broken})
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert name not in client.list_tables()["TableNames"]


def test_what_is_not_there_is_not_a_made_up_success(client):
    with pytest.raises(client.exceptions.ClientError) as refused:
        client.create_backup(TableName="nothing-here", BackupName="backup")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 500, 501)
