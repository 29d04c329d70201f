//! What is quoted goes through every login shell that this machine has.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use proptest::prelude::*;

use super::*;

/// The shells of this list that exist here. `sh` exists everywhere, so no test below checks nothing.
fn shells() -> Vec<PathBuf> {
    let folders: Vec<_> = std::env::split_paths(&std::env::var_os("PATH").expect("a PATH")).collect();
    let found: Vec<_> = ["sh", "dash", "bash", "zsh", "ksh", "csh", "tcsh", "fish"]
        .into_iter()
        .filter_map(|name| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()))
        .collect();
    assert!(found.iter().any(|path| path.ends_with("sh")));
    found
}

/// A program called `zfs` that prints its arguments, each ended by a NUL: what is tested is the two shells
/// between us and it.
fn echo_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("zfs");
    std::fs::write(&program, "#!/bin/sh\nprintf '%s\\0' \"$@\"\n").expect("written");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("executable");
    folder
}

fn run(shell: &Path, folder: &Path, command_line: &str) -> Vec<u8> {
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let output = Command::new(shell)
        .args(["-c", command_line])
        .env("PATH", path)
        .env("HOME", folder)
        .output()
        .expect("the shell runs");
    assert!(output.status.success(), "{}: {}", shell.display(), String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn arrives(shell: &Path, folder: &Path, arguments: &[&str]) {
    let line = Script::zfs(arguments).expect("no NUL").command_line();
    let expected: Vec<u8> = arguments.iter().flat_map(|a| [a.as_bytes(), b"\0"].concat()).collect();
    let got = run(shell, folder, &line);
    assert_eq!(
        got,
        expected,
        "{} made {:?} of {arguments:?}\n{line}",
        shell.display(),
        String::from_utf8_lossy(&got)
    );
}

#[test]
fn a_program_gets_hostile_arguments_unchanged_through_every_login_shell() {
    let folder = echo_folder();
    let path = folder.path().join("it's a $(reboot)\\!");
    std::fs::rename(folder.path().join("zfs"), &path).expect("renamed");
    let arguments = ["agent", "--root", "tank/with a space", "it's\n", "$HOME;!`x`\\"];
    let name = path.to_str().expect("UTF-8");
    let line = program(Elevate::No, name, arguments).expect("no NUL");
    let expected: Vec<u8> = arguments.iter().flat_map(|a| [a.as_bytes(), b"\0"].concat()).collect();
    for shell in shells() {
        assert_eq!(run(&shell, folder.path(), &line), expected, "{}", shell.display());
    }
    assert!(program(Elevate::No, "a\0b", [""; 0]).is_err());
    assert!(program(Elevate::Sudo, "x", ["y"]).expect("no NUL").contains("exec sudo -n "));
}

#[test]
fn hostile_arguments_arrive_unchanged_through_every_login_shell() {
    let folder = echo_folder();
    for shell in shells() {
        for argument in [
            "",
            " ",
            "pool/with a space",
            "'",
            "''",
            "it's",
            "\"",
            "\\",
            "\\\\",
            "\\'",
            "'\\''",
            "!",
            "!!",
            "a!b",
            "\\!",
            "$HOME",
            "${HOME}",
            "$(touch pwned)",
            "`touch pwned`",
            "a;b",
            "a&b",
            "a|b",
            "a>b",
            "*",
            "?",
            "[a]",
            "{a,b}",
            "~",
            "~root",
            "^a",
            "#a",
            "%self",
            "=ls",
            "-rf",
            "--",
            "\t",
            "\n",
            "a\nb",
            "\n\n",
            "a\n",
            "\r",
            "\u{7f}\u{1b}[31m",
            "é漢字",
            "(a)",
            "<a>",
            "$nl",
            "'$nl'",
            "@a#b",
        ] {
            arrives(&shell, folder.path(), &["receive", argument, "end"]);
        }
    }
}

#[test]
fn commands_run_in_order_and_stop_at_the_first_failure() {
    let folder = echo_folder();
    let script = Script::zfs(["one"]).and_then(|s| s.and_zfs(["two"])).expect("no NUL");
    assert_eq!(run(Path::new("/bin/sh"), folder.path(), &script.command_line()), b"one\0two\0");
}

#[test]
fn a_machine_without_zfs_is_told_apart() {
    let empty = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink("/bin/sh", empty.path().join("sh")).expect("linked");
    // The shell looks in the sbin folders too, so this holds only where they have no zfs.
    if ["/usr/local/sbin/zfs", "/usr/sbin/zfs", "/sbin/zfs"].iter().any(|p| Path::new(p).exists()) {
        eprintln!("skipped: this machine has a zfs command");
        return;
    }
    let output = Command::new("/bin/sh")
        .args(["-c", &Script::zfs(["list"]).expect("no NUL").command_line()])
        .env("PATH", empty.path())
        .output()
        .expect("sh runs");
    assert_eq!(output.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&output.stderr).contains(NO_ZFS));
}

#[test]
fn a_nul_is_refused() {
    assert_eq!(Script::zfs(["a\0b"]).err(), Some(NulArgument));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_text_without_nul_arrives_unchanged(argument in r#"[^\x00]{0,40}"#) {
        let folder = echo_folder();
        for shell in shells() {
            arrives(&shell, folder.path(), &[&argument]);
        }
    }

    #[test]
    fn any_text_of_the_dangerous_characters_arrives_unchanged(argument in r#"['"\\!$`\n {}()*~^x-]{0,20}"#) {
        let folder = echo_folder();
        for shell in shells() {
            arrives(&shell, folder.path(), &[&argument]);
        }
    }
}
