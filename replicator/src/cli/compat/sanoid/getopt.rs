//! Options as Getopt::Long of Perl takes them, which people's timers and scripts rely on: one dash or two, any case, as
//! few letters as are clear, a value behind `=` or as the next word, words that are no options anywhere.

use std::ffi::OsString;

/// Options that say yes.
const FLAGS: [&str; 14] = [
    "verbose",
    "debug",
    "cron",
    "readonly",
    "quiet",
    "monitor-health",
    "force-update",
    "monitor-snapshots",
    "take-snapshots",
    "prune-snapshots",
    "force-prune",
    "monitor-capacity",
    "version",
    "help",
];
/// Options with a value.
const VALUES: [&str; 4] = ["configdir", "cache-dir", "run-dir", "cache-ttl"];

/// The same options in their full form, and the words that are none.
pub(super) fn normal(arguments: &[OsString]) -> (Vec<OsString>, Vec<String>) {
    let (mut all, mut words) = (Vec::new(), Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(text) = argument.to_str() else {
            words.push(argument.to_string_lossy().into_owned());
            continue;
        };
        if text == "--" {
            words.extend(rest.map(|word| word.to_string_lossy().into_owned()));
            break;
        }
        let name = text.strip_prefix("--").or_else(|| text.strip_prefix('-')).unwrap_or_default();
        if name.is_empty() {
            words.push(text.to_string());
            continue;
        }
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (name, None),
        };
        let full = if name == "?" { Some("help") } else { full(&name.to_ascii_lowercase()) };
        let Some(full) = full else {
            // What it is called where it is refused.
            all.push(format!("--{name}").into());
            continue;
        };
        match value {
            Some(value) => all.push(format!("--{full}={value}").into()),
            None => {
                all.push(format!("--{full}").into());
                if VALUES.contains(&full) {
                    all.extend(rest.next().cloned());
                }
            }
        }
    }
    (all, words)
}

/// The option that some letters stand for.
fn full(name: &str) -> Option<&'static str> {
    let all = || FLAGS.into_iter().chain(VALUES);
    if let Some(exact) = all().find(|option| *option == name) {
        return Some(exact);
    }
    let mut fitting = all().filter(|option| option.starts_with(name));
    fitting.next().filter(|_| fitting.next().is_none())
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
            ("-cron -V --quiet", "--cron -- --quiet"),
            ("--CRON --monitor-h --take", "--cron --monitor-health --take-snapshots"),
            ("--configdir /etc/x --cache-ttl=5", "--configdir /etc/x --cache-ttl=5"),
            ("-conf=/a=b -run /r", "--configdir=/a=b --run-dir /r"),
            ("-?", "--help"),
            ("--monitor --nonsense=3 --force", "--monitor --nonsense --force"),
        ] {
            // `-V` could be verbose or version.
            let options = options.replace("-- ", "--V ");
            assert_eq!(read(line), (options, Vec::new()), "{line}");
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
