//! Tests of behaviour on real ZFS; all of it lives under `tests/`:
//!
//! - `node`: every operation of `zfs-core`, run as root inside a node of the lab;
//! - `cluster`: whole machines, driven from outside;
//! - `abi`: our C declarations against the real headers and libraries.
//!
//! `cargo lab test` runs them all. What lies here is for several of them: a stand-in for [`proxmox`].

pub mod proxmox;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod incidents;
