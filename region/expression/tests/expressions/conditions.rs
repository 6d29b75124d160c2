//! What conditions say of an item.

use geodynamo_expression::{Condition, Parameter, Path};
use geodynamo_item::{AttributeValue, Item};

use crate::values::*;

fn sample() -> Item {
    item([
        ("a", n("1")),
        ("five", n("5.0")),
        ("txt", s("hello")),
        ("unicode", s("grüße")),
        ("clef", s("é𝄞")),
        ("bin", b(b"\x01\x02\x03")),
        ("yes", AttributeValue::Bool(true)),
        ("nothing", AttributeValue::Null),
        ("words", ss(&["s", "t"])),
        ("numbers", ns(&["1", "2", "3"])),
        ("blobs", bs(&[b"\x01\x02"])),
        ("things", l([n("1"), s("hello"), m([("x", n("1"))])])),
        (
            "doc",
            m([("x", n("1")), ("name", s("inner")), ("li", l([n("4"), n("5")]))]),
        ),
        ("a.b", s("dotted")),
        ("name", s("s")),
    ])
}

#[test]
fn conditions_hold_as_in_dynamodb() {
    let given = Given::new();
    let item = sample();
    for (text, holds) in [
        // Comparisons.
        ("a = :one", true),
        ("a=:one", true),
        ("a <> :one", false),
        ("a <> :s", true),
        ("a = :s", false),
        ("five = :five", true),
        ("five > :four", true),
        ("five >= :five", true),
        ("five < :five", false),
        ("five <= :five", true),
        (":four < five", true),
        ("txt > :hell", true),
        ("txt < :five", false),
        ("txt > :five", false),
        ("bin > :b", true),
        ("yes = :true", true),
        ("nothing = :null", true),
        ("words = :ss", true),
        ("doc.x = a", true),
        ("doc = :map", false),
        ("things[2] = :map", true),
        ("things[0] = doc.x", true),
        ("#dotted = #name", false),
        ("#name = :s", true),
        ("(a) = :one", true),
        ("(a = :one)", true),
        ("a = (:one)", true),
        // What is missing.
        ("#missing = :s", false),
        ("#missing <> :s", true),
        ("#missing < :s", false),
        ("NOT #missing < :s", true),
        ("doc.nope = :one", false),
        ("things[9] = :one", false),
        ("a.x = :one", false),
        ("#missing BETWEEN :four AND :five", false),
        ("#missing IN (:s)", false),
        ("size(#missing) = :zero", false),
        ("attribute_exists(a)", true),
        ("attribute_exists(doc.li[1])", true),
        ("attribute_exists(doc.li[2])", false),
        ("attribute_not_exists(#missing)", true),
        ("attribute_not_exists(a)", false),
        // BETWEEN and IN.
        ("five BETWEEN :four AND :five", true),
        ("five between :one and :four", false),
        ("txt BETWEEN :four AND :five", false),
        (":four BETWEEN a AND five", true),
        ("a BETWEEN doc.li[0] AND :five", false),
        ("a IN (:s, :one)", true),
        ("a in (:s)", false),
        ("txt IN (:hell, things[1])", true),
        // AND binds closer than OR, NOT closer than both.
        ("a = :one OR a = :one AND a = :s", true),
        ("(a = :one OR a = :one) AND a = :s", false),
        ("NOT a = :s AND a = :one", true),
        ("NOT (a = :one AND a = :one)", false),
        ("not not a = :one", true),
        ("a = :s or (a = :s or (a = :one))", true),
        // Functions.
        ("attribute_type(txt, :S)", true),
        ("attribute_type(a, :S)", false),
        ("attribute_type(things, :L)", true),
        ("attribute_type(yes, :BOOL)", true),
        ("attribute_type(#missing, :S)", false),
        ("attribute_type(:hello, :S)", true),
        ("attribute_type(:one, :S)", false),
        ("attribute_type(:list, :L)", true),
        ("NOT attribute_type(:true, :BOOL)", false),
        ("begins_with(txt, :hell)", true),
        ("begins_with(txt, :s)", false),
        ("begins_with(bin, :b)", true),
        ("begins_with(a, :s)", false),
        ("begins_with(txt, :b)", false),
        ("contains(txt, :hell)", true),
        ("contains(txt, :one)", false),
        ("contains(bin, :b)", true),
        ("contains(words, :s)", true),
        ("contains(words, :hello)", false),
        ("contains(numbers, :one)", true),
        ("contains(numbers, :s)", false),
        ("contains(blobs, :b)", true),
        ("contains(things, :map)", true),
        ("contains(things, :hello)", true),
        ("contains(:ss, #name)", true),
        ("contains(doc.li, :four)", true),
        ("contains(things, size(#name))", true),
        ("size(txt) = :five", true),
        ("size(unicode) = :five", true),
        // UTF-16 code units, of which this clef has two.
        ("size(clef) = :three", true),
        ("size(:clef) = :three", true),
        ("size(bin) < :four", true),
        ("size(words) > :one", true),
        ("size(doc) BETWEEN :one AND :four", true),
        ("size(a) = :one", false),
        ("size(a) <> :one", true),
        ("size(yes) < :five", false),
        ("size(doc.li) = size(words)", true),
        ("(size(txt)) = :five", true),
        (":five = size(:hello)", true),
    ] {
        for parameter in [Parameter::Condition, Parameter::Filter] {
            let condition = Condition::parse(parameter, text, &mut given.context());
            let condition = condition.unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(condition.evaluate(&item), holds, "{text}");
        }
    }
}

#[test]
fn visits_every_path() {
    let given = Given::new();
    let text = "a = b OR NOT (c[1] BETWEEN d.x AND size(e) AND f IN (g, :s)) AND attribute_exists(h) OR \
                begins_with(i, j) OR contains(k, l) OR attribute_type(m, :S) OR attribute_not_exists(n)";
    let condition = Condition::parse(Parameter::Filter, text, &mut given.context()).unwrap();
    let mut roots = String::new();
    condition.for_each_path(&mut |path: &Path| roots.push_str(&path.root));
    assert_eq!(roots, "abcdefghijklmn");
}
