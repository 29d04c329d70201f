//! Running a test in a process of its own, or in a thread with other rights.
//!
//! Counting threads, sending signals and dying by SIGKILL would disturb the tests beside, so such a test starts the test
//! binary again for itself alone.

use std::process::Command;
use std::thread;

use rustix::process::Gid;
use rustix::process::Uid;

const ALONE: &str = "SCENARIOS_ALONE";

/// Runs `body` in a process in which nothing else happens. `name` is the test's own path, such as `signals::storm`.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    if is_alone(name, "") {
        return body();
    }
    let output = command(name, "").output().expect("start again");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The count proves that the name is right: a filter that matches nothing succeeds as well.
    assert!(output.status.success() && said.contains("1 passed"), "{}\n{said}", output.status);
    println!("{said}");
}

/// Whether this process was started for this test in this role.
pub(crate) fn is_alone(name: &str, role: &str) -> bool {
    std::env::var(ALONE).is_ok_and(|value| value == format!("{name}/{role}"))
}

/// The test binary again, for one test and a role that the test asks for with [`is_alone`].
pub(crate) fn command(name: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.args([name, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"]);
    command.env(ALONE, format!("{name}/{role}"));
    command
}

/// Runs `work` as the user nobody, in a thread: the kernel keeps user and group ids per thread.
pub(crate) fn unprivileged<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let as_nobody = || {
        let (uid, gid) = (Uid::from_raw(65534), Gid::from_raw(65534));
        rustix::thread::set_thread_groups(&[]).expect("give up groups; these tests run as root");
        rustix::thread::set_thread_res_gid(gid, gid, gid).expect("change the group");
        rustix::thread::set_thread_res_uid(uid, uid, uid).expect("change the user");
        work()
    };
    thread::scope(|scope| scope.spawn(as_nobody).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// How many threads and open files this process has.
fn threads_and_files() -> (usize, usize) {
    let count = |folder| std::fs::read_dir(folder).expect("/proc").count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// As [`threads_and_files`], once they are as `expected`, or after ten seconds. A thread that was joined stays in /proc
/// for a moment: the kernel wakes who waits for it before it takes the entry away.
pub(crate) fn threads_and_files_settled(expected: (usize, usize)) -> (usize, usize) {
    for _ in 0..1000 {
        if threads_and_files() == expected {
            break;
        }
        thread::sleep(std::time::Duration::from_millis(10));
    }
    threads_and_files()
}

/// As [`threads_and_files`], once they have stayed the same for half a second: the count to compare with later.
pub(crate) fn threads_and_files_at_rest() -> (usize, usize) {
    let mut last = threads_and_files();
    let mut same = 0;
    while same < 50 {
        thread::sleep(std::time::Duration::from_millis(10));
        let now = threads_and_files();
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    last
}

/// Whether this process has a thread of that name.
pub(crate) fn has_thread(name: &str) -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc");
    tasks
        .flatten()
        .any(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
}
