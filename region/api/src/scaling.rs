//! How provisioned capacity is scaled, as DynamoDB's API sets it and tells of it.

use std::{future::Future, pin::Pin};

/// A change that is being made: what is wrong with it, if anything is.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Who keeps the settings and scales by them.
pub trait AutoScaling: Send + Sync + 'static {
    /// A setting, if there is one.
    fn setting(&self, of: &SettingOf) -> Option<Setting>;

    /// Changes settings, all or none of them.
    fn change(&self, changes: Vec<(SettingOf, SettingChange)>) -> Answer<'_>;
}

/// What a setting is of: reads or writes of a table, or of one of its global indexes, in a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingOf {
    /// The region.
    pub region: String,
    /// The table's name.
    pub table: String,
    /// The index's name.
    pub index: Option<String>,
    /// Writes; else reads.
    pub write: bool,
}

/// A setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The least that is provisioned.
    pub min: u64,
    /// The most that is provisioned.
    pub max: u64,
    /// The ARN of the role that scales.
    pub role: String,
    /// What is tracked.
    pub policy: Option<PolicyChange>,
}

/// A change of a setting; `None` leaves what there is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingChange {
    /// Nothing is scaled any more.
    pub disabled: bool,
    /// The least.
    pub min: Option<u64>,
    /// The most.
    pub max: Option<u64>,
    /// The ARN of the role that scales.
    pub role: Option<String>,
    /// What is tracked.
    pub policy: Option<PolicyChange>,
}

/// A target that is tracked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyChange {
    /// Its name.
    pub name: Option<String>,
    /// Which part of the capacity is to be consumed, in percent.
    pub percent: f64,
    /// Whether capacity is never taken away.
    pub disable_scale_in: Option<bool>,
    /// Seconds between two steps down.
    pub in_cooldown: Option<u32>,
    /// Seconds between two steps up.
    pub out_cooldown: Option<u32>,
}
