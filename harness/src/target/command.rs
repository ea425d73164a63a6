//! The `command` transport: an adapter as a child process, one JSON-RPC message a line. The adapter is not trusted: whatever it
//! writes, and whether it reads, memory and time stay bounded. What it starts ends with it, unless that made a process group of its own.

use std::collections::{HashMap, VecDeque};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::fixtures::ANSWER_MAX;

/// How long an adapter may take to end once its stdin is closed, before it is killed.
const END_TIME_MAX: Duration = Duration::from_secs(5);
/// How long what it leaves behind may take to end once it is asked to, before it is killed.
const LEFT_BEHIND_TIME_MAX: Duration = Duration::from_secs(1);
/// How long the rest of its stderr may take to arrive once it has ended.
const REST_TIME_MAX: Duration = Duration::from_secs(1);
/// Bytes of an adapter's stderr that are kept, the last ones.
const STDERR_KEPT_MAX: usize = 64 * 1024;

const ENDED: &str = "the adapter has ended";

/// What is shared with the task that reads the adapter's stdout.
type Shared = Arc<Mutex<Hearing>>;

/// Who waits for answers, and what came that was none.
struct Hearing {
    /// Calls that wait for their answers, by id; `None` once the adapter has ended.
    waiting: Option<HashMap<u64, oneshot::Sender<Value>>>,
    /// Lines that were no answer.
    chatter: usize,
    /// Answers with an id that nobody waits for.
    strays: usize,
}

impl Hearing {
    /// Why nothing may have been heard, as the end of a sentence.
    fn words(&self) -> String {
        match (self.strays, self.chatter) {
            (0, 0) => String::new(),
            (0, lines) => format!("; {lines} lines came that are no JSON-RPC message of at most {ANSWER_MAX} bytes"),
            (strays, _) => format!("; {strays} answers came whose `id` is that of no call under way"),
        }
    }
}

/// The end of what an adapter wrote to its stderr.
#[derive(Default)]
struct Stderr {
    last: VecDeque<u8>,
    left_out: usize,
}

/// A running adapter.
pub struct CommandTransport {
    stdin: tokio::sync::Mutex<Option<ChildStdin>>,
    child: tokio::sync::Mutex<Child>,
    /// The adapter and what it started.
    group: Option<Pid>,
    shared: Shared,
    stderr: Arc<Mutex<Stderr>>,
    reading_stderr: Mutex<Option<JoinHandle<()>>>,
}

impl CommandTransport {
    /// Starts the adapter. The end of its stderr is kept when `verbose`.
    ///
    /// # Errors
    /// The operating system's reason if the command cannot be started.
    pub fn start(command: &[String], verbose: bool) -> std::io::Result<CommandTransport> {
        let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Never ours: it may hold secrets that are not known yet, and steer a terminal.
            .stderr(if verbose { Stdio::piped() } else { Stdio::null() })
            // An interrupt from the keyboard is ours to handle; the adapter must live on until its fixtures are deleted. And what
            // it starts can be told from everything else.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        // A group has the number of its first process.
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let stdin = child.stdin.take().expect("stdin was asked for as a pipe");
        let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
        let shared = Arc::new(Mutex::new(Hearing { waiting: Some(HashMap::new()), chatter: 0, strays: 0 }));
        tokio::spawn(read_lines(BufReader::new(stdout), Arc::clone(&shared)));
        let stderr = Arc::new(Mutex::new(Stderr::default()));
        let reading_stderr = child.stderr.take().map(|pipe| tokio::spawn(keep_last(pipe, Arc::clone(&stderr))));
        Ok(CommandTransport {
            stdin: tokio::sync::Mutex::new(Some(stdin)),
            child: tokio::sync::Mutex::new(child),
            group,
            shared,
            stderr,
            reading_stderr: Mutex::new(reading_stderr),
        })
    }

    /// Sends one message and waits for the answer with its id, for `time_max` at most.
    ///
    /// # Errors
    /// A reason in words if the adapter has ended or does not answer in time.
    pub async fn call(&self, id: u64, message: &Value, time_max: Duration) -> Result<Value, String> {
        let (sender, receiver) = oneshot::channel();
        match self.hearing().waiting.as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(ENDED.to_owned()),
        };
        let conversation = async {
            self.say(message).await?;
            receiver.await.map_err(|_| ENDED.to_owned())
        };
        match tokio::time::timeout(time_max, conversation).await {
            Ok(answered) => answered,
            Err(_) => {
                let mut hearing = self.hearing();
                if let Some(waiting) = &mut hearing.waiting {
                    waiting.remove(&id);
                }
                Err(format!("no answer within {time_max:?}{}", hearing.words()))
            }
        }
    }

    async fn say(&self, message: &Value) -> Result<(), String> {
        let mut place = self.stdin.lock().await;
        // Taken out meanwhile: if the adapter does not read on in time, half a message is lost and no other can follow it.
        let mut stdin = place.take().ok_or(ENDED)?;
        let line = format!("{message}\n");
        stdin.write_all(line.as_bytes()).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => ENDED.to_owned(),
            _ => format!("the adapter reads no more: {error}"),
        })?;
        *place = Some(stdin);
        Ok(())
    }

    fn hearing(&self) -> std::sync::MutexGuard<'_, Hearing> {
        self.shared.lock().expect("no holder of this lock panics")
    }

    /// What the adapter wrote to its stderr, or the end of it; nothing unless that is kept. Secrets included.
    pub fn said(&self) -> String {
        let stderr = self.stderr.lock().expect("no holder of this lock panics");
        let last: Vec<u8> = stderr.last.iter().copied().collect();
        let text = String::from_utf8_lossy(&last);
        match stderr.left_out {
            0 => text.into_owned(),
            // The first line may have lost its beginning, and a secret in it could not be recognised.
            bytes => format!("({bytes} bytes left out)\n{}", text.split_once('\n').map_or("", |(_, rest)| rest)),
        }
    }

    /// Closes stdin, which tells the adapter to end, and waits for it. One that stays, and what one leaves behind, is ended.
    pub async fn close(&self) {
        self.stdin.lock().await.take();
        let mut child = self.child.lock().await;
        // One that stays, or cannot be waited for, is ended below.
        let _ = tokio::time::timeout(END_TIME_MAX, child.wait()).await;
        if let Some(group) = self.group {
            // Nothing more can be done about a process that cannot be killed.
            let ended = tokio::time::timeout(LEFT_BEHIND_TIME_MAX + REST_TIME_MAX, child.wait());
            let _ = futures::future::join(end(group), ended).await;
        }
        let reading = self.reading_stderr.lock().expect("no holder of this lock panics").take();
        if let Some(reading) = reading {
            // A program that the adapter left behind may keep the pipe open.
            let _ = tokio::time::timeout(REST_TIME_MAX, reading).await;
        }
    }
}

impl Drop for CommandTransport {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        // One that was waited for is gone, and so is what it left.
        if let (Some(_), Some(group)) = (child.id(), self.group) {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Ends the processes of a group: asks them to, and kills those that stay.
async fn end(group: Pid) {
    const LOOK: Duration = Duration::from_millis(10);
    // An error says that nobody is left, or nobody whom we could end. Nobody else can have the number so soon: others come first.
    if killpg(group, Signal::SIGTERM).is_err() {
        return;
    }
    let gone = async {
        while killpg(group, None).is_ok() {
            // The system tells of the ends of children, not of theirs.
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(LEFT_BEHIND_TIME_MAX, gone).await.is_err() {
        let _ = killpg(group, Signal::SIGKILL);
    }
}

/// Hands each answer to its caller. Lines that are no JSON object with a numeric id are the adapter's chatter and are left out.
async fn read_lines(mut stdout: impl AsyncBufRead + Unpin, shared: Shared) {
    let hearing = || shared.lock().expect("no holder of this lock panics");
    let mut line = Vec::new();
    while let Ok(Some(whole)) = next_line(&mut stdout, &mut line).await {
        let answer = if whole { serde_json::from_slice::<Value>(&line).ok() } else { None };
        let Some((id, answer)) = answer.and_then(|answer| Some((answer.get("id")?.as_u64()?, answer))) else {
            hearing().chatter += 1;
            continue;
        };
        let caller = hearing().waiting.as_mut().and_then(|calls| calls.remove(&id));
        match caller {
            // A caller that gave up waiting needs no answer.
            Some(caller) => drop(caller.send(answer)),
            None => hearing().strays += 1,
        }
    }
    // Dropping the senders tells every waiting call that the adapter has ended.
    hearing().waiting.take();
}

/// Reads a line of at most [`ANSWER_MAX`] bytes; of a longer one it says `false`, and the next call begins with the next line.
async fn next_line(input: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> std::io::Result<Option<bool>> {
    line.clear();
    let mut whole = true;
    loop {
        let available = input.fill_buf().await?;
        if available.is_empty() {
            return Ok((!line.is_empty()).then_some(whole));
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        whole &= line.len() + taken <= ANSWER_MAX;
        if whole {
            line.extend_from_slice(&available[..taken]);
        }
        input.consume(taken);
        if end.is_some() {
            return Ok(Some(whole));
        }
    }
}

async fn keep_last(mut pipe: impl AsyncRead + Unpin, stderr: Arc<Mutex<Stderr>>) {
    let mut piece = [0; 8 * 1024];
    while let Ok(length @ 1..) = pipe.read(&mut piece).await {
        let mut stderr = stderr.lock().expect("no holder of this lock panics");
        stderr.last.extend(&piece[..length]);
        let surplus = stderr.last.len().saturating_sub(STDERR_KEPT_MAX);
        stderr.last.drain(..surplus);
        stderr.left_out += surplus;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;

    /// Runs this in a shell, and in the background a program that would run for a long time; returns that program's id.
    async fn starting(adapter: &str, folder: &Path) -> (CommandTransport, String) {
        let script = format!("{adapter}; sleep 600 & echo $! > id.new; mv id.new id; cat > /dev/null");
        let place = folder.to_string_lossy();
        let command = ["sh".to_owned(), "-c".to_owned(), format!("cd '{place}'; {script}")];
        let transport = CommandTransport::start(&command, false).unwrap_or_else(|error| panic!("{error}"));
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(id) = std::fs::read_to_string(folder.join("id")) {
                return (transport, id.trim().to_owned());
            }
            assert!(Instant::now() < deadline, "the adapter did not start");
            tokio::task::yield_now().await;
        }
    }

    /// True while a process has not ended, whether or not anybody has waited for it.
    fn runs(id: &str) -> bool {
        let stat = std::fs::read_to_string(Path::new("/proc").join(id).join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }

    async fn check_ended(id: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while runs(id) {
            assert!(Instant::now() < deadline, "{id} still runs");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_an_adapter_leaves_behind_ends_with_it() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let (transport, id) = starting(":", folder.path()).await;
        assert!(runs(&id));
        transport.close().await;
        check_ended(&id).await;
    }

    #[tokio::test]
    async fn what_does_not_listen_is_killed() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        // What a shell ignores, its children ignore.
        let (transport, id) = starting("trap '' TERM", folder.path()).await;
        transport.close().await;
        check_ended(&id).await;
    }

    #[tokio::test]
    async fn what_is_given_up_ends_too() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let (transport, id) = starting(":", folder.path()).await;
        drop(transport);
        check_ended(&id).await;
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_left_out_whole() {
        let long = "x".repeat(ANSWER_MAX);
        let input = format!("{{\"id\":1}}\n{long}{{\"id\":2}}\n{{\"id\":3}}");
        let mut reader = BufReader::new(input.as_bytes());
        let mut line = Vec::new();
        let mut lines = Vec::new();
        while let Some(whole) = next_line(&mut reader, &mut line).await.unwrap_or_else(|error| panic!("{error}")) {
            lines.push((whole, line.len()));
            assert!(line.capacity() <= 2 * ANSWER_MAX);
        }
        assert_eq!(lines.iter().map(|(whole, _)| *whole).collect::<Vec<bool>>(), [true, false, true]);
    }

    #[tokio::test]
    async fn of_stderr_the_end_is_kept() {
        let written = "0123456789\n".repeat(STDERR_KEPT_MAX);
        let stderr = Arc::new(Mutex::new(Stderr::default()));
        keep_last(written.as_bytes(), Arc::clone(&stderr)).await;
        let stderr = stderr.lock().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(stderr.last.len(), STDERR_KEPT_MAX);
        assert_eq!(stderr.left_out, written.len() - STDERR_KEPT_MAX);
    }
}
