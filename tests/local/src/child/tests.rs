#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// Tells the helper process apart from a run of all ignored tests, which must end.
const HOLD: &str = "HOLDS_A_CHILD_FOR_EVER";

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn lines(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(child.take_stdout().unwrap()).lines()
}

/// Reads to the end, which comes when the last process that could write is gone.
async fn rest(lines: Lines<BufReader<ChildStdout>>) -> String {
    let mut text = String::new();
    let mut reader = lines.into_inner();
    tokio::time::timeout(PATIENCE, reader.read_to_string(&mut text))
        .await
        .expect("a process still holds the pipe")
        .unwrap();
    text
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect(what);
}

#[tokio::test]
async fn dropping_kills_the_grandchildren_too() {
    let mut child = Child::spawn(shell("sleep 600 & echo started; wait"), "sleeper").unwrap();
    let mut output = lines(&mut child);
    assert_eq!(output.next_line().await.unwrap().unwrap(), "started");
    drop(child);
    assert_eq!(rest(output).await, "");
}

#[tokio::test]
async fn what_a_process_leaves_behind_is_killed_when_it_ends() {
    let mut child = Child::spawn(shell("sleep 600 & exit 7"), "leaver").unwrap();
    let output = lines(&mut child);
    assert_eq!(child.wait().await.unwrap().code(), Some(7));
    assert_eq!(rest(output).await, "");
}

#[tokio::test]
async fn a_killed_process_is_waited_for() {
    use std::os::unix::process::ExitStatusExt;

    let mut child = Child::spawn(shell("sleep 600"), "sleeper").unwrap();
    child.kill();
    let status = child.wait().await.unwrap();
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let error = Child::spawn(Command::new("no-such-program"), "the handler").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot start the handler: there is no program no-such-program, install it or put it on the PATH"
    );
}

#[tokio::test]
async fn a_child_outlives_the_thread_that_asked_for_it() {
    let runtime = Handle::current();
    let (mut child, thread) = std::thread::spawn(move || {
        let _context = runtime.enter();
        let script = "trap 'echo still here; exit' TERM; echo ready; while :; do sleep 0.01; done";
        let child = Child::spawn(shell(script), "survivor").unwrap();
        (child, std::fs::read_link("/proc/thread-self").unwrap())
    })
    .join()
    .unwrap();
    // Joining does not wait for the kernel, which is what sends the signal.
    let task = Path::new("/proc").join(thread);
    until("the thread ends", || !task.exists()).await;
    let mut output = lines(&mut child);
    assert_eq!(output.next_line().await.unwrap().unwrap(), "ready");
    kill_process(pid(child.id()), Signal::TERM).unwrap();
    assert_eq!(
        output.next_line().await.unwrap().as_deref(),
        Some("still here")
    );
}

/// Not a test by itself: the process that the next one kills.
#[tokio::test]
#[ignore = "started by a_child_dies_with_a_killed_parent"]
async fn holds_a_child_for_ever() {
    if std::env::var_os(HOLD).is_none() {
        return;
    }
    let child = Child::spawn(shell("exec sleep 600"), "sleeper").unwrap();
    // Through the file descriptor: the test harness would swallow a print.
    std::fs::write("/proc/self/fd/1", format!("child {}\n", child.id())).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_child_dies_with_a_killed_parent() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--ignored", "--nocapture"])
        .env(HOLD, "1");
    command.arg(format!(
        "{}::holds_a_child_for_ever",
        module_path!().split_once("::").unwrap().1
    ));
    let mut parent = Child::spawn(command, "test").unwrap();
    let mut output = lines(&mut parent);
    let grandchild = loop {
        let line = output.next_line().await.unwrap().expect("the helper ended");
        if let Some((_, id)) = line.split_once("child ") {
            break id.parse().unwrap();
        }
    };
    // The parent alone: a group of its own keeps the grandchild out of it.
    kill_process(pid(parent.id()), Signal::KILL).unwrap();
    parent.wait().await.unwrap();
    until("the grandchild dies", || !is_alive(grandchild)).await;
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

/// A zombie is dead: in a container nobody may reap it.
fn is_alive(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim().starts_with('Z'))
}
