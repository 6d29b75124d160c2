//! geodynamo-simulation
