//! Updates of items.

use std::collections::BTreeMap;

use geodynamo_expression::{Context, Update, UpdateError};
use geodynamo_item::{
    AttributeValue, Item,
    size::{self, ITEM_BYTES_MAX},
};

use crate::values::*;

fn sample() -> Item {
    item([
        ("a", n("1")),
        ("txt", s("hello")),
        ("words", ss(&["r", "s"])),
        ("numbers", ns(&["1", "2"])),
        ("blobs", bs(&[b"\x01", b"\x02"])),
        ("li", l([n("0"), n("1"), n("2")])),
        (
            "doc",
            m([("x", n("1")), ("li", l([m([("k", s("v"))])])), ("words", ss(&["s"]))]),
        ),
    ])
}

/// Applies an update to the sample; `change` makes by hand what it must give.
fn check(text: &str, change: impl FnOnce(&mut Item)) {
    let given = Given::new();
    let update = Update::parse(text, &mut given.context()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut expect = sample();
    change(&mut expect);
    assert_eq!(update.apply(&sample()), Ok(expect), "{text}");
}

fn set(name: &str, value: AttributeValue) -> impl FnOnce(&mut Item) {
    move |item| {
        item.insert(name.into(), value);
    }
}

fn remove(name: &str) -> impl FnOnce(&mut Item) {
    move |item| {
        item.remove(name);
    }
}

#[test]
fn set_values() {
    check("SET a = :five", set("a", n("5")));
    check("set novel = :map", set("novel", m([("x", n("1"))])));
    check("SET a = a + :five", set("a", n("6")));
    check("SET a = :five - a", set("a", n("4")));
    check("SET a = (:five - a)", set("a", n("4")));
    check("SET a = (:five) - (a)", set("a", n("4")));
    check("SET hits = if_not_exists(hits, :zero) + :one", set("hits", n("1")));
    check("SET a = if_not_exists(a, :zero) + :one", set("a", n("2")));
    check("SET novel = if_not_exists(nope, txt)", set("novel", s("hello")));
    check(
        "SET li = list_append(li, :list)",
        set("li", l([n("0"), n("1"), n("2"), n("1")])),
    );
    check(
        "SET li = list_append(:list, li)",
        set("li", l([n("1"), n("0"), n("1"), n("2")])),
    );
    check(
        "SET novel = list_append(if_not_exists(novel, :empty), :list)",
        set("novel", l([n("1")])),
    );
}

#[test]
fn operands_are_the_old_items() {
    check("SET a = txt, txt = a", |item| {
        item.insert("a".into(), s("hello"));
        item.insert("txt".into(), n("1"));
    });
    check("SET novel = a REMOVE a", |item| {
        item.insert("novel".into(), n("1"));
        item.remove("a");
    });
    check(
        "SET li[0] = li[2], li[2] = li[0]",
        set("li", l([n("2"), n("1"), n("0")])),
    );
}

#[test]
fn paths_into_documents() {
    check("SET doc.y = :s", |item| match item.get_mut("doc") {
        Some(AttributeValue::M(doc)) => drop(doc.insert("y".into(), s("s"))),
        _ => unreachable!(),
    });
    let doc = |k| m([("x", n("1")), ("li", l([m([("k", k)])])), ("words", ss(&["s"]))]);
    check("SET doc.li[0].k = :one", set("doc", doc(n("1"))));
    check(
        "REMOVE doc.li[0]",
        set("doc", m([("x", n("1")), ("li", l([])), ("words", ss(&["s"]))])),
    );
    check(
        "REMOVE doc.x, doc.nope",
        set("doc", m([("li", l([m([("k", s("v"))])])), ("words", ss(&["s"]))])),
    );
}

#[test]
fn lists() {
    check("SET li[1] = :s", set("li", l([n("0"), s("s"), n("2")])));
    // Beyond the end: appended, in the order of their indexes.
    check(
        "SET li[9] = :s, li[5] = :one",
        set("li", l([n("0"), n("1"), n("2"), n("1"), s("s")])),
    );
    // Indexes are the old item's.
    check("REMOVE li[0], li[1]", set("li", l([n("2")])));
    check("REMOVE li[2], li[0], li[7]", set("li", l([n("1")])));
    check("SET li[1] = :s REMOVE li[0]", set("li", l([s("s"), n("2")])));
    check(
        "SET li[9] = :s REMOVE li[3], li[0]",
        set("li", l([n("1"), n("2"), s("s")])),
    );
}

#[test]
fn add_and_delete() {
    check("ADD a :five", set("a", n("6")));
    check("ADD novel :five", set("novel", n("5")));
    check("ADD words :ss", set("words", ss(&["r", "s", "t"])));
    check("ADD novel :ss", set("novel", ss(&["s", "t"])));
    check("ADD numbers :ns", |_| {});
    check("ADD blobs :bs", |_| {});
    check("ADD li[1] :one", set("li", l([n("0"), n("2"), n("2")])));
    check("DELETE words :ss", set("words", ss(&["r"])));
    check("DELETE numbers :ns", remove("numbers"));
    check("DELETE blobs :bs", set("blobs", bs(&[b"\x02"])));
    check("DELETE nope :ss", |_| {});
    check(
        "DELETE doc.words :ss",
        set("doc", m([("x", n("1")), ("li", l([m([("k", s("v"))])]))])),
    );
}

#[test]
fn every_section_at_once() {
    check("REMOVE txt ADD a :one, nums :ns SET b = a DELETE words :ss", |item| {
        item.remove("txt");
        item.insert("a".into(), n("2"));
        item.insert("nums".into(), ns(&["1", "2"]));
        item.insert("b".into(), n("1"));
        item.insert("words".into(), ss(&["r"]));
    });
}

#[test]
fn updates_that_the_item_does_not_allow() {
    let path = "The document path provided in the update expression is invalid for update";
    let missing = "The provided expression refers to an attribute that does not exist in the item";
    let kind = "An operand in the update expression has an incorrect data type";
    let given = Given::new();
    for (text, expect) in [
        ("SET nope.x = :s", path),
        ("SET a.x = :s", path),
        ("SET a[0] = :s", path),
        ("SET nope[0] = :s", path),
        ("SET li.x = :s", path),
        ("SET doc[0] = :s", path),
        ("SET li[7].x = :s", path),
        ("REMOVE nope.x", path),
        ("REMOVE a[0]", path),
        ("ADD nope.x :one", path),
        ("DELETE nope.x :ss", path),
        ("SET a = nope", missing),
        ("SET a = nope + :one", missing),
        ("SET a = list_append(nope, :list)", missing),
        ("SET a = if_not_exists(nope, nope2)", missing),
        ("SET a = txt + :one", kind),
        ("SET a = :one - txt", kind),
        ("SET a = list_append(a, :list)", kind),
        ("ADD txt :one", kind),
        ("ADD a :ss", kind),
        ("ADD words :ns", kind),
        ("DELETE a :ss", kind),
        ("DELETE words :ns", kind),
    ] {
        let update = Update::parse(text, &mut given.context()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let got = update.apply(&sample()).map_err(|error| error.to_string());
        assert_eq!(got, Err(expect.to_owned()), "{text}");
    }
}

#[test]
fn sums_out_of_range() {
    let given = Given::new();
    let numbers = item([
        ("n1", n("9.9e125")),
        ("n2", n("1e125")),
        ("n3", n("1e50")),
        ("n4", n("1e-40")),
        ("n5", n("1.1e-130")),
        ("n6", n("1e-130")),
    ]);
    let over = "Number overflow. Attempting to store a number with magnitude larger than supported range";
    let under = "Number underflow. Attempting to store a number with magnitude smaller than supported range";
    for (text, expect) in [
        ("SET a = n1 + n2", over),
        // These would need more than 38 digits.
        ("SET a = n3 - :one", over),
        ("SET a = n4 + :one", over),
        ("ADD n3 :one", over),
        ("SET a = n5 - n6", under),
    ] {
        let update = Update::parse(text, &mut given.context()).unwrap();
        let error = update.apply(&numbers).map_err(|error| error.to_string());
        assert_eq!(error, Err(expect.to_owned()), "{text}");
    }
}

/// These would make up to 250 times half of what an item may have.
#[test]
fn what_it_brings_is_no_larger_than_an_item() {
    let half = ITEM_BYTES_MAX / 2;
    // With the overhead of a list of one element, half as large as an item may be.
    let given = item([
        (":l", l([s(&"x".repeat(half - 4))])),
        (":set", ss(&[&"y".repeat(half)])),
    ]);
    let apply = |text: &str, old: &Item| {
        let mut context = Context::of(None::<&BTreeMap<String, String>>, Some(&given)).unwrap();
        Update::parse(text, &mut context).unwrap().apply(old)
    };
    let nested = (0..120).fold("li".to_owned(), |inner, _| {
        format!("list_append(li,if_not_exists(b,{inner}))")
    });
    let many: Vec<_> = (0..250).map(|at| format!("a{at} = li")).collect();
    let old = item([
        ("a", n("1")),
        ("li", l([s(&"x".repeat(half))])),
        ("lots", s(&"z".repeat(ITEM_BYTES_MAX))),
    ]);
    for text in [
        &format!("SET a = {nested}"),
        &format!("SET {}", many.join(", ")),
        "SET b = :l, c = :l, d = :l",
        "SET b = :l, c = :l ADD d :set",
        "SET b = list_append(:l, :l), c = :l, d = nowhere",
        "SET b = if_not_exists(nowhere, list_append(:l, if_not_exists(nowhere, list_append(:l, :l))))",
        "SET b = lots, c = :l",
    ] {
        assert!(matches!(apply(text, &old), Err(UpdateError::TooLarge)), "{text:.60}");
    }
    // Up to the limit it may be; what the old item loses makes room for it.
    let after = apply("SET b = :l, c = :l REMOVE lots, a, li", &old).unwrap();
    assert_eq!(size::item(&after), ITEM_BYTES_MAX + 2);
    let after = apply("SET lots = :l ADD d :set REMOVE li", &old).unwrap();
    let names_and_a = "lots".len() + "d".len() + size::attribute("a", &n("1"));
    assert_eq!(size::item(&after), ITEM_BYTES_MAX + names_and_a);
}

#[test]
fn returns_what_it_touched() {
    let given = Given::new();
    for (text, old, new) in [
        ("SET a = :five", item([("a", n("1"))]), item([("a", n("5"))])),
        ("SET fresh = :five", item([]), item([("fresh", n("5"))])),
        ("REMOVE txt", item([("txt", s("hello"))]), item([])),
        ("ADD a :one", item([("a", n("1"))]), item([("a", n("2"))])),
        (
            "SET doc.x = :five",
            item([("doc", m([("x", n("1"))]))]),
            item([("doc", m([("x", n("5"))]))]),
        ),
        (
            "SET li[1] = :five, a = :zero",
            item([("a", n("1")), ("li", l([n("1")]))]),
            { item([("a", n("0")), ("li", l([n("5")]))]) },
        ),
    ] {
        let update = Update::parse(text, &mut given.context()).unwrap();
        let after = update.apply(&sample()).unwrap();
        assert_eq!(update.updated_old(&sample()), old, "{text}");
        assert_eq!(update.updated_new(&after), new, "{text}");
    }
}

#[test]
fn tells_what_it_touches() {
    let given = Given::new();
    let update = Update::parse(
        "SET a = x, b.c = y REMOVE d[0] ADD e :one DELETE f :ss",
        &mut given.context(),
    )
    .unwrap();
    let touched: String = "abcdefxy"
        .chars()
        .filter(|name| update.touches(&name.to_string()))
        .collect();
    assert_eq!(touched, "abdef");
}
