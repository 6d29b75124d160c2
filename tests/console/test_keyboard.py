"""Without a mouse: where the focus is, and goes to. And what errors say to do."""

import re

from conftest import go, wait_until
from playwright.sync_api import expect


def focused(page):
    return page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent || document.activeElement.localName")


def test_the_first_stop_leads_past_the_names_of_pages(world, browse):
    page = browse()
    expect(page.get_by_role("link", name="To the page")).not_to_be_in_viewport()
    page.reload()
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the page")).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert focused(page) == "World"
    page.keyboard.press("Tab")
    assert focused(page) == "Region"


def test_whoever_follows_a_link_goes_on_at_the_heading(world, browse):
    world.make_table("Reached")
    page = browse()
    go(page, "tables")
    page.get_by_role("link", name="Reached", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Indexes")).to_be_visible()
    wait_until(lambda: focused(page) == "Reached", "the heading has the focus")
    # By the names of pages, which stay, it stays there.
    page.get_by_role("link", name="Verify", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Verify all now")).to_be_visible()
    assert focused(page) == "Verify"
    expect(page.get_by_role("link", name="Verify", exact=True)).to_be_focused()


def test_a_dialog_begins_at_its_first_field_and_gives_the_focus_back(world, browse):
    world.make_table("Given")
    page = browse()
    go(page, "recovery")
    opener = page.get_by_role("button", name="Back up Given")
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name of the backup")).to_be_focused()
    # The page behind it is drawn anew every other second.
    page.evaluate("document.querySelector('[aria-label=\"Back up Given\"]').dataset.old = 'yes'")
    wait_until(lambda: page.evaluate("!document.querySelector('[data-old]')"), "the page is drawn anew")
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()
    # What is asked before something goes for good begins at the way back, and goes on at Enter only when the word is there.
    go(page, "tables/Given")
    page.get_by_role("button", name="Delete table").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Type Given to confirm").first).to_be_focused()
    page.keyboard.type("Give")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    page.keyboard.type("n")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("heading", name="Tables", exact=True)).to_be_visible()


def test_a_button_keeps_the_focus_while_it_works(world, browse):
    page = browse()
    go(page, "verify")
    begin = page.get_by_role("button", name="Verify all now")
    expect(begin).to_be_enabled()
    begin.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".note")).to_contain_text("being verified")
    expect(begin).to_be_enabled()
    expect(begin).to_be_focused()


def test_tabs_are_walked_by_arrows(world, browse):
    world.make_table("Walked")
    page = browse()
    go(page, "tables/Walked")
    page.get_by_role("tab", name="Indexes").focus()
    for key, expected in [("ArrowRight", "Replicas"), ("End", "Policy"), ("ArrowRight", "Indexes"), ("ArrowLeft", "Policy"), ("Home", "Indexes")]:
        page.keyboard.press(key)
        expect(page.get_by_role("tab", name=expected)).to_be_focused()
        expect(page.get_by_role("tab", name=expected)).to_have_attribute("aria-selected", "true")


def test_refusals_lead_to_what_decides(world, browse):
    iam = world.client("iam")
    iam.create_user(UserName="newcomer")
    made = iam.create_access_key(UserName="newcomer")["AccessKey"]
    page = browse(key=(made["AccessKeyId"], made["SecretAccessKey"]))
    go(page, "tables")
    alert = page.get_by_role("alert").first
    expect(alert).to_contain_text("dynamodb:ListTables")
    expect(alert.get_by_role("link", name="Which statement decides?")).to_have_attribute("href", "#/access/checker")
    # A key that is gone: the way to another one, and back to the page.
    iam.delete_access_key(UserName="newcomer", AccessKeyId=made["AccessKeyId"])

    def is_over():
        go(page, "items")
        page.reload()
        expect(page.get_by_role("alert").first).to_be_visible()
        return page.get_by_role("link", name="Sign in again").count() > 0

    wait_until(is_over, "the key is refused")
    page.get_by_role("link", name="Sign in again").first.click()
    page.get_by_label("Access key ID").fill(world.home["access_key_id"])
    page.get_by_label("Secret access key").fill(world.home["secret_access_key"])
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Items", exact=True)).to_be_visible()
    assert page.url.endswith("#/items")


def test_a_server_that_does_not_answer_is_named(world, browse):
    page = browse()
    page.context.route("**/metrics", lambda route: route.abort())
    go(page, "now")
    alert = page.get_by_role("alert").first
    expect(alert).to_contain_text(re.compile(r"The admin port at 127\.0\.0\.1:\d+, which these pages come from, does not answer"))
    expect(alert).to_contain_text("Is the region running?")
    # Once it answers, the page goes on by itself.
    page.context.unroute("**/metrics")
    expect(page.get_by_role("region", name="Operations")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_table_that_is_not_there_leads_to_those_that_are(world, browse):
    page = browse()
    go(page, "tables/Nowhere")
    alert = page.get_by_role("alert").first
    expect(alert).to_contain_text("ResourceNotFoundException")
    alert.get_by_role("link", name="Tables of this region").click()
    expect(page.get_by_role("button", name="Create table")).to_be_visible()


def test_a_region_without_tables_says_how_to_get_one(alone, browse):
    page = browse(key=alone.key, address=alone.console, signs_in=True)
    page.route("**/*", lambda route: route.fulfill(json={"TableNames": []}) if asks_for_tables(route) else route.fallback())
    go(page, "tables")
    main = page.locator("main")
    expect(main).to_contain_text("No tables yet.")
    expect(main.locator("pre.command")).to_contain_text(f"AWS_ENDPOINT_URL_DYNAMODB={alone.endpoint}")
    page.get_by_role("button", name="Create the first table").click()
    expect(page.get_by_role("dialog").get_by_label("Table name")).to_be_focused()
    page.keyboard.press("Escape")
    for path in ("items", "recovery"):
        go(page, path)
        expect(main).to_contain_text("There are no tables in this region yet.")


def asks_for_tables(route):
    return route.request.method == "POST" and route.request.headers.get("x-amz-target", "").endswith(".ListTables")
