//! Long-term access keys.

use super::{limits, page::Page, put as put_principal, shapes};
use crate::{
    call::{Changes, Context},
    entity::{AccessKey, Kind, Principal},
    query::{
        error::{IamError, Result},
        value::Structure,
    },
    state::{Owner, pack, row},
};

/// Whose keys a call is about: a user's or, where it names none, its caller's.
enum Whose {
    User(Box<Principal>),
    /// The root user's: as they were, and as they become.
    Root(Vec<AccessKey>, Vec<AccessKey>),
}

impl Whose {
    fn of(cx: &Context<'_>) -> Result<Self> {
        let caller = cx.call.caller;
        match cx.input.text("UserName").or(caller.user_name.as_deref()) {
            Some(name) => Ok(Self::User(Box::new(cx.held_named(Kind::User, name)?.entity.clone()))),
            None if caller.is_root() => {
                let keys: Vec<AccessKey> = cx.state().root_keys().values().cloned().collect();
                Ok(Self::Root(keys.clone(), keys))
            }
            None => Err(IamError::validation(
                "Must specify userName when calling with non-User credentials",
            )),
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::User(user) => Some(&user.name),
            Self::Root(..) => None,
        }
    }

    fn keys(&mut self) -> &mut Vec<AccessKey> {
        match self {
            Self::User(user) => &mut user.keys,
            Self::Root(_, keys) => keys,
        }
    }

    fn put(&self, changes: &mut Changes) -> Result<()> {
        match self {
            Self::User(user) => put_principal(changes, Kind::User, user),
            Self::Root(before, keys) => {
                let gone = before.iter().filter(|key| keys.iter().all(|other| other.id != key.id));
                changes.extend(gone.map(|key| (row::root_key(&key.id), None)));
                for key in keys.iter().filter(|key| !before.contains(key)) {
                    let packed = pack(key).map_err(IamError::internal)?;
                    changes.push((row::root_key(&key.id), Some(packed)));
                }
                Ok(())
            }
        }
    }
}

pub(super) fn create(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let mut whose = Whose::of(cx)?;
    let quota = limits::ACCESS_KEYS_PER_USER;
    limits::check("AccessKeysPerUser", whose.keys().len() + 1, quota)?;
    let (key, secret) = cx.core.new_access_key(cx.call.now_unix_s)?;
    let shown = shapes::access_key(whose.name(), &key).with("SecretAccessKey", secret);
    whose.keys().push(key);
    whose.put(changes)?;
    Ok(Structure::new().with("AccessKey", shown))
}

pub(super) fn delete(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let mut whose = Whose::of(cx)?;
    let id = cx.input.required("AccessKeyId");
    let before = whose.keys().len();
    whose.keys().retain(|key| key.id != id);
    if whose.keys().len() == before {
        return Err(no_key(id));
    }
    whose.put(changes)?;
    Ok(Structure::new())
}

pub(super) fn update(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let mut whose = Whose::of(cx)?;
    let id = cx.input.required("AccessKeyId");
    let active = match cx.input.required("Status") {
        "Active" => true,
        "Inactive" => false,
        other => {
            return Err(IamError::validation(format!(
                "The status {other} cannot be given to an access key"
            )));
        }
    };
    let key = whose.keys().iter_mut().find(|key| key.id == id);
    key.ok_or_else(|| no_key(id))?.active = active;
    whose.put(changes)?;
    Ok(Structure::new())
}

pub(super) fn list(cx: &Context<'_>) -> Result<Structure> {
    let mut whose = Whose::of(cx)?;
    let name = whose.name().map(str::to_owned);
    let mut keys = whose.keys().clone();
    keys.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let page = Page::of(cx.input, keys.into_iter().map(|key| (key.id.clone(), key)), |key| {
        shapes::access_key(name.as_deref(), &key)
    })?;
    Ok(page.answer("AccessKeyMetadata"))
}

pub(super) fn last_used(cx: &Context<'_>) -> Result<Structure> {
    let id = cx.input.required("AccessKeyId");
    let Some(owner) = cx.state().owner(id) else {
        return Err(no_key(id));
    };
    let name = match owner {
        Owner::Root => None,
        Owner::User(_) => user_of(cx, id).map(|user| user.name.as_str()),
    };
    let used = cx.core.last_uses.get(cx.state(), id, &cx.core.region);
    let shown = match used {
        Some((unix_s, service, region)) => Structure::new()
            .with("LastUsedDate", shapes::time(unix_s))
            .with("ServiceName", service)
            .with("Region", region),
        None => Structure::new().with("ServiceName", "N/A").with("Region", "N/A"),
    };
    Ok(Structure::new().with("UserName", name).with("AccessKeyLastUsed", shown))
}

/// The user whose an access key is.
pub(crate) fn user_of<'a>(cx: &'a Context<'_>, access_key_id: &str) -> Option<&'a Principal> {
    match cx.state().owner(access_key_id)? {
        Owner::Root => None,
        Owner::User(name) => cx.state().principal(Kind::User, name).map(|held| &held.entity),
    }
}

fn no_key(id: &str) -> IamError {
    IamError::no_such(format!("The Access Key with id {id} cannot be found."))
}
