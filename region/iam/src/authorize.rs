//! Who may call IAM and STS: their actions are authorised by the policies that they keep.
//!
//! Resources and condition keys: "Actions, resources, and condition keys for AWS Identity and Access Management" in the Service
//! Authorization Reference.

use std::collections::BTreeMap;

use geodynamo_policy::{Context as Keys, ContextValue, Decision, Policy, Request, evaluate};

use crate::{
    accounts::{Accounts, is_id},
    call::{Authorization, Context},
    entity::Kind,
    managed,
    query::error::{IamError, Result},
};

/// The condition keys of a call: names in lower case.
#[derive(Debug, Default)]
pub(crate) struct CallKeys(BTreeMap<String, Values>);

#[derive(Debug)]
enum Values {
    Single(String),
    Multi(Vec<String>),
}

impl CallKeys {
    pub(crate) fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), Values::Single(value.into()));
    }

    pub(crate) fn set_all(&mut self, key: impl Into<String>, values: Vec<String>) {
        self.0.insert(key.into(), Values::Multi(values));
    }

    /// The tags that a request brings.
    pub(crate) fn request_tags<'a>(&mut self, tags: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut keys = Vec::new();
        for (key, value) in tags {
            self.set(format!("aws:requesttag/{}", key.to_lowercase()), value);
            keys.push(key.to_owned());
        }
        if !keys.is_empty() {
            self.set_all("aws:tagkeys", keys);
        }
    }

    /// The tags that the resource has.
    pub(crate) fn resource_tags(&mut self, tags: &BTreeMap<String, String>) {
        for (key, value) in tags {
            for prefix in ["aws", "iam"] {
                self.set(format!("{prefix}:resourcetag/{}", key.to_lowercase()), value.as_str());
            }
        }
    }
}

impl Keys for CallKeys {
    fn get(&self, key: &str) -> Option<ContextValue<'_>> {
        Some(match self.0.get(key)? {
            Values::Single(value) => value.as_str().into(),
            Values::Multi(values) => ContextValue::Multi(values.iter().map(|value| value.as_str().into()).collect()),
        })
    }
}

impl Context<'_> {
    /// Refuses the call unless its caller may do this to a resource. `resource_policy` is the trust policy of a role.
    pub(crate) fn authorize(
        &self,
        action: &str,
        resource: &str,
        keys: &CallKeys,
        resource_policy: Option<&Policy>,
    ) -> Result<()> {
        self.told.lock().resources.push(resource.to_owned());
        if self.call.authorization == Authorization::Off {
            return Ok(());
        }
        let request = Request {
            action,
            resource,
            resource_account: &self.account,
            environment: &self.call.environment,
            context: keys,
        };
        let decision = evaluate(self.call.caller, resource_policy, &request);
        match self.refusal(decision, &request) {
            None => Ok(()),
            Some(message) => self.refuse(message),
        }
    }

    fn refusal(&self, decision: Decision, request: &Request<'_>) -> Option<String> {
        decision.message(self.call.caller, request)
    }

    /// A refusal with these words, unless it is only to be told.
    pub(crate) fn refuse(&self, message: String) -> Result<()> {
        match self.call.authorization {
            Authorization::Off => Ok(()),
            Authorization::Warn => {
                self.told.lock().denied.push(message);
                Ok(())
            }
            Authorization::Enforce => Err(IamError::denied(message)),
        }
    }

    /// Refuses a call to IAM that its caller may not make.
    pub(crate) fn authorize_call(&self) -> Result<()> {
        let mut keys = CallKeys::default();
        let tags = self.input.structures("Tags");
        keys.request_tags(tags.map(|tag| (tag.required("Key"), tag.required("Value"))));
        if self.operation.starts_with("Untag") {
            keys.set_all("aws:tagkeys", self.input.texts("TagKeys").map(str::to_owned).collect());
        }
        if self.operation.starts_with("Attach") || self.operation.starts_with("Detach") {
            keys.set("iam:policyarn", self.input.required("PolicyArn"));
        }
        if let Some(boundary) = self.input.text("PermissionsBoundary") {
            keys.set("iam:permissionsboundary", boundary);
        }
        let resource = self.resource(&mut keys);
        self.authorize(&self.action, &resource, &keys, None)?;
        if let Some(tagging) = tagging(self.operation)
            && self.input.structures("Tags").next().is_some()
        {
            self.authorize(tagging, &resource, &keys, None)?;
        }
        // A new name is a resource too.
        for (kind, parameter) in [(Kind::User, "NewUserName"), (Kind::Group, "NewGroupName")] {
            let (name, path) = (self.input.text(parameter), self.input.text("NewPath"));
            if name.is_some() || (path.is_some() && self.input.text(kind.parameter()).is_some()) {
                let before = self.path_of(kind, self.input.required(kind.parameter()));
                let path = path.or(before).unwrap_or("/");
                let name = name.unwrap_or_else(|| self.input.required(kind.parameter()));
                let renamed = format!("arn:aws:iam::{}:{}{path}{name}", self.account, kind.noun());
                self.authorize(&self.action, &renamed, &keys, None)?;
            }
        }
        Ok(())
    }

    fn path_of(&self, kind: Kind, name: &str) -> Option<&str> {
        let held = self.state().principal(kind, name)?;
        Some(&held.entity.path)
    }

    /// The resource of a call to IAM, and what is known of it.
    fn resource(&self, keys: &mut CallKeys) -> String {
        let account = &*self.account;
        let of_iam = |rest: String| format!("arn:aws:iam::{account}:{rest}");
        let path = |parameter: &str| self.input.text(parameter).unwrap_or("/").to_owned();
        match self.operation {
            "CreateUser" | "CreateGroup" | "CreateRole" | "CreatePolicy" => {
                let noun = self.operation["Create".len()..].to_lowercase();
                let name = ["UserName", "GroupName", "RoleName", "PolicyName"]
                    .into_iter()
                    .find_map(|parameter| self.input.text(parameter));
                return of_iam(format!("{noun}{}{}", path("Path"), name.unwrap_or_default()));
            }
            "ListUsers" => return of_iam(format!("user{}", path("PathPrefix"))),
            "ListGroups" => return of_iam(format!("group{}", path("PathPrefix"))),
            "ListRoles" => return of_iam(format!("role{}", path("PathPrefix"))),
            "ListPolicies" => return of_iam(format!("policy{}", path("PathPrefix"))),
            "CreateOpenIDConnectProvider" => {
                let url = self.input.required("Url").trim_start_matches("https://");
                return of_iam(format!("oidc-provider/{url}"));
            }
            "GetAccessKeyLastUsed" => {
                let key = self.input.required("AccessKeyId");
                return crate::operations::keys::user_of(self, key)
                    .map_or_else(|| "*".into(), |user| user.arn(Kind::User, account));
            }
            _ => {}
        }
        for kind in [Kind::Group, Kind::Role, Kind::User] {
            let Some(name) = self.input.text(kind.parameter()) else {
                continue;
            };
            let Some(held) = self.state().principal(kind, name) else {
                return of_iam(format!("{}/{name}", kind.noun()));
            };
            keys.resource_tags(&held.entity.tags);
            if let Some(boundary) = &held.entity.boundary
                && self.input.text("PermissionsBoundary").is_none()
            {
                keys.set("iam:permissionsboundary", boundary.as_str());
            }
            return held.entity.arn(kind, account);
        }
        if let Some(arn) = self.input.text("PolicyArn") {
            if let Some(held) = self.state().own_policy(account, arn) {
                keys.resource_tags(&held.entity.tags);
            }
            return arn.to_owned();
        }
        for parameter in ["OpenIDConnectProviderArn", "PolicySourceArn"] {
            if let Some(arn) = self.input.text(parameter) {
                return arn.to_owned();
            }
        }
        let of_caller = [
            "GetUser",
            "CreateAccessKey",
            "ListAccessKeys",
            "UpdateAccessKey",
            "DeleteAccessKey",
            "GetLoginProfile",
            "DeleteLoginProfile",
            "ListMFADevices",
            "ListSSHPublicKeys",
            "ListServiceSpecificCredentials",
            "ListSigningCertificates",
        ];
        if of_caller.contains(&self.operation) {
            return self.call.caller.principal_arn().to_owned();
        }
        "*".into()
    }
}

/// What else is needed to make something with tags: else whoever may only make it could give it the tags that policies go by.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_examples_iam-new-user-tag.html>
fn tagging(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "CreateUser" => "iam:TagUser",
        "CreateRole" => "iam:TagRole",
        "CreatePolicy" => "iam:TagPolicy",
        "CreateOpenIDConnectProvider" => "iam:TagOpenIDConnectProvider",
        _ => return None,
    })
}

/// Whether there is a principal that a policy of an account names as `AWS`. Of accounts that are not of this cluster nothing is
/// known. Unique ids are the account's own.
pub(crate) fn has_principal(accounts: &Accounts, account: &str, named: &str) -> bool {
    if named == "*" || is_id(named) {
        return true;
    }
    if !named.starts_with("arn:") {
        return accounts.state(account).by_id(named).is_some();
    }
    let Some((service, owner, resource)) = parts_of(named) else {
        return false;
    };
    if owner != account && !accounts.has(owner) {
        return true;
    }
    match resource.split('/').next() {
        Some("root") => service == "iam",
        Some("federated-user") => service == "sts",
        _ => id_of(accounts, named).is_some(),
    }
}

/// The unique id of whom a principal's ARN names: a user, a role, or a session of a role (`AROA…:SESSION`). `None` of whoever is not
/// here, and of what has no unique id.
pub(crate) fn id_of(accounts: &Accounts, named: &str) -> Option<String> {
    let (service, owner, resource) = parts_of(named)?;
    if !accounts.has(owner) {
        return None;
    }
    let state = accounts.state(owner);
    let (what, name) = resource.split_once('/')?;
    let kind = match (service, what) {
        ("iam", "user") => Kind::User,
        ("iam", "role") => Kind::Role,
        ("sts", "assumed-role") => {
            let (role, session) = name.split_once('/')?;
            let held = state.principal(Kind::Role, role)?;
            return (held.entity.name == role).then(|| format!("{}:{session}", held.entity.id));
        }
        _ => return None,
    };
    let held = state.principal(kind, name.rsplit('/').next()?)?;
    (held.entity.arn(kind, owner) == named).then(|| held.entity.id.clone())
}

/// Of principals that a stored policy has by ARN and unique id: what they are called now, where that is another ARN; their id,
/// where there is none any more. By the ARN that the policy has.
pub(crate) fn names_now(accounts: &Accounts, ids: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let others = ids
        .iter()
        .filter(|(arn, id)| id_of(accounts, arn).as_ref() != Some(*id));
    let now = others.map(|(arn, id)| {
        let owner = parts_of(arn).map_or("", |(_, owner, _)| owner);
        let held = accounts.state(owner).by_id(id);
        let name = held.map_or_else(|| id.clone(), |(kind, held)| held.entity.arn(kind, owner));
        (arn.clone(), name)
    });
    now.collect()
}

/// The service, the account and the resource in an ARN of a principal.
fn parts_of(arn: &str) -> Option<(&str, &str, &str)> {
    let mut parts = arn.strip_prefix("arn:aws:")?.splitn(4, ':');
    let (service, region) = (parts.next()?, parts.next()?);
    let (owner, resource) = (parts.next()?, parts.next()?);
    (region.is_empty() && is_id(owner)).then_some((service, owner, resource))
}

/// The name in a policy's ARN.
pub(crate) fn policy_name(arn: &str) -> &str {
    match managed::find(arn) {
        Some(managed) => managed.name,
        None => arn.rsplit('/').next().unwrap_or_default(),
    }
}
