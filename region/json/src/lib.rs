//! geodynamo-json
