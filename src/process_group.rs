//! A program with all that it starts, so that nothing of it is left running when it is given up.

use std::io;

use tokio::process::{Child, Command};

/// The process group that a program leads; none where the system has no such groups, or where the program is in that of
/// this one. It is killed when this is dropped.
pub struct ProcessGroup(#[cfg(unix)] Option<rustix::process::Pid>);

#[cfg(unix)]
impl ProcessGroup {
    /// Starts a program in a group of its own. Not on a terminal: a group in the background that asks its user something
    /// there is stopped by the system. In the group of this program it can ask, and Ctrl-C, or closing the terminal, ends
    /// it with all that it has started.
    ///
    /// # Errors
    /// The system does not run it.
    pub fn start(command: &mut Command) -> io::Result<(Self, Child)> {
        Self::start_on(command, std::fs::File::open("/dev/tty").is_ok())
    }

    fn start_on(command: &mut Command, has_terminal: bool) -> io::Result<(Self, Child)> {
        if has_terminal {
            return Ok((Self(None), command.spawn()?));
        }
        let leader = command.process_group(0).spawn()?;
        let id = leader.id().and_then(|id| i32::try_from(id).ok());
        Ok((Self(id.and_then(rustix::process::Pid::from_raw)), leader))
    }

    /// Lets what is left of the group go on.
    pub fn leave(&mut self) {
        self.0 = None;
    }
}

#[cfg(unix)]
impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // That nothing of it is left is no failure.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(not(unix))]
impl ProcessGroup {
    /// Starts a program.
    ///
    /// # Errors
    /// The system does not run it.
    pub fn start(command: &mut Command) -> io::Result<(Self, Child)> {
        Ok((Self(), command.spawn()?))
    }

    /// There is none.
    pub fn leave(&mut self) {}
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;

    /// What a group prints that is dropped, or left, once its leader has said that it has started another.
    async fn printed(has_terminal: bool, is_left: bool) -> String {
        let mut command = Command::new("sh");
        command
            .args(["-c", "(sleep 0.2; echo on) & echo begun; wait"])
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let (mut group, mut leader) = ProcessGroup::start_on(&mut command, has_terminal).unwrap();
        let mut output = leader.stdout.take().unwrap();
        let mut begun = [0; 6];
        output.read_exact(&mut begun).await.unwrap();
        if is_left {
            group.leave();
        }
        drop((group, leader));
        let mut rest = String::new();
        let read = output.read_to_string(&mut rest);
        let read = tokio::time::timeout(Duration::from_secs(20), read).await;
        read.expect("what the leader started ends").unwrap();
        rest
    }

    #[tokio::test]
    async fn what_a_program_has_started_ends_with_it() {
        assert_eq!(printed(false, false).await, "");
        assert_eq!(printed(false, true).await, "on\n");
        // On a terminal it is for the terminal to end it.
        assert_eq!(printed(true, false).await, "on\n");
    }
}
