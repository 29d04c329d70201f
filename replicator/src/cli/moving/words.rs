//! Finds the calls of sanoid and syncoid in a line of a shell. Only what is the same in every shell is read: words,
//! quotes, operators. A call in which the shell would put something in place, a variable or the output of a command,
//! is not guessed at: it is told as unclear.

/// Something that a line says about one of the two programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A call with its arguments.
    Call(super::Program, Vec<String>),
    /// A call that cannot be followed, and why.
    Unclear(&'static str),
    /// Another program is called, which may be a script: its path, or its name where `PATH` is asked.
    Other(String),
    /// A shell is given this file, with or without a first line that says so.
    Script(String),
    /// An interpreter of another language is given this file.
    Foreign(String),
}

/// Programs that start another one, whose name stands among their arguments.
const STARTERS: [&str; 22] = [
    "nice",
    "ionice",
    "chrt",
    "timeout",
    "flock",
    "su",
    "cronic",
    "env",
    "sudo",
    "doas",
    "setsid",
    "nohup",
    "time",
    "chronic",
    "exec",
    "command",
    "taskset",
    "systemd-cat",
    "systemd-inhibit",
    "systemd-run",
    "runuser",
    "stdbuf",
];

/// Words of the shell that stand before a command.
const BEFORE: [&str; 9] = ["if", "then", "else", "elif", "do", "while", "until", "!", "{"];

/// Programs that only name what they are given: what they say of the two is no call.
const NAMES_ONLY: [&str; 46] = [
    "echo",
    "printf",
    "logger",
    "mail",
    "curl",
    "wget",
    "test",
    "[",
    "[[",
    "case",
    "which",
    "type",
    "hash",
    "man",
    "pgrep",
    "pkill",
    "killall",
    "kill",
    "ps",
    "grep",
    "egrep",
    "sed",
    "awk",
    "cut",
    "sort",
    "head",
    "tail",
    "cat",
    "ls",
    "rm",
    "touch",
    "mkdir",
    "cp",
    "mv",
    "ln",
    "chmod",
    "apt",
    "apt-get",
    "dpkg",
    "systemctl",
    "journalctl",
    "for",
    "done",
    "fi",
    "esac",
    "}",
];

/// Interpreters, by how their names begin.
const LANGUAGES: [&str; 5] = ["python", "perl", "ruby", "php", "node"];

const SHELLS: [&str; 4] = ["sh", "bash", "dash", "zsh"];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word {
        text: String,
        /// The shell would put nothing in place.
        plain: bool,
    },
    /// What ends a command.
    End,
    /// What sends input or output elsewhere: the next word is where.
    Redirection,
}

/// What lines of a shell say, in order.
pub(super) fn calls(text: &str) -> Vec<Said> {
    let tokens = tokens(text);
    let mut said = Vec::new();
    let mut folder = None;
    for command in tokens.split(|token| *token == Token::End) {
        let mut words = Vec::new();
        let mut skip = false;
        for token in command {
            match token {
                Token::Redirection => skip = true,
                Token::Word { .. } if skip => skip = false,
                Token::Word { text, plain } => words.push((text.as_str(), *plain)),
                Token::End => {}
            }
        }
        if let [("cd", _), (path, true)] = words.as_slice() {
            folder = path.starts_with('/').then(|| (*path).to_string());
        }
        said.extend(command_of(&words).into_iter().map(|one| from(folder.as_deref(), one)));
    }
    said
}

/// What was said where the working directory is this one.
fn from(folder: Option<&str>, said: Said) -> Said {
    let is_relative = |path: &str| path.contains('/') && !path.starts_with('/');
    match (said, folder) {
        (Said::Other(path), Some(folder)) if is_relative(&path) => Said::Other(joined(folder, &path)),
        (Said::Script(path), Some(folder)) if !path.starts_with('/') => Said::Script(joined(folder, &path)),
        (said, _) => said,
    }
}

fn joined(folder: &str, path: &str) -> String {
    format!("{}/{}", folder.trim_end_matches('/'), path.trim_start_matches("./"))
}

fn name_of(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn program(word: &str) -> Option<super::Program> {
    match name_of(word) {
        "syncoid" => Some(super::Program::Syncoid),
        "sanoid" => Some(super::Program::Sanoid),
        _ => None,
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn command_of(words: &[(&str, bool)]) -> Vec<Said> {
    let begins = words.iter().position(|(word, _)| !BEFORE.contains(word) && !is_assignment(word));
    let Some(words) = begins.map(|at| &words[at..]) else { return Vec::new() };
    let Some((first, plain)) = words.first() else { return Vec::new() };
    if program(first).is_some() {
        return vec![call(words)];
    }
    let name = name_of(first);
    let mentioned = || words.iter().any(|(word, _)| mentions(word));
    if SHELLS.contains(&name) {
        // sh -c 'a line', or sh FILE.
        return match words.iter().position(|(word, _)| word.starts_with('-') && word.ends_with('c')) {
            Some(at) => match words.get(at + 1) {
                Some((line, true)) => calls(line),
                Some(_) if mentioned() => {
                    vec![Said::Unclear("the shell puts something in place in the line")]
                }
                _ => Vec::new(),
            },
            None => words[1..]
                .iter()
                .find(|(word, _)| !word.starts_with(['-', '+']))
                .filter(|(_, plain)| *plain)
                .map(|(word, _)| Said::Script((*word).to_string()))
                .into_iter()
                .collect(),
        };
    }
    if name == "command" && words.get(1).is_some_and(|(word, _)| matches!(*word, "-v" | "-V")) {
        return Vec::new();
    }
    if STARTERS.contains(&name) {
        let words = if name == "flock" { without_lock(words) } else { words };
        if let Some(at) = words.iter().skip(1).position(|(word, _)| program(word).is_some()) {
            return vec![call(&words[at + 1..])];
        }
        // flock FILE -c 'a line'
        if let Some(at) = words.iter().position(|(word, _)| *word == "-c")
            && let Some((line, true)) = words.get(at + 1)
        {
            return calls(line);
        }
        let inner = words.iter().skip(1).position(|(word, _)| word.contains('/') || SHELLS.contains(word));
        // Its options and their values are words like the name of a program: a script among them is known by what it says.
        let bare = || {
            let plain = words.iter().skip(1).filter(|(word, plain)| *plain && !word.starts_with('-'));
            plain.map(|(word, _)| Said::Other((*word).to_string())).collect()
        };
        return inner.map_or_else(bare, |at| command_of(&words[at + 1..]));
    }
    if name == "ssh" && mentioned() {
        return vec![Said::Unclear("it runs on another machine: import it there")];
    }
    if name == "eval" && mentioned() {
        return vec![Said::Unclear("the shell makes the line while it runs")];
    }
    if LANGUAGES.iter().any(|language| name.starts_with(language)) {
        let file = words[1..].iter().find(|(word, plain)| *plain && word.starts_with('/'));
        let file = file.map(|(word, _)| Said::Foreign((*word).to_string()));
        return file
            .into_iter()
            .chain(mentioned().then_some(Said::Unclear("another program is told of it")))
            .collect();
    }
    match plain {
        true if NAMES_ONLY.contains(&name) => Vec::new(),
        true if mentioned() && !first.contains('/') => {
            vec![Said::Other((*first).to_string()), Said::Unclear("another program is told of it")]
        }
        true => vec![Said::Other((*first).to_string())],
        // A program in a variable, as in $SYNCOID.
        false if mentions(&first.to_ascii_lowercase()) => {
            vec![Said::Unclear("the program is in a variable of the shell")]
        }
        false => Vec::new(),
    }
}

/// A call of flock(1) without the file that is locked, which may have any name.
fn without_lock<'w, 's>(words: &'w [(&'s str, bool)]) -> &'w [(&'s str, bool)] {
    let mut at = 1;
    while let Some((word, _)) = words.get(at) {
        at += match *word {
            "-w" | "--wait" | "--timeout" | "-E" | "--conflict-exit-code" => 2,
            option if option.starts_with('-') => 1,
            _ => return words.get(at..).unwrap_or_default(),
        };
    }
    &[]
}

fn call(words: &[(&str, bool)]) -> Said {
    let Some(program) = words.first().and_then(|(word, _)| program(word)) else {
        return Said::Unclear("no program is named");
    };
    if words.iter().any(|(_, plain)| !plain) {
        return Said::Unclear(
            "the shell puts something in place: write its command out in a file of its own",
        );
    }
    Said::Call(program, words[1..].iter().map(|(word, _)| (*word).to_string()).collect())
}

/// Whether a text is about one of the two programs at all.
pub(super) fn mentions(text: &str) -> bool {
    text.contains("syncoid") || text.contains("sanoid")
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word: Option<(String, bool)> = None;
    let mut rest = text.chars().peekable();
    let end = |word: &mut Option<(String, bool)>, tokens: &mut Vec<Token>| {
        if let Some((text, plain)) = word.take() {
            tokens.push(Token::Word { text, plain });
        }
    };
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('\n') | None => {}
                Some(c) => word.get_or_insert_default_word().0.push(c),
            },
            '\'' => {
                let inside = word.get_or_insert_default_word();
                inside.0.extend(rest.by_ref().take_while(|c| *c != '\''));
            }
            '"' => {
                let inside = word.get_or_insert_default_word();
                while let Some(c) = rest.next() {
                    match c {
                        '"' => break,
                        '\\' => match rest.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => inside.0.push(c),
                            Some('\n') | None => {}
                            Some(c) => inside.0.extend(['\\', c]),
                        },
                        c => {
                            inside.1 &=
                                !(c == '`' || c == '$' && begins_name(rest.peek().filter(|c| **c != '"')));
                            inside.0.push(c);
                        }
                    }
                }
            }
            '#' if word.is_none() => while rest.next_if(|c| *c != '\n').is_some() {},
            '\n' | ';' | '|' | '(' | ')' => {
                end(&mut word, &mut tokens);
                tokens.push(Token::End);
            }
            '&' => {
                end(&mut word, &mut tokens);
                // &> sends both outputs elsewhere.
                match rest.next_if_eq(&'>') {
                    Some(_) => {
                        rest.next_if_eq(&'>');
                        tokens.push(Token::Redirection);
                    }
                    None => tokens.push(Token::End),
                }
            }
            '>' | '<' => {
                // A number before it says which.
                if word.as_ref().is_some_and(|(text, _)| text.chars().all(|c| c.is_ascii_digit())) {
                    word = None;
                }
                end(&mut word, &mut tokens);
                while rest.next_if(|c| matches!(c, '>' | '<' | '&' | '|')).is_some() {}
                tokens.push(Token::Redirection);
            }
            c if c.is_whitespace() => end(&mut word, &mut tokens),
            c => {
                let inside = word.get_or_insert_default_word();
                inside.1 &= match c {
                    '`' | '*' | '?' | '[' | '{' => false,
                    '$' => !begins_name(rest.peek()),
                    _ => true,
                };
                inside.0.push(c);
            }
        }
    }
    end(&mut word, &mut tokens);
    tokens
}

/// Whether a dollar sign before this means something: at the end of a pattern it does not.
fn begins_name(next: Option<&char>) -> bool {
    next.is_some_and(|c| c.is_ascii_alphanumeric() || "_({*@#?-$!'\"".contains(*c))
}

trait Begin {
    /// The word at hand, begun where there is none.
    fn get_or_insert_default_word(&mut self) -> &mut (String, bool);
}

impl Begin for Option<(String, bool)> {
    fn get_or_insert_default_word(&mut self) -> &mut (String, bool) {
        self.get_or_insert_with(|| (String::new(), true))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Program;
    use super::*;

    fn only(text: &str) -> String {
        let shown: Vec<String> = calls(text)
            .into_iter()
            .map(|said| match said {
                Said::Call(Program::Syncoid, arguments) => format!("syncoid[{}]", arguments.join("|")),
                Said::Call(Program::Sanoid, arguments) => format!("sanoid[{}]", arguments.join("|")),
                Said::Unclear(_) => "unclear".to_string(),
                Said::Other(path) => path,
                Said::Script(path) | Said::Foreign(path) => format!("<{path}"),
            })
            .collect();
        shown.join(" ")
    }

    #[test]
    fn calls_are_found_wherever_a_shell_would_make_them() {
        for (line, found) in [
            ("syncoid -r a/b c/d", "syncoid[-r|a/b|c/d]"),
            ("/usr/sbin/syncoid a b >> /var/log/x 2>&1", "syncoid[a|b]"),
            ("syncoid a b 2>/dev/null | logger; sanoid --cron", "syncoid[a|b] sanoid[--cron]"),
            ("nice -n 19 ionice -c3 /usr/bin/syncoid a b &", "syncoid[a|b]"),
            ("flock -n /run/x.lock syncoid 'a/with space' \"b/c\"", "syncoid[a/with space|b/c]"),
            ("flock -n /run/x.lock -c 'syncoid a b && syncoid c d'", "syncoid[a|b] syncoid[c|d]"),
            ("bash -c \"syncoid a b\"", "syncoid[a|b]"),
            ("/bin/sh -ec 'syncoid a b'", "syncoid[a|b]"),
            (
                "TZ=UTC A=1 syncoid --exclude-datasets='^a(b|c)$' x y",
                "syncoid[--exclude-datasets=^a(b|c)$|x|y]",
            ),
            ("syncoid a \\\n  b", "syncoid[a|b]"),
            ("if syncoid a b; then curl x; fi", "syncoid[a|b]"),
            ("(syncoid a b)", "syncoid[a|b]"),
            ("syncoid --exclude-datasets=/tmp$ a b", "syncoid[--exclude-datasets=/tmp$|a|b]"),
            ("syncoid \"--exclude-datasets=/tmp$\" a b", "syncoid[--exclude-datasets=/tmp$|a|b]"),
            ("syncoid a b &>/dev/null", "syncoid[a|b]"),
            ("test -x /usr/sbin/syncoid && /usr/sbin/syncoid a b", "syncoid[a|b]"),
            ("/usr/local/bin/replicate.sh now", "/usr/local/bin/replicate.sh"),
            ("bash /root/replicate.sh", "</root/replicate.sh"),
            ("sh -e replicate", "<replicate"),
            ("cd /root && ./replicate.sh; bash more.sh", "cd /root/replicate.sh </root/more.sh"),
            ("/usr/bin/python3 -u /root/copy.py now", "</root/copy.py"),
            ("replicate.sh now", "replicate.sh"),
            ("flock -n /run/lock/syncoid syncoid a b", "syncoid[a|b]"),
            ("flock -w 5 /run/lock/syncoid /root/r.sh", "/root/r.sh"),
            ("su - backup -c 'syncoid a b'", "syncoid[a|b]"),
            ("command -v syncoid && syncoid a b", "syncoid[a|b]"),
            ("nice -n 5 /root/replicate.sh", "/root/replicate.sh"),
            ("env TZ=UTC syncoid a b", "syncoid[a|b]"),
            ("nice -n 19 replicate", "19 replicate"),
        ] {
            assert_eq!(only(line), found, "{line}");
        }
    }

    #[test]
    fn what_the_shell_would_put_in_place_is_not_guessed_at() {
        for line in [
            "for i in a b; do syncoid tank/$i backup/$i; done",
            "syncoid \"$SRC\" b",
            "syncoid `cat x` b",
            "syncoid tank/* b",
            "$SYNCOID a b",
            "ssh root@nas syncoid a b",
            "eval syncoid a b",
            "bash -c \"syncoid $A b\"",
        ] {
            assert_eq!(only(line), "unclear", "{line}");
        }
        // Another program may do anything with it.
        assert_eq!(only("xargs -n1 syncoid a"), "xargs unclear");
        assert_eq!(only("parallel syncoid tank/{} b/{} ::: x y"), "parallel unclear");
    }

    #[test]
    fn what_is_no_call_is_none() {
        for line in [
            "# syncoid a b",
            "echo syncoid a b",
            "pgrep -f syncoid",
            "zfs list | grep syncoid",
            "",
            "apt-get install sanoid",
            "echo 'unfinished syncoid a b",
        ] {
            let said = calls(line);
            assert!(
                said.iter().all(|one| matches!(one, Said::Other(name) if !name.contains('/'))),
                "{line}: {said:?}"
            );
        }
    }
}
