//! Opens configuration files, and refuses those that somebody else could have written: what stands in them is run with
//! all rights on all pools. Each folder and link on the way is opened without following links and looked at as it is
//! open, so that nothing can be exchanged between the look and the use.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Stat;
use rustix::io::Errno;

/// The largest configuration file.
pub const LARGEST: u64 = 1 << 20;

/// The most files of a `conf.d` folder.
pub const MOST_FILES: usize = 256;

/// The most links that are followed on the way to a file, as in the kernel.
const MOST_LINKS: usize = 40;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Nothing is there.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// The system refused.
    #[error("cannot read {}: {cause}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Others can write to it.
    #[error("{what} {} can be written by others (mode {mode:04o}), who could make it do anything with every pool", .path.display())]
    Writable {
        /// What it is.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("{what} {} belongs to user {owner}, who could make it do anything with every pool", .path.display())]
    Owner {
        /// What it is.
        what: &'static str,
        /// The file, folder or link.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// It is a device, a pipe or the like.
    #[error("{} is not {wanted}", .path.display())]
    Kind {
        /// The path.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// It is larger than any configuration.
    #[error("{} is larger than the {LARGEST} bytes that a configuration file may have", .0.display())]
    TooLarge(PathBuf),
    /// It is not text.
    #[error("{}:{line}: the line is not UTF-8 text", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A folder with too many files.
    #[error("{} has more than {MOST_FILES} configuration files", .0.display())]
    TooMany(PathBuf),
}

impl OpenError {
    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Self::Missing(path) => format!(
                "write {}, make one out of an existing sanoid.conf with `replicator config import`, or name another file with --config",
                path.display()
            ),
            Self::Io { path, .. } => format!("check who may read {}", path.display()),
            Self::Writable { path, .. } => format!("chmod go-w {}", path.display()),
            Self::Owner { path, .. } => {
                let user = rustix::process::geteuid();
                let link = if path.is_symlink() { "-h " } else { "" };
                format!("chown {link}{} {}, after a look at what it holds", user.as_raw(), path.display())
            }
            Self::Kind { wanted, .. } => format!("name {wanted}"),
            Self::TooLarge(_) => "spread it over several files in conf.d".to_string(),
            Self::NotText { .. } => "save it as UTF-8".to_string(),
            Self::TooMany(_) => "put several together into one file".to_string(),
        }
    }
}

/// Reads a file.
///
/// # Errors
/// When it is not there, is not ours alone, or is no text of a reasonable size.
pub fn read(path: &Path) -> Result<String, OpenError> {
    let io = |cause| OpenError::Io { path: path.to_path_buf(), cause };
    let file = file(path)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LARGEST {
        return Err(OpenError::TooLarge(path.to_path_buf()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        OpenError::NotText { path: path.to_path_buf(), line }
    })
}

/// Opens a file for reading: the configuration, and what decides like it, such as what is remembered in the state folder.
///
/// # Errors
/// When it is not there, or is not ours alone.
pub fn file(path: &Path) -> Result<File, OpenError> {
    walk(path, Wanted::File).map(File::from)
}

/// The files of a `conf.d` folder that end in `.toml`, in the order of their names as bytes; hidden ones do not count.
/// None where there is no such folder.
///
/// # Errors
/// When it cannot be read or is not ours alone.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let fd = match walk(folder, Wanted::Folder) {
        Ok(fd) => fd,
        Err(OpenError::Missing(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let io = |errno: Errno| OpenError::Io { path: folder.to_path_buf(), cause: errno.into() };
    let mut files = Vec::new();
    for entry in rustix::fs::Dir::read_from(&fd).map_err(io)? {
        let name = entry.map_err(io)?.file_name().to_bytes().to_vec();
        if name.starts_with(b".") || !name.ends_with(b".toml") {
            continue;
        }
        if files.len() == MOST_FILES {
            return Err(OpenError::TooMany(folder.to_path_buf()));
        }
        files.push(folder.join(OsString::from_vec(name)));
    }
    files.sort();
    Ok(files)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    File,
    Folder,
}

/// Opens a path from the root, one name after the other.
fn walk(path: &Path, wanted: Wanted) -> Result<OwnedFd, OpenError> {
    let failed = |at: &Path, errno: Errno| match errno {
        Errno::NOENT => OpenError::Missing(path.to_path_buf()),
        errno => OpenError::Io { path: at.to_path_buf(), cause: errno.into() },
    };
    let absolute =
        std::path::absolute(path).map_err(|cause| OpenError::Io { path: path.to_path_buf(), cause })?;
    let mut at = PathBuf::from("/");
    let mut rest: VecDeque<OsString> = names(&absolute);
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open("/", folder, Mode::empty()).map_err(|errno| failed(&at, errno))?;
    let mut way = vec![root];
    let mut links = 0;
    check(&way[0], &at, "the folder")?;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            if way.len() > 1 {
                way.pop();
                at.pop();
            }
            continue;
        }
        at.push(&name);
        let Some(parent) = way.last() else { break };
        // Without opening it: to open a device or a pipe has effects.
        let look = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found =
            rustix::fs::openat(parent, &name, look, Mode::empty()).map_err(|errno| failed(&at, errno))?;
        let stat = rustix::fs::fstat(&found).map_err(|errno| failed(&at, errno))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                owner(&stat, &at, "the link")?;
                links += 1;
                if links > MOST_LINKS {
                    return Err(failed(&at, Errno::LOOP));
                }
                let to =
                    rustix::fs::readlinkat(&found, "", Vec::new()).map_err(|errno| failed(&at, errno))?;
                let to = PathBuf::from(OsString::from_vec(to.into_bytes()));
                at.pop();
                if to.is_absolute() {
                    way.truncate(1);
                    at = PathBuf::from("/");
                }
                for name in names(&to).into_iter().rev() {
                    rest.push_front(name);
                }
            }
            FileType::Directory => {
                let found = rustix::fs::openat(parent, &name, folder, Mode::empty());
                let found = found.map_err(|errno| failed(&at, errno))?;
                check(&found, &at, "the folder")?;
                way.push(found);
            }
            FileType::RegularFile if rest.is_empty() && wanted == Wanted::File => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let found = rustix::fs::openat(parent, &name, flags, Mode::empty());
                let found = found.map_err(|errno| failed(&at, errno))?;
                check(&found, &at, "the file")?;
                return Ok(found);
            }
            _ if wanted == Wanted::Folder || !rest.is_empty() => {
                return Err(OpenError::Kind { path: at, wanted: "a folder" });
            }
            _ => return Err(OpenError::Kind { path: at, wanted: "a file" }),
        }
    }
    match (wanted, way.pop()) {
        (Wanted::Folder, Some(found)) => Ok(found),
        _ => Err(OpenError::Kind { path: at, wanted: "a file" }),
    }
}

/// The names of a path, without the root and dots.
fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_os_string()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

/// Whether only root and we can change what is open here.
fn check(fd: &OwnedFd, path: &Path, what: &'static str) -> Result<(), OpenError> {
    let io = |errno: Errno| OpenError::Io { path: path.to_path_buf(), cause: errno.into() };
    let stat = rustix::fs::fstat(fd).map_err(io)?;
    owner(&stat, path, what)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if what == "the file" && kind != FileType::RegularFile {
        return Err(OpenError::Kind { path: path.to_path_buf(), wanted: "a file" });
    }
    let mode = stat.st_mode & 0o7777;
    // In a sticky folder others can add, but neither remove nor rename what is ours; and all that is opened there has
    // its owner looked at.
    let sticky = kind == FileType::Directory && mode & 0o1000 != 0;
    if mode & 0o022 != 0 && !sticky {
        return Err(OpenError::Writable { what, path: path.to_path_buf(), mode });
    }
    Ok(())
}

fn owner(stat: &Stat, path: &Path, what: &'static str) -> Result<(), OpenError> {
    let owner = stat.st_uid;
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(OpenError::Owner { what, path: path.to_path_buf(), owner });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).expect("written");
        chmod(path, 0o644);
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode");
    }

    #[test]
    fn what_others_can_write_is_refused_with_the_command_that_mends_it() {
        let top = tempfile::tempdir().expect("a folder");
        let folder = top.path().join("etc");
        std::fs::create_dir(&folder).expect("made");
        let file = folder.join("a.toml");
        write(&file, "x = 1");
        assert_eq!(read(&file).expect("ours"), "x = 1");
        for mode in [0o664, 0o646] {
            chmod(&file, mode);
            let error = read(&file).expect_err("writable");
            assert!(matches!(error, OpenError::Writable { what: "the file", .. }), "{error}");
            assert_eq!(error.fix(), format!("chmod go-w {}", file.display()));
        }
        chmod(&file, 0o644);
        chmod(&folder, 0o777);
        let error = read(&file).expect_err("writable folder");
        assert!(matches!(error, OpenError::Writable { what: "the folder", .. }), "{error}");
        assert_eq!(error.fix(), format!("chmod go-w {}", folder.display()));
        assert!(list(&folder).is_err());
        // As /tmp is.
        chmod(&folder, 0o1777);
        assert!(read(&file).is_ok());
    }

    #[test]
    fn what_belongs_to_others_is_refused() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can give files away");
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.toml");
        write(&file, "");
        let link = folder.path().join("link.toml");
        symlink(&file, &link).expect("linked");
        std::os::unix::fs::lchown(&link, Some(12345), None).expect("given away");
        assert!(matches!(read(&link), Err(OpenError::Owner { what: "the link", owner: 12345, .. })));
        std::os::unix::fs::chown(&file, Some(12345), None).expect("given away");
        assert!(matches!(read(&file), Err(OpenError::Owner { what: "the file", owner: 12345, .. })));
    }

    #[test]
    fn links_are_followed_and_looked_at() {
        let top = tempfile::tempdir().expect("a folder");
        let (real, etc) = (top.path().join("real"), top.path().join("etc"));
        std::fs::create_dir(&real).expect("made");
        write(&real.join("a.toml"), "y = 2");
        symlink("../real", top.path().join("loop-free")).ok();
        symlink("real", &etc).expect("linked");
        symlink("../etc/a.toml", real.join("b.toml")).expect("linked");
        assert_eq!(read(&etc.join("b.toml")).expect("through two links"), "y = 2");
        chmod(&real, 0o775);
        assert!(matches!(read(&etc.join("b.toml")), Err(OpenError::Writable { .. })));
        chmod(&real, 0o755);
        symlink("c.toml", real.join("c.toml")).expect("linked");
        assert!(matches!(read(&real.join("c.toml")), Err(OpenError::Io { .. })));
    }

    #[test]
    fn sizes_and_kinds_are_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a");
        write(&file, &"#".repeat(usize::try_from(LARGEST).expect("small") + 1));
        assert!(matches!(read(&file), Err(OpenError::TooLarge(_))));
        std::fs::write(&file, b"a\nb\xff").expect("written");
        assert!(matches!(read(&file), Err(OpenError::NotText { line: 2, .. })));
        assert!(matches!(read(folder.path()), Err(OpenError::Kind { .. })));
        assert!(matches!(read(&file.join("x")), Err(OpenError::Kind { .. })));
        assert!(matches!(read(&folder.path().join("none")), Err(OpenError::Missing(_))));
        assert!(matches!(
            read(Path::new("/dev/null")),
            Err(OpenError::Kind { .. } | OpenError::Writable { .. })
        ));
    }

    #[test]
    fn a_folder_is_listed_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["20-b.toml", "10-a.toml", ".hidden.toml", "note.txt", "20-b.toml~"] {
            write(&folder.path().join(name), "");
        }
        let names: Vec<_> = list(folder.path()).expect("listed");
        assert_eq!(names, [folder.path().join("10-a.toml"), folder.path().join("20-b.toml")]);
        assert!(list(&folder.path().join("none")).expect("none").is_empty());
        for number in 0..MOST_FILES {
            write(&folder.path().join(format!("{number}.toml")), "");
        }
        assert!(matches!(list(folder.path()), Err(OpenError::TooMany(_))));
    }
}
