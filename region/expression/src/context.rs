//! The names and values that a request gives for its expressions, and which of them were used.

use geodynamo_item::{AttributeValue, Item, MAX_NAME, size};
use smallvec::SmallVec;

use crate::lexer::is_key_byte;
use crate::limits::{PLACEHOLDER_BYTES, REPEATED_BYTES, SUBSTITUTION_BYTES};
use crate::{ExpressionError, PlaceholderFault, Refusal};

/// ExpressionAttributeNames and ExpressionAttributeValues of one request.
///
/// Every expression of the request is parsed with the same context; [`finish`](Self::finish) then refuses names and values
/// that none of them used.
#[derive(Clone, Debug, Default)]
pub struct Context<'a> {
    names: Option<Table<'a, &'a str>>,
    values: Option<Table<'a, &'a AttributeValue>>,
    /// Bytes of values that were used before.
    repeated: usize,
}

/// What `:key` stands for.
pub(crate) enum Given<'a> {
    Value(&'a AttributeValue),
    /// There is one, but see [`REPEATED_BYTES`].
    TooOften,
    Nothing,
}

/// Sorted by key.
type Table<'a, T> = SmallVec<[Entry<'a, T>; 8]>;

#[derive(Clone, Copy, Debug)]
struct Entry<'a, T> {
    key: &'a str,
    item: T,
    used: bool,
}

impl<'a> Context<'a> {
    /// A request without names and values.
    pub fn new() -> Self {
        Self::default()
    }

    /// A request with names and values, or without where they are `None`. Refuses empty ones and bad keys.
    ///
    /// # Errors
    /// DynamoDB's own about empty parameters, keys that do not begin with `#` or `:`, empty attribute names, and what is too
    /// long or all together too large.
    pub fn of<K, V, I>(names: Option<I>, values: Option<&'a Item>) -> Result<Self, ExpressionError>
    where
        I: IntoIterator<Item = (&'a K, &'a V)>,
        K: AsRef<str> + ?Sized + 'a,
        V: AsRef<str> + ?Sized + 'a,
    {
        let mut context = Self::new();
        if let Some(names) = names {
            context = context.with_names(names)?;
        }
        if let Some(values) = values {
            context = context.with_values(values)?;
        }
        context.check_size()?;
        Ok(context)
    }

    /// Adds ExpressionAttributeNames: `#a` → name. Takes `&BTreeMap<String, String>` and its like.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn with_names<K, V>(mut self, names: impl IntoIterator<Item = (&'a K, &'a V)>) -> Result<Self, ExpressionError>
    where
        K: AsRef<str> + ?Sized + 'a,
        V: AsRef<str> + ?Sized + 'a,
    {
        let mut table: Table<'a, &'a str> = names
            .into_iter()
            .map(|(key, name)| Entry {
                key: key.as_ref(),
                item: name.as_ref(),
                used: false,
            })
            .collect();
        if table.is_empty() {
            return Err(refuse(PlaceholderFault::NoNames));
        }
        for entry in &table {
            check_key_size("ExpressionAttributeNames", entry.key)?;
            if !is_key(entry.key, b'#') {
                return Err(refuse(PlaceholderFault::NameKey {
                    key: entry.key.to_owned(),
                }));
            }
            if entry.item.is_empty() {
                return Err(refuse(PlaceholderFault::EmptyName {
                    key: entry.key.to_owned(),
                }));
            }
            if entry.item.len() > MAX_NAME {
                return Err(refuse(PlaceholderFault::NameSize));
            }
        }
        table.sort_by_key(|entry| entry.key); // already so in a BTreeMap, which costs one pass
        self.names = Some(table);
        Ok(self)
    }

    /// Adds ExpressionAttributeValues: `:a` → value.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn with_values(mut self, values: &'a Item) -> Result<Self, ExpressionError> {
        if values.is_empty() {
            return Err(refuse(PlaceholderFault::NoValues));
        }
        let table: Table<'a, _> = values
            .iter()
            .map(|(key, value)| Entry {
                key: key.as_str(),
                item: value,
                used: false,
            })
            .collect();
        for entry in &table {
            check_key_size("ExpressionAttributeValues", entry.key)?;
            if !is_key(entry.key, b':') {
                return Err(refuse(PlaceholderFault::ValueKey {
                    key: entry.key.to_owned(),
                }));
            }
        }
        self.values = Some(table);
        Ok(self)
    }

    /// Refuses names and values that come without an expression to use them.
    ///
    /// `any` says whether the request has any expression; `any_with_values` whether it has one that may hold values (all
    /// but projections); `missing` names those in DynamoDB's words, such as `ConditionExpression is null` or
    /// `UpdateExpression and ConditionExpression are null`.
    ///
    /// # Errors
    /// [`PlaceholderFault::NamesWithoutExpression`], [`PlaceholderFault::ValuesWithoutExpression`].
    pub fn check_given(&self, any: bool, any_with_values: bool, missing: &str) -> Result<(), ExpressionError> {
        if self.names.is_some() && !any {
            return Err(refuse(PlaceholderFault::NamesWithoutExpression));
        }
        if self.values.is_some() && !any_with_values {
            return Err(refuse(PlaceholderFault::ValuesWithoutExpression {
                missing: missing.to_owned(),
            }));
        }
        Ok(())
    }

    /// Refuses names and values that no expression used; call it when all of the request's expressions are parsed.
    ///
    /// # Errors
    /// [`PlaceholderFault::UnusedNames`], [`PlaceholderFault::UnusedValues`].
    pub fn finish(&self) -> Result<(), ExpressionError> {
        let keys = unused(self.names.as_ref());
        if !keys.is_empty() {
            return Err(refuse(PlaceholderFault::UnusedNames { keys }));
        }
        let keys = unused(self.values.as_ref());
        if !keys.is_empty() {
            return Err(refuse(PlaceholderFault::UnusedValues { keys }));
        }
        Ok(())
    }

    fn check_size(&self) -> Result<(), ExpressionError> {
        let names = self
            .names
            .iter()
            .flatten()
            .map(|entry| entry.key.len() + entry.item.len());
        let values = self
            .values
            .iter()
            .flatten()
            .map(|entry| size::attribute(entry.key, entry.item));
        let bytes = names.chain(values).sum();
        if bytes > SUBSTITUTION_BYTES {
            return Err(refuse(PlaceholderFault::Substitution { bytes }));
        }
        Ok(())
    }

    /// The attribute's name for `#key`.
    pub(crate) fn name(&mut self, key: &str) -> Option<&'a str> {
        look_up(self.names.as_mut(), key).map(|(name, _)| name)
    }

    /// The value for `:key`.
    pub(crate) fn value(&mut self, key: &str) -> Given<'a> {
        let Some((value, again)) = look_up(self.values.as_mut(), key) else {
            return Given::Nothing;
        };
        if again && self.repeated <= REPEATED_BYTES {
            self.repeated += size::value(value);
        }
        if self.repeated > REPEATED_BYTES {
            return Given::TooOften;
        }
        Given::Value(value)
    }
}

fn check_key_size(parameter: &'static str, key: &str) -> Result<(), ExpressionError> {
    if key.len() > PLACEHOLDER_BYTES {
        let bytes = key.len();
        return Err(refuse(PlaceholderFault::KeySize { parameter, bytes }));
    }
    Ok(())
}

fn is_key(key: &str, sign: u8) -> bool {
    match key.as_bytes() {
        [first, rest @ ..] => *first == sign && !rest.is_empty() && rest.iter().all(|&byte| is_key_byte(byte)),
        [] => false,
    }
}

/// What the key stands for, and whether it was used before.
fn look_up<T: Copy>(table: Option<&mut Table<'_, T>>, key: &str) -> Option<(T, bool)> {
    let table = table?;
    let at = table.binary_search_by(|entry| entry.key.cmp(key)).ok()?;
    let entry = table.get_mut(at)?;
    let again = std::mem::replace(&mut entry.used, true);
    Some((entry.item, again))
}

fn unused<T>(table: Option<&Table<'_, T>>) -> Vec<String> {
    table
        .into_iter()
        .flatten()
        .filter(|entry| !entry.used)
        .map(|entry| entry.key.to_owned())
        .collect()
}

fn refuse(fault: PlaceholderFault) -> ExpressionError {
    Refusal::from(fault).into()
}
