//! Scenarios of several machines, or of the whole program: run on this machine, against nodes that the lab boots.

mod bad_input;
mod bent;
mod bookmarks;
mod commands;
mod cuts;
mod divergence;
mod encryption;
mod examples;
mod faults;
mod features;
mod interrupted;
mod killed;
mod no_op;
mod promote;
mod relay;
mod replicas;
mod replicate;
mod retries;
mod ssh_auth;
mod ssh_hostkeys;
mod stalls;
mod support;
mod system_ssh;
mod trees;
mod ways;
mod wire;
