//! Whether a host key is the one we know: the `known_hosts` files of OpenSSH, read by ourselves because libssh2
//! knows neither patterns nor `@revoked`, and because the answer must name the file and the line. See sshd(8),
//! "SSH_KNOWN_HOSTS FILE FORMAT". Nothing here ever writes to these files.

use std::fmt;
use std::path::Path;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::Hmac;
use hmac::Mac;
use sha1::Sha1;
use sha2::Digest;
use sha2::Sha256;

/// A file larger than this is not read: known_hosts of ten thousands of hosts is a few megabytes.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;

/// One usable line for the host that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub place: Place,
    /// The key type as written, `ssh-ed25519` and so on.
    pub key_type: String,
    /// The key in its wire form.
    pub key: Vec<u8>,
    /// Whether the line says `@revoked`.
    pub revoked: bool,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.file.display(), self.line)
    }
}

/// All that the files say about one host.
#[derive(Clone, Debug, Default)]
pub struct KnownHosts {
    host: String,
    port: u16,
    files: Vec<PathBuf>,
    entries: Vec<Entry>,
    authorities: usize,
}

/// Why a host key is not accepted. No byte beyond the key exchange was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostKeyError {
    /// No file has a line for this host.
    #[error(
        "the host key of {name} is not known: it presented {key_type} {fingerprint}, and no line of {} is about {name}{}",
        list_files(.files),
        if *.authorities > 0 { " (lines with @cert-authority are not used)" } else { "" }
    )]
    Unknown {
        /// The host as it would stand in a file: `host`, or `[host]:port`.
        name: String,
        /// The type of the key that was presented.
        key_type: String,
        /// Its fingerprint, as `ssh-keygen -l` prints it.
        fingerprint: String,
        /// The files that were read.
        files: Vec<PathBuf>,
        /// The port, for the hint.
        port: u16,
        /// Lines that name a certificate authority for this host.
        authorities: usize,
    },
    /// A file has other keys for this host.
    #[error(
        "THE HOST KEY OF {name} HAS CHANGED: it presented {key_type} {fingerprint}, but {place} has {known}; somebody may be pretending to be this host"
    )]
    Changed {
        /// The host as it stands in the file.
        name: String,
        /// The type of the key that was presented.
        key_type: String,
        /// Its fingerprint.
        fingerprint: String,
        /// The line with another key.
        place: Box<Place>,
        /// Type and fingerprint of the known key.
        known: String,
    },
    /// A line marks this very key as revoked.
    #[error("the host key of {name} ({key_type} {fingerprint}) is marked @revoked in {place}")]
    Revoked {
        /// The host.
        name: String,
        /// The type of the key that was presented.
        key_type: String,
        /// Its fingerprint.
        fingerprint: String,
        /// The line that revokes it.
        place: Box<Place>,
    },
    /// A file is there but cannot be read. To go on without it could accept a revoked key.
    #[error("cannot read {}: {cause}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: String,
    },
}

impl HostKeyError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown { name, files, port, .. } => {
                let file = files
                    .first()
                    .map_or_else(|| "~/.ssh/known_hosts".to_string(), |f| f.display().to_string());
                let host = name.strip_prefix('[').and_then(|n| n.split(']').next()).unwrap_or(name);
                let port = if *port == 22 { String::new() } else { format!("-p {port} ") };
                format!(
                    "compare the fingerprint with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host itself; when it is the same, run `ssh-keyscan {port}{host} >> {file}`"
                )
            }
            Self::Changed { name, place, .. } => format!(
                "if the host was really set up anew, compare the fingerprint on the host itself, remove the old key with `ssh-keygen -f {} -R '{name}'` and add the new one with ssh-keyscan",
                place.file.display()
            ),
            Self::Revoked { .. } => "do not use this host until its key was replaced".to_string(),
            Self::Unreadable { .. } => "make the file readable for this user".to_string(),
        }
    }
}

fn list_files(files: &[PathBuf]) -> String {
    files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The files that OpenSSH reads too: the user's, then the machine's.
#[must_use]
pub fn default_files(home: Option<&Path>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    if let Some(home) = home {
        files.push(home.join(".ssh/known_hosts"));
        files.push(home.join(".ssh/known_hosts2"));
    }
    files.push(PathBuf::from("/etc/ssh/ssh_known_hosts"));
    files.push(PathBuf::from("/etc/ssh/ssh_known_hosts2"));
    files
}

impl KnownHosts {
    /// Reads the files; one that does not exist counts as empty.
    ///
    /// # Errors
    /// [`HostKeyError::Unreadable`] for a file that exists and cannot be read.
    pub fn read(host: &str, port: u16, files: &[PathBuf]) -> Result<Self, HostKeyError> {
        let mut known =
            Self { host: host.to_ascii_lowercase(), port, files: files.to_vec(), ..Self::default() };
        for file in files {
            let unreadable = |cause: std::io::Error| HostKeyError::Unreadable {
                file: file.clone(),
                cause: cause.to_string(),
            };
            match std::fs::metadata(file) {
                Ok(meta) if meta.len() > FILE_LIMIT => {
                    return Err(unreadable(std::io::Error::other(format!(
                        "it is larger than {FILE_LIMIT} bytes"
                    ))));
                }
                Ok(_) => known.add(file, &std::fs::read(file).map_err(unreadable)?),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        Ok(known)
    }

    fn add(&mut self, file: &Path, content: &[u8]) {
        for (number, line) in content.split(|b| *b == b'\n').enumerate() {
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_ascii_whitespace();
            let mut first = words.next().unwrap_or_default();
            let (mut revoked, mut authority) = (false, false);
            if first.starts_with('@') {
                match first {
                    "@revoked" => revoked = true,
                    "@cert-authority" => authority = true,
                    // A marker that OpenSSH does not know either: the line says something we cannot judge.
                    _ => continue,
                }
                first = words.next().unwrap_or_default();
            }
            let (Some(key_type), Some(key)) = (words.next(), words.next()) else { continue };
            if !self.is_about(first) {
                continue;
            }
            if authority {
                self.authorities += 1;
                continue;
            }
            let Ok(key) = STANDARD.decode(key).or_else(|_| STANDARD_NO_PAD.decode(key)) else { continue };
            // The type stands in the key itself too. A line where they differ is damaged.
            if key_type_of(&key) != Some(key_type) {
                continue;
            }
            let place = Place { file: file.to_path_buf(), line: number + 1 };
            self.entries.push(Entry { place, key_type: key_type.to_string(), key, revoked });
        }
    }

    /// The host as files name it.
    #[must_use]
    pub fn name(&self) -> String {
        if self.port == 22 { self.host.clone() } else { format!("[{}]:{}", self.host, self.port) }
    }

    fn is_about(&self, field: &str) -> bool {
        // As OpenSSH does, a key known for the plain host is also good at another port of it.
        let with_port = self.name();
        [with_port.as_str(), self.host.as_str()].into_iter().any(|name| field_matches(field, name))
    }

    /// The key types that the files have for this host, so that the server is asked for one of these first:
    /// otherwise a host with several keys would seem unknown.
    #[must_use]
    pub fn key_types(&self) -> Vec<String> {
        let mut types: Vec<String> = Vec::new();
        for entry in self.entries.iter().filter(|entry| !entry.revoked) {
            if !types.contains(&entry.key_type) {
                types.push(entry.key_type.clone());
            }
        }
        types
    }

    /// Judges the key that the host presented.
    ///
    /// # Errors
    /// When it is unknown, another one than known, or revoked.
    pub fn check(&self, key: &[u8]) -> Result<(), HostKeyError> {
        let name = self.name();
        let key_type = key_type_of(key).unwrap_or("a key of unknown type").to_string();
        let fingerprint = fingerprint(key);
        if let Some(entry) = self.entries.iter().find(|e| e.revoked && e.key == key) {
            let place = Box::new(entry.place.clone());
            return Err(HostKeyError::Revoked { name, key_type, fingerprint, place });
        }
        let mut others = self.entries.iter().filter(|e| !e.revoked).peekable();
        if others.peek().is_none() {
            let (files, port) = (self.files.clone(), self.port);
            let authorities = self.authorities;
            return Err(HostKeyError::Unknown { name, key_type, fingerprint, files, port, authorities });
        }
        let others: Vec<_> = others.collect();
        if others.iter().any(|e| e.key == key) {
            return Ok(());
        }
        // Name the line of the same type if there is one: that is the one to look at.
        let other = others.iter().find(|e| e.key_type == key_type).unwrap_or(&others[0]);
        let known = format!("{} {}", other.key_type, self::fingerprint(&other.key));
        let place = Box::new(other.place.clone());
        Err(HostKeyError::Changed { name, key_type, fingerprint, place, known })
    }
}

/// The fingerprint of a key, as `ssh-keygen -l` prints it.
#[must_use]
pub fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

/// The type that stands at the beginning of a key in wire form.
#[must_use]
pub fn key_type_of(key: &[u8]) -> Option<&str> {
    let length = u32::from_be_bytes(key.get(..4)?.try_into().ok()?) as usize;
    std::str::from_utf8(key.get(4..4usize.checked_add(length)?)?).ok()
}

/// The first field of a line: a hashed name, or patterns separated by commas. One negated pattern that matches
/// takes the whole line away.
fn field_matches(field: &str, name: &str) -> bool {
    if let Some(hashed) = field.strip_prefix("|1|") {
        return hashed_matches(hashed, name);
    }
    let mut found = false;
    for pattern in field.split(',') {
        if let Some(negated) = pattern.strip_prefix('!') {
            if pattern_matches(negated.to_ascii_lowercase().as_bytes(), name.as_bytes()) {
                return false;
            }
        } else if pattern_matches(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()) {
            found = true;
        }
    }
    found
}

fn hashed_matches(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else { return false };
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else { return false };
    let Ok(mut mac) = <Hmac<Sha1> as Mac>::new_from_slice(&salt) else { return false };
    mac.update(name.as_bytes());
    mac.verify_slice(&hash).is_ok()
}

/// `*` and `?` in time that grows with the product of the lengths at most, whatever the pattern.
fn pattern_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Code;
    use crate::codes::Coded;

    fn key(kind: &str, body: u8) -> Vec<u8> {
        let mut key = u32::try_from(kind.len()).expect("short").to_be_bytes().to_vec();
        key.extend(kind.as_bytes());
        key.extend([0, 0, 0, 32]);
        key.extend([body; 32]);
        key
    }

    fn line(names: &str, kind: &str, body: u8) -> String {
        format!("{names} {kind} {} a comment\n", STANDARD.encode(key(kind, body)))
    }

    fn known(host: &str, port: u16, content: &str) -> KnownHosts {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("known_hosts");
        std::fs::write(&file, content).expect("written");
        KnownHosts::read(host, port, &[file, folder.path().join("missing")]).expect("readable")
    }

    const ED: &str = "ssh-ed25519";
    const RSA: &str = "ssh-rsa";

    #[test]
    fn a_known_key_is_accepted_and_its_type_is_asked_for_first() {
        let hosts = known("Node1", 22, &line("other,node1", RSA, 1));
        assert_eq!(hosts.check(&key(RSA, 1)), Ok(()));
        assert_eq!(hosts.key_types(), [RSA]);
    }

    #[test]
    fn an_unknown_host_names_the_files_and_the_fingerprint() {
        let hosts = known("node1", 22, &line("node2", ED, 1));
        let error = hosts.check(&key(ED, 1)).expect_err("not known");
        assert!(matches!(&error, HostKeyError::Unknown { name, .. } if name == "node1"), "{error:?}");
        assert_eq!(error.code(), Code::HostKeyUnknown);
        let text = error.to_string();
        assert!(text.contains("known_hosts") && text.contains(&fingerprint(&key(ED, 1))), "{text}");
        assert!(error.hint().contains("ssh-keyscan node1"), "{}", error.hint());
    }

    #[test]
    fn a_changed_key_names_the_line_of_the_same_type() {
        let content = format!("# comment\n\n{}{}", line("node1", RSA, 1), line("node1", ED, 1));
        let error = known("node1", 22, &content).check(&key(ED, 9)).expect_err("changed");
        assert!(matches!(&error, HostKeyError::Changed { place, .. } if place.line == 4), "{error:?}");
        assert_eq!(error.code(), Code::HostKeyChanged);
        assert!(error.to_string().contains("line 4") && error.hint().contains("ssh-keygen"), "{error}");
    }

    #[test]
    fn another_type_than_all_known_ones_counts_as_changed() {
        let error = known("node1", 22, &line("node1", RSA, 1)).check(&key(ED, 1)).expect_err("changed");
        assert!(matches!(error, HostKeyError::Changed { .. }));
    }

    #[test]
    fn a_revoked_key_is_refused_even_where_another_line_knows_it() {
        let content = format!("{}@revoked * {}", line("node1", ED, 1), line("", ED, 1).trim_start());
        let hosts = known("node1", 22, &content);
        let error = hosts.check(&key(ED, 1)).expect_err("revoked");
        assert!(matches!(&error, HostKeyError::Revoked { place, .. } if place.line == 2), "{error:?}");
        assert_eq!(error.code(), Code::HostKeyUnusable);
    }

    #[test]
    fn a_certificate_authority_makes_no_host_known() {
        let content = format!("@cert-authority node1 {}", line("", ED, 1).trim_start());
        let error = known("node1", 22, &content).check(&key(ED, 1)).expect_err("not known");
        assert!(error.to_string().contains("@cert-authority"), "{error}");
    }

    #[test]
    fn ports_patterns_negation_and_addresses() {
        for (field, host, port, hit) in [
            ("[node1]:2222", "node1", 2222, true),
            ("[node1]:2222", "node1", 22, false),
            ("node1", "node1", 2222, true),
            ("*.example.org", "a.example.org", 22, true),
            ("*.example.org", "example.org", 22, false),
            ("*.example.org,!b.example.org", "b.example.org", 22, false),
            ("node?", "node7", 22, true),
            ("NODE1", "node1", 22, true),
            ("fe80::1", "fe80::1", 22, true),
            ("[fe80::1]:2222", "fe80::1", 2222, true),
            ("192.0.2.*", "192.0.2.7", 22, true),
            ("node", "node1", 22, false),
            ("*", "anything", 22, true),
        ] {
            let hosts = known(host, port, &line(field, ED, 1));
            assert_eq!(hosts.check(&key(ED, 1)).is_ok(), hit, "{field} for {host} port {port}");
        }
    }

    #[test]
    fn hashed_names_match_as_openssh_writes_them() {
        let salt = [7u8; 20];
        for (host, port, name) in [("node1", 22, "node1"), ("node1", 2222, "[node1]:2222")] {
            let mut mac = <Hmac<Sha1> as Mac>::new_from_slice(&salt).expect("any length");
            mac.update(name.as_bytes());
            let field =
                format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(mac.finalize().into_bytes()));
            assert!(known(host, port, &line(&field, ED, 1)).check(&key(ED, 1)).is_ok());
            assert!(known("node2", port, &line(&field, ED, 1)).check(&key(ED, 1)).is_err());
        }
    }

    #[test]
    fn damaged_lines_are_passed_over() {
        let content = format!(
            "node1\nnode1 {ED}\nnode1 {ED} !!!\nnode1 {RSA} {}\n@unknown node1 {ED} AAAA\n\u{0}\n|1|x|y {ED} AAAA\n{}",
            STANDARD.encode(key(ED, 1)),
            line("node1", ED, 2)
        );
        let hosts = known("node1", 22, &content);
        assert_eq!(hosts.check(&key(ED, 2)), Ok(()));
        assert!(hosts.check(&key(ED, 1)).is_err());
        assert!(hosts.check(b"").is_err() && hosts.check(&[0xff; 5]).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = KnownHosts::read("node1", 22, &[folder.path().to_path_buf()]).expect_err("a folder");
        assert!(matches!(error, HostKeyError::Unreadable { .. }));
    }
}
