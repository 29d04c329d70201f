//! The one place where text becomes part of a command line. A remote command passes two readers: the login shell of
//! the user there (sh, bash, csh, fish: unknown to us) and the POSIX `sh` that it is told to start. [`sh`] quotes
//! one argument for the inner one, `any_shell` the whole script for the outer one; [`Script`] joins them. What else may
//! stand in the pipe of a stream is in [`pipes`].

pub mod pipes;

use pipes::Codec;
use pipes::Dial;

/// Quotes one argument for a POSIX `sh`: it becomes exactly one word with exactly these characters. A newline is
/// written as `"$nl"`, because not every login shell can carry one inside quotes; [`Script`] defines the variable.
#[must_use]
pub fn sh(argument: &str) -> String {
    let mut out = String::with_capacity(argument.len() + 2);
    out.push('\'');
    for c in argument.chars() {
        match c {
            '\'' => out.push_str(r#"'"'"'"#),
            '\n' => out.push_str(r#"'"$nl"'"#),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// Quotes a script so that sh, bash, zsh, csh, tcsh and fish all read it as one word with exactly these characters.
///
/// Single quotes carry everything but four characters everywhere. A single quote stands in double quotes. A
/// backslash is special inside fish's single quotes, and `!` inside csh's, so both stand outside quotes behind a
/// backslash. There is no way to carry a newline that all of them share.
///
/// # Panics
/// When the script holds a newline or a NUL. Only [`Script`] calls this, and it makes neither.
fn any_shell(script: &str) -> String {
    let mut out = String::with_capacity(script.len() + 16);
    let mut quoted = false;
    for c in script.chars() {
        assert!(c != '\n' && c != '\0', "a script holds neither newlines nor NULs");
        let bare = match c {
            '\'' => Some(r#""'""#),
            '\\' => Some(r"\\"),
            '!' => Some(r"\!"),
            _ => None,
        };
        if quoted != bare.is_none() {
            out.push('\'');
            quoted = !quoted;
        }
        match bare {
            Some(text) => out.push_str(text),
            None => out.push(c),
        }
    }
    if quoted {
        out.push('\'');
    }
    if out.is_empty() { "''".to_string() } else { out }
}

/// What the shell there prints to standard error when it finds no `zfs`, before it ends with status 127.
pub const NO_ZFS: &str = "replicator: there is no zfs command here";

/// The last line of a script that was run to its end; see [`Script::marking_end`].
pub const END: &str = "replicator: end";

/// The commands are also looked for where an ordinary user's PATH does not lead, and speak the C locale, so that what
/// they print can be read.
const SETUP: &str = "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; LC_ALL=C; export PATH LC_ALL; ";

/// An argument that no command line can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an argument with a NUL character cannot be passed to a command")]
pub struct NulArgument;

/// How a user there becomes one who may use ZFS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Elevate {
    /// Not at all: it is root, or has rights by zfs-allow(8).
    #[default]
    No,
    /// `sudo -n`, which never asks.
    Sudo,
    /// `doas -n`, which never asks.
    Doas,
}

impl Elevate {
    fn prefix(self) -> &'static str {
        match self {
            Self::No => "",
            Self::Sudo => "sudo -n ",
            Self::Doas => "doas -n ",
        }
    }
}

/// The command line that starts another program with these arguments, looked for as `zfs` is. The program takes the
/// place of the shells, so that the end of the connection reaches it.
///
/// # Errors
/// When the name or an argument holds a NUL.
pub fn program(
    elevate: Elevate,
    program: &str,
    arguments: impl IntoIterator<Item = impl AsRef<str>>,
) -> Result<String, NulArgument> {
    let mut command = sh(program);
    for argument in arguments {
        command.push(' ');
        command.push_str(&sh(argument.as_ref()));
    }
    if command.contains('\0') {
        return Err(NulArgument);
    }
    let mut script = SETUP.to_string();
    if command.contains("$nl") {
        script.push_str(NEWLINE);
    }
    script.push_str("exec ");
    script.push_str(elevate.prefix());
    script.push_str(&command);
    Ok(format!("exec sh -c {}", any_shell(&script)))
}

/// The command line that mounts a snapshot read-only in a private folder, prints what find(1) knows of each file and
/// then the sum of each regular one, all fields ended by a NUL, and unmounts it again however it ends.
///
/// # Errors
/// When the name holds a NUL.
pub fn file_list(elevate: Elevate, snapshot: &str) -> Result<String, NulArgument> {
    if snapshot.contains('\0') {
        return Err(NulArgument);
    }
    let snapshot = sh(snapshot);
    // The shell must not stand in the folder when it is unmounted. A signal ends it by `exit`, which runs the trap.
    let reading = format!(
        "at=$(mktemp -d) || exit 1; \
         trap 'cd /; umount \"$at\" 2>/dev/null; rmdir \"$at\" 2>/dev/null' EXIT; trap 'exit 1' HUP INT TERM PIPE; \
         mount -t zfs -o ro,nosuid,nodev,noexec {snapshot} \"$at\" || exit 1; cd \"$at\" || exit 1; \
         find . -printf '%y\\0%s\\0%m\\0%U\\0%G\\0%T@\\0%p\\0%l\\0' || exit 1; printf 'replicator: sums\\0'; \
         find . -type f -exec sha256sum -z -- '{{}}' + || exit 1; printf 'replicator: end\\0'"
    );
    let mut script = SETUP.to_string();
    if reading.contains("$nl") {
        script.push_str(NEWLINE);
    }
    script.push_str("exec ");
    script.push_str(elevate.prefix());
    script.push_str("sh -c ");
    script.push_str(&sh(&reading));
    Ok(format!("exec sh -c {}", any_shell(&script)))
}

/// Defines the variable that [`sh`] writes newlines with. A command substitution drops newlines at the end: the x
/// protects it, and goes again.
const NEWLINE: &str = r#"nl=$(printf "\012x"); nl=${nl%x}; "#;

/// A program of ZFS that a script may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// zfs(8).
    Zfs,
    /// zpool(8).
    Zpool,
}

/// Which way a stream goes: into the first command of a script, or out of its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// A few commands of ZFS that run one after the other on a machine, stopping at the first that fails.
#[derive(Clone, Debug, Default)]
pub struct Script {
    commands: Vec<String>,
    elevate: Elevate,
    packed: Option<(Way, Codec)>,
    dial: Option<(Way, Dial)>,
    marks_end: bool,
}

impl Script {
    /// An empty script, whose commands run with other rights.
    #[must_use]
    pub fn elevated(elevate: Elevate) -> Self {
        Self { elevate, ..Self::default() }
    }

    /// A script of one `zfs` command with these arguments (without the word `zfs`).
    ///
    /// # Errors
    /// When an argument holds a NUL.
    pub fn zfs<S: AsRef<str>>(arguments: impl IntoIterator<Item = S>) -> Result<Self, NulArgument> {
        Self::default().and_zfs(arguments)
    }

    /// Adds another `zfs` command, run when all before it succeeded.
    ///
    /// # Errors
    /// When an argument holds a NUL.
    pub fn and_zfs<S: AsRef<str>>(self, arguments: impl IntoIterator<Item = S>) -> Result<Self, NulArgument> {
        self.and(Program::Zfs, arguments)
    }

    /// Adds another command, run when all before it succeeded.
    ///
    /// # Errors
    /// When an argument holds a NUL.
    pub fn and<S: AsRef<str>>(
        mut self,
        program: Program,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self, NulArgument> {
        let mut command = self.elevate.prefix().to_string();
        command.push_str(match program {
            Program::Zfs => "zfs",
            Program::Zpool => "zpool",
        });
        for argument in arguments {
            if argument.as_ref().contains('\0') {
                return Err(NulArgument);
            }
            command.push(' ');
            command.push_str(&sh(argument.as_ref()));
        }
        self.commands.push(command);
        Ok(self)
    }

    /// Adds another `zfs` command, run when all before it succeeded. Whatever comes of it, the script succeeds.
    ///
    /// # Errors
    /// When an argument holds a NUL.
    pub fn and_maybe_zfs<S: AsRef<str>>(
        self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self, NulArgument> {
        let mut script = self.and_zfs(arguments)?;
        if let Some(command) = script.commands.last_mut() {
            *command = format!("{{ {command} || :; }}");
        }
        Ok(script)
    }

    /// Lets the first command read what a program brings back. The status is that of the last command.
    #[must_use]
    pub fn unpacking(mut self, codec: Codec) -> Self {
        self.packed = Some((Way::In, codec));
        self
    }

    /// Lets a program make smaller what the last command prints. Whether that command succeeded must then be seen by
    /// what it printed: the status is the program's.
    #[must_use]
    pub fn packing(mut self, codec: Codec) -> Self {
        self.packed = Some((Way::Out, codec));
        self
    }

    /// Lets the first command read from a connection that is waited for. The first line of standard input is the key
    /// that the connection must begin with.
    #[must_use]
    pub fn from_connection(mut self, dial: Dial) -> Self {
        self.dial = Some((Way::In, dial));
        self
    }

    /// Lets the last command print to a connection. The first line of standard input is the key that it begins with;
    /// standard output has [`pipes::STATUS`] and the status of the commands.
    #[must_use]
    pub fn to_connection(mut self, dial: Dial) -> Self {
        self.dial = Some((Way::Out, dial));
        self
    }

    /// Lets the script print [`END`] after the last command succeeded.
    ///
    /// A channel that the server closes without an exit status looks like success to libssh2. A list that ends with
    /// this line is known to be whole.
    #[must_use]
    pub fn marking_end(mut self) -> Self {
        self.marks_end = true;
        self
    }

    /// The command line that only asks whether a program is there: it prints [`END`] if so, and succeeds either way.
    #[must_use]
    pub fn asking_for(codec: &Codec) -> String {
        let program = codec.program;
        let script = format!("{SETUP}if command -v {program} >/dev/null 2>&1; then echo \"{END}\"; fi; :");
        format!("exec sh -c {}", any_shell(&script))
    }

    /// The command line that tells who runs it and what time it is: lines of a word and what it stands for, and
    /// [`END`] as the last one.
    #[must_use]
    pub fn asking_who() -> String {
        let script = format!(
            "{SETUP}echo \"uid $(id -u)\"; echo \"user $(id -un)\"; echo \"groups $(id -Gn)\"; \
             echo \"time $(date +%s)\"; echo \"{END}\""
        );
        format!("exec sh -c {}", any_shell(&script))
    }

    /// The command line for the login shell. `zfs` is also looked for where an ordinary user's PATH does not lead,
    /// and speaks the C locale, so that what it prints can be read.
    #[must_use]
    pub fn command_line(&self) -> String {
        let mut script = SETUP.to_string();
        if self.commands.iter().any(|command| command.contains("$nl")) {
            script.push_str(NEWLINE);
        }
        script.push_str("command -v zfs >/dev/null 2>&1 || { echo \"");
        script.push_str(NO_ZFS);
        script.push_str("\" >&2; exit 127; }; ");
        let commands = self.commands.join(" && ");
        let (packing, unpacking) = match &self.packed {
            Some((Way::Out, codec)) => (Some(codec.packing()), None),
            Some((Way::In, codec)) => (None, Some(codec.unpacking())),
            None => (None, None),
        };
        match (&self.dial, packing, unpacking) {
            (Some((Way::Out, dial)), packing, _) => {
                script.push_str(&dial.send(&commands, packing.as_deref()));
            }
            (Some((Way::In, dial)), _, unpacking) => {
                script.push_str(&dial.receive(&commands, unpacking.as_deref()));
            }
            (None, Some(packing), _) => script.push_str(&format!("{commands} | {packing}")),
            (None, None, Some(unpacking)) => script.push_str(&format!("{unpacking} | {commands}")),
            (None, None, None) => {
                // With `exec` on a single command the signals and the end of the connection reach zfs itself.
                if self.commands.len() == 1 && !self.marks_end {
                    script.push_str("exec ");
                }
                script.push_str(&commands);
            }
        }
        if self.marks_end {
            script.push_str(" && echo \"");
            script.push_str(END);
            script.push('"');
        }
        format!("exec sh -c {}", any_shell(&script))
    }
}

#[cfg(test)]
mod tests;
