//! What all of a replica's parts stand on: its store, its clock and latches, the tables that are here, the ends of its logs.

pub(crate) mod counts;
pub(crate) mod directory;
pub(crate) mod ends;
pub(crate) mod kept;
pub(crate) mod order;
pub(crate) mod stats;
pub(crate) mod system;
pub(crate) mod traces;
