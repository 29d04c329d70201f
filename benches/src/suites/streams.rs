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
const OURS: &str = "ours";
const SYSTEM: &str = "ours, system ssh";

/// Between two pools.
pub(super) fn local(lab: &Lab) -> Result<Vec<Case>> {
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
        // 64 MB and the buffer of 128 MiB.
        Goal::limit(OURS, Figure::Peak, 64e6 + f64::from(128_u32 << 20)),
    ];
    Ok(vec![stream(lab, "local", "between two pools", Way::Here, all, goals)?])
}

/// Over ssh, as the machines agree by themselves, and with each cipher.
pub(super) fn ssh(lab: &Lab) -> Result<Vec<Case>> {
    let Some(way) = lab.ssh("ssh") else { return Ok(Vec::new()) };
    let all = vec![
        Contender::Pipe(SSH, Vec::new()),
        Contender::ours(OURS, &[]),
        Contender::ours("ours, agent", &["--far-end", "agent"]),
        Contender::ours(SYSTEM, &["--transport", "ssh"]),
        Contender::ours("ours, system ssh, agent", &["--transport", "ssh", "--far-end", "agent"]),
        Contender::Syncoid,
        Contender::Bzfs,
        Contender::Autobackup,
    ];
    let goals = vec![Goal::ratio(SYSTEM, SSH, Figure::Seconds, 1.0)];
    let mut cases = vec![stream(lab, "ssh", "over ssh", way.clone(), all, goals)?];
    let Some(far) = lab.far.as_ref().filter(|_| lab.node) else {
        lab.leave_out(
            "ssh: a server for each cipher is only started in nodes; `transport` has them on this machine",
        );
        return Ok(cases);
    };
    let servers = Servers::in_node(lab, far)?;
    for (cipher, port) in CIPHERS.iter().zip(servers.ports()) {
        let (port, known) = (port.to_string(), servers.known_hosts().display().to_string());
        let ours = ["--port", &port, "--known-hosts", &known];
        let system = [&ours[..], &["--transport", "ssh"]].concat();
        let options = vec![format!("-p {port}"), format!("-o UserKnownHostsFile={known}")];
        let all = vec![
            Contender::Pipe(SSH, options),
            Contender::ours(OURS, &ours),
            Contender::ours(SYSTEM, &system),
        ];
        let goals = vec![Goal::ratio(SYSTEM, SSH, Figure::Seconds, 1.0)];
        cases.push(stream(lab, "ssh", &format!("over ssh with {cipher}"), way.clone(), all, goals)?);
    }
    Ok(cases)
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
