//! geodynamo-loadgen
