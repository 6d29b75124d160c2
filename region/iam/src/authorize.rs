//! Who may call IAM and STS: their actions are authorised by the policies that they keep.
//!
//! Resources and condition keys: "Actions, resources, and condition keys for AWS Identity and Access Management" in the Service
//! Authorization Reference.

use std::collections::BTreeMap;

use geodynamo_policy::{Context as Keys, ContextValue, Decision, Policy, Request, evaluate};

use crate::{
    call::{Authorization, Context},
    entity::Kind,
    managed,
    query::error::{IamError, Result},
    state::State,
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

/// Whether there is a principal that a policy names as `AWS`. Of other accounts nothing is known.
pub(crate) fn has_principal(state: &State, account: &str, named: &str) -> bool {
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if named == "*" || is_account(named) {
        return true;
    }
    let Some(rest) = named.strip_prefix("arn:aws:") else {
        return state.by_id(named).is_some();
    };
    let mut parts = rest.splitn(4, ':');
    let (Some(service), Some(""), Some(owner), Some(resource)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    if !is_account(owner) {
        return false;
    }
    if owner != account {
        return true;
    }
    let of_kind = |kind: Kind, name: &str| {
        let held = state.principal(kind, name);
        held.is_some_and(|held| service == "iam" && held.entity.arn(kind, account) == named)
    };
    let last = resource.rsplit('/').next().unwrap_or_default();
    match resource.split(['/', ':']).next() {
        Some("root") => service == "iam",
        Some("user") => of_kind(Kind::User, last),
        Some("role") => of_kind(Kind::Role, last),
        Some("assumed-role") => {
            let role = resource.split('/').nth(1).unwrap_or_default();
            service == "sts" && state.principal(Kind::Role, role).is_some()
        }
        Some("federated-user") => service == "sts",
        _ => false,
    }
}

/// The name in a policy's ARN.
pub(crate) fn policy_name(arn: &str) -> &str {
    match managed::find(arn) {
        Some(managed) => managed.name,
        None => arn.rsplit('/').next().unwrap_or_default(),
    }
}
