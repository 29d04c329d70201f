//! Turns a freshly booted kernel with a read-only root into a node: a writable overlay, the usual mounts,
//! folders of the host, clock, name, network, keys and sshd.

use crate::bootconf::{BIN_DIR, BootConf};
use crate::rootfs::address;
use rustix::mount::{MountFlags, mount};
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

/// The PATH of everything in a node.
pub(super) fn path() -> String {
    format!("{BIN_DIR}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

pub(super) fn run() -> io::Result<()> {
    let conf = BootConf::parse(&fs::read_to_string("/lab/boot.conf")?)?;
    if let Some(time) = conf.time {
        set_clock(time, 0)?;
    }
    mount_at("tmpfs", "tmpfs", "/overlay", MountFlags::empty(), "size=90%,mode=755")?;
    for dir in ["upper", "work", "root"] {
        fs::create_dir(Path::new("/overlay").join(dir))?;
    }
    mount_at(
        "overlay",
        "overlay",
        "/overlay/root",
        MountFlags::empty(),
        "lowerdir=/,upperdir=/overlay/upper,workdir=/overlay/work",
    )?;
    mount_at("none", "hostfs", "/overlay/root/lab", MountFlags::RDONLY, &lab_dir()?)?;
    rustix::process::chroot("/overlay/root")?;
    std::env::set_current_dir("/")?;

    mount_at("proc", "proc", "/proc", MountFlags::empty(), "")?;
    mount_at("sysfs", "sysfs", "/sys", MountFlags::empty(), "")?;
    mount_at("devtmpfs", "devtmpfs", "/dev", MountFlags::empty(), "")?;
    // The mode that ZFS's udev rule gives it, and that non-root users rely on; there is no udev here.
    fs::set_permissions("/dev/zfs", fs::Permissions::from_mode(0o666))?;
    for dir in ["/dev/pts", "/dev/shm"] {
        fs::create_dir_all(dir)?;
    }
    mount_at("devpts", "devpts", "/dev/pts", MountFlags::empty(), "gid=5,mode=620,ptmxmode=666")?;
    mount_at("tmpfs", "tmpfs", "/dev/shm", MountFlags::empty(), "mode=1777")?;
    mount_at("tmpfs", "tmpfs", "/run", MountFlags::empty(), "mode=755")?;
    mount_at("tmpfs", "tmpfs", "/tmp", MountFlags::empty(), "mode=1777,size=90%")?;
    for (link, target) in [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")]
    {
        let _ = symlink(target, Path::new("/dev").join(link));
    }
    for m in &conf.mounts {
        fs::create_dir_all(&m.guest)?;
        let flags = if m.writable { MountFlags::empty() } else { MountFlags::RDONLY };
        mount_at("none", "hostfs", text(&m.guest)?, flags, text(&m.host)?)?;
    }
    fs::create_dir_all(BIN_DIR)?;
    for (name, target) in &conf.links {
        symlink(target, Path::new(BIN_DIR).join(name))?;
    }
    names(&conf)?;
    services(&conf)
}

/// The node's folder on the host, as `/init` got it.
fn lab_dir() -> io::Result<String> {
    std::env::var("LABDIR").map_err(|_| io::Error::other("LABDIR is not set"))
}

fn names(conf: &BootConf) -> io::Result<()> {
    let name = conf.name();
    rustix::system::sethostname(name.as_bytes())?;
    fs::write("/etc/hostname", format!("{name}\n"))?;
    // ZFS marks a pool with the machine that imported it last.
    fs::write("/etc/hostid", (0x7a65_0000_u32 + conf.index as u32).to_le_bytes())?;
    fs::write("/etc/machine-id", format!("{:032x}\n", conf.index))?;

    let keys = Path::new("/etc/lab/keys").join(&name);
    let copy = |from: &str, to: &str, mode: u32| {
        fs::copy(keys.join(from), to)?;
        fs::set_permissions(to, Permissions::from_mode(mode))
    };
    copy("ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key", 0o600)?;
    copy("ssh_host_ed25519_key.pub", "/etc/ssh/ssh_host_ed25519_key.pub", 0o644)?;
    copy("id_ed25519", "/root/.ssh/id_ed25519", 0o600)?;
    copy("id_ed25519.pub", "/root/.ssh/id_ed25519.pub", 0o644)?;
    let known = fs::read_to_string("/etc/lab/known_hosts")? + &fs::read_to_string(keys.join("localhost"))?;
    fs::write("/root/.ssh/known_hosts", known)?;
    // Commands over ssh find our own programs first, too.
    let mut config = fs::File::options().append(true).open("/etc/ssh/sshd_config.d/lab.conf")?;
    writeln!(config, "SetEnv PATH={}", path())
}

fn services(conf: &BootConf) -> io::Result<()> {
    let mut batch = String::from("link set lo up\n");
    if conf.network {
        batch.push_str(&format!("addr add {}/24 dev vec0\nlink set vec0 up\n", address(conf.index)));
    }
    let mut ip = Command::new("/usr/sbin/ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    ip.stdin.take().expect("was piped").write_all(batch.as_bytes())?;
    if !ip.wait()?.success() {
        return Err(io::Error::other("`ip` could not set up the network"));
    }
    fs::create_dir_all("/run/sshd")?;
    // Returns once it listens.
    if !Command::new("/usr/sbin/sshd").env("PATH", path()).stdin(Stdio::null()).status()?.success() {
        return Err(io::Error::other("sshd did not start"));
    }
    Ok(())
}

pub(super) fn set_clock(seconds: i64, nanos: u32) -> io::Result<()> {
    let time = rustix::time::Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    Ok(rustix::time::clock_settime(rustix::time::ClockId::Realtime, time)?)
}

fn mount_at(source: &str, kind: &str, target: &str, flags: MountFlags, data: &str) -> io::Result<()> {
    let data = CString::new(data)?;
    mount(source, target, kind, flags, data.as_c_str()).map_err(|e| {
        io::Error::other(format!("mounting {kind} ({data:?}) at {target}: {}", io::Error::from(e)))
    })
}

fn text(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| io::Error::other(format!("{path:?} is not UTF-8")))
}
