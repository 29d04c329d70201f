//! The options of syncoid: all of them, with what is wrong with a command line in its words. Nothing is looked at here
//! but the words themselves.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::path::PathBuf;

use super::filter::Filter;
use super::special;
use super::special::ReceiveOptions;
use super::special::SendOptions;
use crate::cli::compat::getopt;
use crate::cli::compat::getopt::Found;
use crate::cli::compat::getopt::Known;
use crate::cli::compat::getopt::Takes;
use crate::transport::direct::Direct;
use crate::transport::quote::pipes::Codec;

const fn flag(names: &'static [&'static str]) -> Known {
    Known { names, takes: Takes::Nothing }
}

const fn text(names: &'static [&'static str]) -> Known {
    Known { names, takes: Takes::Text }
}

pub(super) const TABLE: [Known; 40] = [
    text(&["compress"]),
    text(&["identifier"]),
    flag(&["recursive", "r"]),
    flag(&["skip-parent"]),
    text(&["source-bwlimit"]),
    text(&["target-bwlimit"]),
    text(&["mbuffer-size"]),
    text(&["pv-options"]),
    flag(&["no-stream"]),
    flag(&["no-sync-snap"]),
    flag(&["keep-sync-snap"]),
    flag(&["create-bookmark"]),
    flag(&["use-hold"]),
    flag(&["preserve-recordsize"]),
    flag(&["preserve-properties"]),
    flag(&["no-rollback"]),
    flag(&["delete-target-snapshots"]),
    text(&["exclude"]),
    text(&["exclude-datasets"]),
    text(&["include-snaps"]),
    text(&["exclude-snaps"]),
    text(&["sendoptions"]),
    text(&["recvoptions"]),
    text(&["sshconfig"]),
    text(&["sshkey"]),
    Known { names: &["sshport"], takes: Takes::Number },
    text(&["sshcipher", "c"]),
    text(&["sshoption", "o"]),
    text(&["insecure-direct-connection"]),
    flag(&["help", "?"]),
    flag(&["version"]),
    flag(&["debug"]),
    flag(&["quiet"]),
    flag(&["dumpsnaps"]),
    flag(&["no-resume"]),
    flag(&["no-clone-handling"]),
    flag(&["no-privilege-elevation"]),
    flag(&["force-delete"]),
    flag(&["monitor-version"]),
    flag(&["no-command-checks"]),
];

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// The help.
    Help,
    /// The version.
    Version,
    /// A replication.
    Run(Box<Options>),
}

/// Why a command line is refused: lines for standard error, before the usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The lines.
    pub(super) lines: Vec<String>,
}

/// Everything that can be asked of a replication.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(in crate::cli) struct Options {
    pub(super) source: String,
    pub(super) target: String,
    pub(super) compress: Compress,
    /// With the underline behind it, or empty.
    pub(super) identifier: String,
    pub(super) recursive: bool,
    pub(super) skip_parent: bool,
    /// Bytes per second.
    pub(super) source_limit: Option<NonZeroU64>,
    /// Bytes per second.
    pub(super) target_limit: Option<NonZeroU64>,
    pub(super) no_stream: bool,
    pub(super) no_sync_snap: bool,
    pub(super) keep_sync_snap: bool,
    pub(super) create_bookmark: bool,
    pub(super) use_hold: bool,
    pub(super) preserve_recordsize: bool,
    pub(super) preserve_properties: bool,
    pub(super) no_rollback: bool,
    pub(super) delete_target_snapshots: bool,
    pub(super) datasets: Filter,
    pub(super) snapshots: Filter,
    pub(super) send: SendOptions,
    pub(super) receive: ReceiveOptions,
    pub(super) ssh_config: Option<PathBuf>,
    pub(super) ssh_key: Option<PathBuf>,
    pub(super) ssh_port: Option<u16>,
    pub(super) ssh_cipher: Option<String>,
    pub(super) ssh_options: Vec<String>,
    /// Data goes over a connection of its own.
    pub(super) direct: Option<Direct>,
    pub(super) debug: bool,
    pub(super) quiet: bool,
    pub(super) dump: bool,
    pub(super) no_resume: bool,
    pub(super) no_clones: bool,
    pub(super) no_elevation: bool,
    pub(super) force_delete: bool,
    /// What is told before anything is done, as `WARN`.
    pub(super) warnings: Vec<String>,
}

/// What is done to a stream on its way to or from another machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Compress {
    /// Nothing.
    None,
    /// What is best of what both sides have.
    #[default]
    Best,
    /// What was asked for.
    With(Codec),
}

impl Compress {
    /// What is tried, one after the other.
    pub(super) fn candidates(self) -> Vec<Codec> {
        match self {
            Self::None => Vec::new(),
            // lzop is what syncoid would have taken.
            Self::Best => vec![Codec::ZSTD, Codec::LZO],
            Self::With(codec) => vec![codec, Codec::ZSTD],
        }
    }
}

const FORMATS: [(&str, Codec); 10] = [
    ("gzip", Codec::GZIP),
    ("pigz-fast", Codec::PIGZ_FAST),
    ("pigz-slow", Codec::PIGZ_SLOW),
    ("zstd-fast", Codec::ZSTD_FAST),
    ("zstdmt-fast", Codec::ZSTD),
    ("zstd-slow", Codec::ZSTD_SLOW),
    ("zstdmt-slow", Codec::ZSTDMT_SLOW),
    ("xz", Codec::XZ),
    ("lzo", Codec::LZO),
    ("lz4", Codec::LZ4),
];

/// Reads a command line, without the name of the program.
pub(super) fn read(arguments: &[OsString]) -> Result<Asked, Refused> {
    let mut given = Given::default();
    for found in getopt::read(&TABLE, arguments) {
        match found {
            Found::Word(word) => given.words.push(word.to_string_lossy().into_owned()),
            Found::Wrong { says, .. } => given.wrong.push(says),
            Found::Option { name, value } => {
                given.options.push((name, value.map(|value| value.to_string_lossy().into_owned())));
            }
        }
    }
    // As there: they end the reading where they stand.
    for (name, _) in &given.options {
        match *name {
            "help" => return Ok(Asked::Help),
            "version" => return Ok(Asked::Version),
            _ => {}
        }
    }
    if !given.wrong.is_empty() {
        return Err(Refused { lines: given.wrong });
    }
    given.options().map(|options| Asked::Run(Box::new(options)))
}

#[derive(Default)]
struct Given {
    options: Vec<(&'static str, Option<String>)>,
    words: Vec<String>,
    wrong: Vec<String>,
}

impl Given {
    fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(one, _)| *one == name)
    }

    /// The last one counts, and an empty one is none: `--identifier "$ID"` of a script without one.
    fn last<'s>(&'s self, name: &'s str) -> Option<&'s str> {
        self.all(name).last().filter(|value| !value.is_empty())
    }

    fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.options.iter().filter(move |(one, _)| *one == name).filter_map(|(_, value)| value.as_deref())
    }

    fn options(&self) -> Result<Options, Refused> {
        let mut warnings = Vec::new();
        let compress = match self.last("compress") {
            None | Some("default") => Compress::Best,
            Some("none") => Compress::None,
            Some(name) => match FORMATS.iter().find(|(one, _)| *one == name) {
                Some((_, codec)) => Compress::With(*codec),
                None => {
                    warnings.push(format!("Unrecognised compression value {name}, defaulting to lzo"));
                    Compress::With(Codec::LZO)
                }
            },
        };
        let mut excluded: Vec<&str> = self.all("exclude-datasets").collect();
        if self.has("exclude") {
            warnings.push(
                "The --exclude option is deprecated, please use --exclude-datasets instead".to_string(),
            );
            if excluded.is_empty() {
                excluded = self.all("exclude").collect();
            }
        }
        // What was said before stands before the reason for which nothing is done.
        let refused = |says: String| {
            let before = warnings.iter().map(|one| format!("WARNING: {one}"));
            Refused { lines: before.chain([says]).collect() }
        };
        let send = match self.last("sendoptions") {
            Some(options) => special::send(options, self.has("recursive")).map_err(&refused)?,
            None => SendOptions::default(),
        };
        let receive = match self.last("recvoptions") {
            Some(options) => special::receive(options).map_err(&refused)?,
            None => ReceiveOptions::default(),
        };
        let [source, target] = self.words.as_slice() else {
            return Err(refused("WARNING: Source or target not found!".to_string()));
        };
        let identifier = match self.last("identifier") {
            Some(text) if is_identifier(text) => format!("{text}_"),
            Some(_) => {
                return Err(refused("WARNING: extra identifier contains invalid chars!".to_string()));
            }
            None => String::new(),
        };
        let direct = match self.last("insecure-direct-connection").map(str::parse::<Direct>) {
            None => None,
            Some(Ok(direct)) => Some(direct),
            Some(Err(why)) => {
                return Err(refused(format!("CRITICAL: --insecure-direct-connection: {why}")));
            }
        };
        let limit = |name: &str| match self.last(name) {
            None => Ok(None),
            Some(text) => {
                rate(text).ok_or_else(|| refused(format!("WARNING: --{name}={text} is not a rate like 10m")))
            }
        };
        let ssh_port = match self.last("sshport").map(str::parse::<u16>) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return Err(refused("WARNING: --sshport is no port".to_string())),
        };
        let pattern = |error: String| refused(format!("WARNING: {error}"));
        Ok(Options {
            source: source.clone(),
            target: target.clone(),
            compress,
            identifier,
            recursive: self.has("recursive"),
            skip_parent: self.has("skip-parent"),
            source_limit: limit("source-bwlimit")?,
            target_limit: limit("target-bwlimit")?,
            no_stream: self.has("no-stream"),
            no_sync_snap: self.has("no-sync-snap"),
            keep_sync_snap: self.has("keep-sync-snap"),
            create_bookmark: self.has("create-bookmark"),
            use_hold: self.has("use-hold"),
            preserve_recordsize: self.has("preserve-recordsize"),
            preserve_properties: self.has("preserve-properties"),
            no_rollback: self.has("no-rollback"),
            delete_target_snapshots: self.has("delete-target-snapshots"),
            datasets: Filter::new(std::iter::empty(), excluded.into_iter()).map_err(pattern)?,
            snapshots: Filter::new(self.all("include-snaps"), self.all("exclude-snaps")).map_err(pattern)?,
            send,
            receive,
            ssh_config: self.last("sshconfig").map(PathBuf::from),
            ssh_key: self.last("sshkey").map(PathBuf::from),
            ssh_port,
            ssh_cipher: self.last("sshcipher").map(str::to_string),
            ssh_options: self.all("sshoption").map(str::to_string).collect(),
            direct,
            debug: self.has("debug"),
            quiet: self.has("quiet"),
            dump: self.has("dumpsnaps"),
            no_resume: self.has("no-resume"),
            no_clones: self.has("no-clone-handling"),
            no_elevation: self.has("no-privilege-elevation"),
            force_delete: self.has("force-delete"),
            warnings,
        })
    }
}

fn is_identifier(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_:.".contains(c))
}

/// A rate as mbuffer(1) reads it: a number with b, k, M, G or T behind it, in bytes per second. None where it is no
/// rate, and no limit where it is 0.
fn rate(text: &str) -> Option<Option<NonZeroU64>> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * f64::from(2_u32).powi(shift);
    if !bytes.is_finite() || bytes < 0.0 {
        return None;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates, and is above zero"
    )]
    let bytes = bytes as u64;
    Some(NonZeroU64::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Result<Asked, Refused> {
        read(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    fn options(line: &str) -> Options {
        match read_line(line).unwrap_or_else(|error| panic!("{line}: {error:?}")) {
            Asked::Run(options) => *options,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn refused(line: &str) -> String {
        read_line(line).err().unwrap_or_else(|| panic!("{line} was taken")).lines.join("\n")
    }

    #[test]
    fn every_option_reaches_its_place() {
        type Flag = (&'static str, fn(&Options) -> bool);
        let flags: [Flag; 22] = [
            ("-r", |o| o.recursive),
            ("--recursive", |o| o.recursive),
            ("--skip-parent", |o| o.skip_parent),
            ("--no-stream", |o| o.no_stream),
            ("--no-sync-snap", |o| o.no_sync_snap),
            ("--keep-sync-snap", |o| o.keep_sync_snap),
            ("--create-bookmark", |o| o.create_bookmark),
            ("--use-hold", |o| o.use_hold),
            ("--preserve-recordsize", |o| o.preserve_recordsize),
            ("--preserve-properties", |o| o.preserve_properties),
            ("--no-rollback", |o| o.no_rollback),
            ("--delete-target-snapshots", |o| o.delete_target_snapshots),
            ("--debug", |o| o.debug),
            ("--quiet", |o| o.quiet),
            ("--dumpsnaps", |o| o.dump),
            ("--no-resume", |o| o.no_resume),
            ("--no-clone-handling", |o| o.no_clones),
            ("--no-privilege-elevation", |o| o.no_elevation),
            ("--force-delete", |o| o.force_delete),
            ("--force-del", |o| o.force_delete),
            ("--monitor-version", |o| !o.debug),
            ("--no-command-checks", |o| !o.debug),
        ];
        for (flag, is_set) in flags {
            assert!(is_set(&options(&format!("{flag} a/b c/d"))), "{flag}");
            assert!(is_set(&options(&format!("a/b {flag} c/d"))), "{flag}");
        }
        let none = options("a b");
        let positive = &flags[..20];
        assert!(positive.iter().all(|(_, is_set)| !is_set(&none)));

        assert_eq!((none.source.as_str(), none.target.as_str()), ("a", "b"));
        assert_eq!(options("--compress=none a b").compress, Compress::None);
        assert_eq!(none.compress.candidates(), [Codec::ZSTD, Codec::LZO]);
        for (name, codec) in FORMATS {
            let asked = options(&format!("--compress {name} a b")).compress;
            assert_eq!(
                (asked, asked.candidates()),
                (Compress::With(codec), vec![codec, Codec::ZSTD]),
                "{name}"
            );
        }
        assert!(Compress::None.candidates().is_empty());
        let direct = options("--insecure-direct-connection=10.0.0.1:9,:9,5 a b").direct;
        assert_eq!(direct, Some("10.0.0.1:9,:9,5".parse().expect("an address")));
        assert_eq!(
            options("--compress=x a b").warnings,
            ["Unrecognised compression value x, defaulting to lzo"]
        );
        assert_eq!(options("--identifier=a.B-1:2 a b").identifier, "a.B-1:2_");
        assert_eq!(options("--source-bwlimit=1.5k a b").source_limit, NonZeroU64::new(1536));
        assert_eq!(options("--target-bwlimit=2M a b").target_limit, NonZeroU64::new(2 << 20));
        assert_eq!(options("--sshconfig=/c --sshkey /k a b").ssh_config, Some(PathBuf::from("/c")));
        assert_eq!(options("--sshkey /k a b").ssh_key, Some(PathBuf::from("/k")));
        assert_eq!(options("--sshport=2222 a b").ssh_port, Some(2222));
        assert_eq!(options("-c aes128-ctr a b").ssh_cipher.as_deref(), Some("aes128-ctr"));
        assert_eq!(options("-o A=1 --sshoption=B=2 a b").ssh_options, ["A=1", "B=2"]);
        assert!(options("--mbuffer-size=1G --pv-options=-p a b").warnings.is_empty());
        assert!(options("--sendoptions=w a b").send.flags.raw);
        assert!(options("--recvoptions=u a b").receive.unmounted);
        let some = options("--include-snaps=^a --exclude-snaps=b$ a b").snapshots;
        assert!(some.takes("a1") && !some.takes("ab") && !some.takes("c"));
    }

    #[test]
    fn an_empty_value_is_none() {
        for line in
            ["identifier", "sendoptions", "recvoptions", "source-bwlimit", "target-bwlimit", "compress"]
        {
            let words = [format!("--{line}"), String::new(), "a".to_string(), "b".to_string()];
            let asked = read(&words.map(OsString::from)).unwrap_or_else(|error| panic!("{line}: {error:?}"));
            let Asked::Run(options) = asked else { panic!("{line}") };
            assert!(options.warnings.is_empty() && options.identifier.is_empty(), "{line}");
        }
        let empty = [
            "--sshkey",
            "",
            "--sshconfig",
            "",
            "--sshcipher",
            "",
            "--insecure-direct-connection",
            "",
            "a",
            "b",
        ];
        let Ok(Asked::Run(options)) = read(&empty.map(OsString::from)) else { panic!("refused") };
        assert!(options.ssh_key.is_none() && options.ssh_config.is_none() && options.ssh_cipher.is_none());
        assert!(options.direct.is_none());
    }

    #[test]
    fn the_old_way_to_exclude_gives_way_to_the_new_one() {
        let old = options("--exclude=x a b");
        assert!(!old.datasets.takes("tank/x") && old.warnings.len() == 1);
        let both = options("--exclude=x --exclude-datasets=y a b");
        assert!(both.datasets.takes("tank/x") && !both.datasets.takes("tank/y"));
    }

    #[test]
    fn what_is_wrong_is_said_as_there() {
        for (line, says) in [
            ("--nonsense a b", "Unknown option: nonsense"),
            ("-x a b", "Unknown option: x"),
            ("--compress", "Option compress requires an argument"),
            ("--recursive=1 a b", "Option recursive does not take an argument"),
            ("--sshport=x a b", "Value \"x\" invalid for option sshport (number expected)"),
            ("a", "WARNING: Source or target not found!"),
            ("a b c", "WARNING: Source or target not found!"),
            ("--identifier=a/b a b", "WARNING: extra identifier contains invalid chars!"),
        ] {
            assert_eq!(refused(line), says, "{line}");
        }
        assert!(refused("--no-s a b").starts_with("Option no-s is ambiguous (no-stream, no-sync-snap)"));
        assert!(refused("--insecure-direct-connection=1.2.3.4 a b").contains("address with a port"));
        assert!(refused("--include-snaps=( a b").contains("pattern"));
        assert!(refused("--source-bwlimit=fast a b").contains("rate"));
        // What can be done is not done by half: all that is wrong is told.
        assert_eq!(refused("--one --two"), "Unknown option: one\nUnknown option: two");
    }

    #[test]
    fn help_and_version_win() {
        assert!(matches!(read_line("--help"), Ok(Asked::Help)));
        assert!(matches!(read_line("-?"), Ok(Asked::Help)));
        assert!(matches!(read_line("--version a"), Ok(Asked::Version)));
    }
}
