//! The transport alone, outside the lab: a real sshd on this machine's loopback and a recorded stream to a program that counts
//! it. No ZFS takes part, and processes and system calls cost what they cost. An agent counts as well, and checks every record
//! as it always does; so what goes to one has more done to it than what goes to `wc`.

use std::fs::File;
use std::io::BufWriter;
use std::io::Write;

use crate::carry::SINK;
use crate::contender::Contender;
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
use crate::stream;

const PIPE: &str = "cat | ssh";
const SYSTEM: &str = "ours, system ssh";
const LIBSSH2: &str = "ours, libssh2";
const BARE: &str = "bare loop over libssh2";
const AGENT: &str = "ours, agent, libssh2";
const TLS: &str = "ours, agent, tls";

/// Where an agent may listen for TLS: this machine only, at the first of these ports that is free.
const LISTEN: &str = "127.0.0.1:40100-40199";

/// Each cipher.
pub(super) fn transport(lab: &Lab, cases: &mut Vec<Case>) -> Result<()> {
    let Some(program) = sshd::find() else {
        lab.leave_out("transport is left out: there is no sshd (apt-get install openssh-server)");
        return Ok(());
    };
    let file = lab.file("stream");
    let mut to = BufWriter::new(File::create(&file).on("making", &file)?);
    let bytes = stream::write(lab.sizes.transport << 20, 1, &mut to).on("writing", &file)?;
    to.flush().on("writing", &file)?;
    let servers = Servers::on_loopback(lab, &program)?;
    let user = lab.here.borrow_mut().run("id -un")?.trim().to_string();
    for (cipher, port) in CIPHERS.iter().zip(servers.ports()) {
        let (known, identity) = (servers.known_hosts().display(), servers.identity().display());
        let ours = |name: &str, by: &str, ours: bool| {
            let words = format!(
                "{} carry --by {by} --port {port} --user {user} --identity {identity} --known-hosts {known} --listen {LISTEN} {}",
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
            ours(AGENT, "agent", true),
            ours(TLS, "tls", true),
        ];
        let goals = vec![
            Goal::ratio(SYSTEM, PIPE, Figure::Seconds, 1.0),
            Goal::ratio(LIBSSH2, BARE, Figure::Seconds, 1.05),
            Goal::ratio(LIBSSH2, BARE, Figure::OwnCpu, 1.05),
            Goal::ratio_at_least(TLS, PIPE, Figure::Throughput, 2.0),
        ];
        let title = format!("{} MiB through sshd on loopback, {cipher}", lab.sizes.transport);
        cases.push(runner::run(lab, "transport", &mut Carried { title, bytes }, &all, goals)?);
    }
    Ok(())
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
