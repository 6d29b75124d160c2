//! geodynamo-api
