//! The transport alone, outside the lab: a real sshd on this machine's loopback and a file to a program that counts it. No
//! ZFS takes part, and processes and system calls cost what they cost.

use std::fs::File;
use std::io::BufWriter;

use crate::carry::SINK;
use crate::contender::Contender;
use crate::data;
use crate::data::Kind;
use crate::error::BenchError;
use crate::error::Context;
use crate::error::Result;
use crate::goal::Figure;
use crate::goal::Goal;
use crate::lab::Lab;
use crate::measure::Job;
use crate::measure::Usage;
use crate::result::Case;
use crate::runner;
use crate::runner::Trial;
use crate::sshd;
use crate::sshd::CIPHERS;
use crate::sshd::Servers;

const PIPE: &str = "cat | ssh";
const SYSTEM: &str = "ours, system ssh";
const LIBSSH2: &str = "ours, libssh2";
const BARE: &str = "bare loop over libssh2";

/// Each cipher.
pub(super) fn transport(lab: &Lab) -> Result<Vec<Case>> {
    let Some(program) = sshd::find() else {
        lab.leave_out("transport is left out: there is no sshd (apt-get install openssh-server)");
        return Ok(Vec::new());
    };
    let bytes = lab.sizes.transport << 20;
    let file = lab.file("stream");
    let mut to = BufWriter::new(File::create(&file).on("making", &file)?);
    data::write(Kind::Random, bytes, 1, &mut to).on("writing", &file)?;
    drop(to);
    let servers = Servers::on_loopback(lab, &program)?;
    let user = lab.here.borrow_mut().run("id -un")?.trim().to_string();
    let mut cases = Vec::new();
    for (cipher, port) in CIPHERS.iter().zip(servers.ports()) {
        let (known, identity) = (servers.known_hosts().display(), servers.identity().display());
        let ours = |name: &str, by: &str, ours: bool| {
            let words = format!(
                "{} carry --by {by} --port {port} --user {user} --identity {identity} --known-hosts {known} {}",
                lab.me.display(),
                file.display()
            );
            Contender::Other { name: name.into(), ours, argv: words.split(' ').map(str::to_string).collect() }
        };
        let pipe = format!(
            "set -o pipefail; cat {} | ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -i {identity} -o UserKnownHostsFile={known} -p {port} {user}@127.0.0.1 '{SINK}'",
            file.display()
        );
        let argv = ["/bin/bash", "-c", &pipe].map(str::to_string).to_vec();
        let all = [
            Contender::Other { name: PIPE.into(), ours: false, argv },
            ours(SYSTEM, "ssh", true),
            ours(LIBSSH2, "libssh2", true),
            ours(BARE, "bare", false),
        ];
        let goals = vec![
            Goal::ratio(SYSTEM, PIPE, Figure::Seconds, 1.0),
            Goal::ratio(LIBSSH2, BARE, Figure::Seconds, 1.05),
            Goal::ratio(LIBSSH2, BARE, Figure::OwnCpu, 1.05),
        ];
        let title = format!("{} MiB through sshd on loopback, {cipher}", lab.sizes.transport);
        cases.push(runner::run(lab, "transport", &mut Carried { title, bytes }, &all, goals)?);
    }
    Ok(cases)
}

struct Carried {
    title: String,
    bytes: u64,
}

impl Trial for Carried {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn bytes(&self) -> Option<u64> {
        Some(self.bytes)
    }

    fn before(&mut self, lab: &Lab, who: &Contender) -> Result<Job> {
        Ok(super::listing::plain(lab, who))
    }

    fn after(&mut self, _lab: &Lab, who: &Contender, _usage: &mut Usage, said: &str) -> Result<()> {
        if said.trim().parse() == Ok(self.bytes) {
            return Ok(());
        }
        let why = format!("{said:?} of {} bytes arrived", self.bytes);
        Err(BenchError::Void { who: who.name().into(), why })
    }
}
