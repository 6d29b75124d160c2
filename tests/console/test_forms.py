"""What forms make is what they say: tables with all that belongs to them, conditions, statements, users and policies."""

import json
import subprocess

from conftest import BINARY, command, go, is_active, row, wait_until
from playwright.sync_api import expect


def test_a_table_with_everything(world, browse):
    page = browse()
    go(page, "tables")
    page.get_by_role("button", name="Create table").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Table name").fill("Everything")
    dialog.get_by_label("Partition key", exact=True).fill("customer")
    dialog.get_by_label("Sort key", exact=True).fill("placed")
    dialog.get_by_label("Type of the sort key").select_option("N")
    dialog.get_by_label("Capacity").select_option("PROVISIONED")
    dialog.get_by_label("Read units", exact=True).fill("7")
    dialog.get_by_label("Write units", exact=True).fill("3")
    dialog.get_by_label("Deletion protection").check()
    dialog.get_by_text("Indexes, class, tags").click()
    for at, (name, kind, keys, projection) in enumerate(
        [("by-state", "global", ("state", "placed"), "ALL"), ("by-total", "local", ("customer", "total"), "KEYS_ONLY")]
    ):
        dialog.get_by_role("button", name="Add an index").click()
        index = dialog.get_by_role("group", name="Index").nth(at)
        index.get_by_label("Index name").fill(name)
        index.get_by_label("Kind").select_option(kind)
        index.get_by_label("Projection").select_option(projection)
        index.get_by_label("Partition key", exact=True).fill(keys[0])
        index.get_by_label("Sort key", exact=True).fill(keys[1])
        index.get_by_label("Type of the sort key").select_option("N")
    dialog.get_by_label("Table class").select_option("STANDARD_INFREQUENT_ACCESS")
    dialog.get_by_label("Tags").fill("team=web shop, stage=test")
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog).to_be_hidden()
    client = world.client()
    wait_until(lambda: client.describe_table(TableName="Everything")["Table"]["TableStatus"] == "ACTIVE", "ACTIVE")
    table = client.describe_table(TableName="Everything")["Table"]
    assert [key["AttributeName"] for key in table["KeySchema"]] == ["customer", "placed"]
    assert table["ProvisionedThroughput"]["ReadCapacityUnits"] == 7
    assert table["TableClassSummary"]["TableClass"] == "STANDARD_INFREQUENT_ACCESS"
    assert table["DeletionProtectionEnabled"]
    (by_state,), (by_total,) = table["GlobalSecondaryIndexes"], table["LocalSecondaryIndexes"]
    assert [key["AttributeName"] for key in by_state["KeySchema"]] == ["state", "placed"]
    assert by_total["Projection"]["ProjectionType"] == "KEYS_ONLY"
    tags = client.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "web shop", "stage": "test"}

    # What it has can be changed.
    go(page, "tables/Everything")
    page.get_by_role("button", name="Capacity of index by-state").click()
    dialog.get_by_label("Read units").fill("11")
    expect(command(dialog)).to_contain_text("--global-secondary-index-updates")
    dialog.get_by_role("button", name="Save").click()
    expect(row(page, "Indexes", "by-state")).to_contain_text("11 read, 3 write")
    page.get_by_role("tab", name="Settings").click()
    line = page.locator(".panel > .row")
    commands = page.locator(".panel > details")
    commands.get_by_text("Do the same with").click()
    expect(commands.locator("pre.command").first).to_contain_text('"Enabled":true')
    line.filter(has_text="Contributor insights").get_by_role("button", name="Change").click()
    dialog.get_by_label("Of", exact=True).select_option("by-state")
    expect(command(dialog)).to_contain_text("aws dynamodb update-contributor-insights")
    dialog.get_by_role("button", name="Change", exact=True).click()
    expect(line.filter(has_text="Contributor insights")).to_contain_text("on: by-state")
    # Without an attribute there is nothing to expire by.
    line.filter(has_text="Time to live").get_by_role("button", name="Switch on").click()
    expect(page.get_by_label("Attribute that has the time")).to_be_focused()
    page.get_by_label("Attribute that has the time").fill("until")
    line.filter(has_text="Time to live").get_by_role("button", name="Switch on").click()
    expect(page.get_by_text("enabled, by until")).to_be_visible()
    # What does the same is what the switch would do now.
    commands = page.locator(".panel > details")
    commands.get_by_text("Do the same with").click()
    expect(commands.locator("pre.command").first).to_contain_text('"Enabled":false')
    line.filter(has_text="Point-in-time recovery").get_by_role("button", name="Switch on").click()
    expect(line.filter(has_text="Point-in-time recovery").get_by_role("button", name="Switch off")).to_be_visible()
    page.get_by_role("tab", name="Tags").click()
    page.get_by_role("button", name="Remove tag stage").click()
    expect(command(dialog)).to_contain_text("aws dynamodb untag-resource")
    dialog.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("button", name="Remove tag stage")).to_have_count(0)
    # The list says so, too.
    go(page, "tables")
    listed = row(page, "Tables", "Everything")
    expect(listed).to_contain_text("by until")
    expect(listed).to_contain_text("continuous")
    go(page, "tables/Everything")
    page.get_by_role("tab", name="Settings").click()
    line.filter(has_text="Deletion protection").get_by_role("button", name="Switch off").click()
    expect(page.get_by_text("deletion protected")).to_be_hidden()
    line.filter(has_text="Capacity").get_by_role("button", name="Change").click()
    dialog.get_by_label("Capacity").select_option("PAY_PER_REQUEST")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".facts").get_by_text("on demand")).to_be_visible()
    page.get_by_role("tab", name="Indexes").click()
    for units, shown in (("40", "at most 40 read, ∞ write"), ("", "on demand")):
        page.get_by_role("button", name="Capacity of index by-state").click()
        dialog.get_by_label("Most read units").fill(units)
        dialog.get_by_role("button", name="Save").click()
        expect(row(page, "Indexes", "by-state")).to_contain_text(shown)
    page.get_by_role("button", name="Delete table").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Type Everything")
    dialog.get_by_label("Type Everything to confirm").first.fill("Everything")
    dialog.get_by_role("button", name="Delete").click()
    wait_until(lambda: "Everything" not in client.list_tables()["TableNames"], "the table is gone")


def test_indexes_with_capacity_and_keys_of_their_own(world, browse):
    client = world.client()
    table = lambda: client.describe_table(TableName="Ranked")["Table"]
    index = lambda name: next(each for each in table()["GlobalSecondaryIndexes"] if each["IndexName"] == name)
    page = browse()
    go(page, "tables")
    page.get_by_role("button", name="Create table").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Table name").fill("Ranked")
    dialog.get_by_label("Partition key", exact=True).fill("id")
    dialog.get_by_label("Capacity").select_option("PROVISIONED")
    dialog.get_by_text("Indexes, class, tags").click()
    dialog.get_by_role("button", name="Add an index").click()
    group = dialog.get_by_role("group", name="Index").first
    group.get_by_label("Index name").fill("by-place")
    group.get_by_label("Partition key", exact=True).fill("country")
    group.get_by_label("Sort key", exact=True).fill("points")
    group.get_by_label("Type of the sort key").select_option("N")
    for at, (name, part, kind) in enumerate([("city", "HASH", "S"), ("placed", "RANGE", "N"), ("wrong", "HASH", "S")]):
        group.get_by_role("button", name="One more attribute of the key").click()
        group.get_by_label("One more attribute", exact=True).nth(at).fill(name)
        group.get_by_label("Part of the").nth(at).select_option(part)
        group.get_by_label("Type of it").nth(at).select_option(kind)
    group.get_by_role("button", name="Take the attribute away").nth(2).click()
    expect(group.get_by_label("One more attribute", exact=True)).to_have_count(2)
    group.get_by_label("Read units", exact=True).fill("21")
    group.get_by_label("Write units", exact=True).fill("9")
    group.get_by_text("Warm throughput").click()
    group.get_by_label("Warm for reads a second").fill("40")
    # A local index has neither.
    group.get_by_label("Kind").select_option("local")
    expect(group.get_by_role("button", name="One more attribute of the key")).to_be_hidden()
    expect(group.get_by_label("Read units", exact=True)).to_be_hidden()
    group.get_by_label("Kind").select_option("global")
    expect(command(dialog)).to_contain_text('"WarmThroughput":{"ReadUnitsPerSecond":40}')
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog).to_be_hidden()
    wait_until(lambda: is_active(client, "Ranked"), "ACTIVE")
    made = index("by-place")
    keys = [("country", "HASH"), ("city", "HASH"), ("points", "RANGE"), ("placed", "RANGE")]
    assert [(key["AttributeName"], key["KeyType"]) for key in made["KeySchema"]] == keys
    types = {each["AttributeName"]: each["AttributeType"] for each in table()["AttributeDefinitions"]}
    assert types == {"id": "S", "country": "S", "city": "S", "points": "N", "placed": "N"}
    assert (made["ProvisionedThroughput"]["ReadCapacityUnits"], made["ProvisionedThroughput"]["WriteCapacityUnits"]) == (21, 9)
    assert made["WarmThroughput"]["ReadUnitsPerSecond"] == 40
    assert table()["ProvisionedThroughput"]["ReadCapacityUnits"] == 5

    # Warmth is raised by itself: the units stay.
    go(page, "tables/Ranked")
    page.get_by_role("button", name="Capacity of index by-place").click()
    dialog.get_by_text("Warm throughput").click()
    dialog.get_by_label("Warm for writes a second").fill("30")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    wait_until(lambda: is_active(client, "Ranked") and index("by-place")["WarmThroughput"]["WriteUnitsPerSecond"] == 30, "the index is warm")
    page.get_by_role("tab", name="Settings").click()
    line = page.locator(".panel > .row")
    line.filter(has_text="Capacity").get_by_role("button", name="Change").click()
    dialog.get_by_text("Warm throughput").click()
    dialog.get_by_label("Warm for reads a second").fill("55")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    expect(line.filter(has_text="Warm throughput")).to_contain_text("55 read and 5 write units a second")
    wait_until(lambda: is_active(client, "Ranked"), "ACTIVE")

    # On demand and back: each index has units of its own again.
    line.filter(has_text="Capacity").get_by_role("button", name="Change").click()
    dialog.get_by_label("Capacity").select_option("PAY_PER_REQUEST")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    wait_until(lambda: is_active(client, "Ranked"), "ACTIVE")
    expect(line.filter(has_text="Capacity")).to_contain_text("on demand")
    line.filter(has_text="Capacity").get_by_role("button", name="Change").click()
    dialog.get_by_label("Capacity").select_option("PROVISIONED")
    dialog.get_by_role("group", name="Index by-place").get_by_label("Read units").fill("14")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    wait_until(lambda: index("by-place")["ProvisionedThroughput"]["ReadCapacityUnits"] == 14, "the index has its units")


def test_replicas_with_settings_of_their_own_and_one_that_leaves(world, browse):
    client = world.client()
    client.create_table(
        TableName="Unlike",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    wait_until(lambda: is_active(client, "Unlike"), "ACTIVE")
    # A provisioned table gets replicas when its writes are scaled, as in AWS.
    of = {"ServiceNamespace": "dynamodb", "ResourceId": "table/Unlike", "ScalableDimension": "dynamodb:table:WriteCapacityUnits"}
    scaling = world.client("application-autoscaling")
    scaling.register_scalable_target(**of, MinCapacity=5, MaxCapacity=50)
    tracking = {"TargetValue": 70.0, "PredefinedMetricSpecification": {"PredefinedMetricType": "DynamoDBWriteCapacityUtilization"}}
    scaling.put_scaling_policy(**of, PolicyName="w", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=tracking)
    page = browse()
    go(page, "tables/Unlike")
    page.get_by_role("tab", name="Replicas").click()
    page.get_by_role("button", name="Add a replica").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Region").select_option("eu-west-1")
    dialog.get_by_text("Settings of its own").click()
    dialog.get_by_label("Read units there").fill("9")
    dialog.get_by_label("Class there").select_option("STANDARD_INFREQUENT_ACCESS")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog).to_be_hidden()
    there = row(page, "Replicas", "eu-west-1")
    expect(there).to_contain_text("9 read units, STANDARD_INFREQUENT_ACCESS", timeout=60_000)
    expect(there.get_by_text("ACTIVE", exact=True)).to_be_visible(timeout=60_000)
    wait_until(lambda: is_active(client, "Unlike"), "ACTIVE")
    page.get_by_role("button", name="Settings of the replica in eu-west-1").click()
    dialog.get_by_label("Read units there").fill("12")
    dialog.get_by_role("button", name="Save").click()
    expect(there).to_contain_text("12 read units", timeout=60_000)
    wait_until(lambda: is_active(client, "Unlike"), "ACTIVE")

    page.get_by_role("tab", name="Scaling").click()
    page.get_by_role("button", name="Scale the replicas …").click()
    reads = dialog.get_by_role("group", name="Reads")
    reads.get_by_label("Least units").fill("6")
    expect(command(dialog)).to_contain_text("aws dynamodb update-table-replica-auto-scaling")
    dialog.get_by_role("button", name="Scale", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(row(page, "Scaled capacities", "Reads")).to_contain_text("6", timeout=60_000)
    wait_until(lambda: is_active(client, "Unlike"), "ACTIVE")

    # A region leaves with its data: first its protection, then it.
    page.get_by_label("Region", exact=True).select_option("eu-west-1")
    go(page, "tables/Unlike")
    page.get_by_role("tab", name="Replicas").click()
    leave = page.get_by_role("button", name="Take eu-west-1 out of the group, with its data")
    leave.click()
    dialog.get_by_role("button", name="Switch it off").click()
    expect(dialog).to_be_hidden()
    elsewhere = world.client(region="eu-west-1")
    wait_until(lambda: elsewhere.describe_table(TableName="Unlike")["Table"]["DisassociationProtectionEnabled"] is False, "no protection")
    wait_until(lambda: is_active(elsewhere, "Unlike"), "ACTIVE")
    page.reload()
    page.get_by_role("tab", name="Replicas").click()
    leave.click()
    dialog.get_by_label("Type eu-west-1 to confirm").first.fill("eu-west-1")
    dialog.get_by_role("button", name="Leave", exact=True).click()
    expect(dialog).to_be_hidden()
    wait_until(lambda: "Replicas" not in elsewhere.describe_table(TableName="Unlike")["Table"], "it has left")


def test_queries_filters_and_statements(world, browse):
    client = world.client()
    client.create_table(
        TableName="Asked",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": t} for n, t in (("pk", "S"), ("sk", "N"), ("color", "S"))],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {"IndexName": "by-color", "KeySchema": [{"AttributeName": "color", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"}}
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    wait_until(lambda: client.describe_table(TableName="Asked")["Table"]["TableStatus"] == "ACTIVE", "ACTIVE")
    for n in range(30):
        item = {"pk": {"S": "a"}, "sk": {"N": str(n)}, "color": {"S": ["red", "blue", "green"][n % 3]}, "in.it": {"M": {"deep": {"N": str(n)}}}}
        client.put_item(TableName="Asked", Item=item)
    page = browse()
    go(page, "items/Asked")
    page.get_by_role("tab", name="Query").click()
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_contain_text("partition key")
    page.get_by_label("pk", exact=True).fill("a")
    page.get_by_label("Comparison of sk").select_option("between")
    page.get_by_label("sk", exact=True).fill("5")
    page.get_by_label("sk, upper end").fill("14")
    found(page, 10)
    page.get_by_role("button", name="Add a filter").click()
    page.get_by_label("Attribute", exact=True).fill("color")
    page.get_by_label("Value", exact=True).fill("red")
    found(page, 3)
    page.get_by_label("Comparison", exact=True).select_option("not contains")
    found(page, 7)
    page.get_by_role("button", name="Take the filter away").click()
    # Lists, maps and sets as values; and only some attributes.
    page.get_by_role("button", name="Add a filter").click()
    page.get_by_label("Attribute", exact=True).fill("tags")
    page.get_by_label("Type", exact=True).select_option("SS")
    page.get_by_label("Value", exact=True).fill("b, a")
    found(page, 0)
    client.put_item(TableName="Asked", Item={"pk": {"S": "a"}, "sk": {"N": "6"}, "color": {"S": "red"}, "tags": {"SS": ["a", "b"]}, "list": {"L": [{"N": "1"}]}})
    found(page, 1)
    page.get_by_label("Attribute", exact=True).fill("list")
    page.get_by_label("Type", exact=True).select_option("L")
    page.get_by_label("Value", exact=True).fill("[{")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Value", exact=True).fill('[{"N": "1"}]')
    page.get_by_label("Only these attributes").fill("pk, sk, color")
    found(page, 1)
    expect(page.locator(".grid thead")).to_contain_text("color")
    expect(page.locator(".grid thead")).not_to_contain_text("list")
    page.get_by_label("Only these attributes").fill("")
    page.get_by_role("button", name="Take the filter away").click()
    page.get_by_label("Items a page").fill("4")
    page.get_by_label("Descending").check()
    found(page, 4)
    expect(page.locator(".grid tbody tr").first).to_contain_text("14")
    page.get_by_role("button", name="Next page").click()
    expect(page.get_by_text("8 items")).to_be_visible()

    page.get_by_role("combobox", name="Query").select_option("by-color")
    page.get_by_label("color", exact=True).fill("blue")
    page.get_by_label("Items a page").fill("100")
    found(page, 10)
    page.get_by_role("tab", name="PartiQL").click()
    page.get_by_label("Statement").fill("SELECT sk FROM \"Asked\" WHERE pk = 'a' AND sk >= 25")
    found(page, 5)
    page.get_by_label("Statement").fill("DELETE FROM \"Asked\" WHERE pk = 'a' AND sk = 25")
    found(page, 0)
    assert "Item" not in client.get_item(TableName="Asked", Key={"pk": {"S": "a"}, "sk": {"N": "25"}})


def found(page, items):
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("status").filter(has_text=f"{items} item")).to_be_visible()


def test_a_user_a_policy_a_key_and_a_check(world, browse):
    page = browse()
    go(page, "access")
    page.get_by_role("button", name="New user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("reader")
    dialog.get_by_role("button", name="Create").click()
    page.get_by_role("link", name="reader").click()
    page.get_by_role("button", name="New inline policy").click()
    dialog.get_by_label("Name").fill("read")
    policy = {"Version": "2012-10-17", "Statement": [{"Sid": "Reading", "Effect": "Allow", "Action": "dynamodb:Get*", "Resource": "*"}]}
    dialog.get_by_label("Policy (JSON)").fill("{")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("MalformedPolicyDocument")
    dialog.get_by_label("Policy (JSON)").fill(json.dumps(policy, indent=2))
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="read", exact=True)).to_be_visible()
    page.get_by_role("tab", name="Access keys").click()
    page.get_by_role("button", name="New access key").click()
    dialog.get_by_text("Do the same with").click()
    expect(dialog.locator("pre.command")).to_contain_text("aws iam create-access-key")
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog.locator("dd")).to_have_count(2)
    key, secret = dialog.locator("dd").all_inner_texts()
    dialog.get_by_role("button", name="Done").click()
    assert world.client("sts", key=(key, secret)).get_caller_identity()["Arn"].endswith("user/reader")

    go(page, "access/checker")
    page.get_by_label("Who").select_option(label="user reader")
    page.get_by_role("button", name="Check").click()
    row = page.get_by_role("row")
    expect(row.filter(has_text="dynamodb:GetItem")).to_contain_text("allowed")
    expect(row.filter(has_text="dynamodb:GetItem").locator("pre")).to_have_text(json.dumps(policy["Statement"][0], indent=2).replace("\n", "\n    "))
    expect(row.filter(has_text="dynamodb:DeleteItem")).to_contain_text("not allowed")


def test_a_checker_that_knows_table_policies_conditions_and_everybody(world, browse):
    client = world.make_table("Judged")
    iam = world.client("iam")
    for name in ("guest", "owner", "other"):
        iam.create_user(UserName=name)
    arn = client.describe_table(TableName="Judged")["Table"]["TableArn"]
    guest = {"Sid": "Guests", "Effect": "Allow", "Principal": {"AWS": iam.get_user(UserName="guest")["User"]["Arn"]}, "Action": "dynamodb:GetItem", "Resource": arn}
    client.put_resource_policy(ResourceArn=arn, Policy=json.dumps({"Version": "2012-10-17", "Statement": [guest]}))
    own = {"Effect": "Allow", "Action": "dynamodb:*", "Resource": arn, "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["mine"]}, "Null": {"dynamodb:LeadingKeys": "false"}}}
    iam.put_user_policy(UserName="owner", PolicyName="own-rows", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [own]}))
    page = browse()
    go(page, "access/checker")
    decisions = page.get_by_role("region", name="Decisions")
    page.get_by_label("Who").select_option(label="user guest")
    page.get_by_label("To what (ARN)").fill(arn)
    page.get_by_label("Does what").fill("dynamodb:GetItem, dynamodb:PutItem")
    page.get_by_role("button", name="Check").click()
    expect(decisions.get_by_role("row").filter(has_text="dynamodb:GetItem").get_by_text("allowed", exact=True)).to_be_visible()
    expect(decisions.get_by_role("row").filter(has_text="dynamodb:GetItem")).to_contain_text('"Sid": "Guests"')
    expect(decisions.get_by_role("row").filter(has_text="dynamodb:PutItem")).to_contain_text("not allowed")
    # It is so.
    key = iam.create_access_key(UserName="guest")["AccessKey"]
    mine = world.client(key=(key["AccessKeyId"], key["SecretAccessKey"]))
    wait_until(lambda: mine.get_item(TableName="Judged", Key={"pk": {"S": "a"}}) is not None, "the guest reads")

    page.get_by_label("Who").select_option(label="user owner")
    page.get_by_role("button", name="Check").click()
    expect(decisions.get_by_role("row").filter(has_text="dynamodb:GetItem")).to_contain_text("not allowed")
    page.get_by_role("button", name="Add a condition key").click()
    page.get_by_label("Condition key", exact=True).fill("dynamodb:LeadingKeys")
    page.get_by_label("Type of the key").select_option("stringList")
    page.get_by_label("Values, separated by commas").fill("mine")
    page.get_by_role("button", name="Check").click()
    expect(decisions.get_by_role("row").filter(has_text="dynamodb:PutItem").get_by_text("allowed", exact=True)).to_be_visible()

    page.get_by_label("Who").select_option(label="Everybody: who may?")
    page.get_by_label("To what (ARN)").fill(f"{arn}, arn:aws:dynamodb:us-east-1:000000000000:table/Absent")
    page.get_by_label("Does what").fill("dynamodb:GetItem")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("there is no such table")).to_be_visible()
    allowed = decisions.locator("tbody tr").filter(has_text="table/Judged").filter(has=page.get_by_text("allowed", exact=True))
    expect(allowed.filter(has_text="user guest")).to_have_count(1)
    expect(allowed.filter(has_text="user owner")).to_have_count(1)
    expect(decisions.locator("tbody tr").filter(has_text="user other").filter(has_text="not allowed")).to_have_count(2)


def test_every_change_of_access_shows_its_command(world, browse):
    iam = world.client("iam")
    iam.create_user(UserName="changing")
    iam.create_group(GroupName="crew")
    iam.add_user_to_group(GroupName="crew", UserName="changing")
    text = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}]})
    iam.put_user_policy(UserName="changing", PolicyName="inline", PolicyDocument=text)
    arn = iam.create_policy(PolicyName="shared", PolicyDocument=text)["Policy"]["Arn"]
    iam.attach_user_policy(UserName="changing", PolicyArn=arn)
    id = iam.create_access_key(UserName="changing")["AccessKey"]["AccessKeyId"]
    page = browse()
    for tab, pressed, shown, verb in [
        ("Policies", "Detach shared", f"aws iam detach-user-policy \\\n  --user-name changing \\\n  --policy-arn {arn}", "Detach"),
        ("Policies", "Delete inline", "aws iam delete-user-policy", "Delete"),
        ("Access keys", "Deactivate", "aws iam update-access-key", "Deactivate"),
        ("Access keys", f"Delete {id}", "aws iam delete-access-key", "Delete"),
        ("Groups", "Remove crew", "aws iam remove-user-from-group", "Remove"),
    ]:
        go(page, "access")
        go(page, "access/users/changing")
        page.get_by_role("tab", name=tab).click()
        page.get_by_role("button", name=pressed).click()
        dialog = page.get_by_role("dialog")
        expect(command(dialog)).to_contain_text(shown)
        dialog.get_by_role("button", name=verb, exact=True).click()
        expect(dialog).to_be_hidden()
    assert iam.list_attached_user_policies(UserName="changing")["AttachedPolicies"] == []
    assert iam.list_user_policies(UserName="changing")["PolicyNames"] == []
    assert iam.list_access_keys(UserName="changing")["AccessKeyMetadata"] == []
    assert iam.list_groups_for_user(UserName="changing")["Groups"] == []


def test_a_region_alone_that_checks_no_signatures(browse, tmp_path):
    process = subprocess.Popen([BINARY, "dev", "--port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = next(line.split("console: ")[1].strip() for line in process.stdout if line.startswith("console: "))
        page = browse(address=address, signs_in=False)
        page.get_by_role("button", name="Sign in").click()
        for path, mark in [("world", "ready"), ("tables", "No tables yet"), ("recovery", "No backups"), ("now", "ListTables")]:
            go(page, path)
            expect(page.locator("main").get_by_text(mark).first).to_be_visible()
        expect(page.get_by_role("link", name="Recovery")).to_be_visible()
    finally:
        process.terminate()
        process.wait(timeout=60)
