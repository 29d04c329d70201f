//! One big stream: between two pools of one machine, and over ssh with each way to encrypt it. The limit is what `zfs send |
//! zfs receive` reaches.

use super::replication::Content;
use super::replication::Replication;
use super::replication::Round;
use crate::contender::Contender;
use crate::contender::Way;
use crate::error::Result;
use crate::goal::Figure;
use crate::goal::Goal;
use crate::lab::Lab;
use crate::result::Case;
use crate::runner;
use crate::sshd::CIPHERS;
use crate::sshd::Servers;

const PIPE: &str = "zfs send | zfs receive";
const SSH: &str = "zfs send | ssh | zfs receive";
const BARE: &str = "zfs send | bare loop over libssh2 | zfs receive";
const OURS: &str = "ours";
const AGENT: &str = "ours, agent";
const SYSTEM: &str = "ours, system ssh";
const TLS: &str = "ours, agent, tls";

/// The ports at which an agent may listen for TLS.
const LISTEN: &str = "40000-40009";

/// What makes `replicator` send over TLS.
pub(super) const FAST: [&str; 6] = ["--far-end", "agent", "--streams", "tls", "--listen", LISTEN];

/// The most that a run may take: 64 MB, and the buffer of 128 MiB.
pub(super) const MEMORY: f64 = 64e6 + (128 << 20) as f64;

/// Between two pools.
pub(super) fn local(lab: &Lab, cases: &mut Vec<Case>) -> Result<()> {
    let all = vec![
        Contender::Pipe(PIPE, Vec::new()),
        Contender::ours(OURS, &[]),
        Contender::Syncoid,
        Contender::Bzfs,
        Contender::Autobackup,
    ];
    let goals = vec![
        Goal::ratio(OURS, PIPE, Figure::Seconds, 1.02),
        Goal::ratio(OURS, PIPE, Figure::Cpu, 1.1),
        Goal::limit(OURS, Figure::Peak, MEMORY),
    ];
    cases.push(stream(lab, "local", "between two pools", Way::Here, all, goals)?);
    Ok(())
}

/// Over ssh, as the machines agree by themselves, and with each cipher.
pub(super) fn ssh(lab: &Lab, cases: &mut Vec<Case>) -> Result<()> {
    let Some(way) = lab.ssh("ssh") else { return Ok(()) };
    let all = vec![
        Contender::Pipe(SSH, Vec::new()),
        Contender::ours(OURS, &[]),
        Contender::ours(AGENT, &["--far-end", "agent"]),
        Contender::ours(SYSTEM, &["--transport", "ssh"]),
        Contender::ours("ours, system ssh, agent", &["--transport", "ssh", "--far-end", "agent"]),
        Contender::ours(TLS, &FAST),
        Contender::Syncoid,
        Contender::Bzfs,
        Contender::Autobackup,
    ];
    let goals = vec![
        Goal::ratio(SYSTEM, SSH, Figure::Seconds, 1.0),
        Goal::ratio_at_least(TLS, SSH, Figure::Throughput, 2.0),
        // It checks the stream at the far end as well.
        Goal::ratio(AGENT, OURS, Figure::Seconds, 1.05),
    ];
    cases.push(stream(lab, "ssh", "over ssh", way.clone(), all, goals)?);
    let Some(far) = lab.far.as_ref().filter(|_| lab.node) else {
        lab.leave_out(
            "ssh: a server for each cipher is only started in nodes; `transport` has them on this machine",
        );
        return Ok(());
    };
    let servers = Servers::in_node(lab, far)?;
    for (cipher, port) in CIPHERS.iter().zip(servers.ports()) {
        let (port, known) = (port.to_string(), servers.known_hosts().display().to_string());
        let ours = ["--port", &port, "--known-hosts", &known];
        let system = [&ours[..], &["--transport", "ssh"]].concat();
        let options = vec![format!("-p {port}"), format!("-o UserKnownHostsFile={known}")];
        let bare = vec![format!("--port {port}"), format!("--identity {}", servers.identity().display())];
        let all = vec![
            Contender::Pipe(SSH, options),
            Contender::ours(OURS, &ours),
            Contender::ours(SYSTEM, &system),
            Contender::Bare(BARE, bare),
        ];
        let goals = vec![
            Goal::ratio(SYSTEM, SSH, Figure::Seconds, 1.0),
            // Only here do both encrypt in the same way.
            Goal::ratio(OURS, BARE, Figure::Seconds, 1.05),
        ];
        cases.push(stream(lab, "ssh", &format!("over ssh with {cipher}"), way.clone(), all, goals)?);
    }
    Ok(())
}

fn stream(
    lab: &Lab,
    suite: &str,
    what: &str,
    way: Way,
    all: Vec<Contender>,
    goals: Vec<Goal>,
) -> Result<Case> {
    let size = lab.sizes.megabytes;
    let content = Content { datasets: 1, snapshots: 1, bytes: size << 20, fill: None };
    let mut trial = Replication::new(lab, format!("{size} MiB {what}"), way, Round::First, content)?;
    runner::run(lab, suite, &mut trial, &lab.present(all), goals)
}
