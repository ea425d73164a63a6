//! What lines say, as far as it is judged, in few bytes: millions of them pass from the thread that reads to those that judge.

use std::num::NonZeroU64;

use scenarios::history::{Action, Event, Header, Invocation, Name, Names, Outcome};

use super::answer::Answer;

/// What a line says.
#[derive(Debug)]
pub(super) enum Noted {
    /// A recorder introduces itself.
    Header(Header),
    /// An operation was invoked, or has ended.
    Operation(NotedOperation),
}

/// An operation as a line tells it.
#[derive(Debug)]
pub(super) struct NotedOperation {
    /// Its number.
    pub(super) n: u64,
    /// The place of its recorder among those of the file.
    pub(super) recorder: usize,
    /// The domain or template it counts for; none if it acts on the whole server.
    pub(super) key: Option<Name>,
    pub(super) asked: Asked,
    pub(super) start_ns: u64,
    pub(super) server_start_ms: Option<u64>,
    /// None: it was only invoked.
    pub(super) end: Option<NotedEnd>,
}

/// How an operation ended, and when.
#[derive(Debug)]
pub(super) struct NotedEnd {
    pub(super) end_ns: u64,
    pub(super) server_end_ms: Option<u64>,
    pub(super) came: Came,
}

/// What an operation asks of its key. What is rare lies elsewhere, so that the others take little room.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// A refresh. Its highest price is a render for each page, and one at least; none: a full refresh, whose price nobody knows.
    Refresh {
        token: Option<Name>,
        price: Option<NonZeroU64>,
    },
    Render,
    Poll {
        token: Option<Name>,
        id: Box<RenderId>,
    },
    Advance,
    Queue {
        available: bool,
    },
    Revoke(Box<Revocation>),
    /// The quota is set, to so many renders left.
    Quota(Box<Option<u64>>),
}

/// A token is revoked.
#[derive(Clone, Debug)]
pub(super) struct Revocation {
    pub(super) token: Name,
    /// The token's own name.
    pub(super) called: Box<str>,
}

/// What came of an operation.
#[derive(Clone, Debug)]
pub(super) struct Came {
    pub(super) status: Option<u16>,
    /// What it proves about the limits, if it is a refresh.
    pub(super) answer: Answer,
    /// Whether a control surely did what it was to do.
    pub(super) succeeded: bool,
    /// The id of an accepted render.
    pub(super) id: Option<Box<RenderId>>,
    /// Whether a poll said that the render is over.
    pub(super) finished: bool,
}

/// A render's id; nearly always a UUID, which is kept in sixteen bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum RenderId {
    Uuid([u8; 16]),
    Text(Box<str>),
}

impl RenderId {
    fn new(id: &str) -> RenderId {
        // The other spellings of a UUID would fall together with this one, and the id is a text to whoever polls.
        let mut plain = uuid::Uuid::encode_buffer();
        match uuid::Uuid::try_parse(id) {
            Ok(uuid) if uuid.hyphenated().encode_lower(&mut plain) == id => RenderId::Uuid(uuid.into_bytes()),
            Ok(_) | Err(_) => RenderId::Text(id.into()),
        }
    }
}

impl Noted {
    /// What an event of a log says, with names as these.
    pub(super) fn of_event(event: Event, names: &mut Names) -> Noted {
        let (operation, end) = match event {
            Event::Header(header) => return Noted::Header(header),
            Event::Invoked(operation) => (operation, None),
            Event::Completed(operation, outcome) => (operation, Some((&outcome).into())),
        };
        let name = |text: &String| names.number(text);
        let text = |text: &String| text.as_str().into();
        // A log has one recorder.
        Noted::Operation(NotedOperation::new((operation.n, 0), &operation.invocation, end, name, text))
    }
}

impl NotedOperation {
    /// Notes an operation with this number of the recorder that has this place. `name` gives what a name is among those of all
    /// files, `text` its text.
    #[inline]
    pub(super) fn new<K>(
        (n, recorder): (u64, usize),
        invocation: &Invocation<K>,
        end: Option<NotedEnd>,
        mut name: impl FnMut(&K) -> Name,
        text: impl Fn(&K) -> Box<str>,
    ) -> NotedOperation {
        let Invocation { action, start_ns, server_start_ms, .. } = invocation;
        let mut key = None;
        let asked = match action {
            Action::Refresh { domain, token, pages } => {
                key = Some(name(domain));
                let price = pages.map(|pages| NonZeroU64::new(pages).unwrap_or(NonZeroU64::MIN));
                Asked::Refresh { token: token.as_ref().map(name), price }
            }
            Action::Render { template, .. } => {
                key = Some(name(template));
                Asked::Render
            }
            Action::Poll { template, token, id } => {
                key = Some(name(template));
                Asked::Poll { token: token.as_ref().map(name), id: Box::new(RenderId::new(id)) }
            }
            Action::Advance { .. } => Asked::Advance,
            Action::Queue { available } => Asked::Queue { available: *available },
            Action::Revoke { domain, token } => {
                key = Some(name(domain));
                Asked::Revoke(Box::new(Revocation { token: name(token), called: text(token) }))
            }
            Action::Quota { domain, renders_left } => {
                key = Some(name(domain));
                Asked::Quota(Box::new(*renders_left))
            }
        };
        NotedOperation { n, recorder, key, asked, start_ns: *start_ns, server_start_ms: *server_start_ms, end }
    }
}

impl<T: AsRef<str>> From<&Outcome<T>> for NotedEnd {
    #[inline]
    fn from(outcome: &Outcome<T>) -> NotedEnd {
        let render_status = outcome.render_status.as_ref().map(AsRef::as_ref);
        let came = Came {
            status: outcome.status,
            answer: Answer::of(Some(outcome)),
            succeeded: succeeded(outcome),
            id: outcome.id.as_ref().map(|id| Box::new(RenderId::new(id.as_ref()))),
            finished: matches!(render_status, Some("succeeded" | "failed")),
        };
        NotedEnd { end_ns: outcome.end_ns, server_end_ms: outcome.server_end_ms, came }
    }
}

/// Whether a control did what it was to do.
fn succeeded<T>(outcome: &Outcome<T>) -> bool {
    outcome.error.is_none() && outcome.status.is_none_or(|status| (200..300).contains(&status))
}
