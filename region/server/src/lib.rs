//! geodynamo
