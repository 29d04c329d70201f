//! What may stand in the pipe of a stream on another machine, beside `zfs`: a program that makes the stream smaller or
//! brings it back, and one that carries it over a connection of its own. All of them are texts of this file, but for an
//! address, which goes through [`super::sh`].

use super::sh;

/// A program that makes a stream smaller, and brings it back. Streams through zstd are made and read in this process
/// where this machine is an end of them; the others are started here as they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec {
    /// The program, looked for in `PATH`.
    pub program: &'static str,
    /// Its arguments where it makes a stream smaller.
    pub pack: &'static [&'static str],
    /// Its arguments where it brings one back.
    pub unpack: &'static [&'static str],
}

impl Codec {
    /// zstd(1) on all processors.
    pub const ZSTD: Self = Self { program: "zstd", pack: &["-qc", "-T0"], unpack: UNZSTD };
    /// zstd(1) on one processor.
    pub const ZSTD_FAST: Self = Self { pack: &["-qc", "-3"], ..Self::ZSTD };
    /// zstd(1), as small as it gets without more memory, on one processor.
    pub const ZSTD_SLOW: Self = Self { pack: &["-qc", "-19"], ..Self::ZSTD };
    /// zstd(1), as small as it gets without more memory.
    pub const ZSTDMT_SLOW: Self = Self { pack: &["-qc", "-19", "-T0"], ..Self::ZSTD };
    /// gzip(1).
    pub const GZIP: Self = Self { program: "gzip", pack: &["-3"], unpack: &["-dc"] };
    /// pigz(1).
    pub const PIGZ_FAST: Self = Self { program: "pigz", pack: &["-3"], unpack: &["-dc"] };
    /// pigz(1), as small as it gets.
    pub const PIGZ_SLOW: Self = Self { pack: &["-9"], ..Self::PIGZ_FAST };
    /// xz(1).
    pub const XZ: Self = Self { program: "xz", pack: &["-c"], unpack: &["-dc"] };
    /// lzop(1).
    pub const LZO: Self = Self { program: "lzop", pack: &["-c"], unpack: &["-dfc"] };
    /// lz4(1).
    pub const LZ4: Self = Self { program: "lz4", pack: &["-qc"], unpack: &["-qdc"] };

    /// Whether this program reads and writes its form by itself.
    #[must_use]
    pub fn is_zstd(&self) -> bool {
        self.program == Self::ZSTD.program
    }

    pub(super) fn packing(&self) -> String {
        self.command(self.pack)
    }

    pub(super) fn unpacking(&self) -> String {
        self.command(self.unpack)
    }

    fn command(&self, arguments: &[&str]) -> String {
        format!("{} {}", self.program, arguments.join(" "))
    }
}

const UNZSTD: &[&str] = &["-dqc", "--long=27"];

impl Default for Codec {
    fn default() -> Self {
        Self::ZSTD
    }
}

/// What the sending script prints to the channel, before the status of its last command, when the stream itself goes
/// over a connection.
pub const STATUS: &str = "replicator: status ";

/// What a script says where it has nothing that carries a stream over a connection.
pub const NO_CARRIER: &str = "replicator: neither socat nor mbuffer is here";

/// How a script that sends reaches us, or one that receives waits for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// A name, an IPv4 address, or an IPv6 address in brackets. Empty where any address of the machine will do.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How long it tries, or waits.
    pub seconds: u64,
    /// Whether mbuffer(1) is to be taken before others.
    pub mbuffer: bool,
}

impl Dial {
    /// Brings standard input to the place. None of them takes a second place if the first is lost.
    fn connecting(&self) -> String {
        let Self { host, port, seconds, .. } = self;
        let socat = sh(&format!("TCP:{host}:{port},connect-timeout={seconds}"));
        let mbuffer = sh(&format!("{host}:{port}"));
        any_of(&[("socat", format!("socat -u - {socat}")), ("mbuffer", format!("mbuffer -q -O {mbuffer}"))])
    }

    /// Brings what comes from one connection to standard output.
    fn listening(&self) -> String {
        let Self { host, port, seconds, mbuffer } = self;
        let v6 = host.starts_with('[');
        let (word, bind) = match (host.as_str(), v6) {
            ("", _) => ("TCP-LISTEN", String::new()),
            (host, false) => ("TCP4-LISTEN", format!(",bind={host}")),
            (host, true) => ("TCP6-LISTEN", format!(",bind={host}")),
        };
        let socat = sh(&format!("{word}:{port}{bind},reuseaddr,accept-timeout={seconds}"));
        let address = match host.as_str() {
            "" => String::new(),
            host => format!(" -s {}", sh(host.trim_start_matches('[').trim_end_matches(']'))),
        };
        let mut all = vec![
            ("socat", format!("socat -u {socat} -")),
            ("busybox", format!("busybox nc -l -p {port}{address} -w {seconds}")),
            ("mbuffer", format!("mbuffer -q -W {seconds} -I {port}")),
        ];
        if *mbuffer {
            all.rotate_right(1);
        }
        any_of(&all)
    }

    /// The script whose commands print a stream, which goes over the connection. The first line of its standard input is
    /// the key that stands before the stream there; its standard output has the status of the commands.
    pub(super) fn send(&self, commands: &str, pack: Option<&str>) -> String {
        let inner = format!("{{ {commands}; }} 3>&-; echo \"{STATUS}$?\" >&3");
        let packed = match pack {
            Some(pack) => format!("{{ {inner}; }} | {pack} 3>&-"),
            None => inner,
        };
        format!(
            "{READ_KEY}; exec 3>&1; {{ printf \"%s\\n\" \"$key\"; {packed}; }} | {{ exec >/dev/null 3>&-; {}; }}",
            self.connecting()
        )
    }

    /// The script whose commands read a stream from the connection, if the key stands before it.
    pub(super) fn receive(&self, commands: &str, unpack: Option<&str>) -> String {
        let pipe = unpack.map_or_else(String::new, |unpack| format!("{unpack} | "));
        format!(
            "{READ_KEY}; {{ {}; }} </dev/null | {{ {FIRST_LINE}; [ \"$got\" = \"$key\" ] || \
             {{ echo \"replicator: somebody else connected\" >&2; exit 1; }}; {pipe}{commands}; }}",
            self.listening()
        )
    }
}

/// The key is in no list of processes: it comes over the channel, and the shells print and compare it themselves.
const READ_KEY: &str = "IFS= read -r key && [ -n \"$key\" ] || exit 1";

/// What stands before the stream, one byte after the other, so that neither more is taken than that nor a stranger can
/// fill the memory of the shell.
const FIRST_LINE: &str = "got=$(dd bs=1 count=65 2>/dev/null)";

/// The first of these programs that is there.
fn any_of(programs: &[(&str, String)]) -> String {
    let mut script = String::new();
    for (number, (program, command)) in programs.iter().enumerate() {
        let word = if number == 0 { "if" } else { "elif" };
        script.push_str(&format!("{word} command -v {program} >/dev/null 2>&1; then exec {command}; "));
    }
    format!("{script}else echo \"{NO_CARRIER}\" >&2; exit 127; fi")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;
    use std::process::Output;
    use std::process::Stdio;

    use super::super::Script;
    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn dial(host: &str, mbuffer: bool) -> Dial {
        Dial { host: host.to_string(), port: 9000, seconds: 7, mbuffer }
    }

    /// A folder with programs of these names and texts.
    fn folder(programs: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in programs {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("executable");
        }
        folder
    }

    fn run(folder: &Path, script: &Script, stdin: &str) -> Output {
        let mut child = Command::new("/bin/sh")
            .args(["-c", &script.command_line()])
            .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell");
        child.stdin.take().expect("a pipe").write_all(stdin.as_bytes()).expect("written");
        child.wait_with_output().expect("an end")
    }

    fn read(folder: &Path, name: &str) -> String {
        std::fs::read_to_string(folder.join(name)).unwrap_or_default()
    }

    #[test]
    fn a_stream_goes_out_behind_its_key_and_its_status_over_the_channel() {
        let carrier = "echo \"$*\" >args; cat >sent";
        for (pack, text) in [(None, "stream"), (Some(Codec::GZIP), "packed")] {
            for status in [0, 3] {
                let zfs = format!("printf stream; exit {status}");
                let folder =
                    folder(&[("zfs", &zfs), ("socat", carrier), ("gzip", "cat >/dev/null; printf packed")]);
                let mut script = Script::zfs(["send", "tank@a"]).expect("no NUL");
                if let Some(codec) = pack {
                    script = script.packing(codec);
                }
                let output =
                    run(folder.path(), &script.to_connection(dial("10.0.0.1", false)), &format!("{KEY}\n"));
                assert!(output.status.success());
                assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{STATUS}{status}\n"));
                assert_eq!(read(folder.path(), "sent"), format!("{KEY}\n{text}"));
                assert_eq!(read(folder.path(), "args"), "-u - TCP:10.0.0.1:9000,connect-timeout=7\n");
            }
        }
    }

    #[test]
    fn a_stream_is_taken_in_behind_its_key_only() {
        let zfs = "cat >>\"$1\"; echo name guid";
        let folder = folder(&[("zfs", zfs), ("mbuffer", "echo \"$*\" >args; cat came")]);
        let script = Script::zfs(["receive", "back@a"]).and_then(|script| script.and_zfs(["list"]));
        let script = script.expect("no NUL").from_connection(dial("[::1]", true));
        let line = format!("{KEY}\n");
        for (came, taken) in [
            (format!("{KEY}\nstream"), Some("stream")),
            (format!("{}\nstream", "0".repeat(64)), None),
            (format!("{KEY}x\nstream"), None),
            (String::new(), None),
            ("\n".repeat(70), None),
        ] {
            std::fs::write(folder.path().join("came"), &came).expect("written");
            let output = run(folder.path(), &script, &line);
            assert_eq!(output.status.success(), taken.is_some(), "{came:?}");
            assert_eq!(read(folder.path(), "receive"), taken.unwrap_or_default(), "{came:?}");
            assert_eq!(read(folder.path(), "args"), "-q -W 7 -I 9000\n");
            let _ = std::fs::remove_file(folder.path().join("receive"));
        }
        // Without a key nothing is waited for.
        std::fs::write(folder.path().join("came"), "\nstream").expect("written");
        assert!(!run(folder.path(), &script, "").status.success());
        assert!(!run(folder.path(), &script, "\n").status.success());
        assert_eq!(read(folder.path(), "receive"), "");
    }

    #[test]
    fn each_program_is_called_as_it_reads_its_words() {
        let socat = dial("[::1]", false).listening();
        assert!(socat.starts_with("if command -v socat"), "{socat}");
        assert!(socat.contains("'TCP6-LISTEN:9000,bind=[::1],reuseaddr,accept-timeout=7'"), "{socat}");
        assert!(socat.contains("busybox nc -l -p 9000 -s '::1' -w 7"), "{socat}");
        let any = dial("", true).listening();
        assert!(any.starts_with("if command -v mbuffer") && any.contains("'TCP-LISTEN:9000,reuse"), "{any}");
        assert!(any.contains("busybox nc -l -p 9000 -w 7"), "{any}");
        let out = dial("nas", false).connecting();
        assert!(out.contains("mbuffer -q -O 'nas:9000'"), "{out}");
    }

    #[test]
    fn a_program_that_makes_streams_smaller_stands_where_the_stream_passes() {
        let script = |pack: bool| {
            let script = Script::zfs(["x"]).expect("no NUL");
            let script = if pack { script.packing(Codec::LZO) } else { script.unpacking(Codec::LZO) };
            script.command_line()
        };
        assert!(script(true).ends_with(" | lzop -c'"), "{}", script(true));
        assert!(script(false).contains("lzop -dfc | zfs "), "{}", script(false));
    }
}
