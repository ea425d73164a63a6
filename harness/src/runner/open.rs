//! Opens a target: starts what is built in or connects to what is configured, and asks who is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use serde_json::json;
use thiserror::Error;

use crate::api::Api;
use crate::checks::generated::{DEFAULT_CASES, KeptCase};
use crate::config::{self, AddressProblem, ApiConfig, FixturesConfig, TargetConfig};
use crate::evidence::room::Room;
use crate::gather::time::Timekeeper;
use crate::gather::{Pacer, RUN_EVIDENCE_MAX, World};
use crate::secret::{Secret, SecretBook, SecretFilter};
use crate::target::command::CommandTransport;
use crate::target::fixtures::{CALL_TIME_MAX, FixtureError, Fixtures, Transport, read_result};
use crate::target::http::{ClientError, EXCHANGE_TIME_MAX, HttpClient};
use crate::target::protocol::{Hello, Implementation, Method, PROTOCOL_VERSION};

/// The name of the built-in target.
pub const BUILTIN: &str = "builtin";

/// Settings of a run that reach the target.
#[derive(Clone, Copy, Debug)]
pub struct RunSettings {
    /// Checks at a time.
    pub jobs: usize,
    /// Seed of every random choice.
    pub seed: u64,
    /// How many cases of each property are generated.
    pub cases: u32,
    /// How long a change made through a fixture may take to be seen.
    pub settle: Duration,
    /// Requests a second at most.
    pub rate: Option<u32>,
    /// The user owns the target, wherever it is.
    pub owned: bool,
    /// Show an adapter's stderr.
    pub verbose: bool,
    /// How long an exchange with the target may take.
    pub request_time: Duration,
    /// How long a fixture call may take.
    pub fixture_time: Duration,
}

impl Default for RunSettings {
    fn default() -> RunSettings {
        RunSettings {
            jobs: 1,
            seed: 1,
            cases: DEFAULT_CASES,
            settle: Duration::ZERO,
            rate: None,
            owned: false,
            verbose: false,
            request_time: EXCHANGE_TIME_MAX,
            fixture_time: CALL_TIME_MAX,
        }
    }
}

/// Why a target could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The built-in server did not start.
    #[error("the built-in reference server did not start: {0}")]
    Builtin(#[from] reference_server::StartError),
    /// The HTTP client could not be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The adapter could not be started.
    #[error("fixtures.command: expected a program that starts, found: {program}: {reason}")]
    Adapter {
        /// The program.
        program: String,
        /// The operating system's words.
        reason: std::io::Error,
    },
    /// `hello` failed.
    #[error("the fixtures cannot be used: {0}")]
    Fixtures(#[from] FixtureError),
    /// The adapter speaks another protocol.
    #[error("the fixtures' `hello`: expected protocol {PROTOCOL_VERSION}, found {0}")]
    Protocol(u64),
    /// An API has no base URL.
    #[error("[{0}]: expected `base_url` in the target file or in the fixtures' `hello`, found neither")]
    NoBaseUrl(&'static str),
    /// `hello` names an address that must not be used.
    #[error("the fixtures' `hello` names {url} for {api}: {problem}")]
    Address {
        /// The API.
        api: &'static str,
        /// The URL.
        url: String,
        /// What is wrong with it.
        problem: AddressProblem,
    },
    /// Neither API is there.
    #[error(
        "expected a [rndrkit] or [craftkit] section, or a base URL in the fixtures' `hello`, found none; nothing can be judged"
    )]
    NoApi,
    /// Nothing answers at the base URL.
    #[error("{api}: expected an HTTP answer from {url}, found: {reason}; is the implementation running?")]
    Silent {
        /// The API.
        api: &'static str,
        /// Its base URL.
        url: String,
        /// Why no answer came.
        reason: String,
    },
    /// Any of these, and what the adapter had to say about it.
    #[error("{error}\nthe adapter's stderr:\n{stderr}")]
    Commented {
        /// What went wrong.
        error: Box<OpenError>,
        /// What the adapter wrote.
        stderr: String,
    },
}

impl OpenError {
    /// True if what is wrong stands in the target file, and nobody was asked anything.
    pub fn is_configuration(&self) -> bool {
        match self {
            OpenError::Client(ClientError::Root { .. }) => true,
            OpenError::Commented { error, .. } => error.is_configuration(),
            _ => false,
        }
    }

    /// The same without the secrets of the configuration, and with what an adapter wrote to its stderr.
    fn cleaned(self, filter: &SecretFilter, stderr: &str) -> OpenError {
        let cleaned = match self {
            OpenError::Fixtures(error) => OpenError::Fixtures(error.cleaned(filter)),
            OpenError::Address { api, url, problem } => OpenError::Address { api, url: filter.text(&url), problem },
            OpenError::Adapter { program, reason } => OpenError::Adapter { program: filter.text(&program), reason },
            OpenError::Silent { api, url, reason } => {
                OpenError::Silent { api, url: filter.text(&url), reason: filter.text(&reason) }
            }
            other => other,
        };
        if stderr.is_empty() {
            return cleaned;
        }
        OpenError::Commented { error: Box::new(cleaned), stderr: filter.text(stderr) }
    }
}

/// A target that is ready to be judged.
pub struct OpenTarget {
    /// Its name in reports.
    pub name: String,
    /// Who is there.
    pub implementation: Implementation,
    /// What checks work with.
    pub world: Arc<World>,
    /// The built-in server, if it is that.
    server: Option<reference_server::Server>,
}

impl OpenTarget {
    /// The same target, at which cases that failed earlier come first.
    pub fn trying_first(mut self, kept: Vec<KeptCase>) -> OpenTarget {
        let world = Arc::get_mut(&mut self.world).expect("nobody works with a target before it is handed over");
        world.kept_cases = kept;
        self
    }

    /// Ends what was started for the target.
    pub async fn close(self) {
        self.world.fixtures.close().await;
        if let Some(server) = self.server {
            // The run is over and its report stands; a server that ends badly changes nothing in it.
            let _ = server.stop().await;
        }
    }
}

/// Starts the built-in reference server on a free loopback port with a manual clock and opens it.
///
/// # Errors
/// [`OpenError`].
pub async fn builtin(parts: reference_server::Parts, settings: RunSettings) -> Result<OpenTarget, OpenError> {
    let token = Secret::new(hex::encode(rand::rng().random::<[u8; 16]>()));
    let control = reference_server::ControlToken::new(token.expose().to_owned());
    let server = reference_server::start(reference_server::Config::ephemeral(control), parts).await?;
    let url = format!("{}/_control", server.base_url());
    let fixtures = Arc::new(Fixtures::http_pooled(&url, token.clone(), settings.fixture_time)?);
    let mut secrets = SecretBook::default();
    secrets.add(&token, "control-token");
    let sections = BTreeMap::new();
    let mut target = connect(BUILTIN.to_owned(), fixtures, &sections, secrets, settings).await?;
    target.server = Some(server);
    Ok(target)
}

/// Opens a configured target.
///
/// # Errors
/// [`OpenError`].
pub async fn configured(target: TargetConfig, settings: RunSettings) -> Result<OpenTarget, OpenError> {
    let secrets = target.secrets();
    let filter = secrets.filter();
    let fixtures = match target.fixtures {
        FixturesConfig::Http { url, token } => Fixtures::http(&url, token, settings.fixture_time)?,
        FixturesConfig::Command { command } => {
            let failed = |reason| OpenError::Adapter { program: command.join(" "), reason }.cleaned(&filter, "");
            let transport = CommandTransport::start(&command, settings.verbose).map_err(failed)?;
            Fixtures::over(Transport::Command(Box::new(transport)), settings.fixture_time)
        }
    };
    let fixtures = Arc::new(fixtures);
    match connect(filter.text(&target.name), Arc::clone(&fixtures), &target.apis, secrets, settings).await {
        Ok(target) => Ok(target),
        Err(error) => {
            fixtures.close().await;
            Err(error.cleaned(&filter, &fixtures.adapter_said()))
        }
    }
}

async fn connect(
    name: String,
    fixtures: Arc<Fixtures>,
    sections: &BTreeMap<Api, ApiConfig>,
    secrets: SecretBook,
    settings: RunSettings,
) -> Result<OpenTarget, OpenError> {
    let began = Instant::now();
    let result = fixtures.call(Method::Hello, json!({"protocol": PROTOCOL_VERSION})).await?;
    let hello: Hello = read_result(Method::Hello, &result)?;
    if hello.protocol != PROTOCOL_VERSION {
        return Err(OpenError::Protocol(hello.protocol));
    }
    let mut clients = BTreeMap::new();
    for api in Api::ALL {
        let section = sections.get(&api);
        if let Some(base_url) = base_url(api, section, &hello, settings.owned)? {
            let client = client(api, &base_url, section, began, settings.request_time)?;
            greet(api, &client).await?;
            clients.insert(api, client);
        }
    }
    if clients.is_empty() {
        return Err(OpenError::NoApi);
    }
    let methods: BTreeSet<Method> =
        Method::ALL.into_iter().filter(|method| hello.methods.iter().any(|name| name == method.name())).collect();
    let timekeeper = Timekeeper::new(hello.clock, began, Arc::clone(&fixtures), settings.jobs);
    let world = Arc::new(World {
        clients,
        fixtures,
        methods,
        timekeeper,
        settle: settings.settle,
        seed: settings.seed,
        cases: settings.cases,
        kept_cases: Vec::new(),
        pacer: settings.rate.map(Pacer::new),
        began,
        secrets,
        room: Room::new("this run", RUN_EVIDENCE_MAX),
    });
    let filter = world.secrets.filter();
    let implementation = Implementation {
        name: said_of_itself(&hello.implementation.name, &filter),
        version: said_of_itself(&hello.implementation.version, &filter),
    };
    Ok(OpenTarget { name, implementation, world, server: None })
}

/// A name or version as an implementation gives it, fit for the first line of every output.
fn said_of_itself(text: &str, filter: &SecretFilter) -> String {
    const SHOWN_MAX: usize = 100;
    filter.text(text).chars().take(SHOWN_MAX).collect()
}

/// The file's base URL, else the one that `hello` names; `None` if the target has no such API.
fn base_url(api: Api, section: Option<&ApiConfig>, hello: &Hello, owned: bool) -> Result<Option<String>, OpenError> {
    let endpoint = match api {
        Api::Rndrkit => &hello.rndrkit,
        Api::Craftkit => &hello.craftkit,
    };
    if let Some(base_url) = section.and_then(|section| section.base_url.clone()) {
        return Ok(Some(base_url));
    }
    match (endpoint, section) {
        (Some(endpoint), _) => {
            let url = endpoint.base_url.clone();
            config::check_address(&url, owned)
                .and_then(|()| config::check_base(&url))
                .map_err(|problem| OpenError::Address { api: api.name(), url: config::shown_address(&url), problem })?;
            Ok(Some(url))
        }
        (None, Some(_)) => Err(OpenError::NoBaseUrl(api.name())),
        (None, None) => Ok(None),
    }
}

fn client(
    api: Api,
    base_url: &str,
    section: Option<&ApiConfig>,
    began: Instant,
    time_max: Duration,
) -> Result<HttpClient, OpenError> {
    let headers = section.map_or(Vec::new(), |section| {
        section.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
    });
    let root = section.and_then(|section| section.ca.as_deref()).map(|path| root(api, path)).transpose()?;
    Ok(HttpClient::new(base_url, headers, root, began, time_max)?)
}

fn root(api: Api, path: &Path) -> Result<reqwest::Certificate, ClientError> {
    let refused = |reason: String| ClientError::Root { api: api.name(), path: path.display().to_string(), reason };
    let pem = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    reqwest::Certificate::from_pem(&pem).map_err(|error| refused(error.to_string()))
}

/// Any HTTP answer will do: the suite only wants to know that somebody is there before it asks for fixtures.
async fn greet(api: Api, client: &HttpClient) -> Result<(), OpenError> {
    let silent = |reason| OpenError::Silent { api: api.name(), url: client.base_url().to_owned(), reason };
    client.greet().await.map_err(silent)
}
