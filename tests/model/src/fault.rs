//! Faults that can be planted in the model: the negative controls.

/// A way in which the model is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Fault {
    NotEqualNeedsTheAttribute,
    BetweenLeavesOutItsUpperBound,
    BeginsWithIsContains,
    SizeOfAStringIsItsBytes,
    NumbersAreOrderedAsText,
    AndIsOr,
    RemoveTakesTheLowestElementFirst,
    AddForgetsWhatWasThere,
    UpdatedOldGivesEverything,
    UpdatesSeeEachOther,
    EventualReadsCostAsMuchAsConsistentOnes,
    WritesCostOneUnit,
    MovingAnIndexEntryCostsOnce,
    KeysOnlyIndexesHaveEverything,
    IndexesAreNotSparse,
    ALimitReachedAtTheEndHasNoKeyToGoOnFrom,
    CountIsOfWhatWasScanned,
    DescendingQueriesKeepTies,
    PagesStartAtTheirKey,
    ABatchForgetsItsLastWrite,
    FailedConditionsNeverShowTheItem,
    DeletesOfNothingFail,
}

impl Fault {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::NotEqualNeedsTheAttribute,
        Self::BetweenLeavesOutItsUpperBound,
        Self::BeginsWithIsContains,
        Self::SizeOfAStringIsItsBytes,
        Self::NumbersAreOrderedAsText,
        Self::AndIsOr,
        Self::RemoveTakesTheLowestElementFirst,
        Self::AddForgetsWhatWasThere,
        Self::UpdatedOldGivesEverything,
        Self::UpdatesSeeEachOther,
        Self::EventualReadsCostAsMuchAsConsistentOnes,
        Self::WritesCostOneUnit,
        Self::MovingAnIndexEntryCostsOnce,
        Self::KeysOnlyIndexesHaveEverything,
        Self::IndexesAreNotSparse,
        Self::ALimitReachedAtTheEndHasNoKeyToGoOnFrom,
        Self::CountIsOfWhatWasScanned,
        Self::DescendingQueriesKeepTies,
        Self::PagesStartAtTheirKey,
        Self::ABatchForgetsItsLastWrite,
        Self::FailedConditionsNeverShowTheItem,
        Self::DeletesOfNothingFail,
    ];
}
