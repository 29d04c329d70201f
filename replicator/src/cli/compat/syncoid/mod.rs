//! `syncoid`: its options, the snapshots it takes, what it makes of a target, what it prints and how it ends. What a
//! stream is and how it goes over is what every other command does.

mod endpoint;
mod filter;
mod names;
mod options;
mod plan;
#[cfg(test)]
mod plan_tests;
mod special;
