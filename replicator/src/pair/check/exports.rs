//! What is exported by NFS, and whether a client goes on after a takeover: each export needs an `fsid=` that is the same on
//! both nodes, since ZFS gives a dataset another number on each pool (exports(5), nfsd(7)).

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use zfs_core::name::DatasetName;

use super::shown;
use super::unknown;
use crate::check::Finding;
use crate::pair::verbs::node::unescaped;
use crate::role::observation::Seen;

/// A shell script that prints all of this on the machine, or in the container, whose server it is. What it prints is read by
/// [`Nfs::read`].
pub const SCRIPT: &str = r#"PATH=$PATH:/usr/sbin:/sbin
for file in /etc/exports /etc/exports.d/*.exports /proc/fs/nfsd/nfsv4leasetime /proc/fs/nfsd/nfsv4gracetime; do
    [ -f "$file" ] || continue
    printf '\n==== %s\n' "$file"
    cat "$file"
done
if command -v exportfs > /dev/null; then
    table=$(exportfs -v 2>&1)
    printf '\n==== exportfs %s\n%s\n' $? "$table"
fi
exit 0"#;

/// Before the name of a part.
const PART: &str = "==== ";

/// An NFS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nfs {
    /// Where it is: the name of a node, or `guest 103`.
    pub server: String,
    /// What its files say.
    pub files: Vec<Export>,
    /// What is in effect.
    pub running: Seen<Vec<Export>>,
    /// Seconds after which a client that says nothing has lost what it has.
    pub lease: Seen<u64>,
    /// Seconds for which clients may claim again what they had.
    pub grace: Seen<u64>,
}

/// A folder that is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The folder.
    pub path: PathBuf,
    /// To whom, and how.
    pub clients: Vec<Client>,
}

/// To whom a folder is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// A host, a network, a pattern.
    pub name: String,
    /// The options in brackets.
    pub options: Vec<String>,
}

impl Client {
    /// What identifies the file system in a file handle.
    fn fsid(&self) -> Option<&str> {
        let given = self.options.iter().rev().find_map(|option| option.strip_prefix("fsid="))?;
        // Two names for one thing.
        Some(if given == "root" { "0" } else { given })
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|one| one == option)
    }
}

impl Nfs {
    /// Reads what [`SCRIPT`] has printed at this server.
    #[must_use]
    pub fn read(server: &str, text: &str) -> Self {
        let why = "there is no NFS server of the kernel";
        let mut nfs = Self {
            server: server.to_string(),
            files: Vec::new(),
            running: Seen::unknown("there is no exportfs"),
            lease: Seen::unknown(why),
            grace: Seen::unknown(why),
        };
        let text = format!("\n{text}");
        for part in text.split(&format!("\n{PART}")).skip(1) {
            let (head, body) = part.split_once('\n').unwrap_or((part, ""));
            match head.strip_prefix("exportfs ") {
                Some("0") => nfs.running = Seen::Known(parse(body)),
                Some(_) => nfs.running = Seen::unknown(format!("exportfs -v: {}", shown(body))),
                None if head == "/proc/fs/nfsd/nfsv4leasetime" => nfs.lease = seconds(body),
                None if head == "/proc/fs/nfsd/nfsv4gracetime" => nfs.grace = seconds(body),
                None => nfs.files.extend(parse(body)),
            }
        }
        nfs.files = joined(nfs.files);
        nfs
    }

    /// What is exported with which `fsid=`, to be compared with another machine.
    #[must_use]
    pub fn fsids(&self) -> String {
        let one = |export: &Export| {
            let path = shown(&export.path.to_string_lossy());
            let fsid = export.clients.first().and_then(Client::fsid);
            format!("{path}={}", fsid.map_or_else(|| "none".to_string(), shown))
        };
        let all: Vec<_> = self.all().iter().map(one).collect();
        if all.is_empty() { "none".to_string() } else { all.join(" ") }
    }

    /// What the files say, and what is in effect beside it, by path.
    fn all(&self) -> Vec<Export> {
        let running = self.running.known().map_or(&[][..], Vec::as_slice);
        let written = |export: &Export| self.files.iter().any(|file| file.path == export.path);
        let by_hand = running.iter().filter(|export| !written(export)).cloned();
        let mut all: Vec<_> = self.files.iter().cloned().chain(by_hand).collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }
}

fn seconds(text: &str) -> Seen<u64> {
    let text = text.trim();
    text.parse::<u64>().map_err(|_| format!("it is {}", shown(text))).into()
}

/// Reads exports(5), and what `exportfs -v` prints, in which a long path has its clients in the next line.
#[must_use]
pub fn parse(text: &str) -> Vec<Export> {
    let mut all: Vec<Export> = Vec::new();
    let whole = text.replace("\\\n", " ");
    for line in whole.lines() {
        let goes_on = line.starts_with([' ', '\t']);
        let mut words = words(line).into_iter().peekable();
        let Some(first) = words.next_if(|word| word.starts_with('/')) else {
            if let (true, Some(export)) = (goes_on, all.last_mut()) {
                export.clients.extend(clients(words));
            }
            continue;
        };
        all.push(Export { path: first.into(), clients: clients(words) });
    }
    joined(all)
}

/// One export for each path.
fn joined(exports: Vec<Export>) -> Vec<Export> {
    let mut all: Vec<Export> = Vec::new();
    for export in exports {
        match all.iter_mut().find(|known| known.path == export.path) {
            Some(known) => known.clients.extend(export.clients),
            None => all.push(export),
        }
    }
    all
}

/// `host(rw,fsid=1)`; what stands behind a dash holds for those that follow.
fn clients(words: impl Iterator<Item = String>) -> Vec<Client> {
    let mut default: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for word in words {
        if let Some(options) = word.strip_prefix('-') {
            default = options.split(',').map(str::to_string).collect();
            continue;
        }
        let (name, own) = word.split_once('(').unwrap_or((word.as_str(), ""));
        let own = own.trim_end_matches(')').split(',').filter(|option| !option.is_empty());
        let options = default.iter().cloned().chain(own.map(str::to_string)).collect();
        all.push(Client { name: name.to_string(), options });
    }
    all
}

/// The words of a line, up to a comment. A path may stand in quotes, or have its spaces as `\040`.
fn words(line: &str) -> Vec<String> {
    let (mut all, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '#' if !quoted && word.is_none() => break,
            ' ' | '\t' if !quoted => all.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    all.extend(word);
    all.iter().map(|word| unescaped(word)).collect()
}

/// What there is to say of a server. `places` are the datasets of the pair where the server sees them.
pub(super) fn findings(nfs: &Nfs, places: &[(DatasetName, PathBuf)]) -> Vec<Finding> {
    let server = &nfs.server;
    let all = nfs.all();
    let mut found = Vec::new();
    if let Seen::Unknown(why) = &nfs.running {
        let fix = format!("see on {server} what `exportfs -v` prints");
        found.push(unknown("exports", format!("what {server} exports now"), why, fix));
    }
    let of_pair: Vec<_> = all.iter().filter(|export| dataset_of(&export.path, places).is_some()).collect();
    for export in &of_pair {
        found.push(of_export(nfs, export));
    }
    found.extend(twice(server, &all, &of_pair));
    found.extend(crossed(server, &all, places));
    if of_pair.is_empty() {
        found.push(Finding::ok("exports", format!("{server} exports no dataset of the pair by NFS")));
        return found;
    }
    found.push(times(nfs));
    found
}

/// The dataset that a folder is in.
fn dataset_of<'p>(path: &Path, places: &'p [(DatasetName, PathBuf)]) -> Option<&'p DatasetName> {
    let above = places.iter().filter(|(_, place)| path.starts_with(place));
    above.max_by_key(|(_, place)| place.components().count()).map(|(dataset, _)| dataset)
}

fn of_export(nfs: &Nfs, export: &Export) -> Finding {
    let (server, path) = (&nfs.server, shown(&export.path.to_string_lossy()));
    let set = format!(
        "give it an fsid of its own on {server}, the same on both nodes, such as fsid=1; then exportfs -ra"
    );
    let ids: Vec<_> = export.clients.iter().map(Client::fsid).collect();
    let Some(first) = ids.first().copied().flatten().filter(|_| ids.iter().all(Option::is_some)) else {
        let text =
            format!("{path} is exported by {server} without fsid=: after a takeover its files are stale");
        return Finding::fail("exports", text, set);
    };
    if ids.iter().any(|id| *id != Some(first)) {
        let text =
            format!("{path} is exported by {server} with an fsid that is not the same for all clients");
        return Finding::fail("exports", text, set);
    }
    let running = nfs.running.known();
    let same = |one: &Export| one.path == export.path;
    if !nfs.files.iter().any(same) {
        let text = format!("{path} is exported by {server} with fsid={}, and no file says so", shown(first));
        return Finding::warn(
            "exports",
            text,
            "write it into /etc/exports: a restart forgets it".to_string(),
        );
    }
    let now = running.and_then(|all| all.iter().find(|one| same(one)));
    let differs = now.is_some_and(|now| now.clients.iter().any(|client| client.fsid() != Some(first)));
    if differs || (running.is_some() && now.is_none()) {
        let text = format!("what {server} exports of {path} now is not what its files say");
        return Finding::warn("exports", text, format!("on {server}: exportfs -ra"));
    }
    Finding::ok("exports", format!("{path} is exported by {server} with fsid={}", shown(first)))
}

/// Exports of the pair that share an identity with another one.
fn twice(server: &str, all: &[Export], of_pair: &[&Export]) -> Vec<Finding> {
    let mut known: BTreeMap<&str, Vec<&Path>> = BTreeMap::new();
    for export in all {
        if let Some(fsid) = export.clients.first().and_then(Client::fsid) {
            known.entry(fsid).or_default().push(&export.path);
        }
    }
    let ours = |paths: &Vec<&Path>| of_pair.iter().any(|export| paths.contains(&export.path.as_path()));
    let shared = known.into_iter().filter(|(_, paths)| paths.len() > 1 && ours(paths));
    let told = |(fsid, paths): (&str, Vec<&Path>)| {
        let paths: Vec<_> = paths.iter().map(|path| shown(&path.to_string_lossy())).collect();
        let text = format!("{} have the same fsid={} on {server}", paths.join(" and "), shown(fsid));
        Finding::fail("exports", text, "give each export one of its own".to_string())
    };
    shared.map(told).collect()
}

/// Datasets that clients reach through the export of a folder above them.
fn crossed(server: &str, all: &[Export], places: &[(DatasetName, PathBuf)]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (dataset, place) in places {
        let own = all.iter().any(|export| export.path == *place);
        let crosses = |export: &&Export| {
            let below = place.starts_with(&export.path) && *place != export.path;
            below && export.clients.iter().any(|client| client.has("crossmnt"))
        };
        let Some(above) = all.iter().find(crosses).filter(|_| !own) else { continue };
        let (path, place) = (shown(&above.path.to_string_lossy()), shown(&place.to_string_lossy()));
        let text = format!(
            "clients of {server} reach {dataset} through {path} (crossmnt), with the number that its pool gave it: after a takeover its files are stale"
        );
        found.push(Finding::fail(
            "exports",
            text,
            format!("export {place} as well, with an fsid of its own"),
        ));
    }
    found
}

/// How long clients wait after a takeover.
fn times(nfs: &Nfs) -> Finding {
    let server = &nfs.server;
    let (lease, grace) = match (&nfs.lease, &nfs.grace) {
        (Seen::Known(lease), Seen::Known(grace)) => (*lease, *grace),
        (Seen::Unknown(why), _) | (_, Seen::Unknown(why)) => {
            let fix = format!("see /proc/fs/nfsd/nfsv4leasetime and nfsv4gracetime on {server}");
            return unknown("nfs", format!("how long clients of {server} wait after a takeover"), why, fix);
        }
    };
    if grace < lease {
        let text = format!(
            "nfsv4gracetime of {server} is {grace} s, and nfsv4leasetime {lease} s: a client may come too late to claim its locks"
        );
        let fix = "in /etc/nfs.conf of the server, in [nfsd]: grace-time of at least lease-time; it ends by itself when all clients are back";
        return Finding::warn("nfs", text, fix.to_string());
    }
    let text = format!("nfsv4leasetime of {server} is {lease} s, nfsv4gracetime {grace} s");
    Finding::ok("nfs", text)
}
