//! Application Auto Scaling's API, for the namespace `dynamodb`.

use std::{borrow::Cow, collections::BTreeMap, ops::RangeInclusive, sync::LazyLock};

use geodynamo_api::scaling::{SettingChange, SettingOf};
use geodynamo_policy::{Caller, Context, ContextValue, Environment, Request, evaluate};
use geodynamo_storage::Engine;
use geodynamo_table::stored_name;
use serde_json::{Map, Value, json};

use crate::{
    Scaling, Shared, TARGETS_MAX,
    check::{self, Operation},
    error::ScalingError,
    generated::OPERATIONS,
    replicas::check_percent,
    tags::tags,
    target::{Key, Policy, Row, Suspended, Target},
};

/// As credential scopes name the service.
pub const SERVICE: &str = "application-autoscaling";
/// What its targets (`X-Amz-Target`) begin with.
const TARGET: &str = "AnyScaleFrontendService.";
/// The one namespace.
pub(crate) const NAMESPACE: &str = "dynamodb";
/// What a policy of DynamoDB may track, in percent.
pub(crate) const PERCENT: RangeInclusive<f64> = 20.0..=90.0;
/// The most units that capacity may be scaled to.
const CAPACITY_MAX: i64 = 1_000_000_000;
/// How many things a page has, if it is not told, and at most.
const PAGE: usize = 50;

pub(crate) type Result<T> = std::result::Result<T, ScalingError>;
pub(crate) type Input = Map<String, Value>;

/// Whether policies are asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Authorization {
    /// Whoever calls may do everything.
    Off,
    /// Callers may do what their policies allow.
    #[default]
    Enforce,
    /// As [`Enforce`](Self::Enforce), but what would be refused is let through, and told in [`Reply::denied`].
    Warn,
}

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Its `X-Amz-Target`.
    pub target: &'a str,
    /// Its document.
    pub body: &'a [u8],
    /// Whose it is.
    pub caller: &'a Caller,
    /// What conditions may ask about it.
    pub environment: Environment<'a>,
    /// Whether policies are asked.
    pub authorization: Authorization,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The JSON document.
    pub body: String,
    /// What went wrong inside, where something did: for the log, not for the client.
    pub fault: Option<Box<str>>,
    /// What would have been refused, had [`Authorization::Enforce`] been the mode: for the log.
    pub denied: Option<String>,
}

/// Names of the operations as metrics have them. DynamoDB has operations on tags with the same names.
static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let name = |name: &'static str| match name {
        "ListTagsForResource" => "ScalingListTagsForResource",
        "TagResource" => "ScalingTagResource",
        "UntagResource" => "ScalingUntagResource",
        name => name,
    };
    OPERATIONS.iter().map(|operation| name(operation.name)).collect()
});

/// The names of the operations that are offered.
pub fn operation_names() -> &'static [&'static str] {
    &NAMES
}

/// Whether an `X-Amz-Target` is the service's.
pub fn is_target(target: &str) -> bool {
    target.starts_with(TARGET)
}

/// Which of [`operation_names`] an `X-Amz-Target` names.
pub fn operation(target: &str) -> Option<usize> {
    let name = target.strip_prefix(TARGET)?;
    OPERATIONS.iter().position(|operation| operation.name == name)
}

impl<E: Engine> Scaling<E> {
    /// Answers a call. Its future must run to its end.
    pub async fn call(&self, call: Call<'_>) -> Reply {
        let mut denied = None;
        match self.0.answer(&call, &mut denied).await {
            Ok(output) => Reply {
                status: 200,
                body: output.to_string(),
                fault: None,
                denied,
            },
            Err(error) => Reply {
                status: error.status(),
                body: json!({ "__type": error.code, "Message": error.message }).to_string(),
                fault: error.fault,
                denied,
            },
        }
    }
}

/// The condition keys of a call.
struct Keys<'a>(&'a Input);

impl Context for Keys<'_> {
    fn get(&self, key: &str) -> Option<ContextValue<'_>> {
        let member = match key {
            "application-autoscaling:service-namespace" => "ServiceNamespace",
            "application-autoscaling:scalable-dimension" => "ScalableDimension",
            "aws:tagkeys" => return self.tag_keys(),
            _ => return self.request_tag(key.strip_prefix("aws:requesttag/")?),
        };
        self.0.get(member).and_then(Value::as_str).map(Into::into)
    }
}

impl<'a> Keys<'a> {
    /// The tags that a call brings, or takes away.
    fn tag_keys(&self) -> Option<ContextValue<'a>> {
        let brought = self.0.get("Tags").and_then(Value::as_object).into_iter();
        let brought = brought.flat_map(Map::keys).map(|key| Cow::Borrowed(key.as_str()));
        let taken = self.0.get("TagKeys").and_then(Value::as_array).into_iter().flatten();
        let taken = taken.filter_map(Value::as_str).map(Cow::Borrowed);
        let keys: Vec<_> = brought.chain(taken).collect();
        (!keys.is_empty()).then_some(ContextValue::Multi(keys))
    }

    /// The value of a tag that a call brings; its name is in lower case.
    fn request_tag(&self, name: &str) -> Option<ContextValue<'a>> {
        let tags = self.0.get("Tags")?.as_object()?;
        let (_, value) = tags.iter().find(|(key, _)| key.to_lowercase() == name)?;
        value.as_str().map(Into::into)
    }
}

impl<E: Engine> Shared<E> {
    async fn answer(&self, call: &Call<'_>, denied: &mut Option<String>) -> Result<Value> {
        let operation: Option<&Operation> = operation(call.target).and_then(|place| OPERATIONS.get(place));
        let Some(operation) = operation else {
            return Err(ScalingError::new(
                "UnknownOperationException",
                "The operation is not offered",
            ));
        };
        let input = check::read(operation, call.body)?;
        self.authorize(call, operation.name, &input, denied)?;
        let account = &*call.caller.account;
        if let Some(namespace) = text(&input, "ServiceNamespace")
            && namespace != NAMESPACE
        {
            // Of other services there is nothing, and nothing can be made.
            return match operation.name {
                "DescribeScalableTargets" => Ok(json!({ "ScalableTargets": [] })),
                "DescribeScalingPolicies" => Ok(json!({ "ScalingPolicies": [] })),
                "DescribeScalingActivities" => Ok(json!({ "ScalingActivities": [] })),
                "DescribeScheduledActions" => Ok(json!({ "ScheduledActions": [] })),
                _ => Err(ScalingError::validation(format!(
                    "Unsupported service namespace, resource type or scalable dimension: {namespace}"
                ))),
            };
        }
        match operation.name {
            "RegisterScalableTarget" => self.register(account, &input).await,
            "DeregisterScalableTarget" => self.deregister(account, &input).await,
            "DescribeScalableTargets" => self.describe_targets(account, &input),
            "PutScalingPolicy" => self.put_policy(account, &input).await,
            "DeleteScalingPolicy" => self.delete_policy(account, &input).await,
            "DescribeScalingPolicies" => self.describe_policies(account, &input),
            "DescribeScalingActivities" => self.describe_activities(account, &input),
            "DescribeScheduledActions" => Ok(json!({ "ScheduledActions": [] })),
            "ListTagsForResource" => {
                let (_, target) = self.by_arn(account, &input)?;
                Ok(json!({ "Tags": target.tags }))
            }
            "TagResource" => self.tag(account, &input).await,
            "UntagResource" => self.untag(account, &input).await,
            name => Err(ScalingError::new(
                "UnknownOperationException",
                format!("{name} is not available in this version of geodynamo."),
            )),
        }
    }

    fn authorize(&self, call: &Call<'_>, name: &str, input: &Input, denied: &mut Option<String>) -> Result<()> {
        let account = &*call.caller.account;
        if call.authorization == Authorization::Off || call.caller.is_root() {
            return Ok(());
        }
        let resource = match (text(input, "ResourceARN"), self.key(account, input)) {
            // Lists are of everything, whatever they are narrowed to.
            _ if name.starts_with("Describe") => "*".to_owned(),
            (Some(arn), _) => arn.to_owned(),
            (None, Ok(key)) => key.arn(account),
            (None, Err(_)) => "*".to_owned(),
        };
        // Whoever makes a target with tags must be allowed to tag.
        let tags = name == "RegisterScalableTarget" && Keys(input).tag_keys().is_some();
        for name in [Some(name), tags.then_some("TagResource")].into_iter().flatten() {
            let action = format!("{SERVICE}:{name}");
            let request = Request {
                action: &action,
                resource: &resource,
                resource_account: account,
                environment: &call.environment,
                context: &Keys(input),
            };
            match evaluate(call.caller, None, &request).message(call.caller, &request) {
                Some(message) if call.authorization == Authorization::Enforce => {
                    return Err(ScalingError::new("AccessDeniedException", message));
                }
                message => *denied = denied.take().or(message),
            }
        }
        Ok(())
    }

    /// What a call of an account's names.
    pub(crate) fn key(&self, account: &str, input: &Input) -> Result<Key> {
        let member = |name| text(input, name).unwrap_or_default();
        let key = Key::parse(self.tables.region(), member("ResourceId"), member("ScalableDimension"))?;
        let table = stored_name(self.tables.account(), account, &key.table);
        let table = table.ok_or_else(|| no_table(&key))?.into_owned();
        Ok(Key { table, ..key })
    }

    /// The keys of the same setting in all regions that share it.
    fn alike(&self, key: &Key) -> Vec<Key> {
        let there = self.tables.catalog().provisioned(&key.table, key.index.as_deref());
        match there {
            Ok(Some(there)) if key.write => {
                let in_region = |region| Key { region, ..key.clone() };
                there.regions.into_iter().map(in_region).collect()
            }
            _ => vec![key.clone()],
        }
    }

    /// A target as it is, or a new one of a table or an index that is there.
    fn target_or_new(&self, key: &Key) -> Result<(Target, bool)> {
        let gone = || no_table(key);
        let table = self.tables.table_named(&key.table).map_err(|_| gone())?;
        if let Some(index) = &key.index {
            table.global_index_id(index).ok_or_else(gone)?;
        }
        if let Some(target) = self.target(key) {
            return Ok((target, false));
        }
        let own = self.tables.region();
        let count = self.known.lock().targets.keys().filter(|key| key.region == own).count();
        if count >= TARGETS_MAX {
            return Err(ScalingError::new(
                "LimitExceededException",
                format!("Scalable targets per namespace: {TARGETS_MAX}"),
            ));
        }
        let new = Target {
            table: table.id(),
            min: 0,
            max: 0,
            role: None,
            created_ms: self.tables.now_ms(),
            suspended: Suspended::default(),
            tags: BTreeMap::new(),
            policy: None,
        };
        Ok((new, true))
    }

    async fn register(&self, account: &str, input: &Input) -> Result<Value> {
        let key = self.key(account, input)?;
        let _changing = self.changing.lock().await;
        let (mut target, is_new) = self.target_or_new(&key)?;
        let (min, max) = (capacity(input, "MinCapacity")?, capacity(input, "MaxCapacity")?);
        if is_new && (min.is_none() || max.is_none()) {
            return Err(ScalingError::validation(
                "MinCapacity and MaxCapacity must be specified when a scalable target is registered for the first time",
            ));
        }
        bound(&mut target, min, max)?;
        if let Some(role) = text(input, "RoleARN") {
            target.role = Some(role.to_owned());
        }
        if let Some(Value::Object(given)) = input.get("SuspendedState") {
            let set = |to: &mut bool, name: &str| *to = given.get(name).and_then(Value::as_bool).unwrap_or(*to);
            set(&mut target.suspended.scale_in, "DynamicScalingInSuspended");
            set(&mut target.suspended.scale_out, "DynamicScalingOutSuspended");
            set(&mut target.suspended.scheduled, "ScheduledScalingSuspended");
        }
        if is_new {
            target.tags = tags(input)?;
        }
        self.store(&key, &target).await?;
        Ok(json!({ "ScalableTargetARN": key.arn(account) }))
    }

    /// Stores a target, and the same in the other regions that share the capacity. Tags stay each region's own.
    pub(crate) async fn store(&self, key: &Key, target: &Target) -> Result<()> {
        let row = |of: Key| {
            let tags = if of == *key {
                target.tags.clone()
            } else {
                self.target(&of).unwrap_or_else(|| target.clone()).tags
            };
            Row::Target(of, Target { tags, ..target.clone() })
        };
        let rows = self.alike(key).into_iter().map(row).collect();
        self.commit(rows, Vec::new()).await?;
        self.changed.notify_one();
        Ok(())
    }

    async fn deregister(&self, account: &str, input: &Input) -> Result<Value> {
        let key = self.key(account, input)?;
        let _changing = self.changing.lock().await;
        self.target(&key).ok_or_else(|| no_target(&key))?;
        let mut gone: Vec<_> = self.alike(&key).iter().map(|key| key.place("t")).collect();
        gone.push(key.place("d"));
        self.commit(Vec::new(), gone).await?;
        Ok(json!({}))
    }

    fn describe_targets(&self, account: &str, input: &Input) -> Result<Value> {
        let wanted: Option<Vec<&str>> = input
            .get("ResourceIds")
            .and_then(Value::as_array)
            .map(|all| all.iter().filter_map(Value::as_str).collect());
        let dimension = text(input, "ScalableDimension");
        let shown = self.own_targets(account).into_iter().filter(|(key, _)| {
            wanted
                .as_ref()
                .is_none_or(|wanted| wanted.is_empty() || wanted.contains(&key.resource().as_str()))
                && dimension.is_none_or(|dimension| dimension == key.dimension())
        });
        let shown = shown.map(|(key, target)| {
            json!({
                "ServiceNamespace": NAMESPACE,
                "ResourceId": key.resource(),
                "ScalableDimension": key.dimension(),
                "MinCapacity": target.min,
                "MaxCapacity": target.max,
                "RoleARN": target.role.unwrap_or_else(|| default_role(account)),
                "CreationTime": seconds(target.created_ms),
                "SuspendedState": {
                    "DynamicScalingInSuspended": target.suspended.scale_in,
                    "DynamicScalingOutSuspended": target.suspended.scale_out,
                    "ScheduledScalingSuspended": target.suspended.scheduled,
                },
                "ScalableTargetARN": key.arn(account),
            })
        });
        page(input, "ScalableTargets", shown.collect())
    }

    /// This region's targets of an account, those of tables that are there.
    pub(crate) fn own_targets(&self, account: &str) -> Vec<(Key, Target)> {
        let own = self.tables.region();
        let keys: Vec<Key> = self
            .known
            .lock()
            .targets
            .keys()
            .filter(|key| key.region == own && self.tables.local().owner(&key.table) == account)
            .cloned()
            .collect();
        let found = keys.into_iter().filter_map(|key| {
            let target = self.target(&key)?;
            Some((key, target))
        });
        found.collect()
    }

    fn describe_activities(&self, account: &str, input: &Input) -> Result<Value> {
        let (resource, dimension) = (text(input, "ResourceId"), text(input, "ScalableDimension"));
        let known = self.known.lock();
        let wanted = known.activities.iter().rev().filter(|activity| {
            self.tables.local().owner(&activity.key.table) == account
                && resource.is_none_or(|resource| resource == activity.key.resource())
                && dimension.is_none_or(|dimension| dimension == activity.key.dimension())
        });
        let shown = wanted.map(|activity| {
            let (status, message) = match &activity.failure {
                None => {
                    let done = activity
                        .description
                        .trim_end_matches('.')
                        .replacen("Setting", "Successfully set", 1);
                    (
                        "Successful",
                        format!("{done}. Change successfully fulfilled by dynamodb."),
                    )
                }
                Some(reason) => ("Failed", reason.clone()),
            };
            json!({
                "ActivityId": activity.id,
                "ServiceNamespace": NAMESPACE,
                "ResourceId": activity.key.resource(),
                "ScalableDimension": activity.key.dimension(),
                "Description": activity.description,
                "Cause": activity.cause,
                "StartTime": seconds(activity.start_ms),
                "EndTime": seconds(activity.end_ms),
                "StatusCode": status,
                "StatusMessage": message,
            })
        });
        page(input, "ScalingActivities", shown.collect())
    }

    /// Changes settings for DynamoDB's own operations, all or none of them.
    pub(crate) async fn change_settings(&self, changes: Vec<(SettingOf, SettingChange)>) -> Result<()> {
        let _changing = self.changing.lock().await;
        let (mut rows, mut gone) = (Vec::new(), Vec::new());
        for (of, change) in changes {
            let key = Key::from(&of);
            if change.disabled {
                gone.push(key.place("t"));
                continue;
            }
            let (mut target, is_new) = self.target_or_new(&key)?;
            if is_new && (change.min.is_none() || change.max.is_none()) {
                return Err(ScalingError::validation(
                    "MinimumUnits and MaximumUnits must be specified to enable auto scaling",
                ));
            }
            bound(&mut target, change.min, change.max)?;
            target.role = change.role.or(target.role);
            if let Some(policy) = change.policy {
                check_percent(policy.percent)?;
                let before = target.policy.take();
                let name = policy
                    .name
                    .or_else(|| before.as_ref().map(|before| before.name.clone()));
                target.policy = Some(Policy {
                    name: name.unwrap_or_else(|| format!("{}:{}", key.metric(), key.resource())),
                    percent: policy.percent,
                    disable_scale_in: policy.disable_scale_in.unwrap_or(false),
                    in_cooldown: policy.in_cooldown,
                    out_cooldown: policy.out_cooldown,
                    created_ms: before.map_or_else(|| self.tables.now_ms(), |before| before.created_ms),
                });
            }
            rows.push(Row::Target(key, target));
        }
        self.commit(rows, gone).await?;
        self.changed.notify_one();
        Ok(())
    }
}

pub(crate) fn text<'a>(input: &'a Input, name: &str) -> Option<&'a str> {
    input.get(name).and_then(Value::as_str)
}

pub(crate) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn capacity(input: &Input, name: &str) -> Result<Option<u64>> {
    let Some(given) = input.get(name).and_then(Value::as_i64) else {
        return Ok(None);
    };
    // DynamoDB provisions no less than one unit.
    match u64::try_from(given)
        .ok()
        .filter(|units| *units >= 1 && given <= CAPACITY_MAX)
    {
        Some(units) => Ok(Some(units)),
        None => Err(ScalingError::validation(format!(
            "{name} must be between 1 and {CAPACITY_MAX} for service namespace dynamodb: {given}"
        ))),
    }
}

fn bound(target: &mut Target, min: Option<u64>, max: Option<u64>) -> Result<()> {
    (target.min, target.max) = (min.unwrap_or(target.min), max.unwrap_or(target.max));
    if target.min == 0 || target.min > target.max {
        return Err(ScalingError::validation(
            "Maximum capacity cannot be less than minimum capacity, which is at least 1",
        ));
    }
    Ok(())
}

/// The role that scales an account's tables where none is told.
pub(crate) fn default_role(account: &str) -> String {
    format!(
        "arn:aws:iam::{account}:role/aws-service-role/dynamodb.application-autoscaling.amazonaws.com/\
         AWSServiceRoleForApplicationAutoScaling_DynamoDBTable"
    )
}

fn no_table(key: &Key) -> ScalingError {
    ScalingError::validation(format!("DynamoDB table does not exist: {}", key.resource()))
}

pub(crate) fn no_target(key: &Key) -> ScalingError {
    let (resource, dimension) = (key.resource(), key.dimension());
    ScalingError::new(
        "ObjectNotFoundException",
        format!(
            "No scalable target registered for service namespace: {NAMESPACE}, resource ID: {resource}, scalable dimension: \
             {dimension}"
        ),
    )
}

/// A page of what there is; the token is a number.
pub(crate) fn page(input: &Input, name: &str, all: Vec<Value>) -> Result<Value> {
    let most = match input.get("MaxResults").and_then(Value::as_i64) {
        None => PAGE,
        Some(told) => usize::try_from(told)
            .ok()
            .filter(|told| (1..=PAGE).contains(told))
            .ok_or_else(|| ScalingError::validation(format!("MaxResults must be between 1 and {PAGE}: {told}")))?,
    };
    let from = match text(input, "NextToken") {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .map_err(|_| ScalingError::new("InvalidNextTokenException", "The next token is not valid"))?,
    };
    let shown: Vec<Value> = all.iter().skip(from).take(most).cloned().collect();
    let next = from.saturating_add(shown.len());
    let mut output = json!({ name: shown });
    if next < all.len() {
        output["NextToken"] = next.to_string().into();
    }
    Ok(output)
}
