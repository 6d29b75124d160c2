//! geodynamo-replicator
