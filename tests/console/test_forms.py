"""What forms make is what they say: tables with all that belongs to them, conditions, statements, users and policies."""

import json
import subprocess

from conftest import BINARY, go, wait_until
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
    page.get_by_role("tab", name="Settings").click()
    page.get_by_label("Attribute that has the time").fill("until")
    line = page.locator(".panel > .row")
    line.filter(has_text="Time to live").get_by_role("button", name="Switch on").click()
    expect(page.get_by_text("enabled, by until")).to_be_visible()
    line.filter(has_text="Deletion protection").get_by_role("button", name="Switch off").click()
    expect(page.get_by_text("deletion protected")).to_be_hidden()
    line.filter(has_text="Capacity").get_by_role("button", name="Change").click()
    dialog.get_by_label("Capacity").select_option("PAY_PER_REQUEST")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".facts").get_by_text("on demand")).to_be_visible()
    page.get_by_role("button", name="Delete table").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Type Everything")
    dialog.get_by_label("Type Everything to confirm").first.fill("Everything")
    dialog.get_by_role("button", name="Delete").click()
    wait_until(lambda: "Everything" not in client.list_tables()["TableNames"], "the table is gone")


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
    expect(page.get_by_role("status").filter(has_text=f"{items} items")).to_be_visible()


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
