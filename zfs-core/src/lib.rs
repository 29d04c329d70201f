//! Under construction.

pub mod name;
pub mod nvlist;
