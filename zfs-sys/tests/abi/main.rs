//! Do the declarations say the same in Rust, in C, and in what is checked in?

mod declarations;
mod generated;
mod support;
