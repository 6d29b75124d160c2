//! geodynamo-access
