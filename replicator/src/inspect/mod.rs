//! What this program, or a broken run of it, has left on pools, as data made of inventories: partial receives
//! ([`tokens`]), bookmarks ([`bookmarks`]) and holds ([`holds`]). Nothing here asks or changes anything; how the names
//! are made is known in [`crate::marks`] alone.

pub mod bookmarks;
pub mod holds;
pub mod tokens;

#[cfg(test)]
mod tests;
