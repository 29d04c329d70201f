//! What the host tells a node at boot: a small text file in the node's folder, one `key=value` a line,
//! written by `node` and read by the agent.

use std::io;
use std::path::PathBuf;

/// A folder of the host that the node sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) host: PathBuf,
    pub(crate) guest: PathBuf,
    pub(crate) writable: bool,
}

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BootConf {
    /// 1 for node1.
    pub(crate) index: usize,
    /// Where to set the clock, in seconds since 1970.
    pub(crate) time: Option<i64>,
    pub(crate) network: bool,
    pub(crate) mounts: Vec<Mount>,
    /// Links made in [`BIN_DIR`]: name and target.
    pub(crate) links: Vec<(String, String)>,
}

/// First on the node's PATH.
pub(crate) const BIN_DIR: &str = "/opt/replicator/bin";

impl BootConf {
    pub(crate) fn name(&self) -> String {
        format!("node{}", self.index)
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("index={}\nnetwork={}\n", self.index, self.network);
        if let Some(time) = self.time {
            text.push_str(&format!("time={time}\n"));
        }
        for mount in &self.mounts {
            let mode = if mount.writable { "rw" } else { "ro" };
            text.push_str(&format!("mount={mode}\t{}\t{}\n", mount.host.display(), mount.guest.display()));
        }
        for (name, target) in &self.links {
            text.push_str(&format!("link={name}\t{target}\n"));
        }
        text
    }

    pub(crate) fn parse(text: &str) -> io::Result<Self> {
        let mut conf = Self::default();
        for line in text.lines() {
            let bad = || io::Error::new(io::ErrorKind::InvalidData, format!("boot.conf: {line:?}"));
            let (key, value) = line.split_once('=').ok_or_else(bad)?;
            match key {
                "index" => conf.index = value.parse().map_err(|_| bad())?,
                "network" => conf.network = value == "true",
                "time" => conf.time = Some(value.parse().map_err(|_| bad())?),
                "mount" => {
                    let mut parts = value.splitn(3, '\t');
                    let mut next = || parts.next().ok_or_else(bad);
                    let writable = next()? == "rw";
                    conf.mounts.push(Mount { writable, host: next()?.into(), guest: next()?.into() });
                }
                "link" => {
                    let (name, target) = value.split_once('\t').ok_or_else(bad)?;
                    conf.links.push((name.into(), target.into()));
                }
                _ => return Err(bad()),
            }
        }
        Ok(conf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_file() {
        let conf = BootConf {
            index: 2,
            time: Some(-5),
            network: true,
            mounts: vec![Mount { host: "/a b".into(), guest: "/src".into(), writable: true }],
            links: vec![("sanoid".into(), "replicator".into())],
        };
        assert_eq!(BootConf::parse(&conf.to_text()).unwrap(), conf);
        assert!(BootConf::parse("index").is_err());
        assert!(BootConf::parse("mount=rw\t/only").is_err());
    }
}
