//! Wrong answers to accepted refreshes, wrong queues, and an endpoint that is not as documented.

use hyper::{Method, StatusCode, Uri};
use serde_json::Value;

use super::wrap::{answering, deciding, edit, receiving};
use crate::deviations::Deviation;
use crate::http::Answer;
use crate::parts::Parts;
use crate::rndrkit::wire::{Accepted, MAX_PATHS};
use crate::store::records::{Refresh, Write};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    NOT_SERVED,
    GET_REFRESHES,
    LIST_MESSAGE,
    LIST_STATUS,
    FULL_MESSAGE,
    FULL_STATUS,
    FULL_COUNTED,
    COUNT_ONE_MORE,
    COUNT_AS_STRING,
    COUNT_ABSENT,
    COUNT_OF_BATCH,
    NOTHING_QUEUED,
    MORE_QUEUED,
    FULL_CUT,
    FULL_NOT_QUEUED,
];

const ENDPOINT: &[&str] = &["rndrkit.endpoint.post"];
const LIST: &[&str] = &["rndrkit.selective.accepted"];
const FULL: &[&str] = &["rndrkit.full.accepted"];
const COUNT: &[&str] = &["rndrkit.selective.pages-queued"];
const QUEUE: &[&str] = &["rndrkit.selective.queues-paths"];
const FULL_QUEUE: &[&str] = &["rndrkit.full.queues-known-paths"];

const NOT_SERVED: Deviation = Deviation {
    name: "endpoint-not-served",
    defect: "serves the endpoint under another path",
    why: "the router is mounted under a version, as the rest of the product is",
    turns_red: ENDPOINT,
    consequences: &[],
    change: |parts| receiving(parts, |request| request.uri = Uri::from_static("/api/v1/webhook/refresh")),
};

const GET_REFRESHES: Deviation = Deviation {
    name: "get-refreshes",
    defect: "starts a refresh by GET as by POST",
    why: "the route is registered for every method",
    turns_red: ENDPOINT,
    consequences: &[],
    change: |parts| receiving(parts, |request| request.method = Method::POST),
};

const LIST_MESSAGE: Deviation = Deviation {
    name: "list-message",
    defect: "ends the message for a list with a full stop",
    why: "all other messages of the product do",
    turns_red: LIST,
    consequences: &[],
    change: |parts| accepting(parts, |_, accepted| reword(accepted, false, "Cache refresh queued.")),
};

const LIST_STATUS: Deviation = Deviation {
    name: "list-status",
    defect: "answers a list with 202",
    why: "the pages are only queued, so nothing is done yet",
    turns_red: LIST,
    consequences: &[],
    change: |parts| answering(parts, |_, answer| accept_with_202(answer, false)),
};

const FULL_MESSAGE: Deviation = Deviation {
    name: "full-message",
    defect: "answers a full refresh with the message for a list",
    why: "both ways end in the same line",
    turns_red: FULL,
    consequences: &[],
    change: |parts| accepting(parts, |_, accepted| reword(accepted, true, "Cache refresh queued")),
};

const FULL_STATUS: Deviation = Deviation {
    name: "full-status",
    defect: "answers a full refresh with 202",
    why: "the pages are rendered later, so nothing is done yet",
    turns_red: FULL,
    consequences: &[],
    change: |parts| answering(parts, |_, answer| accept_with_202(answer, true)),
};

const FULL_COUNTED: Deviation = Deviation {
    name: "full-counted",
    defect: "counts the pages of a full refresh in its answer",
    why: "both answers are made by the same function",
    turns_red: &["rndrkit.full.no-pages-queued"],
    consequences: &[],
    change: |parts| {
        accepting(parts, |queued, accepted| {
            accepted.pages_queued.get_or_insert(queued.paths.len());
        })
    },
};

const COUNT_ONE_MORE: Deviation = Deviation {
    name: "count-one-more",
    defect: "gives one page more than the list has as `pagesQueued`",
    why: "the home page is always refreshed along, and counted",
    turns_red: COUNT,
    consequences: &[],
    change: |parts| {
        accepting(parts, |_, accepted| accepted.pages_queued = accepted.pages_queued.map(|pages| pages + 1))
    },
};

const COUNT_AS_STRING: Deviation = Deviation {
    name: "count-as-string",
    defect: "gives `pagesQueued` as a string",
    why: "the count comes from a database driver that gives big integers so",
    turns_red: COUNT,
    consequences: &[],
    change: |parts| {
        answering(parts, |_, answer| {
            edit(answer, |fields| {
                if let Some(pages) = fields.get_mut("pagesQueued") {
                    *pages = Value::from(pages.to_string());
                }
            });
        })
    },
};

const COUNT_ABSENT: Deviation = Deviation {
    name: "count-absent",
    defect: "leaves `pagesQueued` out",
    why: "lists and full refreshes are answered by the same function",
    turns_red: COUNT,
    consequences: &[],
    change: |parts| accepting(parts, |_, accepted| accepted.pages_queued = None),
};

const COUNT_OF_BATCH: Deviation = Deviation {
    name: "count-of-batch",
    defect: "gives no more than nine as `pagesQueued`",
    why: "the answer tells the size of the first batch that is handed to the queue",
    turns_red: COUNT,
    consequences: &[],
    change: |parts| {
        accepting(parts, |_, accepted| accepted.pages_queued = accepted.pages_queued.map(|pages| pages.min(9)))
    },
};

const NOTHING_QUEUED: Deviation = Deviation {
    name: "list-not-queued",
    defect: "queues nothing for a list",
    why: "the job is sent to the queue after the answer, and the process is frozen by then",
    turns_red: QUEUE,
    consequences: &[],
    change: |parts| {
        queueing(parts, |refresh| {
            if !refresh.full {
                refresh.paths.clear()
            }
        })
    },
};

const MORE_QUEUED: Deviation = Deviation {
    name: "list-and-home-queued",
    defect: "queues the home page with every list",
    why: "it shows the newest of the other pages",
    turns_red: QUEUE,
    consequences: &[],
    change: |parts| {
        queueing(parts, |refresh| {
            if !refresh.full {
                refresh.paths.push("/".to_owned())
            }
        })
    },
};

const FULL_CUT: Deviation = Deviation {
    name: "full-cut",
    defect: "queues no more than twenty pages for a full refresh",
    why: "a full refresh is made a list of all known paths, and lists are cut",
    turns_red: FULL_QUEUE,
    consequences: &[],
    change: |parts| queueing(parts, |refresh| refresh.paths.truncate(MAX_PATHS)),
};

const FULL_NOT_QUEUED: Deviation = Deviation {
    name: "full-not-queued",
    defect: "queues nothing for a full refresh",
    why: "the cache is emptied, and pages are rendered when somebody asks for them",
    turns_red: FULL_QUEUE,
    consequences: &[],
    change: |parts| {
        queueing(parts, |refresh| {
            if refresh.full {
                refresh.paths.clear()
            }
        })
    },
};

/// The parts with accepted refreshes answered in another way.
fn accepting(parts: Parts, change: fn(&Refresh, &mut Accepted)) -> Parts {
    deciding(parts, move |_, _, decision| {
        if let (Ok(accepted), Some(refresh)) = (&mut decision.reply, refresh_of(&mut decision.writes)) {
            change(refresh, accepted);
        }
    })
}

/// The parts with something else recorded as queued for an accepted refresh.
fn queueing(parts: Parts, change: fn(&mut Refresh)) -> Parts {
    deciding(parts, move |_, _, decision| {
        if let Some(refresh) = refresh_of(&mut decision.writes) {
            change(refresh);
        }
    })
}

fn refresh_of(writes: &mut [Write]) -> Option<&mut Refresh> {
    writes.iter_mut().find_map(|write| match write {
        Write::AppendRefresh(refresh) => Some(refresh),
        _ => None,
    })
}

/// Gives lists or full refreshes another message.
fn reword(accepted: &mut Accepted, full: bool, message: &'static str) {
    if accepted.pages_queued.is_none() == full {
        accepted.message = message;
    }
}

/// Answers accepted lists or full refreshes with 202.
fn accept_with_202(answer: &mut Answer, full: bool) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status == StatusCode::OK && body.get("pagesQueued").is_none() == full {
        answer.status = StatusCode::ACCEPTED;
    }
}
