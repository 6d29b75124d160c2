"""The whole story on three regions, all of it by the pages: a table, its replicas, items that arrive, a cut link and a conflict, what lost
brought back, a backup."""

import json
import re
import subprocess
import urllib.request
from pathlib import Path

import pytest
from conftest import ROOT, command, go, sign_in, wait_until
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
    nobodys_change_is_lost(world, page)
    conflict_is_made_and_restored(page)
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
        expect(page.get_by_role("status").filter(has_text="item")).to_be_visible()
        return page.get_by_role("cell", name=text).count() > 0

    wait_until(seen, f"an item with '{text}'")


def nobodys_change_is_lost(world, page):
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


def conflict_is_made_and_restored(page):
    """A link is cut, both of its regions write the same item, the link is healed: one of them has lost, and is brought back."""
    go(page, "world")
    link = page.get_by_role("button", name=re.compile("^Link us-east-1 – eu-west-1"))
    # By keyboard, as somebody without a mouse does it.
    link.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Cut the link").click()
    expect(page.get_by_role("button", name="Heal the link")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Link us-east-1 – eu-west-1: cut")).to_be_visible()
    # What they write would go the long way round, so the third region is cut off, too.
    page.get_by_role("button", name=re.compile("^Link us-east-1 – ap-northeast-1")).focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Cut the link").click()
    expect(page.get_by_role("button", name="Heal the link")).to_be_visible()
    page.keyboard.press("Escape")
    for region, text in [("us-east-1", "written in America"), ("eu-west-1", "written in Europe")]:
        page.get_by_label("Region", exact=True).select_option(region)
        go(page, "items/Story")
        change_item(page, "first", text)
    go(page, "world")
    for other in ("eu-west-1", "ap-northeast-1"):
        page.get_by_role("button", name=f"Link us-east-1 – {other}: cut").focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Heal the link").click()
        expect(page.get_by_role("button", name="Cut the link")).to_be_visible()
        # Each region has kept what its links were like.
        expect(page.get_by_text(re.compile(r"the last \d+"))).to_have_count(2, timeout=40_000)
        page.keyboard.press("Escape")

    page.get_by_label("Region", exact=True).select_option("us-east-1")
    go(page, "streams/Story/conflicts")
    lost = page.locator(".change").first
    expect(lost).to_contain_text("us-east-1’s write lost to eu-west-1’s", timeout=60_000)
    lost.locator("summary").click()
    expect(lost.locator(".removed")).to_contain_text("written in America")
    expect(lost.locator(".added")).to_contain_text("written in Europe")
    lost.get_by_role("button", name="Restore the loser").click()
    page.get_by_role("dialog").get_by_role("button", name="Restore", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_label("Region", exact=True).select_option("eu-west-1")
    go(page, "items/Story")
    see_item(page, "written in America")
    equal_everywhere(page)


def change_item(page, key, text):
    page.get_by_role("button", name="Run").click()
    page.get_by_role("button", name=key).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Value of text").fill(text)
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog).to_be_hidden()


def equal_everywhere(page):
    go(page, "world")
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
    expect(page.get_by_text("open shard")).to_be_visible()
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
    # What changed: the service says what is too short a time for that.
    dialog.get_by_label("What", exact=True).select_option("changes")
    dialog.get_by_role("button", name="Export", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("ValidationException")
    dialog.get_by_text("Do the same with").click()
    expect(dialog.locator("pre.command")).to_contain_text("--export-type INCREMENTAL_EXPORT")
    dialog.get_by_label("What", exact=True).select_option("moment")
    expect(dialog.locator("pre.command")).to_contain_text(re.compile(r"--export-time \d{10}"))
    dialog.get_by_role("button", name="Export", exact=True).click()
    expect(dialog).to_be_hidden()
    jobs = page.get_by_role("region", name="Exports and imports")
    row = jobs.get_by_role("row").filter(has_text="Moved")
    expect(row.get_by_text("COMPLETED")).to_be_visible(timeout=90_000)
    row.get_by_role("button", name="Details of the export of Moved").click()
    expect(dialog.locator(".facts")).to_contain_text("manifest-summary.json")
    expect(command(dialog)).to_contain_text("aws dynamodb describe-export")
    page.keyboard.press("Escape")
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


def test_a_csv_with_its_own_columns_is_imported_and_its_errors_are_told(world, browse):
    bucket = world.buckets / "lists"
    bucket.mkdir(parents=True)
    (bucket / "people.csv").write_text("ada;36\n;7\ngrace;85\n")
    page = browse()
    go(page, "recovery")
    page.get_by_role("button", name="Import a table").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name of the new table")).to_be_focused()
    dialog.get_by_label("Name of the new table").fill("People")
    dialog.get_by_label("Bucket").fill("lists")
    expect(dialog.get_by_label("Separated by")).to_be_hidden()
    dialog.get_by_label("Format").select_option("CSV")
    dialog.get_by_label("Separated by").select_option(label="semicolon")
    dialog.get_by_label("Columns").fill("name, age")
    dialog.get_by_label("Partition key", exact=True).fill("name")
    dialog.get_by_text("Indexes", exact=True).click()
    dialog.get_by_role("button", name="Add an index").click()
    index = dialog.get_by_role("group", name="Index")
    index.get_by_label("Index name").fill("by-age")
    index.get_by_label("Partition key", exact=True).fill("age")
    index.get_by_label("Type of the partition key").select_option("N")
    # What an import makes has neither.
    expect(index.get_by_label("Kind")).to_have_count(0)
    expect(dialog.get_by_text("Warm throughput")).to_have_count(0)
    expect(command(dialog)).to_contain_text('"GlobalSecondaryIndexes":[{"IndexName":"by-age"')
    expect(command(dialog)).to_contain_text('--input-format-options \'{"Csv":{"Delimiter":";","HeaderList":["name","age"]}}\'')
    dialog.get_by_role("button", name="Import", exact=True).click()
    expect(dialog).to_be_hidden()
    row = page.get_by_role("region", name="Exports and imports").get_by_role("row").filter(has_text="People")
    expect(row).to_contain_text("1 item had errors", timeout=90_000)
    row.get_by_role("button", name="Details of the import of People").click()
    expect(dialog.locator(".facts")).to_contain_text("separated by ;; columns name, age")
    expect(dialog).to_contain_text(re.compile(r"geodynamo import errors [\w-]+"))
    items = world.client().scan(TableName="People")["Items"]
    # A key's attribute is what the key says; any other column is a string.
    assert {item["name"]["S"]: item["age"] for item in items} == {"ada": {"N": "36"}, "grace": {"N": "85"}}
    of_age = {"KeyConditionExpression": "age = :age", "ExpressionAttributeValues": {":age": {"N": "36"}}}
    found = world.client().query(TableName="People", IndexName="by-age", **of_age)["Items"]
    assert [item["name"]["S"] for item in found] == ["ada"]


def test_items_of_a_bucket_are_put_and_an_operation_is_cancelled(world, browse):
    client = world.make_table("Stocked")
    bucket = world.buckets / "stock"
    bucket.mkdir(parents=True)
    line = lambda key, **more: json.dumps({"Item": {"pk": {"S": key}}, **more}) + "\n"
    client.put_item(TableName="Stocked", Item={"pk": {"S": "here"}})
    (bucket / "one.json").write_text(line("a") + line("here", ConditionExpression="attribute_not_exists(pk)") + "{broken\n")
    (bucket / "many.json").write_text("".join(line(f"k{number}") for number in range(40_000)))
    page = browse()
    go(page, "recovery")
    dialog = page.get_by_role("dialog")
    operations = page.get_by_role("region", name="Bulk operations")

    def put(prefix, rate):
        page.get_by_role("button", name="Put items …").click()
        dialog.get_by_label("Table", exact=True).select_option("Stocked")
        dialog.get_by_label("Bucket", exact=True).fill("stock")
        dialog.get_by_label("Prefix", exact=True).fill(prefix)
        dialog.get_by_label("Bucket of reports").fill("stock-told")
        dialog.get_by_label("Most write units a second").fill(rate)
        expect(command(dialog)).to_contain_text("aws dynamodb start-bulk-put-items")
        dialog.get_by_role("button", name="Put", exact=True).click()
        expect(dialog).to_be_hidden()

    put("one", "")
    there = operations.get_by_role("row").filter(has_text="stock / one")
    expect(there.get_by_text("COMPLETED_WITH_ERRORS")).to_be_visible(timeout=90_000)
    expect(there).to_contain_text("1 item not put")
    there.get_by_role("button", name="Details of the bulk operation on Stocked").click()
    expect(dialog.locator(".facts")).to_contain_text("errors, failed conditions")
    expect(command(dialog)).to_contain_text("aws dynamodb describe-bulk-operation")
    page.keyboard.press("Escape")
    assert client.get_item(TableName="Stocked", Key={"pk": {"S": "a"}})["Item"]
    assert list((world.buckets / "stock-told").glob("**/error/*.json"))

    put("many", "1024")
    there = operations.get_by_role("row").filter(has_text="stock / many")
    expect(there.get_by_role("progressbar")).to_be_visible(timeout=60_000)
    expect(there).to_contain_text(re.compile(r" of [\d.]+ MB read"), timeout=60_000)
    there.get_by_role("button", name="Cancel the bulk operation on Stocked").click()
    expect(command(dialog)).to_contain_text("aws dynamodb cancel-bulk-operation")
    dialog.get_by_role("button", name="Cancel it").click()
    expect(there.get_by_text("CANCELLED", exact=True)).to_be_visible(timeout=60_000)
    expect(there.get_by_role("button", name="Cancel the bulk operation on Stocked")).to_have_count(0)
    assert client.scan(TableName="Stocked", Select="COUNT")["Count"] < 40_000
    # One that reads what is not there fails, and says why.
    put("absent", "")
    there = operations.get_by_role("row").filter(has_text="stock / absent")
    expect(there.get_by_text("FAILED", exact=True)).to_be_visible(timeout=60_000)


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


def test_what_is_shown_in_javascript_and_rust_is_taken_there(world, browse):
    """JavaScript runs with the AWS SDK as it stands; Rust is read by rustfmt, which takes nothing that is no Rust."""
    client = world.make_table("Languages")
    odd = "it's \"odd\" ${x} `y` \\ é\n\u0007\u2028 2"
    names = ["__proto__", "a b", "class", "n"]
    item = {"pk": {"S": odd}, "raw": {"B": b"\x00\xff"}, "many": {"L": [{"BOOL": True}, {"NULL": True}, {"M": {"x y": {"NS": ["1", "2"]}}}, {"BS": [b"\x01"]}, {"SS": ["\"", "\\"]}]}}
    client.put_item(TableName="Languages", Item=item | {name: {"N": "12"} for name in names})
    page = browse()
    go(page, "items/Languages")
    page.get_by_role("button", name="Add a filter").click()
    page.get_by_label("Attribute", exact=True).fill("n")
    page.get_by_label("Type", exact=True).select_option("N")
    page.get_by_label("Value", exact=True).fill("12")
    scan = in_languages(page.locator("main"))
    page.get_by_role("button", name="Run").click()
    page.get_by_role("button", name="it's").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Value of n").fill("13")
    put = in_languages(dialog)
    assert in_node(scan["JavaScript"])["Items"][0]["n"] == {"N": "12"}
    in_node(put["JavaScript"])
    for text in (scan["Rust"], put["Rust"]):
        assert in_rust(text) == "", text
    # Both can fail.
    assert in_rust(put["Rust"].replace(".send()", ".send(")) != ""
    with pytest.raises(AssertionError):
        in_node(scan["JavaScript"].replace("send(", "send((", 1))


def in_languages(place):
    place.get_by_text("Do the same with").first.click()
    found = {}
    for language in ("JavaScript", "Rust"):
        place.get_by_role("tab", name=language, exact=True).click()
        found[language] = shown(place)
    return found


def in_node(program):
    """What a program's answer is, in the same Node.js and SDK as the tests of libraries."""
    told = subprocess.run([ROOT / "scripts/library-envs"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    places = dict(line.split("=", 1) for line in told.split())
    folder = Path(places["node_modules"]).parent
    text = f"{program}\nconsole.log(JSON.stringify(answer))\n"
    environment = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo-secret", "PATH": "/usr/bin:/bin"}
    command = [places["node"], "--input-type=module", "--eval", text]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:] + program
    return json.loads(done.stdout)


def in_rust(program):
    """What rustfmt has against a program's text; nothing if it is Rust."""
    text = f"async fn ask() -> Result<(), Box<dyn std::error::Error>> {{\n{program}\nOk(())\n}}\n"
    done = subprocess.run(["rustfmt", "--edition", "2021", "--emit", "stdout"], input=text, capture_output=True, text=True, timeout=60)
    return done.stderr


def shown(dialog):
    return dialog.locator("pre.command").first.inner_text()
