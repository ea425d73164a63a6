//! The `command` transport: an adapter as a child process, one JSON-RPC message a line.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;

use super::fixtures::CALL_TIME_MAX;

/// How long an adapter may take to end once its stdin is closed, before it is killed.
const END_TIME_MAX: Duration = Duration::from_secs(5);
/// The longest line (bytes) read from an adapter.
const LINE_MAX: u64 = 8 * 1024 * 1024;

/// Calls that wait for their answers, by id; `None` once the adapter has ended.
type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Value>>>>>;

/// A running adapter.
pub struct CommandTransport {
    stdin: tokio::sync::Mutex<Option<ChildStdin>>,
    child: tokio::sync::Mutex<Child>,
    waiting: Waiting,
}

impl CommandTransport {
    /// Starts the adapter. Its stderr goes to ours when `verbose`.
    ///
    /// # Errors
    /// The operating system's reason if the command cannot be started.
    pub fn start(command: &[String], verbose: bool) -> std::io::Result<CommandTransport> {
        let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if verbose { Stdio::inherit() } else { Stdio::null() })
            // An interrupt from the keyboard is ours to handle; the adapter must live on until its fixtures are deleted.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take().expect("stdin was asked for as a pipe");
        let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        tokio::spawn(read_lines(stdout, Arc::clone(&waiting)));
        Ok(CommandTransport {
            stdin: tokio::sync::Mutex::new(Some(stdin)),
            child: tokio::sync::Mutex::new(child),
            waiting,
        })
    }

    /// Sends one message and waits for the answer with its id.
    ///
    /// # Errors
    /// A reason in words if the adapter has ended or does not answer in time.
    pub async fn call(&self, id: u64, message: &Value) -> Result<Value, String> {
        const ENDED: &str = "the adapter has ended";
        let (sender, receiver) = oneshot::channel();
        match self.waiting.lock().expect("no holder of this lock panics").as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(ENDED.to_owned()),
        };
        {
            let mut stdin = self.stdin.lock().await;
            let stdin = stdin.as_mut().ok_or(ENDED)?;
            let line = format!("{message}\n");
            stdin.write_all(line.as_bytes()).await.map_err(|error| format!("the adapter reads no more: {error}"))?;
        }
        match tokio::time::timeout(CALL_TIME_MAX, receiver).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(ENDED.to_owned()),
            Err(_) => Err(format!("no answer within {} s", CALL_TIME_MAX.as_secs())),
        }
    }

    /// Closes stdin, which tells the adapter to end, and waits for it; one that stays is killed.
    pub async fn close(&self) {
        self.stdin.lock().await.take();
        let mut child = self.child.lock().await;
        if tokio::time::timeout(END_TIME_MAX, child.wait()).await.is_err() {
            // Nothing more can be done about a process that cannot be killed.
            let _ = child.kill().await;
        }
    }
}

/// Hands each answer to its caller. Lines that are no JSON object with a numeric id are the adapter's chatter and are left out.
async fn read_lines(stdout: tokio::process::ChildStdout, waiting: Waiting) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => break,
        }
        let Ok(answer) = serde_json::from_slice::<Value>(&line) else { continue };
        let Some(id) = answer.get("id").and_then(Value::as_u64) else { continue };
        let caller =
            waiting.lock().expect("no holder of this lock panics").as_mut().and_then(|calls| calls.remove(&id));
        if let Some(caller) = caller {
            // A caller that gave up waiting needs no answer.
            let _ = caller.send(answer);
        }
    }
    // Dropping the senders tells every waiting call that the adapter has ended.
    waiting.lock().expect("no holder of this lock panics").take();
}
