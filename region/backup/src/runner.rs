//! What is due: runs of plans, steps of jobs, what lifecycles end.

use std::collections::BTreeSet;
use std::sync::{Arc, atomic::Ordering::Relaxed};

use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use geodynamo_table::{
    TableError, TableStatus,
    recovery::{BackupState, RecoveryError},
};

use crate::{
    BackupError, Backups, Shared,
    copies::copy_job,
    error::Result,
    jobs::Wanted,
    plans::Rule,
    points::Point,
    state::{BackupJob, Creator, DAY_MS, Job, JobState, Note, Plan, RestoreJob, Row, Selection},
    vaults::is_name,
};

/// How often is looked for what is too old.
pub(crate) const LOOK_EVERY_MS: Millis = 10 * 1000;
/// For how long jobs that have ended, and deleted plans, are remembered, in days: as long as in AWS.
const REMEMBERED_DAYS: Millis = 30;
/// The most copies that are under way at a time.
const COPIES_MAX: usize = 4;

impl<E: Engine> Backups<E> {
    /// Does what is due now. It waits for nothing that takes long: copies go on in the background.
    ///
    /// # Errors
    /// If what is stored cannot be changed, or the archive cannot be read. What is due stays so.
    pub async fn tick(&self) -> std::result::Result<(), TableError> {
        let mut result = self.0.find().await;
        for account in self.0.all() {
            let _ticking = account.ticking.lock().await;
            // What is due of one account waits for no other one's.
            result = result.and(account.tick().await);
        }
        result.map_err(|error| {
            let fault = error.fault.map_or(error.message, String::from);
            TableError::Corrupt(fault)
        })
    }
}

impl<E: Engine> Shared<E> {
    async fn tick(self: &Arc<Self>) -> Result<()> {
        let now_ms = self.tables.now_ms();
        self.run_plans(now_ms).await?;
        self.run_backups(now_ms).await?;
        self.run_copies();
        self.run_restores(now_ms).await?;
        let looked_ms = self.looked_ms.load(Relaxed);
        if now_ms.abs_diff(looked_ms) >= LOOK_EVERY_MS {
            self.looked_ms.store(now_ms, Relaxed);
            self.adopt().await?;
            self.expire(now_ms).await?;
            self.forget(now_ms).await?;
        }
        Ok(())
    }

    /// Takes up vaults that recovery points name and that are not known here: their rows were lost with a data directory.
    async fn adopt(&self) -> Result<()> {
        let names: BTreeSet<String> = self.points().await?.into_iter().map(|point| point.note.vault).collect();
        for name in names {
            if is_name(&name) && self.vault(&name).is_err() {
                let _changing = self.changing.lock().await;
                self.make_vault(&name, None, Default::default()).await?;
            }
        }
        Ok(())
    }

    async fn run_plans(&self, now_ms: Millis) -> Result<()> {
        let due: Vec<String> = {
            let (known, mut due) = (self.known.lock(), self.due.lock());
            due.retain(|id, _| known.plans.contains_key(id));
            let live = known.plans.values().filter(|plan| plan.deleted_ms.is_none());
            let is_due = |plan: &&Plan| {
                let version = plan.current().map(|current| current.version.as_str());
                match due.get(&plan.id) {
                    Some((of, next)) if Some(of.as_str()) == version => next.is_some_and(|next| next <= now_ms),
                    _ => true,
                }
            };
            live.filter(is_due).map(|plan| plan.id.clone()).collect()
        };
        for id in due {
            let _changing = self.changing.lock().await;
            if let Ok(plan) = self.plan(&id) {
                self.run_plan(plan, now_ms).await?;
            }
        }
        Ok(())
    }

    /// Begins what is due of a plan. Jobs and how far the plan is are one commit, so nothing is begun twice.
    async fn run_plan(&self, mut plan: Plan, now_ms: Millis) -> Result<()> {
        let Some(version) = plan.current().cloned() else {
            return Ok(());
        };
        let rules = version.rules();
        let mut rows = Vec::new();
        for rule in &rules {
            let through_ms = plan.through(&rule.id);
            // What could not begin in its window is passed over.
            let window_ms = rule.windows.start * 60 * 1000;
            let mut at_ms = through_ms.max(now_ms.saturating_sub(window_ms));
            let mut last = None;
            while let Some(next) = rule
                .schedule
                .next(at_ms, plan.created_ms)
                .filter(|next| *next <= now_ms)
            {
                (last, at_ms) = (Some(next), next);
            }
            let Some(last) = last else { continue };
            let creator = Creator {
                plan: plan.id.clone(),
                plan_name: version.name.clone(),
                version: version.version.clone(),
                rule: rule.id.clone(),
                rule_name: rule.name.clone(),
                schedule: rule.expression.clone(),
                zone: rule.zone.clone(),
            };
            rows.extend(self.jobs_of(rule, &creator, now_ms, last));
            plan.through_ms.insert(rule.id.clone(), last);
            plan.ran_ms = Some(now_ms);
        }
        let next = |rule: &Rule| rule.schedule.next(plan.through(&rule.id).max(now_ms), plan.created_ms);
        let due = rules.iter().filter_map(next).min();
        let id = plan.id.clone();
        if plan.ran_ms == Some(now_ms) {
            rows.push(Row::Plan(plan));
            self.commit(rows, Vec::new()).await?;
        }
        self.due.lock().insert(id, (version.version, due));
        Ok(())
    }

    /// A rule's jobs: one for each table that the plan's selections have.
    fn jobs_of(&self, rule: &Rule, creator: &Creator, now_ms: Millis, due_ms: Millis) -> Vec<Row> {
        let selections: Vec<Selection> = {
            let known = self.known.lock();
            let of_plan = known.selections.values().filter(|known| known.plan == creator.plan);
            of_plan.cloned().collect()
        };
        let mut tables = BTreeSet::new();
        let mut rows = Vec::new();
        for selection in &selections {
            for table in self.selected(selection) {
                if !tables.insert(table.clone()) {
                    continue;
                }
                if let Err(error) = self.check_jobs() {
                    tracing::error!(table, %error.message, "a plan's backup is not begun");
                    continue;
                }
                let wanted = Wanted {
                    vault: rule.vault.clone(),
                    resource: self.table_arn(&table),
                    role: selection.role(),
                    windows: rule.windows,
                    lifecycle: rule.lifecycle,
                    tags: rule.tags.clone(),
                    copies: rule.copies.clone(),
                };
                let mut job = wanted.job(now_ms);
                job.start_by_ms = due_ms.saturating_add(rule.windows.start * 60 * 1000);
                job.job.creator = Some(creator.clone());
                rows.push(Row::Backup(job));
            }
        }
        rows
    }

    async fn run_backups(&self, now_ms: Millis) -> Result<()> {
        let jobs: Vec<BackupJob> = {
            let known = self.known.lock();
            let live = known.backups.values().filter(|job| !job.job.state.has_ended());
            live.cloned().collect()
        };
        if jobs.is_empty() {
            return Ok(());
        }
        let points = self.points().await?;
        for mut job in jobs {
            let before = job.clone();
            // One that was begun before the process ended shows by its note.
            let point = points
                .iter()
                .find(|point| point.note.job == job.job.id && point.note.source_vault_arn.is_none());
            let more = match job.job.state {
                JobState::Created => self.begin_backup(&mut job, point, now_ms).await,
                _ => self.follow_backup(&mut job, point, now_ms).await,
            };
            if job != before {
                self.count_end(&job.job);
                let mut rows = vec![Row::Backup(job)];
                rows.extend(more);
                self.commit(rows, Vec::new()).await?;
            }
        }
        Ok(())
    }

    async fn begin_backup(&self, job: &mut BackupJob, point: Option<&Point>, now_ms: Millis) -> Vec<Row> {
        if point.is_none() {
            if now_ms > job.start_by_ms {
                let message = "Backup job could not be started within its start window".to_owned();
                job.job.end(JobState::Expired, Some(message), now_ms);
                return Vec::new();
            }
            match self.make_backup(job).await {
                Ok(arn) => job.point = Some(arn),
                Err(Unmade::Later) => return Vec::new(),
                Err(Unmade::Never(message)) => {
                    job.job.end(JobState::Failed, Some(message), now_ms);
                    return Vec::new();
                }
            }
        }
        if let Some(point) = point {
            job.point = Some(point.backup.arn.clone());
        }
        job.job.state = JobState::Running;
        job.begun_ms = Some(now_ms);
        Vec::new()
    }

    async fn make_backup(&self, job: &BackupJob) -> std::result::Result<String, Unmade> {
        let never = |error: BackupError| Unmade::Never(error.message);
        let vault = self.vault_or_default(&job.vault).await.map_err(never)?;
        if let Some(reason) = vault.refuses(&job.lifecycle) {
            return Err(Unmade::Never(reason));
        }
        let table = self.table_of(&job.job.resource);
        let table = table.ok_or_else(|| Unmade::Never("The resource is no table of this region".to_owned()))?;
        let recoveries = self.recoveries().map_err(never)?;
        let note = Note {
            vault: job.vault.clone(),
            resource: job.job.resource.clone(),
            role: job.job.role.clone(),
            job: job.job.id.clone(),
            lifecycle: job.lifecycle,
            tags: job.tags.clone(),
            creator: job.job.creator.clone(),
            source_vault_arn: None,
        };
        let note = rmp_serde::to_vec_named(&note).map_err(|error| Unmade::Never(error.to_string()))?;
        let name = format!("awsbackup_{}", job.job.id);
        match recoveries.create_noted(&table, &name, note).await {
            Ok(backup) => Ok(backup.arn),
            Err(RecoveryError::TableNotFound(_)) => Err(Unmade::Never("The table does not exist".to_owned())),
            Err(error) => {
                tracing::warn!(%error, job = job.job.id, "a backup job cannot begin; it is tried again");
                Err(Unmade::Later)
            }
        }
    }

    async fn follow_backup(&self, job: &mut BackupJob, point: Option<&Point>, now_ms: Millis) -> Vec<Row> {
        let Some(point) = point else {
            let state = if job.job.state == JobState::Aborting {
                JobState::Aborted
            } else {
                JobState::Failed
            };
            job.job
                .end(state, Some("The backup was not finished".to_owned()), now_ms);
            return Vec::new();
        };
        let whole = point.backup.state == BackupState::Available;
        let late = job
            .begun_ms
            .is_some_and(|begun| now_ms > begun.saturating_add(job.complete_ms));
        if !whole && late {
            job.job.state = JobState::Aborting;
        }
        match (job.job.state, whole) {
            (_, false) => Vec::new(),
            (JobState::Aborting, true) => {
                match self.remove_point(point).await {
                    Ok(()) => job
                        .job
                        .end(JobState::Aborted, Some("Backup job was stopped".to_owned()), now_ms),
                    Err(error) => {
                        tracing::warn!(error.message, job = job.job.id, "a stopped backup is not removed yet")
                    }
                }
                Vec::new()
            }
            (_, true) => {
                job.job.bytes = point.backup.bytes;
                job.job.end(JobState::Completed, None, now_ms);
                let copies = job.copies.iter().map(|copy| {
                    let mut of_copy = Job::new(&job.job.resource, &job.job.role, now_ms);
                    of_copy.bytes = point.backup.bytes;
                    of_copy.creator = job.job.creator.clone();
                    let mut made = copy_job(of_copy, point, &copy.vault_arn, copy.lifecycle);
                    made.by_job = Some(job.job.id.clone());
                    Row::Copy(made)
                });
                copies.collect()
            }
        }
    }

    fn run_copies(self: &Arc<Self>) {
        let waiting: Vec<String> = {
            let (known, mut carried) = (self.known.lock(), self.carried.lock());
            let live = known.copies.values().filter(|job| !job.job.state.has_ended());
            let mut waiting: Vec<_> = live.filter(|job| !carried.contains(&job.job.id)).collect();
            waiting.sort_by_key(|job| job.job.created_ms);
            let room = COPIES_MAX.saturating_sub(carried.len());
            let ids: Vec<String> = waiting.into_iter().take(room).map(|job| job.job.id.clone()).collect();
            carried.extend(ids.iter().cloned());
            ids
        };
        for id in waiting {
            let this = Arc::clone(self);
            let mut stop = self.stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = this.carry(&id) => {}
                    // It goes on at the next start.
                    _ = stop.wait_for(|stopped| *stopped) => {}
                }
                this.carried.lock().remove(&id);
                this.wake.notify_one();
            });
        }
    }

    async fn run_restores(&self, now_ms: Millis) -> Result<()> {
        let jobs: Vec<RestoreJob> = {
            let known = self.known.lock();
            let live = known.restores.values().filter(|job| !job.job.state.has_ended());
            live.cloned().collect()
        };
        for mut job in jobs {
            let before = job.clone();
            let mut rows = Vec::new();
            match job.job.state {
                JobState::Created => self.begin_restore(&mut job, now_ms).await,
                _ => self.follow_restore(&mut job, now_ms).await,
            }
            if job == before {
                continue;
            }
            self.count_end(&job.job);
            if job.job.state == JobState::Completed && self.any_point(&job.point).await.is_ok() {
                let mut marks = self.marks(&job.point);
                marks.restored_ms = Some(now_ms);
                rows.push(Row::Marks(marks));
            }
            rows.push(Row::Restore(job));
            self.commit(rows, Vec::new()).await?;
        }
        Ok(())
    }

    async fn begin_restore(&self, job: &mut RestoreJob, now_ms: Millis) {
        // Begun before the process ended, perhaps.
        let described = self.tables.describe(&job.table).ok();
        let from = described.and_then(|described| described.restore?.source_backup_arn);
        let begun = from.as_deref() == Some(&job.point);
        let result = match self.any_point(&job.point).await {
            _ if begun => Ok(()),
            Ok(point) => self.restore(&point, job).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => job.job.state = JobState::Running,
            Err(error) if matches!(error.code, "LimitExceededException" | "ServiceUnavailableException") => {
                tracing::warn!(
                    error.message,
                    job = job.job.id,
                    "a restore job cannot begin; it is tried again"
                );
            }
            Err(error) => job.job.end(JobState::Failed, Some(error.message), now_ms),
        }
    }

    async fn follow_restore(&self, job: &mut RestoreJob, now_ms: Millis) {
        match self.tables.table_named(&job.table).map(|table| table.status()) {
            Ok(TableStatus::Creating) => {}
            Ok(_) => {
                if !job.tags.is_empty()
                    && let Err(error) = self.tables.catalog().tag(&job.table, job.tags.clone()).await
                {
                    tracing::warn!(%error, table = job.table, "a restored table is not tagged");
                }
                job.job.end(JobState::Completed, None, now_ms);
            }
            Err(_) => {
                let message = "The table could not be restored".to_owned();
                job.job.end(JobState::Failed, Some(message), now_ms);
            }
        }
    }

    fn count_end(&self, job: &Job) {
        if matches!(job.state, JobState::Failed | JobState::Expired) {
            self.counters.failed.fetch_add(1, Relaxed);
            tracing::error!(
                job = job.id,
                message = job.message,
                resource = job.resource,
                "a job of AWS Backup failed"
            );
        }
    }

    /// Ends a copy job.
    pub(crate) async fn end_copy(&self, id: &str, end: std::result::Result<String, String>) -> Result<()> {
        let Some(mut job) = self.known.lock().copies.get(id).cloned() else {
            return Ok(());
        };
        let now_ms = self.tables.now_ms();
        match end {
            Ok(arn) => {
                job.point = Some(arn);
                job.job.end(JobState::Completed, None, now_ms);
            }
            Err(message) => job.job.end(JobState::Failed, Some(message), now_ms),
        }
        self.count_end(&job.job);
        self.commit(vec![Row::Copy(job)], Vec::new()).await
    }

    /// Takes away recovery points whose lifecycle ends. A vault's lock keeps nothing beyond that.
    async fn expire(&self, now_ms: Millis) -> Result<()> {
        for point in self.points().await? {
            let (_, delete_ms) = point.lifecycle().moments(point.backup.created_ms);
            let whole = point.backup.state == BackupState::Available;
            if !whole || delete_ms.is_none_or(|delete| delete > now_ms) {
                continue;
            }
            let _changing = self.changing.lock().await;
            match self.remove_point(&point).await {
                Ok(()) => tracing::info!(arn = point.backup.arn, "a recovery point has expired"),
                // It is read just now; next time.
                Err(error) => tracing::debug!(error.message, "a recovery point has expired and stays for now"),
            }
        }
        Ok(())
    }

    /// Forgets jobs that ended long ago, and plans that were deleted long ago.
    async fn forget(&self, now_ms: Millis) -> Result<()> {
        let old = now_ms.saturating_sub(REMEMBERED_DAYS * DAY_MS);
        let is_old = |ended: Option<Millis>| ended.is_some_and(|ended| ended < old);
        let mut gone = Vec::new();
        {
            let known = self.known.lock();
            let backups = known.backups.values().filter(|job| is_old(job.job.ended_ms));
            gone.extend(backups.cloned().map(Row::Backup));
            let copies = known.copies.values().filter(|job| is_old(job.job.ended_ms));
            gone.extend(copies.cloned().map(Row::Copy));
            let restores = known.restores.values().filter(|job| is_old(job.job.ended_ms));
            gone.extend(restores.cloned().map(Row::Restore));
            let plans = known.plans.values().filter(|plan| is_old(plan.deleted_ms));
            gone.extend(plans.cloned().map(Row::Plan));
        }
        if gone.is_empty() {
            return Ok(());
        }
        self.commit(Vec::new(), gone).await
    }
}

/// Why a backup is not begun.
enum Unmade {
    /// It is tried again.
    Later,
    Never(String),
}
