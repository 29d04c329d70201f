//! The bindings against real OpenZFS: its headers, both generations of them, and the libraries of the oldest version we
//! promise to run with. Needs what `cargo lab build` unpacks, and a C compiler, but no node.

mod headers;
mod old_libraries;
#[path = "../../../../zfs-sys/tests/abi/support.rs"]
mod support;
