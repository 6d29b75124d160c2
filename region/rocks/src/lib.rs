//! geodynamo-rocks
