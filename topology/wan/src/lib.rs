//! geodynamo-wan
