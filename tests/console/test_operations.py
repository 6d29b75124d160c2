"""What runs a region is in the console: keys, triggers, streams and copies, verification, vaults, scaling."""

import json

import pytest
from conftest import go, row, sign_in, wait_until
from playwright.sync_api import expect
from test_pages import violations

PROVISIONED = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}


@pytest.fixture(scope="module")
def followed(alone):
    """A table that is followed: by a trigger, a stream, a copy."""
    client = alone.client()
    client.create_table(
        TableName="Followed",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    client.get_waiter("table_exists").wait(TableName="Followed", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    return alone


def open_alone(browse, alone, path):
    page = browse(key=alone.key, address=alone.console)
    go(page, path)
    return page


def test_a_trigger(followed, browse):
    page = open_alone(browse, followed, "reactions")
    page.get_by_role("button", name="Add a trigger …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Table").select_option(label="Followed")
    dialog.get_by_label("Function").fill("nobody")
    dialog.get_by_label("Begins").select_option("TRIM_HORIZON")
    dialog.get_by_label("Filter").fill('{"eventName": ["INSERT"]}')
    dialog.get_by_text("Do the same with").click()
    expect(dialog.locator("pre.command")).to_contain_text("aws lambda create-event-source-mapping")
    dialog.get_by_role("button", name="Add", exact=True).click()
    # The service's own words, and nothing is lost of what was typed.
    expect(dialog.get_by_role("alert")).to_contain_text("nobody")
    dialog.get_by_label("Function").fill("thumbs")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog).to_be_hidden()
    mine = row(page, "Triggers", "thumbs")
    expect(mine.get_by_text("Enabled", exact=True)).to_be_visible(timeout=60_000)
    followed.client().put_item(TableName="Followed", Item={"pk": {"S": "for the function"}})
    wait_until(lambda: "for the function" in json.dumps(followed.received), "the function has the record")
    wait_until(lambda: mine.get_by_role("cell").nth(4).inner_text() != "0", "the record counts as taken")

    mine.get_by_role("button", name="Disable thumbs on Followed").click()
    expect(mine.get_by_text("Disabled", exact=True)).to_be_visible(timeout=60_000)
    mine.get_by_role("button", name="Enable thumbs on Followed").click()
    expect(mine.get_by_text("Enabled", exact=True)).to_be_visible(timeout=60_000)
    mine.get_by_role("button", name="Delete the trigger of thumbs on Followed").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("No function runs on changes here.")).to_be_visible(timeout=60_000)


def test_a_stream_of_kinesis_and_copies(followed, browse, tmp_path):
    kinesis = followed.moto_client("kinesis")
    kinesis.create_stream(StreamName="changes", ShardCount=1)
    active = lambda: kinesis.describe_stream(StreamName="changes")["StreamDescription"]["StreamStatus"] == "ACTIVE"
    wait_until(active, "moto's stream is there")
    arn = kinesis.describe_stream(StreamName="changes")["StreamDescription"]["StreamARN"]
    page = open_alone(browse, followed, "reactions")
    page.get_by_role("button", name="Send a table to a stream …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Table").select_option("Followed")
    dialog.get_by_label("The stream’s ARN").fill(arn)
    dialog.get_by_role("button", name="Send", exact=True).click()
    expect(dialog).to_be_hidden()
    mine = row(page, "Kinesis streams", "Followed")
    expect(mine.get_by_text("ACTIVE", exact=True)).to_be_visible(timeout=60_000)
    followed.client().put_item(TableName="Followed", Item={"pk": {"S": "for the stream"}})
    wait_until(lambda: mine.get_by_role("cell").nth(4).inner_text() not in ("0", "–"), "the stream has the record")
    mine.get_by_role("button", name="Disable the stream of Followed").click()
    expect(mine.get_by_text("DISABLED", exact=True)).to_be_visible(timeout=60_000)

    copy = row(page, "Copies", "lake")
    expect(copy.get_by_text("following", exact=True)).to_be_visible(timeout=60_000)
    expect(copy).to_contain_text("Iceberg")
    page.get_by_text("How copies are added and removed").click()
    expect(page.locator("pre.command")).to_contain_text("geodynamo sink add")

    page.get_by_role("button", name="Copy a table …").click()
    dialog.get_by_label("Name of the copy").fill("second")
    dialog.get_by_label("Table").select_option("Followed")
    dialog.get_by_label("Where its files are").fill("relative")
    dialog.get_by_role("button", name="Start copying").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_label("Where its files are").fill(str(tmp_path / "second"))
    dialog.get_by_text("Do the same with").click()
    expect(dialog.locator("pre.command")).to_contain_text("geodynamo sink add second --table Followed --iceberg")
    dialog.get_by_role("button", name="Start copying").click()
    second = row(page, "Copies", "second")
    expect(second.get_by_text("following", exact=True)).to_be_visible(timeout=60_000)
    wait_until(lambda: list((tmp_path / "second").glob("Followed/metadata/*.json")), "the copy is made")
    second.get_by_role("button", name="Remove the copy second").click()
    dialog.get_by_role("button", name="Remove", exact=True).click()
    expect(second).to_have_count(0)


def test_what_is_not_there_is_not_shown(world, browse):
    """The demo has no functions and no Kinesis, and one region alone has nobody to be compared with."""
    page = browse()
    go(page, "reactions")
    expect(page.get_by_text("The region’s configuration has no functions")).to_be_visible()
    expect(page.get_by_text("No table here is copied elsewhere.")).to_be_visible()
    expect(page.get_by_role("heading", name="Kinesis streams")).to_be_hidden()
    expect(page.get_by_role("button", name="Add a trigger …")).to_have_count(0)


def test_keys(followed, browse):
    page = open_alone(browse, followed, "keys")
    main = page.locator("main")
    expect(page.get_by_role("navigation", name="Pages").get_by_role("link", name="Verify")).to_have_count(0)
    expect(main.locator(".facts div").filter(has_text="Encrypted")).to_contain_text("yes")
    told = json.loads(page.evaluate("fetch('/keys').then((answer) => answer.text())"))
    expect(row(page, "Data keys", told["data_keys"][0]["id"]).get_by_text("new files")).to_be_visible()
    page.get_by_text("How keys are rotated").click()
    expect(page.locator("pre.command")).to_contain_text("geodynamo keys rotate --config region.toml --data-key")

    # A table's own key, on the table's page; it shows here, then.
    key = followed.moto_client("kms").create_key()["KeyMetadata"]["KeyId"]
    client = followed.client()
    client.create_table(
        TableName="Sealed",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    go(page, "tables/Sealed")
    page.get_by_role("tab", name="Settings").click()
    expect(main.get_by_text("under the region’s key")).to_be_visible()
    page.get_by_role("button", name="Change the key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Encrypted under").select_option("yes")
    dialog.get_by_label("Key", exact=True).fill(key)
    dialog.get_by_text("Do the same with").click()
    expect(dialog.locator("pre.command")).to_contain_text("--sse-specification")
    dialog.get_by_role("button", name="Change", exact=True).click()
    expect(main.get_by_text("key of its own")).to_be_visible(timeout=60_000)
    go(page, "keys")
    expect(row(page, "Tables with keys of their own", "Sealed")).to_contain_text(key)


def test_verification(world, browse):
    world.make_table("Proven", everywhere=True)
    world.client().put_item(TableName="Proven", Item={"pk": {"S": "a"}})
    page = browse()
    go(page, "verify")
    mine = row(page, "Verified tables", "Proven")
    expect(mine).to_have_count(3)
    page.get_by_role("button", name="Verify Proven, ap-northeast-1 and us-east-1").click()
    page.get_by_role("button", name="Verify Proven, eu-west-1 and us-east-1").click()
    expect(mine.get_by_text("equal", exact=True)).to_have_count(3, timeout=60_000)
    page.get_by_role("button", name="Details of Proven, ap-northeast-1 and us-east-1").click()
    expect(page.get_by_role("dialog").get_by_role("region", name="Partitions, as ap-northeast-1 asked")).to_contain_text("us-east-1")


def test_vaults(world, browse):
    world.make_table("Kept")
    world.client().put_item(TableName="Kept", Item={"pk": {"S": "a"}, "text": {"S": "kept"}})
    page = browse()
    go(page, "vaults")
    page.get_by_role("button", name="New vault …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("daily")
    dialog.get_by_role("button", name="Make", exact=True).click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Back up a table into daily").click()
    dialog.get_by_label("Table").select_option("Kept")
    dialog.get_by_text("Do the same with").click()
    expect(dialog.locator("pre.command")).to_contain_text("aws backup start-backup-job")
    dialog.get_by_role("button", name="Back up", exact=True).click()
    expect(dialog).to_be_hidden()
    point = row(page, "Recovery points", "Kept")
    expect(point.get_by_text("COMPLETED")).to_be_visible(timeout=60_000)

    point.get_by_role("button", name="Restore Kept of").click()
    dialog.get_by_label("Name of the new table").fill("KeptAgain")
    dialog.get_by_role("button", name="Restore", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(row(page, "Jobs", "KeptAgain").get_by_text("COMPLETED")).to_be_visible(timeout=60_000)
    assert world.client().get_item(TableName="KeptAgain", Key={"pk": {"S": "a"}})["Item"]["text"]["S"] == "kept"

    point.get_by_role("button", name="Copy Kept of").click()
    dialog.get_by_label("To the region").select_option("eu-west-1")
    dialog.get_by_role("button", name="Start copying").click()
    expect(dialog).to_be_hidden()
    expect(row(page, "Jobs", "Copy").get_by_text("COMPLETED")).to_be_visible(timeout=60_000)

    page.get_by_role("button", name="New plan …").click()
    dialog.get_by_label("Name", exact=True).fill("orders")
    dialog.get_by_label("Into the vault").select_option("daily")
    dialog.get_by_label("Time zone").fill("Europe/Berlin")
    dialog.get_by_role("button", name="Make", exact=True).click()
    expect(dialog).to_be_hidden()
    plan = row(page, "Plans", "orders")
    expect(plan).to_contain_text("cron(0 5 * * ? *) (Europe/Berlin) into daily, 35 days")
    expect(plan).to_contain_text("tables")
    plan.get_by_role("button", name="Delete the plan orders").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("No plans: backups are made by hand.")).to_be_visible()

    page.get_by_label("Region", exact=True).select_option("eu-west-1")
    copied = row(page, "Recovery points", "Kept")
    expect(copied).to_contain_text("copied, us-east-1")
    copied.get_by_role("button", name="Delete Kept of").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("No recovery points yet")).to_be_visible()


def test_scaling(world, browse):
    client = world.client()
    client.create_table(
        TableName="Scaled",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        ProvisionedThroughput=PROVISIONED,
    )
    page = browse()
    go(page, "tables/Scaled")
    page.get_by_role("tab", name="Scaling").click()
    page.get_by_role("button", name="Scale a capacity …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Capacity").select_option(label="Writes")
    dialog.get_by_label("Least units").fill("8")
    dialog.get_by_text("Do the same with").click()
    expect(dialog.locator("pre.command")).to_contain_text("aws application-autoscaling register-scalable-target")
    dialog.get_by_role("button", name="Scale", exact=True).click()
    expect(dialog).to_be_hidden()
    mine = row(page, "Scaled capacities", "Writes")
    expect(mine).to_contain_text("70 % used")
    # The least holds at once.
    units = lambda: client.describe_table(TableName="Scaled")["Table"]["ProvisionedThroughput"]["WriteCapacityUnits"]
    wait_until(lambda: units() == 8, "the least is provisioned")
    mine.get_by_role("button", name="Stop scaling Writes").click()
    dialog.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("Nothing is scaled: capacity stays as it was set.")).to_be_visible()


def test_axe_finds_nothing_in_what_is_there(followed, world, browse):
    client = followed.client("lambda")
    arn = followed.client().describe_table(TableName="Followed")["Table"]["LatestStreamArn"]
    client.create_event_source_mapping(EventSourceArn=arn, FunctionName="thumbs", StartingPosition="LATEST")
    page = open_alone(browse, followed, "reactions")
    page.emulate_media(reduced_motion="reduce")
    expect(row(page, "Triggers", "thumbs").get_by_text("Enabled", exact=True)).to_be_visible(timeout=60_000)
    found = violations(page, "reactions")
    page.get_by_role("button", name="Add a trigger …").click()
    found += violations(page, "a trigger")
    page.keyboard.press("Escape")
    go(page, "keys")
    expect(page.get_by_role("region", name="Data keys")).to_be_visible()
    found += violations(page, "keys")
    page = browse(reduced_motion="reduce")
    for path, label in [("vaults", "Jobs"), ("verify", "Verified tables")]:
        go(page, path)
        expect(page.get_by_role("region", name=label, exact=True)).to_be_visible()
        found += violations(page, path)
    page.get_by_role("button", name="Details of").first.click()
    found += violations(page, "details")
    go(page, "tables/Scaled")
    page.get_by_role("tab", name="Scaling").click()
    expect(page.get_by_text("Nothing is scaled")).to_be_visible()
    found += violations(page, "scaling")
    assert found == []


def test_who_may_nothing_is_told_so(world, browse):
    iam = world.client("iam")
    iam.create_user(UserName="stranger")
    made = iam.create_access_key(UserName="stranger")["AccessKey"]
    page = browse(signs_in=False)
    sign_in(page, made["AccessKeyId"], made["SecretAccessKey"])
    for path in ("reactions", "vaults"):
        go(page, path)
        expect(page.get_by_role("alert").first).to_contain_text("Not allowed.")
