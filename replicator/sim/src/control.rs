//! Negative controls: faults built into the simulated house, which the checks must find.

/// What the simulated house does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// Nothing: the house as it should be.
    #[default]
    None,
    /// Whatever arrives last wins, whatever its stamp.
    ArrivalOrderWins,
    /// A batch's cursor is durable, and acknowledged, before its data is synced.
    CursorBeforeSync,
    /// Versions are judged as if no write had seen another.
    PastsIgnored,
    /// Tombstones are collected without asking anybody.
    EarlyCollection,
}
