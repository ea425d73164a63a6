//! Addresses of a target: what may be used, and what of it may be shown. Pure.

use thiserror::Error;
use url::Url;

/// What is wrong with the address of a target.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressProblem {
    /// No HTTP URL.
    #[error("expected a URL that begins with http:// or https://")]
    NotHttp,
    /// Somebody's name and password, which every report would show.
    #[error("expected a URL without user name and password, found one with them; give them as a header")]
    UserInfo,
    /// No path can be added to it.
    #[error("expected a URL to which a path can be added, found one with a query or a fragment, behind `?` or `#`")]
    NotABase,
    /// Somewhere else than this machine.
    #[error("expected a loopback address, found {0}; give --i-own-this-target if it is yours")]
    NotLoopback(String),
}

/// Checks a base URL: HTTP, and loopback unless the user owns the target.
///
/// # Errors
/// [`AddressProblem`].
pub fn check_address(text: &str, owned: bool) -> Result<(), AddressProblem> {
    let url = Url::parse(text).map_err(|_| AddressProblem::NotHttp)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(AddressProblem::UserInfo);
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(AddressProblem::NotHttp);
    }
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => return Err(AddressProblem::NotHttp),
    };
    if loopback || owned {
        Ok(())
    } else {
        Err(AddressProblem::NotLoopback(url.host_str().unwrap_or_default().to_owned()))
    }
}

/// Checks that paths can be added to an address.
///
/// # Errors
/// [`AddressProblem::NotABase`].
pub fn check_base(text: &str) -> Result<(), AddressProblem> {
    if text.contains(['?', '#']) { Err(AddressProblem::NotABase) } else { Ok(()) }
}

/// An address without the user name, password, query and fragment that may stand in it.
pub fn shown_address(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    text.rfind('@').map_or_else(|| text.to_owned(), |at| format!("…{}", &text[at..]))
}
