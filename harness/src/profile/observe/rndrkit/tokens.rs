//! How a token may be spelled in its header.

use super::super::reading::said;
use super::super::{ask_first, observer};
use super::body::kinds;
use crate::api::Api;
use crate::checks::rndrkit::{anonymous, urls, valid};
use crate::checks::{Check, Needs};
use crate::gather::{Domain, DomainWish, Gather, Stop};
use crate::target::http::Request;
use crate::target::protocol::Method;

/// The observers of this topic.
pub const OBSERVERS: &[Check] = &[SPELLING];

const SPELLING: Check = observer!(
    "observe/rndrkit/tokens",
    Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather_spelling,
    {
        "rndrkit.observe.bearer-case" => said,
        "rndrkit.observe.bearer-spaces" => |evidence, slug| kinds(evidence, slug, &[TWO_SPACES, SPACE_AFTER]),
    }
);

const TWO_SPACES: &str = "two before";
const SPACE_AFTER: &str = "one after";

async fn gather_spelling(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    ask_first(g, valid("control", &mut domain)).await?;
    let token = domain.tokens[0].value.expose().to_owned();
    for (label, header) in [
        ("bearer-case".to_owned(), format!("bearer {token}")),
        (format!("bearer-spaces/{TWO_SPACES}"), format!("Bearer  {token}")),
        (format!("bearer-spaces/{SPACE_AFTER}"), format!("Bearer {token} ")),
    ] {
        let request = spelled(&label, &mut domain, header);
        g.send(request).await;
    }
    Ok(())
}

fn spelled(label: &str, domain: &mut Domain, header: String) -> Request {
    anonymous(label, &urls(&domain.fresh_pages(1))).header("Authorization", header)
}
