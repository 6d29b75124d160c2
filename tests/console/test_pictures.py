"""What every page looks like, against the pictures in docs/pictures/console, which README and the book show.

Figures that are other ones each time (times, sizes, rates, ids) are written over with fixed ones before a picture is taken. A picture
may differ from the kept one in a small share of its pixels. `make pictures` keeps them as they are now."""

import base64
import json
import re
import urllib.request
from pathlib import Path

import pytest
from conftest import go, running_alone, running_demo, sign_in, wait_until
from playwright.sync_api import expect

KEPT = Path(__file__).resolve().parent.parent.parent / "docs/pictures/console"
# The share of pixels that may differ, and how far a colour may be off, of 255, to be no difference.
SHARE_MAX = 0.001
CHANNEL_MAX = 24
PHONE = {"width": 390, "height": 844}
# Page, what is there when it is whole, and which of its tabs.
PAGES = {
    "world": ("world", "Links"),
    "tables": ("tables", "orders"),
    "table": ("tables/orders", "Indexes"),
    "table-replicas": ("tables/orders", "Indexes", "Replicas"),
    "table-settings": ("tables/orders", "Indexes", "Settings"),
    "table-scaling": ("tables/orders", "Indexes", "Scaling"),
    "table-tags": ("tables/orders", "Indexes", "Tags"),
    "table-policy": ("tables/orders", "Indexes", "Policy"),
    "items": ("items/orders", "Scan"),
    "streams": ("streams", "Tables with a stream"),
    "conflicts": ("streams/orders/kept", "1 conflict"),
    "recovery": ("recovery", "Backups"),
    "vaults": ("vaults", "every-morning"),
    "verify": ("verify", "equal"),
    "access": ("access", "clerk"),
    "user": ("access/users/clerk", "read-orders"),
    "groups": ("access/groups", "packers"),
    "roles": ("access/roles", "backups"),
    "policies": ("access/policies", "read-orders"),
    "checker": ("access/checker", "Does what"),
    "accounts": ("access/accounts", "the cluster’s own"),
    "now": ("now", "Operations"),
}
ALONE = {"reactions": ("reactions", "following"), "keys": ("keys", "new files")}
DARK = ["world", "items", "now"]
ON_A_PHONE = ["tables", "items", "verify"]

# Counts the calls under way, so that it can be seen when a page has all it asked for.
COUNTING = """
  const real = window.fetch
  let pending = 0
  window.fetch = async (...all) => {
    pending++
    try { return await real(...all) } finally { pending-- }
  }
  window.isQuiet = () => pending === 0
"""
# Pages ask only while they are seen.
HIDE = "Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' })"
FIXED = r"""() => {
  const rules = [
    [/\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?Z?)?/g, '2026-11-30 06:12:00'],
    [/127\.0\.0\.1:\d+/g, '127.0.0.1:8000'],
    [/\/tmp\/[^ ]*/g, '/srv/lake'],
    [/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, '0a1b2c3d-0000-4000-8000-0a1b2c3d4e5f'],
    [/\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b/g, '0a1b2c3d'],
    [/\b(AKIA|AIDA|AROA|AGPA|ANPA)\w{10,}/g, '$1EXAMPLEEXAMPLE00'],
    [/(sequence number) \d+/g, '$1 000000000000000000001'],
  ]
  const SIZE = /\d+(\.\d+)? (B|KB|MB|GB|TB)\b/g
  const TIME = /\d+(\.\d+)? (µs|ms|s|min|h)\b/g
  const NUMBER = /(?<![\w.-])\d[\d,]*(\.\d+)?(?![\w.])/g
  const walker = document.createTreeWalker(document.getElementById('app'), NodeFilter.SHOW_TEXT)
  const texts = []
  while (walker.nextNode()) texts.push(walker.currentNode)
  for (const text of texts) {
    const parent = text.parentElement
    let said = text.data
    for (const [pattern, fixed] of rules) said = said.replace(pattern, fixed)
    // Up to when: of a region that has written nothing yet, nothing.
    if (parent.matches('td > .line') && said === '–') said = '2026-11-30 06:12:00'
    if (!parent.closest('.legend, p')) said = said.replace(SIZE, '64 MB').replace(TIME, '12 ms')
    if (parent.closest('.tile') && !/MB|ms/.test(said)) said = said.replace(NUMBER, '28')
    else if (parent.closest('.tile')) said = said.replace(/\d+ conflicts?/, '3 conflicts')
    else if (parent.closest('.facts')) said = said.replace(/^[\d,]+$/, '28')
    if (parent.closest('.chart')) said = '28'
    if (said !== text.data) text.data = said
  }
  for (const cell of document.querySelectorAll('td.number')) {
    const said = cell.textContent
    cell.textContent = /[KMGT]?B$/.test(said) ? '64 MB' : /(µs|ms|s|min|h)$/.test(said) ? '12 ms' : '28'
  }
  // A size or a time may or may not have been there.
  const columns = { 'Oldest record': '12 ms', Behind: '12 ms', Lag: '12 ms', 'Arrival p99': '12 ms', 'Round trip': '12 ms', 'Bytes/s': '64 MB', p50: '12 ms', p99: '12 ms', 'p99.9': '12 ms', Size: '64 MB' }
  for (const table of document.querySelectorAll('table')) {
    const titles = [...table.querySelectorAll('th')].map((each) => each.textContent)
    for (const line of table.querySelectorAll('tbody tr')) {
      ;[...line.children].forEach((cell, i) => columns[titles[i]] && (cell.textContent = columns[titles[i]]))
    }
  }
  for (const big of document.querySelectorAll('.tile .big')) if (big.firstChild?.data?.startsWith('–')) big.firstChild.data = '28'
  for (const tile of document.querySelectorAll('.tile')) {
    if (tile.querySelector('.name')?.textContent !== 'p99') continue
    tile.querySelector('.big').textContent = '12 ms'
    tile.querySelector('.hint').textContent = 'p50 12 ms'
  }
  // The busiest come first, and that depends on the moment.
  const lines = document.querySelector('[aria-label="Operations"] tbody')
  lines?.append(...[...lines.children].sort((a, b) => (a.textContent < b.textContent ? -1 : 1)))
  // What is drawn of figures.
  document.querySelectorAll('.chart').forEach((chart) =>
    chart.querySelectorAll('path.line').forEach((line, i) => {
      const y = (x) => 30 + 25 * i + 9 * Math.sin(x / 40 + i) + 5 * Math.cos(x / 17)
      line.setAttribute('d', Array.from({ length: 50 }, (_, n) => `${n ? 'L' : 'M'}${54 + n * 10} ${y(n * 10).toFixed(1)}`).join(''))
    }),
  )
  for (const drawn of document.querySelectorAll('.map .flow, .window .open, .window .backup')) drawn.remove()
  for (const tag of document.querySelectorAll('.map .tag')) if (tag.textContent !== 'cut') tag.textContent = '80 ms'
}"""
COMPARE = """async ([kept, seen, most]) => {
  const pixels = async (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
    const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }))
    const context = new OffscreenCanvas(image.width, image.height).getContext('2d')
    context.drawImage(image, 0, 0)
    return context.getImageData(0, 0, image.width, image.height)
  }
  const [a, b] = [await pixels(kept), await pixels(seen)]
  if (a.width !== b.width || a.height !== b.height) return 1
  let differing = 0
  for (let at = 0; at < a.data.length; at += 4) {
    if ([0, 1, 2].some((channel) => Math.abs(a.data[at + channel] - b.data[at + channel]) > most)) differing++
  }
  return differing / (a.data.length / 4)
}"""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """Three regions of its own: other tests' tables are in no picture."""
    with running_demo(tmp_path_factory.mktemp("gallery")) as world:
        client = world.make_table(
            "orders",
            everywhere=True,
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
            Tags=[{"Key": "team", "Value": "shop"}],
        )
        world.make_table("customers")
        cities = ["Berlin", "Tokyo", "New York", "Lisbon", "Nairobi"]
        for n in range(24):
            item = {"pk": {"S": f"order-{n:03}"}, "city": {"S": cities[n % 5]}, "total": {"N": str(20 + n * 7)}, "paid": {"BOOL": n % 3 > 0}}
            client.put_item(TableName="orders", Item=item)
        client.create_backup(TableName="orders", BackupName="before-the-sale")
        principals(world.client("iam"))
        conflict(world, {"pk": {"S": "order-003"}, "city": {"S": "Lisbon"}, "total": {"N": "41"}, "paid": {"BOOL": False}})
        vault(world.client("backup"))
        yield world


def conflict(world, item):
    """The item is written in one region with another city, and in another one, later, as it was: that wins."""
    cut(world, True)
    world.client().put_item(TableName="orders", Item=item | {"city": {"S": "Porto"}})
    world.client(region="eu-west-1").put_item(TableName="orders", Item=item)
    cut(world, False)

    def is_kept():
        with urllib.request.urlopen(f"{world.console.rstrip('/')}/conflicts?table=orders", timeout=30) as answer:
            return json.load(answer)["conflicts"]

    wait_until(is_kept, "the conflict is kept")


def principals(iam):
    reads = {"Effect": "Allow", "Action": ["dynamodb:GetItem", "dynamodb:Query"], "Resource": "arn:aws:dynamodb:*:*:table/orders"}
    trusts = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "sts:AssumeRole"}
    document = lambda statement: json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.create_user(UserName="clerk")
    iam.create_group(GroupName="packers")
    iam.add_user_to_group(GroupName="packers", UserName="clerk")
    iam.create_role(RoleName="backups", AssumeRolePolicyDocument=document(trusts))
    arn = iam.create_policy(PolicyName="read-orders", PolicyDocument=document(reads))["Policy"]["Arn"]
    iam.attach_user_policy(UserName="clerk", PolicyArn=arn)


def vault(backup):
    role = "arn:aws:iam::000000000000:role/backups"
    orders = "arn:aws:dynamodb:us-east-1:000000000000:table/orders"
    life = {"DeleteAfterDays": 35}
    backup.create_backup_vault(BackupVaultName="daily")
    job = backup.start_backup_job(BackupVaultName="daily", ResourceArn=orders, IamRoleArn=role, Lifecycle=life)["BackupJobId"]
    rule = {
        "RuleName": "every-morning",
        "TargetBackupVaultName": "daily",
        "ScheduleExpression": "cron(0 5 * * ? *)",
        "ScheduleExpressionTimezone": "Europe/Berlin",
        "Lifecycle": life,
    }
    plan = backup.create_backup_plan(BackupPlan={"BackupPlanName": "orders", "Rules": [rule]})["BackupPlanId"]
    backup.create_backup_selection(BackupPlanId=plan, BackupSelection={"SelectionName": "all", "IamRoleArn": role, "Resources": [orders]})
    wait_until(lambda: backup.describe_backup_job(BackupJobId=job)["State"] == "COMPLETED", "the backup is made")


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    with running_alone(tmp_path_factory.mktemp("followed")) as alone:
        client = alone.client()
        client.create_table(
            TableName="Followed",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        arn = client.describe_table(TableName="Followed")["Table"]["LatestStreamArn"]
        mappings = alone.client("lambda")
        mapping = mappings.create_event_source_mapping(EventSourceArn=arn, FunctionName="thumbs", StartingPosition="LATEST")["UUID"]
        wait_until(lambda: mappings.get_event_source_mapping(UUID=mapping)["State"] == "Enabled", "the trigger is enabled")
        yield alone


@pytest.fixture(scope="module")
def judge(chromium):
    """Compares two pictures: the share of pixels that differ."""
    page = chromium.new_context().new_page()
    text = lambda picture: base64.b64encode(picture).decode()
    yield lambda kept, seen: page.evaluate(COMPARE, [text(kept), text(seen), CHANNEL_MAX])
    page.context.close()


def settle(page, path, mark, tab=None):
    """Opens a page, waits until it has all it asked for, and keeps it as it is then."""
    page.evaluate("delete document.visibilityState")
    go(page, path)
    expect(page.locator("main").get_by_text(mark).first).to_be_visible(timeout=60_000)
    if tab or path == "tables/orders":
        page.get_by_role("tab", name=tab or mark, exact=True).click()
    if path.startswith("items/"):
        page.get_by_role("button", name="Run").click()
        expect(page.get_by_role("region", name="Items", exact=True)).to_be_visible()
    if path == "world":
        expect(page.locator("main .badge").filter(has_text="ready")).to_have_count(3)
        # By the map: a link that was down comes up by itself, and one that is cut goes down.
        expect(page.locator(".map .link.line.good")).to_have_count(2 if mark == "cut" else 3, timeout=60_000)
        expect(page.locator("main .badge").filter(has_text=re.compile("^(down|behind|unknown)$"))).to_have_count(0, timeout=60_000)
    if path == "now":
        expect(page.get_by_text("Writes", exact=True)).to_be_visible()
    page.evaluate(HIDE)
    wait_until(lambda: all(page.evaluate("new Promise((done) => setTimeout(() => done(isQuiet()), 60))") for _ in range(3)), "it is quiet")
    still(page)


def still(page):
    """Nothing is pointed at, and no figure is another one next time."""
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement?.blur()")
    page.evaluate(FIXED)


def opened_change(page, change):
    """Opens a change that is there, or will be, with its old and new side by side."""
    page.get_by_role("log").locator("summary").filter(has_text=change).first.click()
    still(page)


def picture(page):
    return page.screenshot(animations="disabled", caret="hide")


def judged(request, tmp_path, judge, name, seen):
    """Nothing, or what is wrong with a picture."""
    file = KEPT / f"{name}.png"
    if request.config.getoption("--renew-pictures"):
        # One that is as good as the same stays, byte for byte.
        if not file.exists() or judge(file.read_bytes(), seen) > SHARE_MAX / 3:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(seen)
        return None
    if not file.exists():
        return f"{name}: there is no picture; `make pictures` makes it"
    share = judge(file.read_bytes(), seen)
    print(f"{name}: {share:.3%} of the pixels differ")
    if share <= SHARE_MAX:
        return None
    (tmp_path / f"{name}.png").write_bytes(seen)
    return f"{name}: {share:.2%} of the pixels differ; it is in {tmp_path / f'{name}.png'}"


def opened(browse, of, **settings):
    page = browse(signs_in=False, address=of.console, reduced_motion="reduce", timezone_id="UTC", locale="en-US", **settings)
    page.context.add_init_script(COUNTING)
    page.reload()
    return page


def prove_equal(world):
    """Regions verify by themselves, but not at once."""

    def ask(region, method):
        asked = urllib.request.Request(f"{region['console'].rstrip('/')}/verify", method=method)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)

    def is_proven(pair):
        return not pair["running"] and all(partition["proven"] for partition in pair["partitions"])

    for region in world.regions.values():
        ask(region, "POST")
    reports = lambda: [pair for region in world.regions.values() for table in ask(region, "GET")["tables"] for pair in table["peers"].values()]
    wait_until(lambda: all(map(is_proven, reports())), "all is proven equal")


def test_pages_look_as_they_did(gallery, followed, browse, judge, request, tmp_path):
    prove_equal(gallery)
    wrong = []
    page = opened(browse, gallery)
    page.evaluate(FIXED)
    wrong.append(judged(request, tmp_path, judge, "sign-in", picture(page)))
    sign_in(page, gallery.home["access_key_id"], gallery.home["secret_access_key"])
    for scheme, names in [("light", [*PAGES]), ("dark", DARK)]:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for name in names:
            settle(page, *PAGES[name])
            wrong.append(judged(request, tmp_path, judge, name if scheme == "light" else f"{name}-{scheme}", picture(page)))
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    settle(page, *PAGES["items"])
    page.get_by_role("button", name="order-003").click()
    expect(page.get_by_label("Value of city")).to_have_value("Lisbon")
    page.evaluate("document.activeElement.blur()")
    wrong.append(judged(request, tmp_path, judge, "editor", picture(page)))
    page.keyboard.press("Escape")
    page.set_viewport_size(PHONE)
    for name in ON_A_PHONE:
        settle(page, *PAGES[name])
        wrong.append(judged(request, tmp_path, judge, f"{name}-phone", picture(page)))
    alone = opened(browse, followed)
    sign_in(alone, *followed.key)
    for name, (path, mark) in ALONE.items():
        settle(alone, path, mark)
        wrong.append(judged(request, tmp_path, judge, name, picture(alone)))
    page.set_viewport_size({"width": 1280, "height": 720})
    settle(page, "streams/orders/conflicts", "order-003")
    opened_change(page, "CONFLICT")
    wrong.append(judged(request, tmp_path, judge, "lost", picture(page)))
    # A tail is of what is written while somebody looks.
    settle(page, "streams/orders", "open shard")
    gallery.client().put_item(TableName="orders", Item={"pk": {"S": "order-012"}, "city": {"S": "Oslo"}, "total": {"N": "104"}, "paid": {"BOOL": True}})
    opened_change(page, "MODIFY")
    wrong.append(judged(request, tmp_path, judge, "tail", picture(page)))
    cut(gallery, True)
    settle(page, "world", "cut")
    wrong.append(judged(request, tmp_path, judge, "world-cut", picture(page)))
    cut(gallery, False)
    assert [each for each in wrong if each] == []


def cut(world, is_cut):
    for link in ("us-east-1/eu-west-1", "eu-west-1/us-east-1"):
        body = json.dumps({"cut": is_cut}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{world.wan}/links/{link}", data=body, method="PUT"), timeout=30):
            pass


@pytest.mark.parametrize("change", [":root { --accent: #b3261e }", "td { padding-top: 8px }", ".badge.good { background: #fce4e2 }"])
def test_what_looks_otherwise_is_found(gallery, browse, judge, change):
    page = opened(browse, gallery)
    sign_in(page, gallery.home["access_key_id"], gallery.home["secret_access_key"])
    settle(page, *PAGES["tables"])
    before = picture(page)
    assert judge(before, picture(page)) == 0
    page.evaluate("(css) => { const sheet = new CSSStyleSheet(); sheet.replaceSync(css); document.adoptedStyleSheets = [sheet] }", change)
    share = judge(before, picture(page))
    print(f"{change}: {share:.2%}")
    assert share > SHARE_MAX
