//! A server between the suite and a real reference: it passes fixture calls and API requests on, or does to them what a test asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use reference_server::{Config, ControlToken, Parts, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::cli::CONTROL_TOKEN;

/// A request as it came in, head and body, and what is needed to answer it.
pub(crate) struct Asked {
    /// Whole head and body.
    pub(crate) raw: Vec<u8>,
    /// Length of the head, the empty line included.
    pub(crate) head: usize,
    upstream: String,
}

impl Asked {
    /// Path and query.
    pub(crate) fn path(&self) -> String {
        String::from_utf8_lossy(&self.raw).split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// The head as text, names and values as sent.
    pub(crate) fn head_text(&self) -> String {
        String::from_utf8_lossy(&self.raw[..self.head]).into_owned()
    }

    /// The body as text.
    pub(crate) fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.raw[self.head..]).into_owned()
    }

    /// What the reference answers, as bytes; it says that it closes the connection.
    pub(crate) async fn honest_answer(&self) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.upstream).await?;
        let line = self.raw.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        stream.write_all(&[&self.raw[..line], b"connection: close\r\n", &self.raw[line..]].concat()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

/// Answers a request on its connection; the connection is closed afterwards unless it says `true`.
pub(crate) type Answering =
    Arc<dyn for<'a> Fn(&'a mut TcpStream, Asked) -> BoxFuture<'a, std::io::Result<bool>> + Send + Sync>;

/// What is done to whom.
pub(crate) struct Plan {
    /// Requests to the APIs. The suite's greeting, `GET /`, is always passed on.
    pub(crate) api: Answering,
    /// Fixture calls.
    pub(crate) control: Answering,
}

/// Passes a request on.
pub(crate) fn honest() -> Answering {
    Arc::new(|stream, asked| {
        Box::pin(async move {
            let answer = asked.honest_answer().await?;
            stream.write_all(&answer).await.map(|()| false)
        })
    })
}

/// The server; it ends when dropped.
pub(crate) struct Middle {
    pub(crate) url: String,
    _upstream: Server,
    accepting: JoinHandle<()>,
}

impl Middle {
    pub(crate) async fn start(plan: Plan) -> Middle {
        let config = Config::ephemeral(ControlToken::new(CONTROL_TOKEN.to_owned()));
        let upstream = reference_server::start(config, Parts::reference()).await.unwrap();
        let address = upstream.base_url().trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let plan = Arc::new(plan);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A connection that ends badly is what these tests are about.
                tokio::spawn(serve(stream, address.clone(), Arc::clone(&plan)));
            }
        });
        Middle { url, _upstream: upstream, accepting }
    }

    /// A target file for both APIs behind it, with `more` at its end.
    pub(crate) fn target_file(&self, more: &str) -> String {
        let url = &self.url;
        format!(
            "name = \"hostile\"\n[rndrkit]\nbase_url = \"{url}\"\n[craftkit]\nbase_url = \"{url}\"\n\
             [fixtures]\nkind = \"http\"\nurl = \"{url}/_control\"\ntoken = {{ env = \"HOOKPROOF_CONTROL_TOKEN\" }}\n{more}"
        )
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, upstream: String, plan: Arc<Plan>) -> std::io::Result<()> {
    while let Some(asked) = read_request(&mut stream, &upstream).await? {
        let answering = match asked.path().as_str() {
            "/" => honest(),
            "/_control" => Arc::clone(&plan.control),
            _ => Arc::clone(&plan.api),
        };
        if !answering(&mut stream, asked).await? {
            break;
        }
    }
    Ok(())
}

async fn read_request(stream: &mut TcpStream, upstream: &str) -> std::io::Result<Option<Asked>> {
    const END: &[u8] = b"\r\n\r\n";
    let mut raw = Vec::new();
    let mut whole = usize::MAX;
    let mut head = 0;
    while raw.len() < whole {
        if stream.read_buf(&mut raw).await? == 0 {
            return Ok(None);
        }
        if head == 0
            && let Some(end) = raw.windows(END.len()).position(|window| window == END)
        {
            head = end + END.len();
            let text = String::from_utf8_lossy(&raw[..head]).to_lowercase();
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            whole = head + length.unwrap_or(0);
        }
    }
    Ok(Some(Asked { raw, head, upstream: upstream.to_owned() }))
}

/// A listener that nobody may ever connect to.
pub(crate) struct Elsewhere {
    pub(crate) url: String,
    visits: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Elsewhere {
    pub(crate) async fn open() -> Elsewhere {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let visits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&visits);
        let accepting = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Elsewhere { url, visits, accepting }
    }

    pub(crate) fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
