//! Projection expressions, and the parts of items that paths name.

use geodynamo_item::{AttributeValue, Item, Name};

use crate::lexer::Kind;
use crate::parser;
use crate::path::{Path, Step, check_overlap};
use crate::{Context, ExpressionError, Parameter};

/// Which parts of an item a reader wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// Sorted, so that paths below one parent are adjacent; none overlaps another.
    paths: Vec<Path>,
}

impl Projection {
    /// Parses a ProjectionExpression.
    ///
    /// # Errors
    /// Whatever DynamoDB refuses before it looks at an item.
    pub fn parse(text: &str, context: &mut Context<'_>) -> Result<Self, ExpressionError> {
        parser::parse(Parameter::Projection, text, context, |parser| {
            let mut paths = vec![parser.path()?];
            while parser.take_if(Kind::Comma) {
                paths.push(parser.path()?);
            }
            let refs: Vec<&Path> = paths.iter().collect();
            if let Err(fault) = check_overlap(&refs) {
                parser.note(fault);
            }
            paths.sort();
            Ok(Self { paths })
        })
    }

    /// A projection of paths from elsewhere (AttributesToGet, an index's projection). Of paths that overlap, the shortest
    /// stays.
    pub fn of(paths: impl IntoIterator<Item = Path>) -> Self {
        let mut paths: Vec<Path> = paths.into_iter().collect();
        paths.sort();
        paths.dedup_by(|next, kept| kept.root == next.root && next.steps.starts_with(&kept.steps));
        Self { paths }
    }

    /// The parts of the item that the paths name, in the item's shape: maps have the named entries only, lists the named
    /// elements, closed up, in their order. Parents of nothing are left out.
    pub fn apply(&self, item: &Item) -> Item {
        project(self.paths.iter(), item)
    }

    /// Its paths, sorted.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// The top-level attributes it needs, sorted, each once: what a reader must decode.
    pub fn top_level_names(&self) -> impl Iterator<Item = &Name> {
        let mut last = None;
        self.paths
            .iter()
            .map(|path| &path.root)
            .filter(move |name| last.replace(*name) != Some(*name))
    }
}

/// The parts of an item that these paths name. The paths are sorted and do not overlap.
pub(crate) fn project<'p>(paths: impl Iterator<Item = &'p Path>, item: &Item) -> Item {
    let paths: Vec<&Path> = paths.collect();
    let mut parts = Vec::with_capacity(paths.len());
    for group in paths.chunk_by(|one, two| one.root == two.root) {
        let Some(first) = group.first() else { continue };
        let Some(value) = item.get(&first.root) else { continue };
        if let Some(part) = project_value(group, 0, value) {
            parts.push((first.root.clone(), part));
        }
    }
    parts.into_iter().collect()
}

/// What paths that agree in their first `depth` steps name in the value there. Recurs as deep as the paths, which
/// [`PATH_ELEMENTS`](crate::limits::PATH_ELEMENTS) bounds.
fn project_value(paths: &[&Path], depth: usize, value: &AttributeValue) -> Option<AttributeValue> {
    if paths.iter().any(|path| path.steps.len() <= depth) {
        return Some(value.clone());
    }
    let groups = paths.chunk_by(|one, two| one.steps[depth] == two.steps[depth]);
    match value {
        AttributeValue::M(map) => {
            let parts: Item = groups
                .filter_map(|group| match &group.first()?.steps[depth] {
                    Step::Key(key) => Some((key.clone(), project_value(group, depth + 1, map.get(key)?)?)),
                    Step::Index(_) => None,
                })
                .collect();
            (!parts.is_empty()).then_some(AttributeValue::M(parts))
        }
        AttributeValue::L(list) => {
            let parts: Vec<AttributeValue> = groups
                .filter_map(|group| match &group.first()?.steps[depth] {
                    Step::Index(index) => project_value(group, depth + 1, list.get(*index as usize)?),
                    Step::Key(_) => None,
                })
                .collect();
            (!parts.is_empty()).then_some(AttributeValue::L(parts))
        }
        _ => None,
    }
}
