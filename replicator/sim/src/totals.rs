//! What happened in a world, counted.

use std::fmt;

/// Defines the counters once: as fields, for adding up and for printing.
macro_rules! totals {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What happened in one world, or in many.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Totals {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Totals {
            /// All counters with their names.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),+]
            }

            /// Adds another world's.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
            }
        }
    };
}

totals! {
    /// Events handled.
    events,
    /// Writes acknowledged.
    writes,
    /// Of them, deletes.
    deletes,
    /// Of them, puts of what was there already.
    re_puts,
    /// Of them, expiries.
    expiries,
    /// Deltas applied, duplicates included.
    deltas,
    /// Frames that arrived.
    frames,
    /// Frames that arrived twice.
    duplicated_frames,
    /// Frames that arrived before an earlier one.
    reordered_frames,
    /// Connections lost with all that was under way.
    lost_connections,
    /// Pairs of regions cut off from each other.
    cuts,
    /// Cuts healed.
    heals,
    /// Processes that crashed.
    crashes,
    /// Commits that a crash dropped.
    dropped_commits,
    /// Wall clocks that stepped back.
    clocks_back,
    /// Wall clocks that ran ahead beyond the parking bound.
    clocks_ahead,
    /// Reads and applies that storage failed.
    storage_failures,
    /// Deltas parked.
    parked,
    /// Parked deltas merged.
    released,
    /// Batches refused because the parking space was full.
    stalls,
    /// Versions that lost to one that had not seen them.
    conflicts,
    /// Tombstones collected.
    collected,
    /// Regions that joined.
    joins,
    /// Copies that broke and went on.
    broken_copies,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.all() {
            writeln!(f, "{count:>12} {}", name.replace('_', " "))?;
        }
        Ok(())
    }
}
