//! Target tracking: from what was consumed to how much is provisioned. A pure function.
//!
//! As DynamoDB does it: up as soon as consumption was above the target for two periods (minutes) in a row, at once to where it
//! would be on the target; down only after fifteen periods in a row clearly below, to what the busiest of them needs.

use crate::target::{Policy, Target};

/// How long consumption must be off the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Periods above it, before capacity is added.
    pub high: usize,
    /// Periods below it, before capacity is taken away.
    pub low: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { high: 2, low: 15 }
    }
}

/// What is clearly below the target: "the target utilization minus 20 percent".
const LOW: f64 = 0.8;
/// Rounding is no need for a unit more.
const EPSILON: f64 = 1e-6;

/// What is known when it is decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) target: &'a Target,
    /// Units a second now.
    pub(crate) current: u64,
    /// Units a second that were consumed in each of the last periods, the latest last.
    pub(crate) used: &'a [f64],
    /// What other regions consume of the same capacity at most; `None` if one of them has not told lately.
    pub(crate) elsewhere: Option<f64>,
    /// Seconds since capacity was last added.
    pub(crate) since_out: Option<u64>,
    /// Seconds since capacity was last taken away.
    pub(crate) since_in: Option<u64>,
}

/// Another number of units, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    pub(crate) to: u64,
    pub(crate) cause: Cause,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// It was less than the least.
    Minimum,
    /// It was more than the most.
    Maximum,
    /// Consumption was above the target.
    High,
    /// Consumption was below the target.
    Low,
}

/// What to do; mostly nothing.
pub(crate) fn step(known: &Known<'_>, rules: Rules) -> Option<Step> {
    let Known { target, current, .. } = *known;
    if current < target.min && !target.suspended.scale_out {
        return Some(Step {
            to: target.min,
            cause: Cause::Minimum,
        });
    }
    if current > target.max && !target.suspended.scale_in {
        return Some(Step {
            to: target.max,
            cause: Cause::Maximum,
        });
    }
    let policy = target.policy.as_ref()?;
    higher(known, policy, rules).or_else(|| lower(known, policy, rules))
}

fn higher(known: &Known<'_>, policy: &Policy, rules: Rules) -> Option<Step> {
    if known.target.suspended.scale_out || cooling(known.since_out, policy.out_cooldown) {
        return None;
    }
    let last = last(known.used, rules.high)?;
    let on_target = known.current as f64 * policy.percent / 100.0;
    if last.iter().any(|used| *used <= on_target) {
        return None;
    }
    let to = needed(most(last), policy).min(known.target.max);
    (to > known.current).then_some(Step { to, cause: Cause::High })
}

fn lower(known: &Known<'_>, policy: &Policy, rules: Rules) -> Option<Step> {
    let held = policy.disable_scale_in || known.target.suspended.scale_in;
    // What was just added is not taken away again before its cooldown is over, either.
    if held || cooling(known.since_in, policy.in_cooldown) || cooling(known.since_out, policy.in_cooldown) {
        return None;
    }
    let last = last(known.used, rules.low)?;
    let busiest = most(last).max(known.elsewhere?);
    if busiest >= known.current as f64 * policy.percent / 100.0 * LOW {
        return None;
    }
    let to = needed(busiest, policy).max(known.target.min);
    (to < known.current).then_some(Step { to, cause: Cause::Low })
}

fn cooling(since: Option<u64>, cooldown: Option<u32>) -> bool {
    since.is_some_and(|since| since < u64::from(cooldown.unwrap_or(0)))
}

fn last(used: &[f64], count: usize) -> Option<&[f64]> {
    used.get(used.len().checked_sub(count.max(1))?..)
}

fn most(used: &[f64]) -> f64 {
    used.iter().copied().fold(0.0, f64::max)
}

/// What must be provisioned for so much to be on the target.
fn needed(used: f64, policy: &Policy) -> u64 {
    ((used / (policy.percent / 100.0) - EPSILON).ceil() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::target::Suspended;

    fn target(min: u64, max: u64, percent: f64) -> Target {
        Target {
            table: 1,
            min,
            max,
            role: None,
            created_ms: 0,
            suspended: Suspended::default(),
            tags: Default::default(),
            policy: Some(Policy {
                name: "p".into(),
                percent,
                disable_scale_in: false,
                in_cooldown: None,
                out_cooldown: None,
                created_ms: 0,
            }),
        }
    }

    fn known<'a>(target: &'a Target, current: u64, used: &'a [f64]) -> Known<'a> {
        Known {
            target,
            current,
            used,
            elsewhere: Some(0.0),
            since_out: None,
            since_in: None,
        }
    }

    fn to(known: &Known<'_>) -> Option<u64> {
        step(known, Rules::default()).map(|step| step.to)
    }

    #[test]
    fn up_after_two_periods_down_after_fifteen() {
        let target = target(5, 100, 70.0);
        assert_eq!(to(&known(&target, 10, &[9.0])), None, "one period is none");
        assert_eq!(
            to(&known(&target, 10, &[7.0, 9.0])),
            None,
            "on the target is not above it"
        );
        assert_eq!(to(&known(&target, 10, &[7.1, 14.0])), Some(20));
        assert_eq!(
            to(&known(&target, 10, &[90.0, 90.0])),
            Some(100),
            "no more than the most"
        );
        assert_eq!(to(&known(&target, 100, &[90.0, 90.0])), None);
        assert_eq!(to(&known(&target, 20, &[0.0; 14])), None);
        assert_eq!(to(&known(&target, 20, &[0.0; 15])), Some(5), "no less than the least");
        let mut used = [7.0; 15];
        assert_eq!(to(&known(&target, 20, &used)), Some(10));
        // Once of these minutes it was nearly on the target.
        used[3] = 12.0;
        assert_eq!(to(&known(&target, 20, &used)), None);
    }

    #[test]
    fn bounds_hold_without_consumption_and_without_a_policy() {
        let mut target = target(5, 10, 70.0);
        target.policy = None;
        assert_eq!(to(&known(&target, 1, &[])), Some(5));
        assert_eq!(to(&known(&target, 50, &[])), Some(10));
        assert_eq!(to(&known(&target, 7, &[100.0; 20])), None);
        target.suspended.scale_out = true;
        assert_eq!(to(&known(&target, 1, &[])), None);
        target.suspended.scale_in = true;
        assert_eq!(to(&known(&target, 50, &[])), None);
    }

    #[test]
    fn cooldowns_and_what_is_switched_off() {
        let mut target = target(1, 100, 50.0);
        let policy = target.policy.as_mut().unwrap();
        (policy.out_cooldown, policy.in_cooldown) = (Some(60), Some(300));
        let high = Known {
            since_out: Some(59),
            ..known(&target, 10, &[9.0, 9.0])
        };
        assert_eq!(to(&high), None);
        let later = Known {
            since_out: Some(60),
            ..high
        };
        assert_eq!(to(&later), Some(18));
        let low = Known {
            since_out: Some(60),
            ..known(&target, 10, &[0.0; 15])
        };
        assert_eq!(to(&low), None, "what was just added stays");
        let later = Known {
            since_out: Some(300),
            since_in: Some(300),
            ..low
        };
        assert_eq!(to(&later), Some(1));
        let mut held = target.clone();
        held.policy.as_mut().unwrap().disable_scale_in = true;
        assert_eq!(to(&Known { target: &held, ..later }), None);
    }

    #[test]
    fn what_all_regions_share_is_taken_away_by_nobody_alone() {
        let target = target(1, 100, 50.0);
        let idle = known(&target, 40, &[0.0; 15]);
        assert_eq!(to(&idle), Some(1));
        let busy = |elsewhere| to(&Known { elsewhere, ..idle });
        assert_eq!(busy(None), None, "nobody knows what the others need");
        assert_eq!(busy(Some(18.0)), None);
        assert_eq!(busy(Some(10.0)), Some(20));
    }

    proptest! {
        /// Whatever is consumed: it stays within its bounds, and a step is followed by rest while consumption stays the same.
        #[test]
        fn a_step_is_enough(
            min in 1..50_u64, more in 0..500_u64, percent in 20.0..90.0_f64, current in 1..1000_u64, used in 0.0..800.0_f64,
        ) {
            let target = target(min, min + more, percent);
            let used = [used; 15];
            if let Some(first) = step(&known(&target, current, &used), Rules::default()) {
                prop_assert!(first.to != current && (target.min..=target.max).contains(&first.to));
                let mut at = first.to;
                // From beyond the bounds it may take one more.
                if let Some(second) = step(&known(&target, at, &used), Rules::default()) {
                    prop_assert!(matches!(first.cause, Cause::Minimum | Cause::Maximum));
                    at = second.to;
                }
                prop_assert_eq!(step(&known(&target, at, &used), Rules::default()), None);
            }
        }
    }
}
