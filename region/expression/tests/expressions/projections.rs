//! Which parts of items projections give.

use geodynamo_expression::{Path, Projection, Step};
use geodynamo_item::Item;

use crate::values::*;

fn sample() -> Item {
    item([
        ("a", n("1")),
        ("name", s("s")),
        ("a.b", s("dotted")),
        (
            "li",
            l([n("0"), n("1"), l([s("x"), s("y")]), m([("p", n("3")), ("q", n("4"))])]),
        ),
        ("doc", m([("x", n("1")), ("y", m([("z", n("2")), ("w", n("3"))]))])),
    ])
}

#[test]
fn gives_the_named_parts() {
    let given = Given::new();
    for (text, expect) in [
        ("a", item([("a", n("1"))])),
        ("a, #name", item([("a", n("1")), ("name", s("s"))])),
        ("#dotted", item([("a.b", s("dotted"))])),
        ("a.b", item([])),
        ("#missing, doc.nope, doc.x.deeper, li.key, doc[0], li[9]", item([])),
        ("doc.y.z", item([("doc", m([("y", m([("z", n("2"))]))]))])),
        (
            "doc.y.z, doc.x",
            item([("doc", m([("x", n("1")), ("y", m([("z", n("2"))]))]))]),
        ),
        ("li[1]", item([("li", l([n("1")]))])),
        (
            "li[3].q, li[0], li[2][1]",
            item([("li", l([n("0"), l([s("y")]), m([("q", n("4"))])]))]),
        ),
        (
            "li[3].p, li[3].q",
            item([("li", l([m([("p", n("3")), ("q", n("4"))])]))]),
        ),
        ("li[3].nope, a", item([("a", n("1"))])),
    ] {
        let conflicts = text.contains("doc[0]");
        let parsed = Projection::parse(text, &mut given.context());
        if conflicts {
            assert!(parsed.is_err(), "{text}"); // a key and an index under one parent
        } else {
            assert_eq!(parsed.unwrap().apply(&sample()), expect, "{text}");
        }
    }
}

#[test]
fn tells_which_attributes_it_needs() {
    let given = Given::new();
    let projection = Projection::parse("doc.y, b, doc.x, a[1], a[0]", &mut given.context()).unwrap();
    let names: Vec<&str> = projection.top_level_names().map(AsRef::as_ref).collect();
    assert_eq!(names, ["a", "b", "doc"]);
}

#[test]
fn paths_from_elsewhere_may_overlap() {
    let nested = Path {
        root: "doc".into(),
        steps: vec![Step::Key("x".into())],
    };
    let projection = Projection::of([nested, Path::from("doc"), Path::from("a"), Path::from("a")]);
    assert_eq!(projection.paths(), [Path::from("a"), Path::from("doc")]);
    assert_eq!(projection.apply(&sample()).len(), 2);
}
