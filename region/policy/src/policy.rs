//! Policies.

use crate::{
    PolicyError,
    condition::Condition,
    evaluate::Asked,
    parse,
    principal::{Principal, Principals, Relation},
    shortlist::Shortlists,
    template::Template,
};

/// What a policy is for. It decides which elements it must and must not have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PolicyKind {
    /// Of a user, a group or a role: no principals, resources.
    Identity,
    /// Of a table or a stream: principals and resources.
    Resource,
    /// Of a role, who may assume it: principals, no resources.
    Trust,
    /// Passed with a session; like an identity-based policy.
    Session,
    /// A permissions boundary; like an identity-based policy.
    Boundary,
}

/// The version of the policy language.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// `2008-10-17`, the default: policy variables are plain text.
    V2008,
    /// `2012-10-17`
    V2012,
}

/// What a statement does if it applies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// `Allow`
    Allow,
    /// `Deny`
    Deny,
}

/// A place in a policy's text. Lines and columns (in characters) count from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// In bytes from the text's start.
    pub offset: usize,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// A policy, compiled and immutable.
#[derive(Debug)]
pub struct Policy {
    pub(crate) kind: PolicyKind,
    pub(crate) version: Version,
    pub(crate) id: Option<Box<str>>,
    pub(crate) size_chars: usize,
    pub(crate) statements: Box<[Statement]>,
    pub(crate) shortlists: Shortlists,
}

/// A statement of a policy.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) sid: Option<Box<str>>,
    pub(crate) effect: Effect,
    /// None in policies of principals.
    pub(crate) principals: Option<Principals>,
    /// In lower case.
    pub(crate) actions: Patterns,
    /// None in trust policies.
    pub(crate) resources: Option<Patterns>,
    pub(crate) conditions: Box<[Condition]>,
    pub(crate) begin: Place,
    pub(crate) end: Place,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Debug)]
pub(crate) struct Patterns {
    pub(crate) negated: bool,
    pub(crate) patterns: Box<[Template]>,
}

impl Policy {
    /// Compiles a JSON document.
    ///
    /// # Errors
    /// Where it is no JSON, no policy, not one of this kind, or above one of the limits
    /// ([`TEXT_BYTES_MAX`](crate::TEXT_BYTES_MAX) and those beside it).
    pub fn parse(text: &str, kind: PolicyKind) -> Result<Self, PolicyError> {
        parse::parse(text, kind)
    }

    /// What it is for.
    pub fn kind(&self) -> PolicyKind {
        self.kind
    }

    /// The version of its language.
    pub fn version(&self) -> Version {
        self.version
    }

    /// `Id`
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Its length in characters without white space: what IAM's quotas count.
    pub fn size_chars(&self) -> usize {
        self.size_chars
    }

    /// How many statements it has.
    pub fn statements(&self) -> usize {
        self.statements.len()
    }

    /// A statement's `Sid`.
    pub fn sid(&self, statement: usize) -> Option<&str> {
        self.statements.get(statement)?.sid.as_deref()
    }

    /// Where a statement begins and ends in the text: its first brace, and behind its last.
    pub fn statement_places(&self, statement: usize) -> Option<(Place, Place)> {
        let statement = self.statements.get(statement)?;
        Some((statement.begin, statement.end))
    }

    /// The same, where an ARN under `AWS` for which `id_of` knows a unique id stands for whoever has that id: not for somebody who
    /// is given the name later. Whoever stores the policy keeps the ids beside it.
    #[must_use]
    pub fn pinned<'a>(mut self, id_of: impl Fn(&str) -> Option<&'a str>) -> Self {
        let statements = self.statements.iter_mut();
        let principals = statements.filter_map(|statement| statement.principals.as_mut());
        for principal in principals.flat_map(|principals| &mut principals.patterns) {
            if let Principal::Arn(arn) = principal
                && let Some(id) = id_of(arn)
            {
                *principal = Principal::UniqueId(id.into());
            }
        }
        self
    }

    /// The principals that it names as `AWS`, but for `*`: ARNs, accounts, unique ids, as they are written. Whoever stores the
    /// policy refuses those that do not exist.
    pub fn aws_principals(&self) -> impl Iterator<Item = &str> {
        let principals = self
            .statements
            .iter()
            .filter_map(|statement| statement.principals.as_ref());
        principals
            .flat_map(|principals| &principals.patterns)
            .filter_map(|principal| match principal {
                Principal::Account { text, .. } | Principal::Arn(text) | Principal::UniqueId(text) => Some(&**text),
                Principal::Anyone | Principal::Federated(_) | Principal::Service(_) | Principal::Canonical => None,
            })
    }
}

impl Statement {
    /// How it applies to what is asked: [`Relation::Direct`] in a policy without principals.
    pub(crate) fn applies(&self, asked: &Asked<'_>) -> Relation {
        if !self.actions.include(asked.action(), asked) {
            return Relation::None;
        }
        let relation = self.relation(asked);
        if relation == Relation::None {
            return relation;
        }
        if let Some(resources) = &self.resources
            && !resources.apply(asked, self.effect)
        {
            return Relation::None;
        }
        self.under_conditions(relation, asked)
    }

    /// Like [`Statement::applies`], where its action and its resource are known to fit.
    pub(crate) fn applies_if_fits(&self, asked: &Asked<'_>) -> Relation {
        match self.relation(asked) {
            Relation::None => Relation::None,
            relation => self.under_conditions(relation, asked),
        }
    }

    fn relation(&self, asked: &Asked<'_>) -> Relation {
        match &self.principals {
            Some(principals) => principals.relation(asked.caller),
            None => Relation::Direct,
        }
    }

    fn under_conditions(&self, relation: Relation, asked: &Asked<'_>) -> Relation {
        if self.conditions.iter().all(|condition| condition.holds(asked)) {
            relation
        } else {
            Relation::None
        }
    }

    /// Whether its action and its resource fit, in whatever request; `None` if that depends on the request.
    pub(crate) fn fits(&self, action: &str, resource: &str) -> Option<bool> {
        let action = self.actions.fixed(action);
        let resource = self
            .resources
            .as_ref()
            .map_or(Some(true), |resources| resources.fixed(resource));
        match (action, resource) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }
}

impl Patterns {
    /// Whether a text is among them; `None` if one of them has variables.
    fn fixed(&self, text: &str) -> Option<bool> {
        if self.patterns.iter().any(Template::has_variables) {
            return None;
        }
        Some(self.patterns.iter().any(|pattern| pattern.is_like(text, &[])) != self.negated)
    }

    fn include(&self, text: &str, asked: &Asked<'_>) -> bool {
        let fits = |pattern: &Template| {
            pattern.is_anything()
                || pattern
                    .values(asked)
                    .is_some_and(|values| pattern.is_like(text, &values))
        };
        self.patterns.iter().any(fits) != self.negated
    }

    /// Whether the resource is among them. Where one of `NotResource` has a variable without a value, nobody knows what is
    /// meant to be left out: so nothing is allowed, and everything denied.
    fn apply(&self, asked: &Asked<'_>, effect: Effect) -> bool {
        let unknown = || self.patterns.iter().any(|pattern| pattern.values(asked).is_none());
        if self.negated && effect == Effect::Allow && unknown() {
            return false;
        }
        self.include(asked.request.resource, asked)
    }
}
