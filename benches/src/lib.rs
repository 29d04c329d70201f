//! What is measured and how: inputs of the micro-benchmarks, and the harness behind `zfs-bench`, which runs this
//! program and what it is compared with in turns. `docs/performance.md` tells how to use it and what it found.
#![deny(unsafe_code)]

pub mod carry;
pub mod chart;
pub mod check;
pub mod compare;
pub mod contender;
pub mod counters;
pub mod data;
pub mod error;
pub mod flow;
pub mod goal;
pub mod histories;
pub mod lab;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod pool;
pub mod random;
pub mod result;
pub mod runner;
pub mod shell;
pub mod sink;
pub mod sizes;
pub mod sshd;
pub mod stats;
pub mod stream;
pub mod suites;
pub mod table;
