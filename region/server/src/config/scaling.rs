//! `[scaling]`: how soon provisioned capacity follows what is consumed.

use std::time::Duration;

use geodynamo_scaling::{Options, Rules};
use serde::Deserialize;

use super::Within;

/// How soon auto scaling acts. The defaults are DynamoDB's.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScalingEntry {
    /// What consumption is counted by, in seconds.
    pub period_seconds: Within<1, 3600>,
    /// For how many periods it must be above the target before capacity is added.
    pub high_periods: Within<1, 1000>,
    /// For how many periods it must be below the target before capacity is taken away.
    pub low_periods: Within<1, 1000>,
}

impl Default for ScalingEntry {
    fn default() -> Self {
        let Options { period, rules } = Options::default();
        Self {
            period_seconds: Within::new(period.as_secs()),
            high_periods: Within::new(rules.high as u64),
            low_periods: Within::new(rules.low as u64),
        }
    }
}

impl ScalingEntry {
    pub(crate) fn options(&self) -> Options {
        Options {
            period: Duration::from_secs(self.period_seconds.get()),
            rules: Rules {
                high: self.high_periods.to_usize(),
                low: self.low_periods.to_usize(),
            },
        }
    }
}
