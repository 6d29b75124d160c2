//! geodynamo-tests
