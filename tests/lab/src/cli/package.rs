//! `cargo lab package`: the packages that people install.

use clap::Args;
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct Package {
    /// Only the Debian packages.
    #[arg(long)]
    no_tarball: bool,
}

impl Package {
    pub(crate) fn run(&self) -> lab::Result<ExitCode> {
        let say = |text: &str| eprintln!("{text}");
        let made = lab::package::debian(&say)?;
        println!("{}\n{}", made.deb.display(), made.names.display());
        if !self.no_tarball {
            println!("{}", lab::package::tarball(lab::package::Program::SelfContained, &say)?.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
