//! What the lab is made of: suites, packages and kernel options, as plain data. Changing anything here
//! changes the key of the cache, so the next `cargo lab build` makes the affected parts anew. How they are
//! made is in `kernel`, `rootfs` and `libs`.

use std::fmt;
use std::str::FromStr;

/// Raised by hand when the code that builds the kernel changes its result while this data stays the same.
const FORMAT: &str = "1";

/// The same for the root file system.
const ROOT_FORMAT: &str = "1";

/// Which OpenZFS a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Generation {
    /// OpenZFS 2.4.x on the newest kernel it supports (Debian trixie-backports).
    Newest,
    /// OpenZFS 2.3.x on the long-term kernel (Debian trixie as released).
    Stable,
}

impl Generation {
    /// Both, newest first.
    pub const ALL: [Self; 2] = [Self::Newest, Self::Stable];

    /// The name used on the command line and in the cache.
    pub fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Stable => "stable",
        }
    }

    /// The suite the ZFS packages come from.
    pub fn zfs_suite(self) -> &'static str {
        match self {
            Self::Newest => "trixie-backports",
            Self::Stable => "trixie",
        }
    }

    /// The suite searched for the kernel's source.
    pub fn kernel_suite(self) -> &'static str {
        self.zfs_suite()
    }

    /// The generation named by `LAB_ZFS`, else the newest.
    pub fn from_env() -> Self {
        std::env::var("LAB_ZFS").ok().and_then(|s| s.parse().ok()).unwrap_or(Self::Newest)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Generation {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|g| g.name() == s)
            .ok_or_else(|| format!("`{s}` is neither newest nor stable"))
    }
}

/// Programs the host needs, with the Debian package that holds each.
pub const HOST_PACKAGES: &[&str] = &[
    "bc",
    "bison",
    "ca-certificates",
    "cpio",
    "debian-archive-keyring",
    "debootstrap",
    "flex",
    "g++",
    "gcc",
    "kmod",
    "libc6-dev",
    "libclang-dev",
    "libelf-dev",
    "libssl-dev",
    "make",
    "perl",
    "pkg-config",
    "xz-utils",
];

/// The release the nodes run.
pub const SUITE: &str = "trixie";

/// Suites of the private apt state, each with its components.
pub const SUITES: &[(&str, &str)] = &[
    ("trixie", "main contrib"),
    ("trixie-backports", "main contrib"),
    ("bookworm", "main contrib"),
    ("forky", "main"),
];

/// Used when the backports hold no kernel the ZFS package supports.
pub const FALLBACK_KERNEL: (&str, &str) = ("linux-source-6.12", "trixie");

/// Packages of a node's root file system, from [`SUITE`].
pub const ROOT_PACKAGES: &[&str] = &[
    "corosync",
    "csh",
    "dbus",
    "etcd-client",
    "etcd-server",
    "faketime",
    "fish",
    "iproute2",
    "iputils-ping",
    "libcapture-tiny-perl",
    "libconfig-inifiles-perl",
    "lzop",
    "mbuffer",
    "netcat-openbsd",
    "nfs-kernel-server",
    "opendoas",
    "openssh-client",
    "openssh-server",
    "pacemaker",
    "pacemaker-cli-utils",
    "perl",
    "procps",
    "pv",
    "python3-minimal",
    "strace",
    "sudo",
    "systemd",
    "systemd-sysv",
    "tcsh",
    "zstd",
];

/// Packages of the root file system that must have the kernel's ZFS version.
pub const ROOT_ZFS_PACKAGES: &[&str] = &["zfsutils-linux"];

/// What the project is compared with: package, suite, and the folder in the root where it is unpacked.
pub const SANOID: (&str, &str, &str) = ("sanoid", "forky", "opt/sanoid");

/// The libraries of the oldest supported OpenZFS (2.1, Debian 12), unpacked beside the roots.
pub const OLD_LIBS: (&str, &[&str]) = ("bookworm", &["libnvpair3linux", "libuutil3linux", "libzfs4linux"]);

/// Kernel options switched on. SMP is not among them on purpose: with it, a User Mode Linux kernel masks interrupts by
/// a system call of its host, which ZFS asks for at every statistic it counts, and 7.2 has panicked in its scheduler.
pub const KERNEL_ON: &[&str] = &[
    "EXPERT",
    "MODULES",
    "PARTITION_ADVANCED",
    "EFI_PARTITION",
    "DEBUG_INFO_NONE",
    "MAGIC_SYSRQ",
    // ZFS needs ZLIB_DEFLATE, which only CRYPTO_DEFLATE turns on.
    "CRYPTO",
    "CRYPTO_DEFLATE",
    "DEVTMPFS",
    "TMPFS",
    "TMPFS_XATTR",
    "TMPFS_POSIX_ACL",
    "HOSTFS",
    "OVERLAY_FS",
    "BLK_DEV_UBD",
    "BLK_DEV_LOOP",
    "UNIX98_PTYS",
    "UML_NET_VECTOR",
    "NET_SCHED",
    "NET_SCH_NETEM",
    "NET_SCH_TBF",
    "TUN",
    "VETH",
    "BRIDGE",
    "IPV6",
    "NETFILTER",
    "NF_TABLES",
    "NAMESPACES",
    "NET_NS",
    // A systemd of its own in a node.
    "PID_NS",
    "CGROUPS",
    "MEMCG",
    "CGROUP_PIDS",
    "CGROUP_FREEZER",
    "AUTOFS_FS",
    "FANOTIFY",
    "NETWORK_FILESYSTEMS",
    "NFSD",
    "NFSD_V4",
    "NFS_FS",
    "NFS_V3",
    "NFS_V4",
    "NFS_V4_1",
    "NFS_V4_2",
    // Tests count started processes.
    "TASKSTATS",
    "TASK_XACCT",
    "TASK_IO_ACCOUNTING",
    "CONNECTOR",
    "PROC_EVENTS",
];

/// Kernel options switched off: they only cost time to build.
pub const KERNEL_OFF: &[&str] = &[
    "DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT",
    "DEBUG_KERNEL",
    "WLAN",
    "WIRELESS",
    "INPUT",
    "HID",
    "SOUND",
    "UML_SOUND",
    "SLIP",
    "PPP",
    "USB_SUPPORT",
    "EXT4_FS",
    "EXT2_FS",
    "BTRFS_FS",
    "XFS_FS",
    "REISERFS_FS",
    "ISO9660_FS",
    "JOLIET",
    "QUOTA",
    "ETHERNET",
    "PHYLIB",
    "WATCHDOG",
];

/// Options without which a node cannot work; `build` checks them after the kernel's own configuration.
pub const KERNEL_MUST: &[&str] = &[
    "ZFS",
    "HOSTFS",
    "OVERLAY_FS",
    "BLK_DEV_UBD",
    "UML_NET_VECTOR",
    "TMPFS",
    "DEVTMPFS",
    "UNIX98_PTYS",
    "MAGIC_SYSRQ",
];

/// Nodes a cluster has at most: keys and addresses are made for so many.
pub const MAX_NODES: usize = 8;

/// The first program in a node. `LABDIR`, given on the kernel's command line, is the node's folder on the
/// host.
pub const INIT: &str =
    "#!/bin/sh\n/bin/mount -t hostfs -o \"hostfs=$LABDIR\" none /lab && exec /lab/agent node-agent\n";

/// Mount points made in the root, which the nodes see read-only.
pub const MOUNT_POINTS: &[&str] = &["lab", "overlay", "src", "share"];

/// The key of a kernel with ZFS, given the versions of its two source packages.
pub fn kernel_key(linux: &str, zfs: &str) -> String {
    hash(&format!("{FORMAT}|{linux}|{zfs}|{KERNEL_ON:?}|{KERNEL_OFF:?}"))
}

/// The key of the root file system before ZFS is added, which the generations share.
pub fn base_key(sanoid: &str) -> String {
    hash(&format!(
        "{ROOT_FORMAT}|{SUITE}|{ROOT_PACKAGES:?}|{SANOID:?}|{sanoid}|{MAX_NODES}|{INIT}|{MOUNT_POINTS:?}"
    ))
}

/// The key of a generation's root file system.
pub fn root_key(base: &str, zfs: &str) -> String {
    hash(&format!("{base}|{ROOT_ZFS_PACKAGES:?}|{zfs}"))
}

/// The key of the unpacked old libraries and the user-space headers.
pub fn unpacked_key(versions: &str) -> String {
    hash(&format!("{FORMAT}|{versions}"))
}

/// A key over everything here: while it stays the same, what was built stands and nothing asks the archive.
pub fn key(generation: Generation) -> String {
    hash(&format!(
        "{}|{}|{generation}|{SUITES:?}|{FALLBACK_KERNEL:?}|{OLD_LIBS:?}",
        kernel_key("", ""),
        root_key(&base_key(""), "")
    ))
}

/// FNV-1a with 64 bits, in hexadecimal: stable across compilers, which std's hasher does not promise.
pub fn hash(text: &str) -> String {
    let value =
        text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    format!("{value:016x}")
}
