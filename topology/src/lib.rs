//! geodynamo-topology
