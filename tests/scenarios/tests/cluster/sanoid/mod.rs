//! The front end `sanoid` beside the real sanoid 2.3, on equal pools of one node with its clock set: the same snapshots,
//! the same lines where people look for them, the same statuses, but for the mistakes that are mended.

mod alike;
mod calendar;
mod commands;

use lab::Cluster;
use lab::Node;
use lab::Output;

pub(crate) use crate::support::sh;

/// How the real one is called: by its path, with folders of its own.
pub(crate) const REAL: &str = "/opt/sanoid/usr/sbin/sanoid --cache-dir=/tmp/cache --run-dir=/tmp/run";

/// The templates that sanoid is delivered with.
const TEMPLATES: &str = "
[template_production]
\tfrequently = 0
\thourly = 36
\tdaily = 30
\tmonthly = 3
\tyearly = 0
\tautosnap = yes
\tautoprune = yes
[template_backup]
\tautoprune = yes
\tfrequently = 0
\thourly = 30
\tdaily = 90
\tmonthly = 12
\tyearly = 0
\tautosnap = no
\thourly_warn = 2880
\thourly_crit = 3600
\tdaily_warn = 48
\tdaily_crit = 60
";

/// A node with the pool `ours` and the pool `real`, each with the same datasets, and a configuration for each.
pub(crate) fn pools(sections: &str) -> Cluster {
    let cluster = Cluster::boot(1).expect("a node boots");
    let node = cluster.node(1);
    for (pool, disk) in [("ours", "/dev/ubdb"), ("real", "/dev/ubdc")] {
        sh(
            node,
            &format!(
                "zpool create -O mountpoint=none {pool} {disk}
                 for d in a a/b a/b/c mail back back/x; do zfs create {pool}/$d; done"
            ),
        );
        let config = format!("{}{TEMPLATES}", sections.replace("POOL", pool));
        sh(node, &format!("mkdir -p /etc/{pool}"));
        node.write_file(&format!("/etc/{pool}/sanoid.conf"), config).expect("written");
    }
    cluster
}

/// Runs one of them, at that time.
pub(crate) fn at(node: &Node, time: &str, zone: &str, pool: &str, options: &str) -> Output {
    let program = if pool == "ours" { "sanoid" } else { REAL };
    let script = format!("date --utc -s '{time}' >/dev/null; {program} --configdir=/etc/{pool} {options}");
    node.script(&script).env("TZ", zone).run().expect("it runs")
}

/// The snapshots of a pool, without its name and without the seconds of theirs.
pub(crate) fn snapshots(node: &Node, pool: &str) -> Vec<String> {
    let list = sh(node, &format!("zfs list -H -t snapshot -o name -r {pool} | sort"));
    list.lines().map(|name| without_seconds(name.strip_prefix(pool).expect("of the pool"))).collect()
}

/// One of the two runs a few seconds after the other.
pub(crate) fn without_seconds(text: &str) -> String {
    match text.rsplit_once(':') {
        Some((start, rest)) => format!("{start}:{}", rest.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => text.to_string(),
    }
}
