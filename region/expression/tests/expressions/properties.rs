//! What holds of any expression.

use std::collections::{BTreeMap, BTreeSet};

use geodynamo_expression::{
    Comparator, Condition, Context, KeyCondition, Operand, Parameter, Path, Projection, Step, Update, UpdateOperand,
};
use geodynamo_item::testing::{arb_item, arb_number};
use geodynamo_item::{AttributeType, AttributeValue, Item, Number, NumberSet};
use proptest::prelude::*;

use crate::values::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_text_panics(text in prop_oneof![arb_soup(), ".{0,60}"], item in arb_item()) {
        let given = Given::new();
        for parameter in [Parameter::Condition, Parameter::Filter] {
            if let Ok(condition) = Condition::parse(parameter, &text, &mut given.context()) {
                condition.evaluate(&item);
                let printed = condition.print();
                let again = Condition::parse(parameter, &printed.text, &mut printed.context().unwrap());
                prop_assert_eq!(again, Ok(condition));
            }
        }
        if let Ok(condition) = KeyCondition::parse(&text, &mut given.context()) {
            drop(condition.resolve(&["a"], &["b"]));
        }
        if let Ok(projection) = Projection::parse(&text, &mut given.context()) {
            projection.apply(&item);
        }
        if let Ok(update) = Update::parse(&text, &mut given.context()) {
            if let Ok(new) = update.apply(&item) {
                update.updated_old(&item);
                update.updated_new(&new);
            }
            let printed = update.print();
            prop_assert_eq!(Update::parse(&printed.text, &mut printed.context().unwrap()), Ok(update));
        }
    }

    #[test]
    fn a_printed_condition_parses_to_itself(condition in arb_condition(), item in arb_item()) {
        let printed = condition.print();
        let mut context = printed.context().unwrap();
        let again = Condition::parse(Parameter::Filter, &printed.text, &mut context);
        let again = again.map_err(|error| TestCaseError::fail(format!("{}: {error}", printed.text)))?;
        context.finish().unwrap();
        prop_assert_eq!(&again.print(), &printed);
        prop_assert_eq!(again.evaluate(&item), condition.evaluate(&item));
        prop_assert_eq!(again, condition);
    }

    #[test]
    fn a_printed_update_parses_to_itself(update in arb_update()) {
        let printed = update.print();
        let mut context = printed.context().unwrap();
        let again = Update::parse(&printed.text, &mut context);
        prop_assert_eq!(again, Ok(update), "{}", printed.text);
        context.finish().unwrap();
    }

    #[test]
    fn a_printed_projection_parses_to_itself(paths in prop::collection::vec(arb_path(), 1..6), item in arb_item()) {
        let mut roots = BTreeSet::new();
        let projection = Projection::of(paths.into_iter().filter(|path| roots.insert(path.root.clone())));
        let printed = projection.print();
        let again = Projection::parse(&printed.text, &mut printed.context().unwrap());
        prop_assert_eq!(again.as_ref(), Ok(&projection));
        // What is projected is a part of the item, and projecting it by whole attributes again changes nothing.
        let part = projection.apply(&item);
        prop_assert!(part.iter().all(|(name, _)| item.contains(name)));
        let whole = Projection::of(part.iter().map(|(name, _)| Path::top(name.clone())));
        prop_assert_eq!(whole.apply(&part), part);
    }

    #[test]
    fn updates_agree_with_a_naive_model(update in arb_update(), item in arb_target()) {
        prop_assert_eq!(update.apply(&item).ok(), Model::after(&update, &item));
    }

    #[test]
    fn comparators_agree_with_each_other(left in arb_number(), right in arb_number()) {
        let item = item([("a", AttributeValue::N(left)), ("b", AttributeValue::N(right))]);
        let compare = |comparator: Comparator, left: &str, right: &str| {
            let (left, right) = (Operand::Path(left.into()), Operand::Path(right.into()));
            Condition::Compare { comparator, left, right }.evaluate(&item)
        };
        for comparator in COMPARATORS {
            prop_assert_eq!(compare(comparator, "a", "b"), compare(comparator.flipped(), "b", "a"));
        }
        let holds = |comparator| compare(comparator, "a", "b");
        prop_assert_eq!(holds(Comparator::Equal), !holds(Comparator::NotEqual));
        prop_assert_eq!(holds(Comparator::Less), !holds(Comparator::GreaterOrEqual));
        prop_assert_eq!(holds(Comparator::Greater), !holds(Comparator::LessOrEqual));
        prop_assert_eq!(holds(Comparator::LessOrEqual), holds(Comparator::Less) || holds(Comparator::Equal));
    }
}

const COMPARATORS: [Comparator; 6] = [
    Comparator::Equal,
    Comparator::NotEqual,
    Comparator::Less,
    Comparator::LessOrEqual,
    Comparator::Greater,
    Comparator::GreaterOrEqual,
];

/// Tokens in any order, most of them ones that some expression knows.
fn arb_soup() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "a",
        "b",
        "c.d",
        "e[0]",
        "#a",
        "#name",
        "#undefined",
        ":s",
        ":one",
        ":ss",
        ":list",
        ":undefined",
        "(",
        ")",
        ",",
        ".",
        "[",
        "]",
        "0",
        "99999999999999999999",
        "=",
        "<>",
        "<",
        "<=",
        ">",
        ">=",
        "+",
        "-",
        "AND",
        "or",
        "NOT",
        "BETWEEN",
        "IN",
        "SET",
        "remove",
        "ADD",
        "DELETE",
        "size(",
        "contains(",
        "begins_with(",
        "attribute_exists(",
        "attribute_type(",
        "if_not_exists(",
        "list_append(",
        "foo(",
        "name",
        "_",
        "é",
        "\"",
        "\\",
        "\u{0}",
        " ",
        "\n",
        "a = :s",
        "size(a) = :one",
        "SET a = :one",
        "ADD b :one",
        "a, b",
    ]);
    (prop::collection::vec(token, 0..20), any::<bool>())
        .prop_map(|(tokens, apart)| tokens.join(if apart { " " } else { "" }))
}

fn arb_path() -> impl Strategy<Value = Path> {
    let step = prop_oneof![
        "[a-c]".prop_map(|key| Step::Key(key.into())),
        (0u32..4).prop_map(Step::Index)
    ];
    // Any name goes: those that cannot be written plainly, too.
    let root = prop_oneof!["[a-e]", Just("size".to_owned()), Just("a.b".to_owned()), ".{1,3}"];
    (root, prop::collection::vec(step, 0..3)).prop_map(|(root, steps)| Path {
        root: root.into(),
        steps,
    })
}

pub(crate) fn arb_condition() -> impl Strategy<Value = Condition> {
    let scalar = || prop_oneof![Just(s("hello")), Just(n("1")), Just(b(b"\x01"))].prop_map(Operand::Value);
    let any = || {
        prop_oneof![
            scalar(),
            Just(Operand::Value(ss(&["x"]))),
            Just(Operand::Value(AttributeValue::Null))
        ]
    };
    let left = || arb_path().prop_map(Operand::Path);
    let sized = || prop_oneof![left(), arb_path().prop_map(Operand::Size)];
    let leaf = prop_oneof![
        (prop::sample::select(COMPARATORS.to_vec()), sized(), scalar()).prop_map(|(comparator, left, right)| {
            Condition::Compare {
                comparator,
                left,
                right,
            }
        }),
        (sized(), 0u8..9, 0u8..9).prop_map(|(value, one, two)| Condition::Between {
            value,
            low: Operand::Value(n(&one.min(two).to_string())),
            high: Operand::Value(n(&one.max(two).to_string())),
        }),
        (left(), prop::collection::vec(any(), 1..4)).prop_map(|(value, list)| Condition::In { value, list }),
        arb_path().prop_map(Condition::Exists),
        arb_path().prop_map(Condition::NotExists),
        (left(), prop::sample::select(AttributeType::ALL.to_vec()))
            .prop_map(|(value, kind)| Condition::Type { value, kind }),
        left().prop_map(|value| Condition::BeginsWith {
            value,
            prefix: Operand::Value(s("h"))
        }),
        (left(), any()).prop_map(|(container, element)| Condition::Contains { container, element }),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::Or),
            inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}

/// What the updates change. None overlaps another; some lead nowhere.
const TARGETS: [(&str, &[Step]); 10] = [
    ("a", &[]),
    ("b", &[]),
    ("words", &[]),
    ("list", &[Step::Index(0)]),
    ("list", &[Step::Index(1)]),
    ("list", &[Step::Index(2)]),
    ("list", &[Step::Index(5)]),
    ("list", &[Step::Index(7)]),
    ("new", &[]),
    ("gone", &[Step::Index(0)]),
];

/// An item to update: what [`TARGETS`] name, there or not.
fn arb_target() -> impl Strategy<Value = Item> {
    let number = || (0u8..9).prop_map(|number| n(&number.to_string()));
    let list = prop::collection::vec(prop_oneof![number(), Just(ns(&["1"]))], 0..6).prop_map(AttributeValue::L);
    let set = prop::collection::btree_set(0i64..4, 1..4).prop_map(|set| number_set(&set));
    (
        prop::option::weighted(0.8, number()),
        prop::option::weighted(0.8, number()),
        prop::option::weighted(0.8, set),
        prop::option::weighted(0.9, list),
        prop::option::of(Just(l([]))),
    )
        .prop_map(|(a, b, words, list, gone)| {
            let values = [("a", a), ("b", b), ("words", words), ("list", list), ("gone", gone)];
            values
                .into_iter()
                .filter_map(|(name, value)| Some((name.into(), value?)))
                .collect()
        })
}

fn arb_update() -> impl Strategy<Value = Update> {
    let targets = prop::sample::subsequence(TARGETS.to_vec(), 1..5).prop_shuffle();
    let set = || prop::collection::btree_set(0i64..4, 1..4).prop_map(|set| number_set(&set));
    let action = (0u8..4, arb_update_operand(), prop_oneof![Just(n("3")), set()], set());
    (targets, prop::collection::vec(action, 5)).prop_map(|(targets, actions)| {
        let mut update = Update::default();
        for ((root, steps), (action, operand, added, deleted)) in targets.into_iter().zip(actions) {
            let path = Path {
                root: root.into(),
                steps: steps.to_vec(),
            };
            match action {
                0 => update.set.push((path, operand)),
                1 => update.remove.push(path),
                2 => update.add.push((path, added)),
                _ => update.delete.push((path, deleted)),
            }
        }
        update
    })
}

fn arb_update_operand() -> impl Strategy<Value = UpdateOperand> {
    let a = || UpdateOperand::Path("a".into());
    let value = || Just(UpdateOperand::Value(n("7")));
    prop_oneof![
        4 => value(),
        1 => Just(a()),
        1 => Just(UpdateOperand::Path(Path { root: "list".into(), steps: vec![Step::Index(1)] })),
        1 => value().prop_map(|value| UpdateOperand::IfNotExists("b".into(), Box::new(value))),
        1 => value().prop_map(move |value| UpdateOperand::Plus(Box::new(a()), Box::new(value))),
        1 => value().prop_map(move |value| {
            let inner = UpdateOperand::IfNotExists("b".into(), Box::new(a()));
            UpdateOperand::Minus(Box::new(value), Box::new(inner))
        }),
        1 => Just(UpdateOperand::ListAppend(
            Box::new(UpdateOperand::Path("list".into())),
            Box::new(UpdateOperand::Value(l([n("9")]))),
        )),
    ]
}

fn number_set(numbers: &BTreeSet<i64>) -> AttributeValue {
    AttributeValue::Ns(NumberSet::new(numbers.iter().map(|&number| Number::from(number)).collect()).unwrap())
}

/// An item whose lists are sparse while it is updated: positions keep their meaning, and closing the gaps at the end gives
/// what appending and removing must have given.
struct Model {
    attributes: BTreeMap<String, AttributeValue>,
    lists: BTreeMap<String, BTreeMap<u32, AttributeValue>>,
}

impl Model {
    /// The item after the update, or nothing where it must be refused.
    fn after(update: &Update, old: &Item) -> Option<Item> {
        let mut model = Self {
            attributes: BTreeMap::new(),
            lists: BTreeMap::new(),
        };
        for (name, value) in old.iter() {
            match value {
                AttributeValue::L(list) => {
                    let list = (0u32..).zip(list.iter().cloned()).collect();
                    model.lists.insert(name.to_string(), list);
                }
                value => drop(model.attributes.insert(name.to_string(), value.clone())),
            }
        }
        for (path, operand) in &update.set {
            model.put(path, Some(Self::work_out(operand, old)?))?;
        }
        for path in &update.remove {
            model.put(path, None)?;
        }
        for (path, more) in &update.add {
            let sum = match (path.find(old), more) {
                (None, more) => more.clone(),
                (Some(AttributeValue::N(old)), AttributeValue::N(more)) => AttributeValue::N(old.add(*more).ok()?),
                (Some(AttributeValue::Ns(old)), AttributeValue::Ns(more)) => {
                    number_set(&integers(old).union(&integers(more)).copied().collect())
                }
                _ => return None,
            };
            model.put(path, Some(sum))?;
        }
        for (path, less) in &update.delete {
            let rest = match (path.find(old), less) {
                (None, _) => None,
                (Some(AttributeValue::Ns(old)), AttributeValue::Ns(less)) => {
                    let rest: BTreeSet<i64> = integers(old).difference(&integers(less)).copied().collect();
                    (!rest.is_empty()).then(|| number_set(&rest))
                }
                _ => return None,
            };
            model.put(path, rest)?;
        }
        let mut new: Item = model
            .attributes
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
        for (name, list) in model.lists {
            new.insert(name.into(), AttributeValue::L(list.into_values().collect()));
        }
        Some(new)
    }

    fn put(&mut self, path: &Path, value: Option<AttributeValue>) -> Option<()> {
        let old = match path.steps.as_slice() {
            [] => match value {
                Some(value) => self.attributes.insert(path.root.to_string(), value),
                None => self.attributes.remove(path.root.as_str()),
            },
            [Step::Index(index)] => {
                let list = self.lists.get_mut(path.root.as_str())?;
                match value {
                    Some(value) => list.insert(*index, value),
                    None => list.remove(index),
                }
            }
            _ => unreachable!("no such target"),
        };
        drop(old);
        Some(())
    }

    fn work_out(operand: &UpdateOperand, old: &Item) -> Option<AttributeValue> {
        let number = |operand| match Self::work_out(operand, old)? {
            AttributeValue::N(number) => number.to_i64(),
            _ => None,
        };
        Some(match operand {
            UpdateOperand::Path(path) => path.find(old)?.clone(),
            UpdateOperand::Value(value) => value.clone(),
            UpdateOperand::IfNotExists(path, otherwise) => match path.find(old) {
                Some(value) => value.clone(),
                None => Self::work_out(otherwise, old)?,
            },
            UpdateOperand::ListAppend(one, two) => match (Self::work_out(one, old)?, Self::work_out(two, old)?) {
                (AttributeValue::L(one), AttributeValue::L(two)) => AttributeValue::L([one, two].concat()),
                _ => return None,
            },
            UpdateOperand::Plus(one, two) => AttributeValue::N(Number::from(number(one)? + number(two)?)),
            UpdateOperand::Minus(one, two) => AttributeValue::N(Number::from(number(one)? - number(two)?)),
        })
    }
}

fn integers(set: &NumberSet) -> BTreeSet<i64> {
    set.iter().map(|number| number.to_i64().unwrap()).collect()
}

/// The context that most printed trees need has names and values; a tree without values has a context without them.
#[test]
fn printing_needs_no_values() {
    let printed = Condition::Exists("a".into()).print();
    assert_eq!(printed.text, "attribute_exists(#n0)");
    let mut context: Context<'_> = printed.context().unwrap();
    Condition::parse(Parameter::Filter, &printed.text, &mut context).unwrap();
    context.finish().unwrap();
}
