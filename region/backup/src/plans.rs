//! Plans and their rules.

use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use serde_json::{Value, json};

use crate::{
    BackupError, PLAN, PLANS_MAX, Shared,
    error::Result,
    jobs::Windows,
    page::{latest_first, lean, maybe_seconds, page, seconds},
    points::lifecycle_of,
    schedule::{Schedule, USUAL, UTC},
    state::{CopyAction, Lifecycle, Plan, PlanVersion, Row, Tags},
    tags::{self, tags_of},
    uuid,
    wire::{Input, required, text},
};

/// The most rules of a plan.
const RULES_MAX: usize = 50;
/// The most versions of a plan that are remembered.
const VERSIONS_MAX: usize = 50;
/// The longest name of a plan, in characters.
const NAME_LEN_MAX: usize = 50;

/// A rule, read from a plan's document.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) vault: String,
    pub(crate) expression: String,
    pub(crate) zone: String,
    pub(crate) schedule: Schedule,
    pub(crate) windows: Windows,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) tags: Tags,
    pub(crate) copies: Vec<CopyAction>,
}

impl Rule {
    /// Reads a rule, whose form was checked when it came.
    pub(crate) fn read(told: &Value) -> Result<Self> {
        let text = |name: &str| told[name].as_str();
        let name = text("RuleName").unwrap_or_default();
        let (expression, zone) = (
            text("ScheduleExpression").unwrap_or(USUAL),
            text("ScheduleExpressionTimezone").unwrap_or(UTC),
        );
        let of_rule = |reason: String| BackupError::invalid(format!("Error in rule {name}: {reason}"));
        let schedule = Schedule::parse(expression, zone).map_err(of_rule)?;
        if told["EnableContinuousBackup"].as_bool() == Some(true) {
            let reason = "continuous backups of DynamoDB tables are DynamoDB's own: UpdateContinuousBackups";
            return Err(of_rule(reason.to_owned()));
        }
        let mut copies = Vec::new();
        for copy in told["CopyActions"].as_array().into_iter().flatten() {
            copies.push(CopyAction {
                vault_arn: copy["DestinationBackupVaultArn"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                lifecycle: lifecycle_of(copy.get("Lifecycle"))?,
            });
        }
        Ok(Self {
            id: text("RuleId").unwrap_or_default().to_owned(),
            name: name.to_owned(),
            vault: text("TargetBackupVaultName").unwrap_or_default().to_owned(),
            expression: expression.to_owned(),
            zone: zone.to_owned(),
            schedule,
            windows: Windows::of(told.get("StartWindowMinutes"), told.get("CompletionWindowMinutes"))?,
            lifecycle: lifecycle_of(told.get("Lifecycle"))?,
            tags: told
                .get("RecoveryPointTags")
                .map_or_else(|| Ok(Tags::new()), tags::read)?,
            copies,
        })
    }
}

impl PlanVersion {
    pub(crate) fn body(&self) -> Value {
        // It was written from one.
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// Its rules. One that this release cannot read is left out.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        let body = self.body();
        let rules = body["Rules"].as_array().into_iter().flatten();
        rules.filter_map(|rule| Rule::read(rule).ok()).collect()
    }
}

impl Plan {
    /// Its current version.
    pub(crate) fn current(&self) -> Option<&PlanVersion> {
        self.versions.last()
    }

    /// Up to when a rule's runs are done with.
    pub(crate) fn through(&self, rule: &str) -> Millis {
        self.through_ms.get(rule).copied().unwrap_or(self.created_ms)
    }
}

impl<E: Engine> Shared<E> {
    /// A plan that is not deleted.
    pub(crate) fn plan(&self, id: &str) -> Result<Plan> {
        let plan = self.known.lock().plans.get(id).cloned();
        plan.filter(|plan| plan.deleted_ms.is_none()).ok_or_else(|| no_plan(id))
    }

    /// A plan's document as it came, checked, with ids of its rules: those of rules of the same names, if there were any.
    fn version_of(&self, input: &Input, before: Option<&PlanVersion>) -> Result<PlanVersion> {
        let mut body = input.get("BackupPlan").cloned().unwrap_or_default();
        let name = body["BackupPlanName"].as_str().unwrap_or_default().to_owned();
        if name.is_empty() || name.chars().count() > NAME_LEN_MAX {
            return Err(BackupError::invalid(format!("Invalid plan name: {name}")));
        }
        let known = before.map(PlanVersion::rules).unwrap_or_default();
        let rules = body.get_mut("Rules").and_then(Value::as_array_mut);
        let rules = rules.filter(|rules| (1..=RULES_MAX).contains(&rules.len()));
        let rules = rules.ok_or_else(|| BackupError::invalid(format!("A plan has 1 to {RULES_MAX} rules")))?;
        let mut names = std::collections::BTreeSet::new();
        for rule in rules {
            let read = Rule::read(rule)?;
            if !names.insert(read.name.clone()) {
                return Err(BackupError::invalid(format!("Two rules are called {}", read.name)));
            }
            if read.vault != crate::vaults::DEFAULT {
                self.vault(&read.vault)
                    .map_err(|error| BackupError::invalid(error.message))?;
            }
            for copy in &read.copies {
                self.check_destination(&copy.vault_arn)?;
            }
            let same = known.iter().find(|rule| rule.name == read.name);
            let usual = json!({
                "RuleId": same.map_or_else(uuid, |rule| rule.id.clone()),
                "ScheduleExpression": read.expression,
                "ScheduleExpressionTimezone": read.zone,
                "StartWindowMinutes": read.windows.start,
                "CompletionWindowMinutes": read.windows.complete,
            });
            crate::jobs::add(rule, usual);
        }
        Ok(PlanVersion {
            version: uuid(),
            created_ms: self.tables.now_ms(),
            name,
            body: body.to_string(),
        })
    }

    pub(crate) async fn create_plan(&self, input: &Input) -> Result<Value> {
        let version = self.version_of(input, None)?;
        let tags = tags_of(input, "BackupPlanTags")?;
        let request = text(input, "CreatorRequestId");
        let _changing = self.changing.lock().await;
        let live: Vec<Plan> = {
            let known = self.known.lock();
            known
                .plans
                .values()
                .filter(|plan| plan.deleted_ms.is_none())
                .cloned()
                .collect()
        };
        let same = live
            .iter()
            .find(|plan| request.is_some() && plan.creator_request.as_deref() == request);
        if let Some(there) = same {
            return Ok(self.plan_answer(there));
        }
        // The rules' ids are each plan's own.
        let plain = |version: &PlanVersion| without_ids(version.body());
        let wanted = plain(&version);
        if live
            .iter()
            .any(|plan| plan.current().is_some_and(|current| plain(current) == wanted))
        {
            return Err(BackupError::exists(format!(
                "The same plan exists already: {}",
                version.name
            )));
        }
        if live.len() >= PLANS_MAX {
            return Err(BackupError::limit(format!(
                "An account has {PLANS_MAX} plans in a region at most"
            )));
        }
        let plan = Plan {
            id: uuid().to_lowercase(),
            created_ms: version.created_ms,
            deleted_ms: None,
            ran_ms: None,
            creator_request: request.map(str::to_owned),
            tags,
            versions: vec![version],
            through_ms: Default::default(),
        };
        self.commit(vec![Row::Plan(plan.clone())], Vec::new()).await?;
        self.wake.notify_one();
        Ok(self.plan_answer(&plan))
    }

    fn plan_answer(&self, plan: &Plan) -> Value {
        let current = plan.current();
        lean(json!({
            "BackupPlanId": plan.id,
            "BackupPlanArn": self.arn(PLAN, &plan.id),
            "CreationDate": seconds(current.map_or(plan.created_ms, |current| current.created_ms)),
            "VersionId": current.map(|current| &current.version),
            "AdvancedBackupSettings": current.map(|current| current.body()["AdvancedBackupSettings"].take()),
        }))
    }

    pub(crate) async fn update_plan(&self, input: &Input) -> Result<Value> {
        let id = required(input, "BackupPlanId")?;
        let _changing = self.changing.lock().await;
        let mut plan = self.plan(id)?;
        let version = self.version_of(input, plan.current())?;
        let rules = version.rules();
        let now_ms = self.tables.now_ms();
        // What a new schedule would have run before is none of it.
        let through = rules.iter().map(|rule| (rule.id.clone(), now_ms));
        plan.through_ms = through.collect();
        plan.versions.push(version);
        let old = plan.versions.len().saturating_sub(VERSIONS_MAX);
        plan.versions.drain(..old);
        self.commit(vec![Row::Plan(plan.clone())], Vec::new()).await?;
        self.wake.notify_one();
        Ok(self.plan_answer(&plan))
    }

    pub(crate) fn get_plan(&self, input: &Input) -> Result<Value> {
        let id = required(input, "BackupPlanId")?;
        let found = self.known.lock().plans.get(id).cloned();
        let plan = found.ok_or_else(|| no_plan(id))?;
        let version = match text(input, "VersionId") {
            Some(wanted) => plan.versions.iter().find(|version| version.version == wanted),
            None => plan.current(),
        };
        let version = version.ok_or_else(|| no_plan(id))?;
        let preview = input
            .get("MaxScheduledRunsPreview")
            .and_then(Value::as_u64)
            .unwrap_or(0);
        Ok(lean(json!({
            "BackupPlan": version.body(),
            "BackupPlanId": plan.id,
            "BackupPlanArn": self.arn(PLAN, &plan.id),
            "VersionId": version.version,
            "CreatorRequestId": plan.creator_request,
            "CreationDate": seconds(version.created_ms),
            "DeletionDate": maybe_seconds(plan.deleted_ms),
            "LastExecutionDate": maybe_seconds(plan.ran_ms),
            "AdvancedBackupSettings": version.body()["AdvancedBackupSettings"].take(),
            "ScheduledRunsPreview": (preview > 0).then(|| self.preview(&plan, version, preview)),
        })))
    }

    /// The next runs of all rules.
    fn preview(&self, plan: &Plan, version: &PlanVersion, count: u64) -> Vec<Value> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut runs: Vec<(Millis, String)> = Vec::new();
        for rule in version.rules() {
            let mut after_ms = self.tables.now_ms();
            for _ in 0..count {
                let Some(next) = rule.schedule.next(after_ms, plan.created_ms) else {
                    break;
                };
                runs.push((next, rule.id.clone()));
                after_ms = next;
            }
        }
        runs.sort_unstable();
        let shown = runs.into_iter().take(count).map(
            |(at, rule)| json!({ "ExecutionTime": seconds(at), "RuleId": rule, "RuleExecutionType": "SNAPSHOTS" }),
        );
        shown.collect()
    }

    pub(crate) async fn delete_plan(&self, input: &Input) -> Result<Value> {
        let id = required(input, "BackupPlanId")?;
        let _changing = self.changing.lock().await;
        let mut plan = self.plan(id)?;
        if self
            .known
            .lock()
            .selections
            .values()
            .any(|selection| selection.plan == id)
        {
            return Err(BackupError::refused(
                "Related backup plan selections must be deleted prior to backup plan deletion",
            ));
        }
        let now_ms = self.tables.now_ms();
        plan.deleted_ms = Some(now_ms);
        self.commit(vec![Row::Plan(plan.clone())], Vec::new()).await?;
        Ok(lean(json!({
            "BackupPlanId": plan.id,
            "BackupPlanArn": self.arn(PLAN, &plan.id),
            "DeletionDate": seconds(now_ms),
            "VersionId": plan.current().map(|current| &current.version),
        })))
    }

    fn plan_member(&self, plan: &Plan, version: &PlanVersion) -> Value {
        lean(json!({
            "BackupPlanArn": self.arn(PLAN, &plan.id),
            "BackupPlanId": plan.id,
            "CreationDate": seconds(version.created_ms),
            "DeletionDate": maybe_seconds(plan.deleted_ms),
            "VersionId": version.version,
            "BackupPlanName": version.name,
            "CreatorRequestId": plan.creator_request,
            "LastExecutionDate": maybe_seconds(plan.ran_ms),
            "AdvancedBackupSettings": version.body()["AdvancedBackupSettings"].take(),
        }))
    }

    pub(crate) fn list_plans(&self, input: &Input) -> Result<Value> {
        let deleted = input.get("IncludeDeleted").and_then(Value::as_bool) == Some(true);
        let plans: Vec<Plan> = self.known.lock().plans.values().cloned().collect();
        let plans = plans.iter().filter(|plan| deleted || plan.deleted_ms.is_none());
        let shown = plans.filter_map(|plan| Some((plan.id.clone(), self.plan_member(plan, plan.current()?))));
        Ok(page(input, "BackupPlansList", shown.collect()))
    }

    pub(crate) fn list_plan_versions(&self, input: &Input) -> Result<Value> {
        let id = required(input, "BackupPlanId")?;
        let found = self.known.lock().plans.get(id).cloned();
        let plan = found.ok_or_else(|| no_plan(id))?;
        let shown = plan.versions.iter().map(|version| {
            let key = latest_first(version.created_ms, &version.version);
            (key, self.plan_member(&plan, version))
        });
        Ok(page(input, "BackupPlanVersionsList", shown.collect()))
    }
}

fn without_ids(mut body: Value) -> Value {
    for rule in body
        .get_mut("Rules")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Value::Object(members) = rule {
            members.remove("RuleId");
        }
    }
    body
}

pub(crate) fn no_plan(id: &str) -> BackupError {
    BackupError::not_found(format!("Backup plan does not exist: {id}"))
}
