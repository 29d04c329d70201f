//! Units of systemd: what a service starts (systemd.service(5)), and when its timer does (systemd.timer(5)).

use std::path::Path;
use std::path::PathBuf;

use super::Origin;

/// A setting of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) origin: Origin,
    pub(super) section: String,
    pub(super) name: String,
    pub(super) value: String,
}

/// The settings of a unit: those of its file, then those of files that add to it.
pub(super) fn settings(files: &[(PathBuf, String)]) -> Vec<Setting> {
    files.iter().flat_map(|(file, text)| of_file(file, text)).collect()
}

fn of_file(file: &Path, text: &str) -> Vec<Setting> {
    let mut all = Vec::new();
    let mut section = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_string();
            continue;
        }
        let mut whole = line.to_string();
        while let Some(head) = whole.strip_suffix('\\') {
            whole = head.trim_end().to_string();
            // Comments between the lines of a setting are passed over.
            let next = lines.by_ref().map(|(_, line)| line.trim()).find(|line| !line.starts_with(['#', ';']));
            let Some(next) = next else { break };
            whole.push(' ');
            whole.push_str(next);
        }
        if let Some((name, value)) = whole.split_once('=') {
            all.push(Setting {
                origin: Origin { file: file.to_path_buf(), line: at + 1 },
                section: section.clone(),
                name: name.trim().to_string(),
                value: value.trim().to_string(),
            });
        }
    }
    all
}

/// What a setting that makes a list comes to: an empty value begins anew.
pub(super) fn list<'s>(settings: &'s [Setting], section: &str, name: &str) -> Vec<&'s Setting> {
    let mut list = Vec::new();
    for setting in settings.iter().filter(|one| one.section == section && one.name == name) {
        if setting.value.is_empty() {
            list.clear();
        } else {
            list.push(setting);
        }
    }
    list
}

/// The last value of a setting.
pub(super) fn value<'s>(settings: &'s [Setting], section: &str, name: &str) -> Option<&'s str> {
    list(settings, section, name).last().map(|setting| setting.value.as_str())
}

/// The command of an `ExecStart=` as a shell would read it: without the marks before it, `%%` and `$$` as what they stand
/// for. None where systemd puts something in place that only it knows.
pub(super) fn command(value: &str) -> Option<String> {
    let value = value.trim_start_matches(['-', '@', ':', '+', '!', '|']);
    let mut command = String::new();
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        match c {
            '%' => match rest.next() {
                Some('%') => command.push('%'),
                _ => return None,
            },
            // No shell takes part: what is an operator there is a word here.
            c @ (';' | '&' | '|' | '<' | '>' | '(' | ')' | '#' | '*' | '?' | '[' | '{' | '`') => {
                command.push('\\');
                command.push(c);
            }
            c => command.push(c),
        }
    }
    // A quote protects what would be protected twice.
    Some(if command.contains(['\'', '"']) { value.replace("%%", "%") } else { command })
}

/// When a timer elapses, in its own words.
pub(super) fn times(settings: &[Setting]) -> String {
    let of_timer = settings.iter().filter(|one| one.section == "Timer" && one.name.starts_with("On"));
    let words: Vec<_> = of_timer.map(|one| format!("{}={}", one.name, one.value)).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_joined_and_begun_anew() {
        let main = "[Unit]\nDescription=x\n[Service]\nExecStart=/usr/sbin/syncoid \\\n  # why\n  -r a \\\n  b\n\
                    ExecStart=-/usr/sbin/syncoid c d\n";
        let more = "[Service]\nExecStart=\nExecStart=/bin/e\n";
        let unit = |text: &str| (PathBuf::from("/etc/systemd/system/s.service"), text.to_string());
        let one = settings(&[unit(main)]);
        let started: Vec<_> =
            list(&one, "Service", "ExecStart").iter().map(|one| one.value.clone()).collect();
        assert_eq!(started, ["/usr/sbin/syncoid -r a b", "-/usr/sbin/syncoid c d"]);
        assert_eq!(list(&one, "Service", "ExecStart")[0].origin.line, 4);
        let both = settings(&[unit(main), unit(more)]);
        assert_eq!(list(&both, "Service", "ExecStart").len(), 1);
        assert_eq!(value(&both, "Service", "ExecStart"), Some("/bin/e"));
    }

    #[test]
    fn a_command_is_read_without_a_shell() {
        assert_eq!(command("-/usr/sbin/syncoid a b").as_deref(), Some("/usr/sbin/syncoid a b"));
        assert_eq!(command("/x %i"), None);
        assert_eq!(command("/x 100%%").as_deref(), Some("/x 100%"));
        assert_eq!(command("/x a; b").as_deref(), Some("/x a\\; b"));
        assert_eq!(command("/x 'a;b'").as_deref(), Some("/x 'a;b'"));
    }

    #[test]
    fn times_are_those_of_the_timer() {
        let text = "[Timer]\nOnBootSec=5min\nOnUnitActiveSec=10min\nAccuracySec=1min\n[Install]\nWantedBy=timers.target\n";
        let timer = settings(&[(PathBuf::from("/t.timer"), text.to_string())]);
        assert_eq!(times(&timer), "OnBootSec=5min, OnUnitActiveSec=10min");
    }
}
