//! Which statements of a policy can apply to an action on a resource, remembered. A principal asks for few actions on few
//! tables, and whether a statement is about those does not change: a policy does not. What variables and conditions say does.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::RwLock,
};

use crate::{evaluate::Asked, policy::Statement};

/// How many lists a policy keeps. Each has a slot by the hash of its action and resource; a new one takes the slot's place.
const LISTS_MAX: u64 = 64;
/// Policies with fewer statements are looked through as they are.
const STATEMENTS_MIN: usize = 2;
/// Longer actions and resources are not remembered, in bytes together.
const NAMES_BYTES_MAX: usize = 1024;

/// The lists of a policy.
pub(crate) struct Shortlists(Box<[RwLock<Option<Shortlist>>]>);

/// The statements that can apply to an action on a resource.
struct Shortlist {
    /// In lower case.
    action: Box<str>,
    resource: Box<str>,
    statements: Box<[Listed]>,
}

/// A statement of a list.
#[derive(Clone, Copy)]
pub(crate) struct Listed {
    /// Its place in the policy.
    pub(crate) at: usize,
    /// Whether its action and resource fit, whatever the request says; if not, that depends on its variables.
    pub(crate) fits: bool,
}

impl Shortlists {
    /// Of a policy with so many statements.
    pub(crate) fn new(statements: usize) -> Self {
        let lists = if statements < STATEMENTS_MIN { 0 } else { LISTS_MAX };
        Self((0..lists).map(|_| RwLock::default()).collect())
    }

    /// Calls `each` with every statement that can apply, in their order.
    pub(crate) fn each(&self, asked: &Asked<'_>, statements: &[Statement], each: impl FnMut(Listed)) {
        let (action, resource) = (asked.action(), asked.request.resource);
        let Some(slot) = self.slot(action, resource) else {
            all(statements).for_each(each);
            return;
        };
        if let Ok(list) = slot.read()
            && let Some(list) = &*list
            && (&*list.action, &*list.resource) == (action, resource)
        {
            list.statements.iter().copied().for_each(each);
            return;
        }
        let listed: Box<[Listed]> = all(statements)
            .filter_map(|listed| {
                let fits = statements[listed.at].fits(action, resource);
                (fits != Some(false)).then_some(Listed {
                    fits: fits.is_some(),
                    ..listed
                })
            })
            .collect();
        listed.iter().copied().for_each(each);
        // Who finds it taken leaves it: the list is made again then.
        if let Ok(mut slot) = slot.try_write() {
            *slot = Some(Shortlist {
                action: action.into(),
                resource: resource.into(),
                statements: listed,
            });
        }
    }

    fn slot(&self, action: &str, resource: &str) -> Option<&RwLock<Option<Shortlist>>> {
        if action.len() + resource.len() > NAMES_BYTES_MAX {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        (action, resource).hash(&mut hasher);
        let slot = usize::try_from(hasher.finish() % LISTS_MAX).ok()?;
        self.0.get(slot)
    }
}

impl fmt::Debug for Shortlists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shortlists").finish_non_exhaustive()
    }
}

/// All statements of a policy, to be looked at whole.
pub(crate) fn all(statements: &[Statement]) -> impl Iterator<Item = Listed> {
    (0..statements.len()).map(|at| Listed { at, fits: false })
}
