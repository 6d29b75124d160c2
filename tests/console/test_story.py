"""The whole story on three regions: a table, its replicas, items that arrive, a conflict, a cut link, a backup."""

import json
import re
import subprocess
import urllib.request

from conftest import go, sign_in, wait_until
from playwright.sync_api import expect


def test_the_story(world, browse):
    page = browse(signs_in=False)
    page.get_by_label("Access key ID").fill("demo")
    page.get_by_label("Secret access key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("SignatureDoesNotMatch")
    sign_in(page, "demo", "demo-secret")

    create_table(page)
    for region in ("eu-west-1", "ap-northeast-1"):
        add_replica(page, region)
    write_item(page, "first", "from the console")

    # It arrives in another region.
    page.get_by_label("Region").select_option("eu-west-1")
    go(page, "items/Story")
    see_item(page, "from the console")
    conflict_is_shown(world, page)
    cut_and_heal(world, page)
    back_up_and_restore(page)


def create_table(page):
    go(page, "tables")
    page.get_by_role("button", name="Create table").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Table name").fill("Story")
    dialog.get_by_label("Partition key", exact=True).fill("pk")
    dialog.get_by_label("Stream", exact=True).select_option("NEW_AND_OLD_IMAGES")
    dialog.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("link", name="Story", exact=True).click()
    expect(page.locator("main .badge").filter(has_text="ACTIVE").first).to_be_visible()


def add_replica(page, region):
    page.get_by_role("tab", name="Replicas").click()
    page.get_by_role("button", name="Add a replica").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Region").select_option(region)
    dialog.get_by_role("button", name="Add", exact=True).click()
    row = page.get_by_role("row").filter(has_text=region)
    expect(row.get_by_text("ACTIVE")).to_be_visible(timeout=60_000)
    expect(page.locator("main .badge").filter(has_text="ACTIVE").first).to_be_visible()


def write_item(page, key, text):
    go(page, "items/Story")
    page.get_by_role("button", name="Create item").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Value of pk").fill(key)
    dialog.get_by_role("button", name="Add an attribute").click()
    dialog.get_by_label("Name", exact=True).last.fill("text")
    dialog.get_by_label("Value of the attribute").last.fill(text)
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog).to_be_hidden()


def see_item(page, text):
    """Scans until the item is there: it is on its way from another region."""

    def seen():
        page.get_by_role("button", name="Run").click()
        expect(page.get_by_role("status").filter(has_text="items")).to_be_visible()
        return page.get_by_role("cell", name=text).count() > 0

    wait_until(seen, f"an item with '{text}'")


def conflict_is_shown(world, page):
    """Somebody else changes what is being edited: nothing of theirs is lost."""
    page.get_by_role("button", name="first").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Value of text").fill("mine")
    world.client(region="eu-west-1").put_item(TableName="Story", Item={"pk": {"S": "first"}, "text": {"S": "theirs"}})
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("Somebody changed this item")
    dialog.get_by_role("button", name="Take theirs").click()
    expect(dialog.get_by_label("Value of text")).to_have_value("theirs")
    dialog.get_by_label("Value of text").fill("both")
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("cell", name="both")).to_be_visible()


def cut_and_heal(world, page):
    go(page, "world")
    link = page.get_by_role("button", name=re.compile("^Link us-east-1 – eu-west-1"))
    # By keyboard, as somebody without a mouse does it.
    link.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Cut the link").click()
    expect(page.get_by_role("button", name="Heal the link")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Link us-east-1 – eu-west-1: cut")).to_be_visible()
    world.client(region="eu-west-1").put_item(TableName="Story", Item={"pk": {"S": "cut"}})
    page.get_by_role("button", name="Link us-east-1 – eu-west-1: cut").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Heal the link").click()
    expect(page.get_by_role("button", name="Cut the link")).to_be_visible()
    # Each region has kept what its links were like.
    expect(page.get_by_text(re.compile(r"the last \d+"))).to_have_count(2, timeout=40_000)
    page.keyboard.press("Escape")
    page.get_by_label("Table", exact=True).fill("Story")

    def equal():
        page.get_by_role("button", name="Compare digests").click()
        verdict = page.locator("main .badge").filter(has_text=re.compile("^(equal|different)"))
        expect(verdict).to_be_visible()
        return verdict.inner_text() == "equal"

    wait_until(equal, "equal digests in all regions")


def back_up_and_restore(page):
    go(page, "recovery")
    page.get_by_role("button", name="Back up Story").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name of the backup").fill("after-the-cut")
    dialog.get_by_role("button", name="Back up", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="after-the-cut").get_by_text("AVAILABLE")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Restore backup after-the-cut").click()
    dialog.get_by_label("Name of the new table").fill("Story-again")
    dialog.get_by_role("button", name="Restore", exact=True).click()
    expect(dialog).to_be_hidden()
    go(page, "tables")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="Story-again", exact=True))
    expect(row.get_by_text("ACTIVE")).to_be_visible(timeout=60_000)


def test_changes_are_seen_as_they_happen(world, browse):
    client = world.make_table("Tail", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
    page = browse()
    go(page, "streams/Tail")
    expect(page.get_by_text("open shards")).to_be_visible()
    client.put_item(TableName="Tail", Item={"pk": {"S": "a"}, "n": {"N": "1"}})
    client.put_item(TableName="Tail", Item={"pk": {"S": "a"}, "n": {"N": "2"}})
    newest = page.locator(".change").first
    expect(newest).to_contain_text("MODIFY")
    newest.locator("summary").click()
    expect(newest.locator(".removed")).to_contain_text('n: {"N":"1"}')
    expect(newest.locator(".added")).to_contain_text('n: {"N":"2"}')


def test_what_lost_is_shown_and_restored(world, browse):
    client = world.make_table("Lost", everywhere=True)
    elsewhere = world.client(region="eu-west-1")
    cut_between(world, "us-east-1", "eu-west-1", True)
    client.put_item(TableName="Lost", Item={"pk": {"S": "a"}, "by": {"S": "the first"}})
    elsewhere.put_item(TableName="Lost", Item={"pk": {"S": "a"}, "by": {"S": "the second"}})
    cut_between(world, "us-east-1", "eu-west-1", False)
    page = browse()
    go(page, "streams/Lost/conflicts")
    lost = page.locator(".change").first
    expect(lost).to_contain_text("us-east-1’s write lost to eu-west-1’s", timeout=60_000)
    lost.locator("summary").click()
    expect(lost.locator(".removed")).to_contain_text("the first")
    expect(lost.locator(".added")).to_contain_text("the second")
    lost.get_by_role("button", name="Restore the loser").click()
    page.get_by_role("dialog").get_by_role("button", name="Restore", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    read = {"TableName": "Lost", "Key": {"pk": {"S": "a"}}}
    wait_until(lambda: elsewhere.get_item(**read)["Item"]["by"] == {"S": "the first"}, "the loser is back everywhere")
    # The other stream of the table is one choice away, and has all three versions or the two that travelled.
    page.get_by_label("Stream", exact=True).select_option(label="Changes")
    page.get_by_label("Where to begin").select_option("TRIM_HORIZON")
    expect(page.locator(".change.MODIFY").first).to_be_visible()


def cut_between(world, one, other, cut):
    for source, target in ((one, other), (other, one)):
        body = json.dumps({"cut": cut}).encode()
        request = urllib.request.Request(f"{world.wan}/links/{source}/{target}", body, method="PUT")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200


def test_a_table_is_exported_and_imported(world, browse):
    client = world.make_table("Moved")
    client.put_item(TableName="Moved", Item={"pk": {"S": "a"}, "n": {"N": "1"}})
    page = browse()
    go(page, "recovery")
    page.get_by_role("button", name="Switch on point-in-time recovery of Moved").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Do the same with").click()
    expect(dialog.locator("pre.command")).to_contain_text("aws dynamodb update-continuous-backups")
    dialog.get_by_role("button", name="Switch on", exact=True).click()
    page.get_by_role("button", name="Export Moved").click(timeout=60_000)
    dialog.get_by_label("Bucket").fill("moved")
    dialog.get_by_role("button", name="Export", exact=True).click()
    expect(dialog).to_be_hidden()
    jobs = page.get_by_role("region", name="Exports and imports")
    row = jobs.get_by_role("row").filter(has_text="Moved")
    expect(row.get_by_text("COMPLETED")).to_be_visible(timeout=90_000)
    exported = client.list_exports()["ExportSummaries"][0]["ExportArn"].split("/")[-1]
    page.get_by_role("button", name="Import a table").click()
    dialog.get_by_label("Name of the new table").fill("Moved-in")
    dialog.get_by_label("Bucket").fill("moved")
    dialog.get_by_label("Prefix").fill(f"AWSDynamoDB/{exported}/data/")
    dialog.get_by_label("Compression").select_option("GZIP")
    dialog.get_by_label("Partition key", exact=True).fill("pk")
    dialog.get_by_role("button", name="Import", exact=True).click()
    expect(dialog).to_be_hidden()
    row = jobs.get_by_role("row").filter(has_text="Moved-in")
    expect(row.get_by_text("COMPLETED")).to_be_visible(timeout=90_000)
    assert client.get_item(TableName="Moved-in", Key={"pk": {"S": "a"}})["Item"]["n"] == {"N": "1"}


def test_what_is_shown_for_other_clients_does_the_same(world, browse):
    """The command and the program that a form shows are run, and give what the form gives."""
    client = world.make_table("Clients")
    odd = "it's \"odd\" $(x) `y` \\ é\n2"
    client.put_item(TableName="Clients", Item={"pk": {"S": odd}, "raw": {"B": b"\x00\xff"}, "n": {"N": "12"}})
    page = browse()
    go(page, "items/Clients")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("button", name="it's").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Do the same with").click()
    command = shown(dialog)
    dialog.get_by_role("tab", name="boto3").click()
    program = shown(dialog)
    environment = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo-secret", "AWS_PAGER": "", "PATH": "/usr/bin:/bin"}

    # As the shell and the AWS CLI take it apart, without the CLI: its words are the request's.
    words = subprocess.run(
        ["bash", "-c", command.replace("aws dynamodb", "printf '%s\\0'", 1)], env=environment, capture_output=True, check=True
    ).stdout.decode()
    options = dict(zip(words.split("\0")[1::2], words.split("\0")[2::2]))
    assert options["--table-name"] == "Clients"
    key = json.loads(options["--key"])
    assert client.get_item(TableName="Clients", Key=key)["Item"]["n"] == {"N": "12"}

    with_keys = program.replace("region_name=", 'aws_access_key_id="demo", aws_secret_access_key="demo-secret", region_name=', 1)
    space = {}
    exec(with_keys, space)  # noqa: S102 - the console's own text
    assert space["answer"]["Item"]["raw"] == {"B": b"\x00\xff"}


def shown(dialog):
    return dialog.locator("pre.command").first.inner_text()
