//! Scenarios of several machines, or of the whole program: run on this machine, against nodes that the lab boots.

mod bad_input;
mod bookmarks;
mod commands;
mod divergence;
mod encryption;
mod examples;
mod interrupted;
mod no_op;
mod overlap;
mod power_cut;
mod replicas;
mod replicate;
mod ssh_auth;
mod ssh_hostkeys;
mod support;
mod system_ssh;
mod trees;
mod ways;
mod wire;
