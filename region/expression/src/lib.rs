//! geodynamo-expression
