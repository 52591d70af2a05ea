//! Child processes that surely end.
//!
//! A child leads a process group of its own, and the whole group is killed when the [`Child`] is
//! dropped or the process ends by itself. A process that is killed runs no destructor, so on Linux
//! the kernel is asked as well: the child gets SIGKILL when its parent is gone.
//!
//! The kernel's "parent" is the thread that forked, and threads of a runtime come and go. Children
//! are therefore forked by one thread that never ends.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};

use tokio::process::{ChildStderr, ChildStdout, Command};
use tokio::runtime::Handle;

/// A running process, and whatever it starts. Dropping it kills them all.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    id: u32,
    ended: bool,
}

/// A process did not start; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// There is no such program.
    #[error("cannot start {name}: there is no program {program}, install it or put it on the PATH")]
    Missing {
        /// What it was wanted for.
        name: String,
        /// The file that was looked for.
        program: String,
    },
    /// The system refused.
    #[error("cannot start {name}: {error}")]
    Refused {
        /// What it was wanted for.
        name: String,
        /// Why not.
        error: io::Error,
    },
}

impl Child {
    /// Starts a process without input, its output piped to [`Child::take_stdout`] and
    /// [`Child::take_stderr`]. `name` is for error messages. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the program is missing or cannot be started.
    pub fn spawn(mut command: Command, name: &str) -> Result<Self, ChildError> {
        let program = command
            .as_std()
            .get_program()
            .to_string_lossy()
            .into_owned();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        end_with_parent(&mut command);
        let process = fork(command).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ChildError::Missing {
                name: name.to_owned(),
                program,
            },
            _ => ChildError::Refused {
                name: name.to_owned(),
                error,
            },
        })?;
        // Only a process that was waited for has no id.
        let id = process.id().unwrap_or_default();
        Ok(Self {
            process,
            id,
            ended: false,
        })
    }

    /// The process id, which is also the id of its group.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Waits until the process ends, then kills what it left behind. May be cancelled and called again.
    ///
    /// # Errors
    /// Where the system cannot tell.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.process.wait().await?;
        self.kill();
        self.ended = true;
        Ok(status)
    }

    /// Kills the whole group at once, without a chance to clean up. [`Child::wait`] tells when it is gone.
    pub fn kill(&mut self) {
        // After the end the id may belong to somebody else.
        if !self.ended {
            kill_group(self.id, &mut self.process);
        }
    }

    /// What the process writes; `None` when it was taken before. Somebody should read it: a full pipe
    /// stops the process.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.process.stdout.take()
    }

    /// What the process writes as errors; `None` when it was taken before.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.process.stderr.take()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs on the thread that forks.
type Job = Box<dyn FnOnce() + Send>;

/// The thread that forks, `None` where it could not be started. It ends with the process: the sender
/// is never dropped.
static FORKING: LazyLock<Option<Mutex<mpsc::Sender<Job>>>> = LazyLock::new(|| {
    let (sender, jobs) = mpsc::channel::<Job>();
    std::thread::Builder::new()
        .name("forking".to_owned())
        .spawn(move || jobs.into_iter().for_each(|job| job()))
        .ok()
        .map(|_| Mutex::new(sender))
});

fn fork(mut command: Command) -> io::Result<tokio::process::Child> {
    let gone = || io::Error::other("the thread that starts processes is gone");
    let runtime = Handle::try_current().map_err(io::Error::other)?;
    let (answer, answered) = mpsc::sync_channel(1);
    let job: Job = Box::new(move || {
        let _context = runtime.enter();
        _ = answer.send(command.spawn());
    });
    FORKING
        .as_ref()
        .ok_or_else(gone)?
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send(job)
        .map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

#[cfg(target_os = "linux")]
fn end_with_parent(command: &mut Command) {
    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

    command.process_group(0);
    let parent = getpid();
    let ask_the_kernel = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the kernel was asked.
        if getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(
                rustix::io::Errno::SRCH.raw_os_error(),
            ))
        }
    };
    #[allow(unsafe_code, reason = "nothing safe runs code between fork and exec")]
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure makes two
    // plain system calls, and neither they nor the errors, made from numbers, allocate or lock.
    unsafe {
        command.pre_exec(ask_the_kernel);
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn end_with_parent(command: &mut Command) {
    command.process_group(0);
}

#[cfg(not(unix))]
fn end_with_parent(_command: &mut Command) {}

#[cfg(unix)]
fn kill_group(id: u32, _process: &mut tokio::process::Child) {
    use rustix::process::{Pid, Signal, kill_process_group};

    if let Some(group) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // It fails where the group is gone, which is what was wanted.
        _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(not(unix))]
fn kill_group(_id: u32, process: &mut tokio::process::Child) {
    // It fails where the process is gone, which is what was wanted.
    _ = process.start_kill();
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
