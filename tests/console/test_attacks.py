"""What must not work: markup that was stored, other origins, frames, and looking at what one may not see."""

import json
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import ClientError
from conftest import MARKUP, PLAIN_NAME, go, wait_until
from playwright.sync_api import expect
from test_story import cut_between


def test_stored_markup_is_only_text(world, browse):
    client = world.make_table("Markup", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
    client.put_item(TableName="Markup", Item={"pk": {"S": MARKUP}, MARKUP: {"S": MARKUP}, "deep": {"M": {MARKUP: {"L": [{"S": MARKUP}]}}}})
    client.put_item(TableName="Markup", Item={"pk": {"S": MARKUP}, MARKUP: {"S": MARKUP + "!"}, "formula": {"S": "=1+1"}})
    page = browse()
    go(page, "items/Markup")
    page.get_by_role("button", name="Run").click()
    cell = page.get_by_role("cell", name="<img src=x").first
    expect(cell).to_be_visible()
    with page.expect_download() as got:
        page.get_by_role("button", name="CSV").click()
    assert "'=1+1" in got.value.path().read_text(), "a spreadsheet would take it for a formula"
    cell.get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Value of pk")).to_have_value(MARKUP)
    dialog.get_by_role("tab", name="DynamoDB JSON").click()
    dialog.get_by_text("Do the same with").click()
    client.update_item(TableName="Markup", Key={"pk": {"S": MARKUP}}, UpdateExpression="SET another = :o", ExpressionAttributeValues={":o": {"S": MARKUP}})
    nothing_was_made_of_it(page)
    page.keyboard.press("Escape")
    go(page, "streams/Markup")
    page.get_by_label("Where to begin").select_option("TRIM_HORIZON")
    page.locator(".change summary").first.click()
    expect(page.locator(".change pre").first).to_contain_text("<img src=x")
    nothing_was_made_of_it(page)


def test_stored_markup_elsewhere_is_only_text(world, browse):
    """In policies, conflicts, names and descriptions: wherever a service takes such a text, and a page shows it."""
    client = world.make_table("MarkupToo", everywhere=True)
    with pytest.raises(ClientError) as refused:
        world.make_table(MARKUP)
    assert refused.value.response["Error"]["Code"] == "ValidationException", "a name with markup would have been taken"
    arn = client.describe_table(TableName="MarkupToo")["Table"]["TableArn"]
    for tag in ({"Key": MARKUP[:120], "Value": "x"}, {"Key": "team", "Value": MARKUP}):
        with pytest.raises(ClientError) as refused:
            client.tag_resource(ResourceArn=arn, Tags=[tag])
        assert refused.value.response["Error"]["Code"] == "ValidationException", "a tag with markup would have been taken"
    text = json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": "Markup", "Effect": "Allow", "Principal": "*", "Action": "dynamodb:GetItem", "Resource": arn, "Condition": {"StringEquals": {"aws:UserAgent": MARKUP}}}]})
    client.put_resource_policy(ResourceArn=arn, Policy=text)
    iam = world.client("iam")
    iam.create_user(UserName="markup")
    inline = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "*", "Condition": {"StringLike": {"aws:UserAgent": MARKUP}}}]}
    iam.put_user_policy(UserName="markup", PolicyName="inline", PolicyDocument=json.dumps(inline))
    managed = iam.create_policy(PolicyName="markup", PolicyDocument=json.dumps(inline), Description="<img src=x onerror=1>")["Policy"]["Arn"]
    role = "arn:aws:iam::000000000000:role/backups"
    backup = world.client("backup")
    backup.create_backup_vault(BackupVaultName="markup", BackupVaultTags={"team": MARKUP})
    plan = {"BackupPlanName": MARKUP[:50], "Rules": [{"RuleName": "daily", "TargetBackupVaultName": "markup", "ScheduleExpression": "cron(0 5 * * ? *)"}]}
    plan_id = backup.create_backup_plan(BackupPlan=plan)["BackupPlanId"]
    backup.create_backup_selection(BackupPlanId=plan_id, BackupSelection={"SelectionName": "all", "IamRoleArn": role, "Resources": [arn]})
    conflict_of(world, "MarkupToo")

    page = browse()
    for path, tab, shown in [
        ("tables/MarkupToo", "Policy", None),
        (f"access/policies/{urllib.parse.quote(managed, safe='')}", None, None),
        ("access/users/markup", "Policies", "inline"),
        ("vaults", None, "<img src=x"),
        ("streams/MarkupToo/kept", None, "<img src=x"),
    ]:
        go(page, path)
        if tab:
            page.get_by_role("tab", name=tab).click()
        if shown:
            expect(page.locator("main").get_by_text(shown).first).to_be_visible(timeout=30_000)
        else:
            expect(page.get_by_label("Policy (JSON)")).to_have_value(re.compile(re.escape("<img src=x")))
        nothing_was_made_of_it(page)
    page.get_by_role("button", name="Show the conflict of").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("<img src=x")
    nothing_was_made_of_it(page)
    go(page, "access/checker")
    page.get_by_label("Who").select_option(label="user markup")
    page.get_by_label("To what (ARN)").fill(arn)
    page.get_by_role("button", name="Add a condition key").click()
    page.get_by_label("Condition key", exact=True).fill("aws:UserAgent")
    page.get_by_label("Values, separated by commas").fill(MARKUP)
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("region", name="Decisions").locator("pre").first).to_contain_text("<img src=x")
    nothing_was_made_of_it(page)
    go(page, "streams/MarkupToo/conflicts")
    page.locator(".change summary").first.click()
    expect(page.locator(".change pre").first).to_contain_text("<img src=x")
    nothing_was_made_of_it(page)
    backup.delete_backup_selection(BackupPlanId=plan_id, SelectionId=backup.list_backup_selections(BackupPlanId=plan_id)["BackupSelectionsList"][0]["SelectionId"])
    backup.delete_backup_plan(BackupPlanId=plan_id)


def conflict_of(world, table):
    cut_between(world, "us-east-1", "eu-west-1", True)
    for region in ("us-east-1", "eu-west-1"):
        world.client(region=region).put_item(TableName=table, Item={"pk": {"S": MARKUP}, "by": {"S": MARKUP + region}})
    cut_between(world, "us-east-1", "eu-west-1", False)
    address = f"{world.console.rstrip('/')}/conflicts?table={table}"
    wait_until(lambda: json.load(urllib.request.urlopen(address, timeout=30))["conflicts"], "the conflict is kept")


def test_attributes_that_are_called_like_parts_of_the_language(world, browse):
    client = world.make_table("Names")
    names = ["__proto__", "constructor", "toString", "hasOwnProperty"]
    client.put_item(TableName="Names", Item={"pk": {"S": "has"}, **{name: {"S": f"my {name}"} for name in names}})
    client.put_item(TableName="Names", Item={"pk": {"S": "has not"}})
    page = browse()
    go(page, "items/Names")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("row").filter(has_text="has not")).to_have_text("has not")
    page.get_by_role("button", name="has", exact=True).click()
    dialog = page.get_by_role("dialog")
    for name in names:
        expect(dialog.get_by_label(f"Value of {name}")).to_have_value(f"my {name}")
    dialog.get_by_label("Value of __proto__").fill("another")
    dialog.get_by_role("button", name="Take toString away").click()
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog).to_be_hidden()
    item = client.get_item(TableName="Names", Key={"pk": {"S": "has"}})["Item"]
    assert item.pop("__proto__") == {"S": "another"} and "toString" not in item and len(item) == 3
    # Nor does an address lead anywhere else.
    for path in ("constructor", "__proto__", "access/constructor/x", "%E0%A4%A"):
        go(page, path)
        expect(page.get_by_role("navigation", name="Pages")).to_be_visible()


def nothing_was_made_of_it(page):
    assert page.locator("main img, dialog img, main script, [onload], [onerror]").count() == 0


def test_what_finds_markup_can_find_it_and_the_policy_holds_all_the_same(world, browse):
    """A negative control: a page with a hole, through which an item's text goes in as markup."""
    page = browse()
    go(page, "tables")
    expect(page.get_by_role("button", name="Create table")).to_be_visible()
    page.evaluate("(markup) => { document.querySelector('main').innerHTML = markup }", MARKUP)
    with pytest.raises(AssertionError):
        nothing_was_made_of_it(page)
    page.wait_for_timeout(300)
    assert page.evaluate("window.struck") is None
    assert any("Content Security Policy" in text for text in page.faults), page.faults
    page.faults.clear()


def test_pages_say_what_they_may_load_and_are_kept_by_their_content(world):
    answer = urllib.request.urlopen(world.console)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert policy.split("connect-src ")[1].split() == ["'self'", *(each["endpoint"] for each in world.regions.values())]
    for name, value in [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"), ("x-frame-options", "DENY")]:
        assert answer.headers[name] == value
    again = urllib.request.Request(world.console, headers={"if-none-match": answer.headers["etag"]})
    with pytest.raises(urllib.error.HTTPError) as unchanged:
        urllib.request.urlopen(again)
    assert unchanged.value.code == 304
    assert answer.headers["etag"] != urllib.request.urlopen(f"{world.console}console/app.js").headers["etag"]


def test_other_origins_change_nothing_and_read_nothing(world, browse):
    body = json.dumps({"cut": True}).encode()
    target = f"{world.console}wan/links/us-east-1/eu-west-1"
    host = world.console.removeprefix("http://").rstrip("/")
    port = host.rsplit(":")[-1]
    for headers in [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"https://{host}"},
        {"content-type": "text/plain"},
        # A name that was made to point here.
        {"host": f"evil.example:{port}", "origin": f"http://evil.example:{port}"},
    ]:
        for method, address in [("PUT", target), ("POST", f"{world.console}regions/eu-west-1/verify")]:
            request = urllib.request.Request(address, body, {"content-type": "application/json", **headers}, method=method)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request)
            assert refused.value.code == 403, (method, headers)

    with elsewhere() as address:
        page = browse(address=address, signs_in=False)
        outcome = page.evaluate(
            """async (base) => {
                 const tried = [fetch(`${base}console.json`), fetch(`${base}metrics`),
                   fetch(`${base}wan/links/us-east-1/eu-west-1`, { method: 'PUT', body: '{"cut":true}',
                     headers: { 'content-type': 'application/json' } })]
                 return (await Promise.allSettled(tried)).map(({ status }) => status)
               }""",
            world.console,
        )
        assert outcome == ["rejected"] * 3
        # Nor in a frame.
        page.evaluate("(base) => { const f = document.createElement('iframe'); f.src = base; document.body.append(f) }", world.console)
        page.wait_for_timeout(500)
        assert page.frames[1].url != world.console, "the console let itself be framed"
        assert any("frame-ancestors" in text for text in page.faults), page.faults
        # All of them say that something was refused, as it should be.
        page.faults.clear()
    assert not any(link["cut"] for link in json.load(urllib.request.urlopen(f"{world.console}wan/links")))


@contextmanager
def elsewhere():
    """A page of another origin."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title><body>")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def test_who_may_see_one_table_is_told_of_the_rest_plainly(world, browse):
    world.make_table("Mine")
    world.make_table("Theirs")
    world.client().put_item(TableName="Mine", Item={"pk": {"S": "a"}})
    iam = world.client("iam")
    iam.create_user(UserName="one-table")
    allowed = ["dynamodb:GetItem", "dynamodb:Scan", "dynamodb:Query", "dynamodb:DescribeTable"]
    statement = {"Effect": "Allow", "Action": allowed, "Resource": "arn:aws:dynamodb:*:*:table/Mine"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="one-table", PolicyName="mine", PolicyDocument=document)
    key = iam.create_access_key(UserName="one-table")["AccessKey"]
    page = browse(key=(key["AccessKeyId"], key["SecretAccessKey"]))

    go(page, "tables")
    expect(page.get_by_role("alert")).to_contain_text("Not allowed. User: arn:aws:iam::000000000000:user/one-table is not authorized")
    assert "Theirs" not in page.content()
    page.get_by_label("Open a table by its name").fill("Mine")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Mine")).to_be_visible()
    go(page, "items/Mine")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("button", name="a", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete? Press again").click()
    expect(dialog.get_by_role("alert")).to_contain_text("dynamodb:DeleteItem")
    page.keyboard.press("Escape")
    for path, action in [("items/Theirs", "DescribeTable"), ("recovery", "ListTables"), ("access", "ListUsers"), ("streams", "ListTables")]:
        go(page, path)
        expect(page.get_by_role("alert").first).to_contain_text(action)


def test_keys_are_kept_for_the_tab_only(world, browse):
    page = browse()
    assert page.evaluate("Object.keys(localStorage).length + document.cookie.length") == 0
    page.reload()
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    assert "demo-secret" not in page.evaluate("JSON.stringify(sessionStorage)")
    # Another tab has to sign in.
    other = page.context.new_page()
    other.goto(world.console)
    expect(other.get_by_role("button", name="Sign in")).to_be_visible()


def test_it_signs_without_web_crypto(world, browse):
    page = browse(address=world.console.replace("127.0.0.1", PLAIN_NAME))
    assert page.evaluate("[isSecureContext, typeof crypto.subtle]") == [False, "undefined"]
    go(page, "tables")
    expect(page.get_by_role("button", name="Create table")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
