//! What can be learned from a private key file without its passphrase: whether it has one, and the public key, to
//! find the same key in an agent. Reading the key itself is libssh2's work.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Larger than any key.
const LIMIT: u64 = 1 << 20;

/// A private key file, seen from outside.
#[derive(Debug, Default)]
pub(super) struct KeyFile {
    /// The public key in wire form, where the file (or the `.pub` beside it) shows it.
    pub(super) public: Option<Vec<u8>>,
    /// Whether the file asks for a passphrase.
    pub(super) encrypted: bool,
}

/// Looks at a file. The error says in words why it cannot be used.
pub(super) fn look(path: &Path) -> Result<KeyFile, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("not a file".to_string());
    }
    if meta.mode() & 0o077 != 0 && meta.uid() == rustix::process::getuid().as_raw() {
        return Err(format!("others can read it (mode {:04o}; chmod 600 it)", meta.mode() & 0o7777));
    }
    let mut text = String::new();
    file.take(LIMIT).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let mut key = parse(&text)?;
    if key.public.is_none() {
        let mut name = path.as_os_str().to_os_string();
        name.push(".pub");
        key.public = std::fs::read_to_string(name).ok().and_then(|line| public_line(&line));
    }
    Ok(key)
}

fn parse(text: &str) -> Result<KeyFile, String> {
    if !text.contains("PRIVATE KEY-----") {
        return Err("not a private key".to_string());
    }
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Ok(KeyFile { public: None, encrypted: true });
    }
    if !text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
        return Ok(KeyFile::default());
    }
    let body: String = text.lines().map(str::trim).filter(|line| !line.starts_with('-')).collect();
    let body = STANDARD.decode(body).map_err(|_| "damaged".to_string())?;
    let mut rest = body.strip_prefix(b"openssh-key-v1\0").ok_or("damaged")?;
    let cipher = take(&mut rest).ok_or("damaged")?;
    let _kdf = take(&mut rest).ok_or("damaged")?;
    let _options = take(&mut rest).ok_or("damaged")?;
    let _count = rest.split_off(..4).ok_or("damaged")?;
    let public = take(&mut rest).ok_or("damaged")?;
    Ok(KeyFile { public: Some(public.to_vec()), encrypted: cipher != b"none" })
}

/// A length in four bytes and that many bytes.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = rest.split_off(..4)?.try_into().ok().map(u32::from_be_bytes)?;
    rest.split_off(..usize::try_from(length).ok()?)
}

fn public_line(line: &str) -> Option<Vec<u8>> {
    STANDARD.decode(line.split_ascii_whitespace().nth(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openssh(cipher: &str, public: &[u8]) -> String {
        let mut body = b"openssh-key-v1\0".to_vec();
        for part in [cipher.as_bytes(), b"none", b""] {
            body.extend(u32::try_from(part.len()).expect("short").to_be_bytes());
            body.extend(part);
        }
        body.extend(1u32.to_be_bytes());
        body.extend(u32::try_from(public.len()).expect("short").to_be_bytes());
        body.extend(public);
        format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
            STANDARD.encode(body)
        )
    }

    #[test]
    fn an_openssh_key_shows_its_public_half_and_whether_it_is_locked() {
        for (cipher, encrypted) in [("none", false), ("aes256-ctr", true)] {
            let key = parse(&openssh(cipher, b"public")).expect("a key");
            assert_eq!((key.public.as_deref(), key.encrypted), (Some(&b"public"[..]), encrypted));
        }
    }

    #[test]
    fn damaged_and_foreign_files_are_told() {
        assert!(parse("").is_err() && parse("ssh-ed25519 AAAA").is_err());
        assert!(
            parse("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----").is_err()
        );
        let whole = openssh("none", b"public");
        let short = &whole[..60];
        assert!(parse(&format!("{short}\n-----END OPENSSH PRIVATE KEY-----")).is_err());
        assert!(parse("-----BEGIN ENCRYPTED PRIVATE KEY-----").expect("known").encrypted);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, openssh("none", b"public")).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("mode");
        assert!(look(&path).expect_err("too open").contains("chmod 600"));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("mode");
        assert!(look(&path).is_ok());
    }
}
