//! crontab(5): which lines run when. Those of `/etc/crontab` and `/etc/cron.d` name a user, those of `crontab -e` do not.

use std::path::Path;

use super::Line;
use super::Origin;

/// The lines of a crontab.
pub(super) fn lines(file: &Path, text: &str, names_user: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || is_setting(line) {
            continue;
        }
        let fields = if line.starts_with('@') { 1 } else { 5 };
        let Some((when, rest)) = split(line, fields) else { continue };
        let (user, command) = if names_user {
            match split(rest, 1) {
                Some((user, command)) => (Some(user), command),
                None => continue,
            }
        } else {
            (None, rest)
        };
        lines.push(Line {
            origin: Origin { file: file.to_path_buf(), line: at + 1 },
            when: when.split_whitespace().collect::<Vec<_>>().join(" "),
            user: user.map(str::to_string),
            text: command_of(command),
        });
    }
    lines
}

/// The lines of anacrontab(5): a period, a delay in minutes, a name, and the command, which root runs.
pub(super) fn anacron(file: &Path, text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || is_setting(line) {
            continue;
        }
        let Some((when, command)) = split(line, 3) else { continue };
        let period = when.split_whitespace().next().unwrap_or_default();
        lines.push(Line {
            origin: Origin { file: file.to_path_buf(), line: at + 1 },
            when: match period.strip_prefix('@') {
                Some(name) => name.to_string(),
                None => format!("every {period} days"),
            },
            user: Some("root".to_string()),
            text: command.to_string(),
        });
    }
    lines
}

/// `NAME = value`.
fn is_setting(line: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| {
        let name = name.trim_end();
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// The first fields, and what is behind them.
fn split(line: &str, fields: usize) -> Option<(&str, &str)> {
    let mut rest = line;
    for _ in 0..fields {
        rest = rest.trim_start();
        rest = &rest[rest.find(char::is_whitespace)?..];
    }
    let head = &line[..line.len() - rest.len()];
    Some((head, rest.trim_start()))
}

/// Without what cron gives to the command as its input: behind a percent sign that has no backslash before it.
fn command_of(text: &str) -> String {
    let mut command = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '%' => break,
            '\\' if rest.next_if_eq(&'%').is_some() => command.push('%'),
            c => command.push(c),
        }
    }
    command.trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_time_and_user() {
        let text = "# m h\nSHELL=/bin/sh\nMAILTO = root\n\n*/10 *  * * *\troot  syncoid a b\n@daily root x \\% y % z\n\
                    17 * * * * root\n1 2 3\n";
        let found = lines(Path::new("/etc/crontab"), text, true);
        let shown: Vec<_> = found
            .iter()
            .map(|line| {
                format!(
                    "{} {} [{}] {}",
                    line.origin,
                    line.when,
                    line.user.as_deref().unwrap_or("-"),
                    line.text
                )
            })
            .collect();
        assert_eq!(
            shown,
            ["/etc/crontab:5 */10 * * * * [root] syncoid a b", "/etc/crontab:6 @daily [root] x % y"]
        );
        let own = lines(Path::new("/var/spool/cron/crontabs/root"), "0 3 * * 0 syncoid a b\n", false);
        assert_eq!(
            (own[0].when.as_str(), own[0].text.as_str(), &own[0].user),
            ("0 3 * * 0", "syncoid a b", &None)
        );
    }
}
