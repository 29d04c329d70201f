//! The options of sanoid in the one form that the rest of this front end reads.

use std::ffi::OsString;

use crate::cli::compat::getopt;
use crate::cli::compat::getopt::Found;
use crate::cli::compat::getopt::Known;
use crate::cli::compat::getopt::Takes;

const fn flag(names: &'static [&'static str]) -> Known {
    Known { names, takes: Takes::Nothing }
}

const fn value(names: &'static [&'static str]) -> Known {
    Known { names, takes: Takes::Text }
}

const TABLE: [Known; 18] = [
    flag(&["verbose"]),
    flag(&["debug"]),
    flag(&["cron"]),
    flag(&["readonly"]),
    flag(&["quiet"]),
    flag(&["monitor-health"]),
    flag(&["force-update"]),
    flag(&["monitor-snapshots"]),
    flag(&["take-snapshots"]),
    flag(&["prune-snapshots"]),
    flag(&["force-prune"]),
    flag(&["monitor-capacity"]),
    flag(&["version"]),
    flag(&["help", "?"]),
    value(&["configdir"]),
    value(&["cache-dir"]),
    value(&["run-dir"]),
    value(&["cache-ttl"]),
];

/// The same options in their full form, and the words that are none.
pub(super) fn normal(arguments: &[OsString]) -> (Vec<OsString>, Vec<String>) {
    let (mut all, mut words) = (Vec::new(), Vec::new());
    for found in getopt::read(&TABLE, arguments) {
        match found {
            Found::Option { name, value } => {
                let mut option = OsString::from(format!("--{name}"));
                if let Some(value) = value {
                    option.push("=");
                    option.push(value);
                }
                all.push(option);
            }
            Found::Word(word) => words.push(word.to_string_lossy().into_owned()),
            // What it is called where it is refused.
            Found::Wrong { written, .. } => all.push(format!("--{written}").into()),
        }
    }
    (all, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (String, Vec<String>) {
        let (options, words) = normal(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        let options: Vec<_> = options.iter().map(|option| option.to_string_lossy().into_owned()).collect();
        (options.join(" "), words)
    }

    #[test]
    fn options_are_read_as_perl_reads_them() {
        for (line, options) in [
            ("--cron --verbose", "--cron --verbose"),
            // It could be verbose or version.
            ("-cron -V --quiet", "--cron --V --quiet"),
            ("--CRON --monitor-h --take", "--cron --monitor-health --take-snapshots"),
            ("--configdir /etc/x --cache-ttl=5", "--configdir=/etc/x --cache-ttl=5"),
            ("-conf=/a=b -run /r", "--configdir=/a=b --run-dir=/r"),
            ("-?", "--help"),
            ("--monitor --nonsense=3 --force", "--monitor --nonsense --force"),
        ] {
            assert_eq!(read(line), (options.to_string(), Vec::new()), "{line}");
        }
    }

    #[test]
    fn words_are_told_apart() {
        assert_eq!(
            read("a --cron b -- --verbose"),
            ("--cron".to_string(), ["a", "b", "--verbose"].map(str::to_string).to_vec())
        );
        assert_eq!(read("--configdir").0, "--configdir");
    }
}
