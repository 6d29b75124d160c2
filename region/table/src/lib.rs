//! geodynamo-table
