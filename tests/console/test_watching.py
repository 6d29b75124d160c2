"""What ails a region is in the console: faults on links, slow requests, conflicts that are kept, and what a key may not see."""

import json
import os
import re
import subprocess
import urllib.request

from conftest import BINARY, go, row, wait_until
from playwright.sync_api import expect
from test_story import cut_between


def link(world, region, *arguments):
    """`geodynamo link`, as an operator of that region has it."""
    of = world.regions[region]
    key = {"AWS_ACCESS_KEY_ID": of["access_key_id"], "AWS_SECRET_ACCESS_KEY": of["secret_access_key"]}
    admin = of["console"].removeprefix("http://").rstrip("/")
    subprocess.run([BINARY, "link", *arguments, "--admin", admin], env=os.environ | key, check=True, timeout=60)


def test_a_fault_that_a_region_puts_on_its_link_is_seen_and_ended(world, browse):
    page = browse()
    mine = row(page, "Links", "us-east-1 → ap-northeast-1")
    link(world, "us-east-1", "pause", "ap-northeast-1", "--for", "600")
    expect(mine.get_by_text("paused", exact=True)).to_be_visible(timeout=30_000)
    expect(page.get_by_role("button", name="Link us-east-1 – ap-northeast-1: paused")).to_be_visible()
    page.get_by_role("button", name="Details of us-east-1 → ap-northeast-1").click()
    page.get_by_role("button", name="End the fault on us-east-1 → ap-northeast-1").click()
    expect(page.get_by_role("button", name="End the fault on us-east-1 → ap-northeast-1")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(mine.get_by_text("paused")).to_have_count(0, timeout=30_000)
    # Another region's: it is seen, and this console says where it is ended.
    link(world, "eu-west-1", "cut", "us-east-1", "--for", "600")
    other = row(page, "Links", "eu-west-1 → us-east-1")
    expect(other.get_by_text("cut", exact=True)).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Details of eu-west-1 → us-east-1").click()
    expect(page.get_by_text("geodynamo link cut us-east-1 --admin HOST:PORT")).to_be_visible()
    page.keyboard.press("Escape")
    link(world, "eu-west-1", "resume", "us-east-1")
    expect(other.get_by_text("cut", exact=True)).to_have_count(0, timeout=30_000)


def test_a_fault_is_put_from_the_console(world, browse):
    page = browse()
    page.get_by_role("button", name="Details of us-east-1 → eu-west-1").click()
    box = page.get_by_role("group", name="Fault on us-east-1 → eu-west-1")
    box.get_by_label("Delay (ms)").fill("5")
    box.get_by_label("Loss (%)").fill("1")
    box.get_by_label("For (s)").fill("120")
    box.get_by_text("Do the same with the command line").click()
    lines = box.locator("pre.command").inner_text().splitlines()
    box.get_by_role("button", name="Put a fault on us-east-1 → eu-west-1").click()
    expect(box.get_by_text("1 % lost, delayed by 5 ms")).to_be_visible()
    box.get_by_role("button", name="End the fault on us-east-1 → eu-west-1").click()
    expect(box.get_by_text("no fault")).to_be_visible()
    # The command line takes what the box shows.
    key = {"AWS_ACCESS_KEY_ID": world.home["access_key_id"], "AWS_SECRET_ACCESS_KEY": world.home["secret_access_key"]}
    for line in lines:
        subprocess.run([BINARY, *line.split()[1:]], env=os.environ | key, check=True, timeout=60)
    assert len(lines) == 2
    link(world, "us-east-1", "resume", "eu-west-1")


def test_slow_requests(alone, browse):
    client = alone.client()
    client.create_table(
        TableName="Slow",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.get_waiter("table_exists").wait(TableName="Slow", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    # Numbers in such a number that no machine reads them sooner; one put would be quick where the disk is.
    numbers = {"L": [{"N": str(number)} for number in range(100_000, 103_500)]}
    for batch in range(2):
        puts = [{"PutRequest": {"Item": {"pk": {"S": f"{batch}-{item}"}, "numbers": numbers}}} for item in range(25)]
        assert not client.batch_write_item(RequestItems={"Slow": puts})["UnprocessedItems"]
    page = browse(key=alone.key, address=alone.console)
    go(page, "now")

    def a_slow_one():
        id = client.scan(TableName="Slow")["ResponseMetadata"]["RequestId"]
        told = json.loads(urllib.request.urlopen(f"{alone_address(alone)}/slow-requests", timeout=30).read())
        return id if any(each["request_id"] == id for each in told["requests"]) else None

    id = wait_until(a_slow_one, "a request was slow")
    expect(row(page, "Slow requests", id)).to_contain_text("Scan", timeout=30_000)


def alone_address(alone):
    address = alone.console.rstrip("/")
    return address if address.startswith("http") else f"http://{address}"


def test_conflicts_that_are_kept(world, browse):
    client = world.make_table("Older", everywhere=True)
    elsewhere = world.client(region="eu-west-1")
    cut_between(world, "us-east-1", "eu-west-1", True)
    client.put_item(TableName="Older", Item={"pk": {"S": "a"}, "by": {"S": "the first"}})
    elsewhere.put_item(TableName="Older", Item={"pk": {"S": "a"}, "by": {"S": "the second"}})
    cut_between(world, "us-east-1", "eu-west-1", False)
    page = browse()
    go(page, "tables/Older")
    page.get_by_role("tab", name="Replicas").click()
    page.get_by_role("link", name="Conflicts").click()

    def seen():
        page.reload()
        expect(page.get_by_role("status").filter(has_text="conflict")).to_be_visible()
        return page.get_by_role("button", name="Show the conflict of pk: a").count() == 1

    wait_until(seen, "the conflict is kept")
    page.get_by_role("button", name="Show the conflict of pk: a").click()
    dialog = page.get_by_role("dialog").first
    expect(dialog).to_contain_text("the first")
    expect(dialog).to_contain_text("the second")
    dialog.get_by_role("button", name="Restore the loser").click()
    page.get_by_role("dialog").last.get_by_role("button", name="Restore", exact=True).click()
    read = {"TableName": "Older", "Key": {"pk": {"S": "a"}}}
    wait_until(lambda: elsewhere.get_item(**read)["Item"]["by"] == {"S": "the first"}, "the loser is back everywhere")
    # The same from another region's replica, asked through this console.
    page.get_by_label("Region", exact=True).select_option("eu-west-1")
    expect(page.get_by_role("button", name="Show the conflict of pk: a")).to_have_count(1, timeout=30_000)


def test_accounts(world, browse):
    page = browse()
    go(page, "access/accounts")
    page.get_by_role("button", name="New account").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("shop")
    dialog.get_by_label("Id").fill("111122223333")
    dialog.get_by_text("Do the same with the command line").click()
    expect(dialog.locator("pre.command")).to_contain_text("geodynamo account create shop --id 111122223333 --admin")
    dialog.get_by_role("button", name="Create", exact=True).click()
    secret = page.get_by_role("dialog").filter(has_text="The root key")
    expect(secret.locator("dd")).to_have_count(2)
    key = secret.locator("dd").all_inner_texts()
    secret.get_by_role("button", name="Done").click()
    assert world.client("sts", key=key).get_caller_identity()["Account"] == "111122223333"
    mine = row(page, "Accounts", "111122223333")
    expect(mine).to_contain_text("shop")
    mine.get_by_role("button", name="Delete account 111122223333").click()
    dialog.get_by_label("Type 111122223333 to confirm").first.fill("111122223333")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(mine).to_have_count(0)


def test_what_the_admin_port_tells_only_to_whom_it_may(world, browse):
    """A user without a policy is told so by every page, and is asked nothing again and again."""
    iam = world.client("iam")
    iam.create_user(UserName="outsider")
    made = iam.create_access_key(UserName="outsider")["AccessKey"]
    page = browse(key=(made["AccessKeyId"], made["SecretAccessKey"]))
    main = page.locator("main")
    # The port that the pages come from has its own region's metrics for everybody, as its configuration says.
    expect(main.get_by_text("not allowed", exact=True)).to_have_count(2)
    expect(main).to_contain_text("geodynamo:ReadMetrics")
    for path, action in [("now", "ReadSlowRequests"), ("verify", "ReadVerify"), ("keys", "ReadKeys"), ("access/accounts", "ReadAccounts")]:
        go(page, path)
        expect(page.get_by_role("alert").first).to_contain_text(f"geodynamo:{action}")
    # What was refused is not asked for every other second.
    for path, still in [("world", {"metrics", "readyz"}), ("verify", set())]:
        go(page, path)
        expect(main.get_by_text(re.compile("geodynamo:Read")).first).to_be_visible()
        asked = set()
        keep = lambda request: asked.add(request.url.rsplit("/", 1)[1]) if request.resource_type == "fetch" else None
        page.on("request", keep)
        page.wait_for_timeout(5000)
        page.remove_listener("request", keep)
        assert asked == still
