//! The table of codes: number, title, meaning, remedy.

use super::Entry;

macro_rules! codes {
    ($($name:ident = $number:literal: $title:literal, $meaning:literal, $remedy:literal;)*) => {
        /// A way in which this program fails.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u16)]
        pub enum Code {
            $(#[doc = $title] $name = $number,)*
        }

        impl Code {
            /// All of them, by their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What is known about it.
            #[must_use]
            pub fn entry(self) -> Entry {
                match self {
                    $(Self::$name => Entry { title: $title, meaning: $meaning, remedy: $remedy },)*
                }
            }

            /// Its name in the sources.
            #[cfg(test)]
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

codes! {
    Failed = 100: "Something failed",
        "A failure that has no code of its own, or several different ones in one run.",
        "read the messages above it; each has a code and a hint of its own.";
    Output = 101: "The output cannot be written",
        "What the command had to say, or a file that it was to write, could not be written. What it did before is done.",
        "check that the disk is not full, and that the folder exists and may be written.";
    ZfsRefused = 102: "ZFS refused",
        "The kernel here, the zfs command of the other machine, or the kernel at an agent refused an operation. The message has the reason as it was given.",
        "do what the reason asks for; `zpool status` and `zpool events` on that machine often tell more.";
    Permission = 103: "A right is missing",
        "The user as whom the operation ran may not do it.",
        "run as root, or give the user the right with zfs-allow(8); `replicator check` names what is missing, and `replicator setup receiver` grants what a receiver needs.";
    NoSpace = 104: "A pool is full, or a quota is reached",
        "Nothing more could be written. What arrived of a stream is kept.",
        "make room or raise the quota (`zfs list -o space`), and run the same command again: it goes on from there.";
    PoolFault = 105: "A pool does not work",
        "The pool is suspended, cannot be written, or its disks return errors.",
        "look at `zpool status -v`; mend the disks, then `zpool clear`. The other copy is untouched.";
    NoDataset = 106: "A dataset does not exist",
        "The machine answered that it has no such dataset. A source that is missing never counts as empty, so nothing was removed on the target.",
        "check the name with `zfs list`, and that its pool is imported.";
    NoPool = 107: "A pool is not imported",
        "The machine answers, and the pool that is wanted is not there.",
        "`zpool import` shows what can be imported; mark a target that may be away as `optional` in the configuration.";
    BadAnswer = 108: "An answer is not understood",
        "The other machine, or the kernel, said something that is no answer, or more than is allowed. It is never taken for `nothing`; nothing was done by it.",
        "run it again; if it stays, see what `zfs list` prints there, and whether a login script of that user prints something.";
    Changed = 109: "Something changed since the plan was made",
        "A dataset or snapshot is not the one any more that the plan was made for. The step was not done.",
        "run the same command again: it looks and plans anew.";
    NotWhatWasSent = 110: "The target has something else than was sent",
        "The target reported success, and the GUID of what is there is another one, or nothing is there. Nothing more is sent to it.",
        "compare both sides with `replicator compare`, and see whether somebody else receives into the target.";
    PropertiesNotSet = 111: "Properties were not set",
        "The data arrived, and properties that were asked for by their names are not set on the target.",
        "give the receiving user the right to set them (zfs-allow(8)), allow them at the agent (--property), or set them yourself.";
    StreamDamaged = 112: "A stream is damaged",
        "A record of the stream is wrong, or is not of the snapshot that was to be sent. Nothing of it became a snapshot.",
        "run the same command again; if it says the same, check memory and disks of both machines.";
    Stalled = 113: "Nothing moved for too long",
        "The transfer was ended, because one side did nothing for the time that the message names. What arrived is kept.",
        "see what that side does (`zpool status`, `zpool events`); the same command goes on from there.";
    Waits = 114: "Something else has to be sent first",
        "This dataset needs another one, which failed.",
        "mend the other one, whose own message says what is wrong.";
    NotDestroyed = 115: "Something is not destroyed",
        "It is held, has clones, is the newest of its dataset, or carries no mark that this program may remove it. It stays.",
        "nothing has to be done to be safe; `zfs holds` and `zfs get clones` show what keeps it.";
    BookmarkInTheWay = 116: "A bookmark is in the way of a promotion",
        "The clone and its origin both have a bookmark of this name. OpenZFS panics when it promotes such a clone, so it is not asked to.",
        "destroy or rename one of the two bookmarks (`zfs destroy DATASET#NAME`), and run it again.";
    Unreadable = 117: "Files of a snapshot cannot be read",
        "A snapshot could not be mounted or read, for a comparison or to get something out of it. Nothing was changed.",
        "run it as root; load the key where it is encrypted.";
    Local = 118: "A failure of this machine",
        "A file, a lock, a thread or a program of this machine could not be used.",
        "do what the message names: check owner and mode of the file, and memory and limits of the machine.";
    Ended = 119: "The command at the other end stopped reading",
        "The receiving command ended before the stream did. What arrived is kept where the target can keep it.",
        "see its own message, and `zpool status` there; run the same command again.";
    TargetModified = 120: "The target changed while it was received into",
        "The kernel refused a stream, since the dataset is not at the snapshot that the stream starts from.",
        "run it again: a new plan says what differs. Keep the target read-only (`zfs set readonly=on`).";
    KeyMissing = 121: "A key is not loaded, or does not fit",
        "An encrypted dataset cannot be sent or received as asked.",
        "load the key with `zfs load-key`; without --decrypt encrypted datasets are sent raw, which needs no key.";
    Unsupported = 122: "This version of ZFS cannot do it",
        "The stream or the call needs a feature that the pool or the module does not have.",
        "upgrade OpenZFS there, or enable the feature (`zpool upgrade` lists them).";
    NotMounted = 123: "A dataset is not mounted as it should be",
        "After a promotion, or after one dataset took the place of another, a filesystem is not at its mountpoint, or something lies over it.",
        "see what is mounted there with `findmnt`, and run the same command again: it does what is left.";
    NodeName = 124: "A node has no usable name",
        "The name of a node of a pair cannot be written down.",
        "name the node in the configuration of the pair.";
    InUse = 125: "A dataset is in use",
        "It is mounted, open, or being received into.",
        "see who uses it (`fuser -m`, `replicator tokens` for a receive that broke off), and run it again.";
    NoPartial = 126: "No partial receive is there",
        "Nothing of this dataset waits for the rest of a stream, so that there was nothing to throw away.",
        "`replicator tokens` shows all that wait.";
    NotConfigured = 127: "The configuration does not have it",
        "Something was named that the configuration does not have: a pair, or a dataset with a policy for what was asked. Nothing was done.",
        "check the name; `replicator config show` lists datasets, replication jobs and pairs.";
    NoUser = 130: "There is no such user",
        "The user that is to receive does not exist on this machine.",
        "make it: `useradd --system --create-home --shell /bin/sh NAME`; the package brings one that is called replicator-receive.";
    NotReady = 131: "The receiver is not set up",
        "`setup receiver --check` found something that is missing or that is too much. Nothing was changed.",
        "run `replicator setup receiver` without --check to set it up; what is too much it leaves to you.";
    NoPackages = 140: "The package manager cannot be asked",
        "Whether there is a newer version is not known. This program never downloads anything.",
        "look for a new version where you got this one from.";
    NotTold = 141: "A notification was not delivered",
        "One of the ways that the configuration names under [notify] failed. Where another one worked it counts as told; where none did, the next run tells it again.",
        "`replicator monitor notify --test` tries all of them.";
    NothingToImport = 142: "There is nothing to import",
        "No sanoid.conf was found, and nothing that calls syncoid. Nothing was written.",
        "name the file, or with --root the folder that has the files of another machine.";
    NotVerified = 150: "A copy was not verified",
        "A dataset or its copy could not be read to its end, so that it is not known whether they are the same. It does not mean that they differ.",
        "do what the message names, and run `replicator verify` again: what was not read for longest comes first.";
    NoDrill = 151: "A restore drill could not be done",
        "A clone of the copy could not be made, mounted, read or removed. What was compared before it counts all the same.",
        "do what the message names, and run `replicator verify` again, as root.";
    NothingToRestore = 152: "There is nothing to restore",
        "The snapshot that was asked for does not exist, or does not have the file. Nothing was changed.",
        "`replicator restore versions PATH` lists the versions of a file, `zfs list -t snapshot DATASET` the snapshots.";
    Defect = 199: "A defect of this program",
        "A part of the program ended in a way that should not be possible. What was under way is as after a crash, and the next run goes on from there.",
        "report it with the message.";
    Usage = 200: "The command line is wrong",
        "Something on the command line is missing, is not understood, or does not go together. Nothing was done.",
        "`replicator COMMAND --help` has examples.";
    Endpoint = 201: "A dataset or machine is not named as it has to be",
        "It is no name that ZFS or ssh would take.",
        "write POOL/DATASET, HOST:POOL/DATASET or USER@HOST:POOL/DATASET.";
    Overlap = 202: "Source and target lie in each other",
        "Both are the same dataset, or one is below the other.",
        "choose another target.";
    PublicKey = 203: "The file is no public key",
        "The file has to hold one public key of OpenSSH, as `ssh-keygen` writes into the file that ends in .pub.",
        "name that file; a private key must not leave its machine.";
    KeyFile = 204: "The file with the public key cannot be read",
        "It does not exist, or may not be read. Nothing was done.",
        "check the path; copy the file that ends in .pub from the machine that sends, if it is not here yet.";
    Stopped = 300: "Stopped for safety",
        "Several datasets are in conflict. Each was left as it is, on both sides.",
        "read the messages above it.";
    NoSourceSnapshots = 301: "The source has no snapshots",
        "There is nothing to send.",
        "take one (`zfs snapshot`, or a policy and `replicator snapshot`).";
    NothingSelected = 302: "No snapshot is selected",
        "There are snapshots, and the patterns leave none of them.",
        "look at the patterns for snapshots.";
    InitialRefused = 303: "A first replication was not allowed",
        "The target does not exist, and it was said that it has to. A name that was mistyped, or an empty disk that took the place of the old one, looks like this.",
        "check the name and the pool of the target; if all is right, run once with `--initial all` or `newest`.";
    KeyNotLoaded = 304: "A stream that is not raw needs a key",
        "The dataset is encrypted and its key is not loaded.",
        "`zfs load-key`, or leave out --decrypt: it is sent raw then.";
    ParentNotReplicated = 305: "The dataset above is not replicated",
        "There is nothing to receive into.",
        "resolve what keeps the one above from being sent; what is below follows.";
    OriginNotReplicated = 306: "The origin of a clone is not replicated",
        "A clone can only be made on the target when the snapshot that it comes from is there.",
        "resolve what keeps the origin from being sent, or include it.";
    Promoted = 307: "The source was made a clone by a promotion",
        "Its older snapshots lie under another dataset now, so that no stream of it can be received into the target that is there.",
        "run it with `--divergence preserve`: nothing is lost and nothing is sent twice.";
    TargetTooSmall = 308: "There is not enough room on the target",
        "The estimate of what is to be sent is larger than what the target may still write.",
        "make room, or use `--ignore-space` if the estimate is wrong (it does not know of deduplication, for instance).";
    ZfsBug = 309: "A bug of OpenZFS makes it dangerous",
        "One of the versions at hand has a bug that this very transfer would meet (docs/openzfs-bugs.md).",
        "upgrade OpenZFS on the machine that is named.";
    NotEncrypted = 310: "The dataset is not encrypted",
        "Only encrypted datasets are to be sent.",
        "leave it out with --exclude, or run without --require-encrypted.";
    FeatureMissing = 311: "The target's pool lacks a feature",
        "The streams need features that the pool does not have enabled.",
        "enable them as the hint says; older versions of OpenZFS cannot use the pool afterwards.";
    KindMismatch = 312: "A filesystem here, a volume there",
        "Both sides have a dataset of another kind.",
        "choose another name for the target, or rename what is there.";
    TargetWithoutSnapshots = 313: "The target exists and has no snapshots",
        "It was not made by a replication, and may hold data. It is not overwritten.",
        "choose another name, or move what is there aside with `zfs rename`.";
    NoCommonBase = 314: "Nothing is common to both sides",
        "Both have snapshots and none is the same. One of them may be another dataset, or one that was made anew.",
        "find out which side is right; then choose another name for the target, or move it aside with `zfs rename`. Nothing there is overwritten.";
    Diverged = 315: "The target has changed",
        "Something was written or a snapshot was taken on the target after the newest common snapshot. Nothing was rolled back.",
        "run it with `--divergence preserve`, which sets the target aside under another name and goes on; or undo the change yourself, if nobody needs it.";
    SetAsideUnloadsKey = 316: "To set it aside would unload its key",
        "The target is an encryption root. The dataset that takes its place would need the key to be loaded in between.",
        "do the steps of the hint by hand, then run the same command again.";
    NameClash = 317: "Snapshots of the same name are different ones",
        "The target has other snapshots under names that are to be sent.",
        "rename them on one side.";
    NameTooLong = 318: "A name does not fit on the target",
        "ZFS allows 255 bytes for a whole name.",
        "choose a shorter name for the target.";
    Partial = 319: "The target keeps a receive that cannot go on",
        "A receive broke off and kept its state, and it is not one that this run could continue.",
        "`replicator tokens` shows it; `--discard-partial` throws away what arrived of it, or, where the user there may only add, `replicator tokens --discard` as root on the target's machine. Snapshots are not touched.";
    PairRefused = 330: "A verb of a pair is not safe now",
        "Promotion, demotion, following or handing over was refused, for the reason in the message. Nothing was switched.",
        "`replicator pair status` shows both nodes; docs/pair.md goes through each case.";
    Fenced = 331: "A root of a pair may not be changed from there",
        "The node that receives knows of another epoch, or is active itself. Nothing was received.",
        "`replicator pair status` on both nodes shows who was promoted last.";
    KeyInUse = 340: "The key may do something else already",
        "authorized_keys has a line with this key that is not the one to be written. sshd uses the first line that fits, so that a second one would mean nothing.",
        "remove that line if it is not needed, or make a key of its own for this (`ssh-keygen -t ed25519`).";
    CopyDiffers = 350: "A copy differs from its source",
        "What was read of a snapshot on the target is not what the same snapshot has at the source. One of the two was damaged, or changed below ZFS. Nothing was changed.",
        "`replicator compare --content` lists all that differs; scrub both pools, and find out which side is right before anything is sent or restored.";
    DrillDiffers = 351: "A restore drill brought back something else",
        "A clone of the copy was read, and files in it are not what the source has in the same snapshot. The clone is gone again; the copy was not changed.",
        "do not rely on this copy: look at it with `replicator compare --content`, and scrub its pool.";
    RestoreRefused = 352: "A dataset is not brought back as things are",
        "It is in use, in a pair, a pool's own dataset, waits for the rest of a stream, or something else was begun with it. Nothing was destroyed; the message says what stands against it.",
        "do what the hint says, and run the same command again: what was begun goes on.";
    DestinationExists = 353: "The destination exists",
        "A file or folder is where something was to be put. Nothing is written over.",
        "name another place with --to, or move away what is there.";
    Declined = 354: "Nobody agreed",
        "The command asks before it changes anything, and the answer was not yes; or nobody could be asked, as without a terminal. Nothing was set aside; a dataset that was restored before the question stays beside the old one.",
        "run it again and answer yes, or add --yes.";
    Connection = 400: "The other machine does not work as it should",
        "The connection or its agent failed in a way that has no code of its own.",
        "try `ssh` to that machine by hand.";
    Lookup = 401: "The machine's name has no address",
        "The resolver knows no address for it, or does not answer.",
        "check the spelling and the name server, or give the IP address.";
    Connect = 402: "No connection",
        "No address of the machine took a connection.",
        "check that it is on, that sshd runs there, and the port and firewall (--port).";
    Handshake = 403: "What answers speaks no SSH that we do",
        "The port took the connection, and no protocol could be agreed on.",
        "check the port; an old server may need the system's ssh (`--transport ssh`).";
    Timeout = 404: "No answer in time",
        "A phase of the connection took longer than it may. What arrived is kept.",
        "check load and network of that machine, and run the same command again.";
    HostKeyUnknown = 405: "The host key is not known",
        "The machine showed a key that no known_hosts file has. Nothing was sent to it, no key of ours either.",
        "compare the fingerprint on the machine itself, then add it as the hint says.";
    HostKeyChanged = 406: "The host key has changed",
        "It is not the key that was known. Somebody may be pretending to be this machine.",
        "find out why; only when the machine was set up anew, replace the key in known_hosts.";
    HostKeyUnusable = 407: "The host key cannot be accepted",
        "It is marked as revoked, a known_hosts file cannot be read, or the ssh program does not take it.",
        "do what the hint says; do not go on without.";
    NoSsh = 408: "The ssh program cannot be started",
        "The system's ssh was asked for and is not there.",
        "install openssh-client, or use the built-in one (`--transport libssh2`).";
    Authentication = 409: "The machine does not let us in",
        "It refused every key that was offered.",
        "make `ssh USER@HOST` work without a password first; name the key with --identity.";
    Lost = 410: "The connection broke",
        "It ended while it was used, also where the other machine had sent all and the last of it was still on its way. What arrived is kept.",
        "run the same command again; it goes on from there. Runs of a configuration do that by themselves.";
    NoCommands = 411: "The machine starts no commands for this user",
        "The login worked, and commands are not allowed.",
        "check the user's shell, and `ForceCommand` and authorized_keys there.";
    NoAgent = 412: "There is no agent",
        "The other machine has no replicator that could answer.",
        "install it there where that user finds it in its PATH, or do without (`--far-end zfs`).";
    AgentVersion = 413: "The agent is too old, or too new",
        "Both ends speak no common version of the protocol.",
        "install the same version on both machines.";
    Cannot = 414: "The other end cannot do that",
        "What was asked for needs an agent, or a newer one.",
        "install the same version on both machines, and use `--far-end agent`.";
    NotAllowed = 415: "The agent does not allow it",
        "The line of this key in authorized_keys does not allow what was asked for: the dataset lies outside of --root, or the word is missing at --allow.",
        "if it should be allowed, change that line on the other machine; `replicator agent --help` explains it.";
    NoZfs = 500: "A machine has no ZFS",
        "The zfs command is missing on the other machine, or ZFS of this one cannot be opened.",
        "install OpenZFS 2.1 or later (Debian: zfsutils-linux in contrib).";
    ZfsLibrary = 501: "The ZFS library cannot be used",
        "libzfs_core or libnvpair is missing on this machine, or too old.",
        "install OpenZFS 2.1 or later (Debian: zfsutils-linux in contrib).";
    ZfsModule = 502: "The ZFS module is not loaded",
        "There is no /dev/zfs on this machine.",
        "`modprobe zfs`; after a new kernel, see whether zfs-dkms was built for it.";
    ZfsDevice = 503: "/dev/zfs may not be opened",
        "This user may not use ZFS at all.",
        "run as root, or see to it that /dev/zfs has its usual mode (0666).";
    Interrupted = 600: "Interrupted",
        "A signal ended it. Finished steps are finished, and what arrived of a stream is kept.",
        "run the same command again; it goes on from there.";
    Busy = 700: "Another run is at work there",
        "Another run receives into this target, or into what is above or below it.",
        "wait until it has ended; a timer tries again by itself.";
    Policies = 701: "Another run takes or prunes snapshots",
        "Only one does that at a time on a machine.",
        "wait until it has ended; it does what this one would.";
    Closed = 702: "A dataset is just being promoted or given away",
        "Nothing is received there meanwhile.",
        "`replicator pair status` shows who has the service afterwards.";
    Configuration = 800: "The configuration cannot be used",
        "It has errors, or somebody else could have written it. Nothing was done.",
        "`replicator config check` shows each place with a fix.";
    NoConfiguration = 801: "There is no configuration",
        "The file does not exist. Nothing was done.",
        "write one (`replicator config import` makes it out of what sanoid and syncoid do), or name it with --config.";
    NoRole = 900: "The role of this node is not known, or it has none",
        "Of a pair, this node is neither active nor standby, or there are doubts. Nothing was taken, sent or pruned for the pair.",
        "`replicator pair role` tells what was found and what is missing; docs/pair.md goes through each case.";
}
