//! What the checks know of the truth: every write that became durable, and what its writer had really seen.
//!
//! The oracle does not use pasts or `judge`: it keeps, for each version, the whole set of stamps that it was written on top
//! of, and decides from that which versions lost a conflict.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use geodynamo_replicator_core::{Hlc, ReplicaId, Stamp, Version};

use crate::{
    store::{Commit, Op, Seen},
    trace::{Broken, Law},
};

/// A write that became durable.
#[derive(Debug)]
pub(crate) struct Written {
    /// The region that wrote it first (two regions may expire the same version).
    pub(crate) region: usize,
    pub(crate) version: Version,
    /// The versions it was written on top of, all the way back.
    seen: BTreeSet<Stamp>,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// All writes, by key and stamp.
    pub(crate) written: BTreeMap<(Bytes, Stamp), Written>,
    /// All losers of conflicts.
    pub(crate) losers: BTreeSet<(Bytes, Stamp)>,
    /// Writes that clients were told of.
    pub(crate) acknowledged: BTreeSet<(Bytes, Stamp)>,
    issued: BTreeSet<Stamp>,
    visible: BTreeMap<(usize, Bytes), Stamp>,
    /// The greatest stamp that became visible in a region in this life of its process.
    greatest_visible: BTreeMap<usize, Stamp>,
}

impl Oracle {
    /// A region is about to commit a client's write with this stamp (law 4).
    pub(crate) fn issued(&mut self, region: usize, stamp: Stamp, on: Option<Stamp>) -> Result<(), Broken> {
        if on.is_some_and(|on| on >= stamp) {
            let detail = format!("region {region} wrote {stamp} on top of {on:?}");
            return Err(Broken {
                law: Law::StampsFollowReads,
                detail,
            });
        }
        if stamp.expiry {
            return Ok(());
        }
        if !self.issued.insert(stamp) {
            let detail = format!("stamp {stamp} was issued twice");
            return Err(Broken {
                law: Law::StampsFollowReads,
                detail,
            });
        }
        match self.greatest_visible.get(&region) {
            Some(visible) if *visible >= stamp => {
                let detail = format!("region {region} issued {stamp} though {visible} was visible there");
                Err(Broken {
                    law: Law::StampsFollowReads,
                    detail,
                })
            }
            _ => Ok(()),
        }
    }

    /// A region's process died. Its next life knows the stamps that it issued and, of each key, the stamp that it holds; not
    /// what it had merged into other keys.
    pub(crate) fn crashed(&mut self, region: usize) {
        self.greatest_visible.remove(&region);
    }

    /// A commit of a region's has become durable, and with it visible.
    pub(crate) fn durable(&mut self, region: usize, commit: &Commit) -> Result<(), Broken> {
        for seen in &commit.seen {
            match seen {
                Seen::Wrote {
                    key,
                    version,
                    on,
                    forgotten,
                } => self.wrote(region, key, version, *on, *forgotten),
                Seen::Met { key, held, incoming } => self.met(key, *held, *incoming)?,
            }
        }
        for op in &commit.ops {
            if let Op::Put { key, version } = op {
                self.visible(region, key, version.stamp)?;
            }
        }
        Ok(())
    }

    /// The greatest stamp ever written to each key.
    pub(crate) fn greatest(&self) -> BTreeMap<&Bytes, &Version> {
        // In the order of stamps, so the last of a key stays.
        self.written
            .iter()
            .map(|((key, _), written)| (key, &written.version))
            .collect()
    }

    fn wrote(&mut self, region: usize, key: &Bytes, version: &Version, on: Option<Stamp>, forgotten: Hlc) {
        let mut seen = BTreeSet::new();
        if on.is_none() {
            // Of a key that it has forgotten, it had seen everything up to there.
            let (first, last) = (
                (key.clone(), Stamp::default()),
                (key.clone(), Stamp::new(forgotten.next(), ReplicaId(0))),
            );
            seen.extend(self.written.range(first..last).map(|((_, stamp), _)| *stamp));
        }
        if let Some(on) = on {
            if let Some(base) = self.written.get(&(key.clone(), on)) {
                seen.clone_from(&base.seen);
            }
            seen.insert(on);
        }
        let version = version.clone();
        self.written
            .entry((key.clone(), version.stamp))
            .or_insert(Written { region, version, seen });
    }

    /// Two versions met in a region.
    fn met(&mut self, key: &Bytes, held: Option<Stamp>, incoming: Stamp) -> Result<(), Broken> {
        let Some(held) = held.filter(|held| *held != incoming) else {
            return Ok(());
        };
        let (loser, winner) = (held.min(incoming), held.max(incoming));
        let Some(winner) = self.written.get(&(key.clone(), winner)) else {
            let detail = format!("version {winner} of {key:?} was merged before it was durable where it was written");
            return Err(Broken {
                law: Law::Durable,
                detail,
            });
        };
        // By the design a past is a version vector: whoever built on a version of a replica counts as having seen all
        // that bear that replica's name and are older; expiries, which bear the name of the replica that they expire a
        // version of, count apart.
        let covers = |seen: &Stamp| (seen.replica, seen.expiry) == (loser.replica, loser.expiry) && *seen >= loser;
        if !winner.seen.iter().any(covers) {
            self.losers.insert((key.clone(), loser));
        }
        Ok(())
    }

    fn visible(&mut self, region: usize, key: &Bytes, stamp: Stamp) -> Result<(), Broken> {
        let greatest = self.greatest_visible.entry(region).or_insert(stamp);
        *greatest = (*greatest).max(stamp);
        match self.visible.insert((region, key.clone()), stamp) {
            Some(before) if before > stamp => {
                let detail = format!("{key:?} went from {before} back to {stamp} in region {region}");
                Err(Broken {
                    law: Law::NothingComesBack,
                    detail,
                })
            }
            _ => Ok(()),
        }
    }
}
