//! Document paths: where in an item a value is.

use std::cmp::Ordering;
use std::fmt;

use geodynamo_item::{AttributeValue, Item, Name};

use crate::Fault;

/// A document path: a top-level attribute, then steps into maps and lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The top-level attribute.
    pub root: Name,
    /// The steps below it; mostly none.
    pub steps: Vec<Step>,
}

/// A step into a map or a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// An entry of a map.
    Key(Name),
    /// An element of a list, from 0.
    Index(u32),
}

impl Path {
    /// The path to a top-level attribute.
    pub fn top(root: impl Into<Name>) -> Self {
        Self {
            root: root.into(),
            steps: Vec::new(),
        }
    }

    /// The value at this path, if there is one.
    pub fn find<'i>(&self, item: &'i Item) -> Option<&'i AttributeValue> {
        let mut value = item.get(&self.root)?;
        for step in &self.steps {
            value = match (step, value) {
                (Step::Key(key), AttributeValue::M(map)) => map.get(key)?,
                (Step::Index(index), AttributeValue::L(list)) => list.get(*index as usize)?,
                _ => return None,
            };
        }
        Some(value)
    }
}

impl From<&str> for Path {
    /// The path to a top-level attribute; the text is the name as it is, dots and all.
    fn from(root: &str) -> Self {
        Self::top(root)
    }
}

/// As error messages print paths: `[a, b, [0]]`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.root)?;
        for step in &self.steps {
            match step {
                Step::Key(key) => write!(f, ", {key}")?,
                Step::Index(index) => write!(f, ", [{index}]")?,
            }
        }
        f.write_str("]")
    }
}

/// By root, then step by step; keys before indexes. A path comes right before the paths below it.
impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        self.root.cmp(&other.root).then_with(|| self.steps.cmp(&other.steps))
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Step {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Key(one), Self::Key(two)) => one.cmp(two),
            (Self::Index(one), Self::Index(two)) => one.cmp(two),
            (Self::Key(_), Self::Index(_)) => Ordering::Less,
            (Self::Index(_), Self::Key(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Refuses paths of which one is another, leads to another, or needs a list where another needs a map.
///
/// Takes time in proportion to n log n: an expression may have two thousand paths.
pub(crate) fn check_overlap(paths: &[&Path]) -> Result<(), Fault> {
    if paths.len() < 2 {
        return Ok(());
    }
    let mut order: Vec<usize> = (0..paths.len()).collect();
    order.sort_by(|&one, &two| paths[one].cmp(paths[two]).then(one.cmp(&two)));
    // What overlaps is adjacent: everything between a path and one below it is below it, too. And where keys end and
    // indexes begin under one parent, the two are adjacent.
    for pair in order.windows(2) {
        let (one, two) = (paths[pair[0].min(pair[1])], paths[pair[0].max(pair[1])]);
        match relation(one, two) {
            Relation::Apart => {}
            Relation::Overlap => {
                return Err(Fault::Overlap {
                    one: one.to_string(),
                    two: two.to_string(),
                });
            }
            Relation::Conflict => {
                return Err(Fault::Conflict {
                    one: one.to_string(),
                    two: two.to_string(),
                });
            }
        }
    }
    Ok(())
}

enum Relation {
    Apart,
    Overlap,
    Conflict,
}

fn relation(one: &Path, two: &Path) -> Relation {
    if one.root != two.root {
        return Relation::Apart;
    }
    match one.steps.iter().zip(&two.steps).find(|(one, two)| one != two) {
        None => Relation::Overlap,
        Some((Step::Key(_), Step::Index(_)) | (Step::Index(_), Step::Key(_))) => Relation::Conflict,
        Some(_) => Relation::Apart,
    }
}
