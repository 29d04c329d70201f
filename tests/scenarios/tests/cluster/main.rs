//! Scenarios of several machines, or of the whole program: run on this machine, against nodes that the lab boots.

mod bad_input;
mod bookmarks;
mod commands;
mod divergence;
mod drift;
mod encryption;
mod examples;
mod hostile;
mod interrupted;
mod limited;
mod meddle;
mod names;
mod no_op;
mod power_cut;
mod replicas;
mod replicate;
mod ssh_auth;
mod ssh_hostkeys;
mod support;
mod system_ssh;
mod target_state;
mod tokens;
mod trees;
mod ways;
mod wire;
