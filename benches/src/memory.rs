//! The greatest process of the other machine during a run. Nobody there waits for what a run starts, so it is looked at while
//! it is there: the most that a process ever had only grows, and twenty looks a second miss little of it. What was there
//! before does not count. The looks cost CPU time, so they are only taken where memory is what is asked for.

use crate::error::BenchError;
use crate::error::Result;
use crate::shell::Shell;

/// Where the looks are written down on another machine, where this is root.
pub const FILE: &str = "/run/zfs-bench-memory";

/// Looks until it is ended. Builtins only, but for one process at the start: what a look itself starts would be in it.
const WATCH: &str = r#"
cd /proc
known=" "
for one in [0-9]*; do known+="$one "; done
(
    set +eu
    exec {nap}<> <(:)
    most=0
    while :; do
        for one in [0-9]*; do
            [[ $known == *" $one "* || $one == "$BASHPID" ]] && continue
            while read -r name value _; do
                [[ $name == VmHWM: ]] || continue
                if ((value > most)); then most=$value; echo "$most" >> FILE; fi
                break
            done < "$one/status"
        done
        read -r -t 0.05 -u "$nap"
    done
) < /dev/null > /dev/null 2>&1 &
echo $! > FILE.pid"#;

/// Begins to look, and to write into a file of the machine.
///
/// # Errors
/// Where the machine does not do it.
pub fn watch(shell: &mut Shell, file: &str) -> Result<()> {
    shell.run(&format!("rm -f {file} {file}.pid\n{}", WATCH.replace("FILE", file))).map(drop)
}

/// Ends it. The most memory that one of the processes since had, in bytes; nothing where none was seen.
///
/// # Errors
/// Where what was seen cannot be read.
pub fn watched(shell: &mut Shell, file: &str) -> Result<Option<u64>> {
    let said = shell.run(&format!(
        "kill -KILL \"$(< {file}.pid)\"\nif [ -e {file} ]; then cat {file}; fi\nrm -f {file} {file}.pid"
    ))?;
    most(&said)
}

fn most(said: &str) -> Result<Option<u64>> {
    let mut most = None;
    for line in said.lines() {
        let kilobytes: u64 = line.trim().parse().map_err(|_| {
            BenchError::Unfit(format!("the memory of processes cannot be read from {line:?}"))
        })?;
        most = most.max(Some(kilobytes * 1024));
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_most_of_all_looks_counts() {
        assert_eq!(most("1000\n3000\n").expect("read"), Some(3000 * 1024));
        assert_eq!(most("").expect("read"), None);
        assert!(most("zfs-bench: no").is_err());
    }

    #[test]
    fn a_new_process_is_seen_and_its_memory_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("memory").display().to_string();
        let mut shell = Shell::here().expect("a shell");
        watch(&mut shell, &file).expect("watched");
        // About 100 MB, all of it touched, and there until it is killed.
        let mut held = std::process::Command::new("/bin/bash")
            .args(["-c", "text=$(head -c 100000000 /dev/zero | tr '\\0' x); read -r _"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("started");
        for _ in 0..300 {
            std::thread::sleep(Duration::from_millis(100));
            let seen = std::fs::read_to_string(&file).unwrap_or_default();
            if seen.lines().filter_map(|line| line.parse::<u64>().ok()).max() > Some(90_000) {
                break;
            }
        }
        let most = watched(&mut shell, &file).expect("read");
        held.kill().expect("killed");
        held.wait().expect("waited for");
        assert!(most > Some(90_000_000), "{most:?}");
    }
}
