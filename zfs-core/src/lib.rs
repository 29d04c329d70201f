//! Under construction.

pub mod name;
