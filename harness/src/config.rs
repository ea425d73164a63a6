//! The target file, read once and resolved: the only module that reads the environment and files of the user.

mod address;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::api::Api;
use crate::known::{self, EntryProblem, KnownFailure};
use crate::runner::select::Exclusion;
use crate::secret::{SECRET_LENGTH_MIN, Secret, SecretBook};
pub use address::{AddressProblem, check_address, check_base, shown_address};

/// The name of the target file that is used without being named, if it is there.
pub const DEFAULT_FILE: &str = "hookproof.toml";

/// A commented target file, for `hookproof init`.
pub const TEMPLATE: &str = include_str!("hookproof.template.toml");

/// Why a target file cannot be used. Each says what was expected, what was found, where, and what to do.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: expected a readable target file, found: {reason}; `hookproof init` writes one")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        reason: std::io::Error,
    },
    /// The file is no TOML, or has a key or type that is not known.
    #[error("{path}: {message}{hint}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line and column.
        message: String,
        /// The nearest known key.
        hint: String,
    },
    /// A value makes no sense.
    #[error("{path}: `{key}`: expected {expected}, found {found}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What would be right.
        expected: String,
        /// What is there; never a secret.
        found: String,
    },
    /// An entry of the known failures cannot be used.
    #[error("{path}: [[known_failures]] {problem}")]
    KnownFailure {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: EntryProblem,
    },
    /// The target is somewhere else.
    #[error(
        "{path}: `{key}`: expected a loopback address, found {host}; requests cost the target's limits and quota, so give --i-own-this-target if it is yours"
    )]
    NotLoopback {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The host found.
        host: String,
    },
}

/// A target as configured.
#[derive(Debug)]
pub struct TargetConfig {
    /// The file it came from.
    pub path: PathBuf,
    /// Its name in reports.
    pub name: String,
    /// The APIs with a section.
    pub apis: BTreeMap<Api, ApiConfig>,
    /// How fixtures are asked for.
    pub fixtures: FixturesConfig,
    /// Failures that are known and accepted for now.
    pub known_failures: Vec<KnownFailure>,
    /// Rules that are not to be judged.
    pub exclusions: Vec<Exclusion>,
}

impl TargetConfig {
    /// The secrets of the configuration, by their names in outputs.
    pub fn secrets(&self) -> SecretBook {
        let mut secrets = SecretBook::default();
        if let FixturesConfig::Http { token, .. } = &self.fixtures {
            secrets.add(token, "control-token");
        }
        for (api, section) in &self.apis {
            for (name, value) in &section.headers {
                let known_as = format!("header:{}.{name}", api.name());
                secrets.add(value, &known_as);
                // Behind a scheme such as `Bearer` stands what is secret.
                let credential = value.expose().split_once(' ').map(|(_, credential)| credential.trim());
                if let Some(credential) = credential.filter(|_| name.to_ascii_lowercase().ends_with("authorization")) {
                    secrets.add(&Secret::new(credential), &format!("{known_as}.credential"));
                }
            }
        }
        secrets
    }
}

/// One API's section.
#[derive(Debug)]
pub struct ApiConfig {
    /// Where it is; without it, `hello` says.
    pub base_url: Option<String>,
    /// Headers sent with every request.
    pub headers: Vec<(String, Secret)>,
    /// An extra root certificate, PEM.
    pub ca: Option<PathBuf>,
}

/// The fixtures' section.
#[derive(Debug)]
pub enum FixturesConfig {
    /// JSON-RPC by HTTP.
    Http {
        /// Where to post.
        url: String,
        /// The control token.
        token: Secret,
    },
    /// JSON-RPC over an adapter's stdin and stdout.
    Command {
        /// Program and arguments.
        command: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    name: Option<String>,
    rndrkit: Option<RawApi>,
    craftkit: Option<RawApi>,
    fixtures: RawFixtures,
    #[serde(default)]
    known_failures: Vec<KnownFailure>,
    #[serde(default)]
    exclude: Vec<Exclusion>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApi {
    base_url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, RawSecret>,
    ca: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFixtures {
    kind: RawKind,
    url: Option<String>,
    token: Option<RawSecret>,
    command: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Http,
    Command,
}

/// A literal, `{ env = "NAME" }` or `{ file = "PATH" }`.
struct RawSecret(SecretSource);

enum SecretSource {
    Literal(String),
    Env(String),
    File(PathBuf),
}

impl<'de> Deserialize<'de> for RawSecret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<RawSecret, D::Error> {
        deserializer.deserialize_any(SecretVisitor).map(RawSecret)
    }
}

/// A visitor of its own, because the message of an untagged enum would name neither spelling.
struct SecretVisitor;

impl<'de> serde::de::Visitor<'de> for SecretVisitor {
    type Value = SecretSource;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a text, { env = \"NAME\" } or { file = \"PATH\" }")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<SecretSource, E> {
        Ok(SecretSource::Literal(value.to_owned()))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
        use serde::de::Error as _;
        let Some((key, value)) = map.next_entry::<String, String>()? else {
            return Err(A::Error::custom("expected { env = \"NAME\" } or { file = \"PATH\" }, found {}"));
        };
        let source = match key.as_str() {
            "env" => SecretSource::Env(value),
            "file" => SecretSource::File(value.into()),
            other => return Err(A::Error::unknown_field(other, &["env", "file"])),
        };
        match map.next_key::<String>()? {
            None => Ok(source),
            Some(second) => {
                Err(A::Error::custom(format!("expected one of `env` and `file`, found `{second}` as well")))
            }
        }
    }
}

/// Reads and resolves a target file. `variable` looks an environment variable up.
///
/// # Errors
/// [`ConfigError`]; nothing has been sent by then.
pub fn read(path: &Path, owned: bool, variable: impl Fn(&str) -> Option<String>) -> Result<TargetConfig, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|reason| ConfigError::Unreadable { path: path.to_owned(), reason })?;
    Resolver { path, owned, variable: &variable }.target(&text)
}

/// The process's environment, for [`read`].
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Where temporary files go.
pub fn temporary_folder() -> PathBuf {
    std::env::temp_dir()
}

struct Resolver<'a> {
    path: &'a Path,
    owned: bool,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Resolver<'_> {
    fn target(&self, text: &str) -> Result<TargetConfig, ConfigError> {
        let raw: RawTarget = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            path: self.path.to_owned(),
            hint: nearest_key(error.message()),
            message: without_values(&error, text),
        })?;
        let mut apis = BTreeMap::new();
        for (api, section) in [(Api::Rndrkit, raw.rndrkit), (Api::Craftkit, raw.craftkit)] {
            if let Some(section) = section {
                apis.insert(api, self.api(api, section)?);
            }
        }
        known::validate(&raw.known_failures)
            .map_err(|problem| ConfigError::KnownFailure { path: self.path.to_owned(), problem })?;
        if let Some(entry) = raw.exclude.iter().find(|entry| entry.reason.trim().is_empty()) {
            return Err(self.value(&format!("exclude.{}.reason", entry.rule), "why it is not judged", "nothing"));
        }
        let stem = self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Ok(TargetConfig {
            path: self.path.to_owned(),
            name: raw.name.or(stem).unwrap_or_else(|| "target".to_owned()),
            apis,
            fixtures: self.fixtures(raw.fixtures)?,
            known_failures: raw.known_failures,
            exclusions: raw.exclude,
        })
    }

    fn api(&self, api: Api, raw: RawApi) -> Result<ApiConfig, ConfigError> {
        let key = |name: &str| format!("{}.{name}", api.name());
        if let Some(base_url) = &raw.base_url {
            let checked = check_address(base_url, self.owned).and_then(|()| check_base(base_url));
            checked.map_err(|problem| self.refused(&key("base_url"), base_url, problem))?;
        }
        let headers = raw
            .headers
            .into_iter()
            .map(|(name, value)| {
                let key = key(&format!("headers.{name}"));
                let value = self.secret(&key, value)?;
                let fits = reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_ok()
                    && reqwest::header::HeaderValue::from_str(value.expose()).is_ok();
                if !fits {
                    return Err(self.value(
                        &key,
                        "a header name and a value of visible characters",
                        "other characters",
                    ));
                }
                Ok((name, value))
            })
            .collect::<Result<_, _>>()?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        Ok(ApiConfig { base_url: raw.base_url, headers, ca: raw.ca.map(|ca| folder.join(ca)) })
    }

    fn fixtures(&self, raw: RawFixtures) -> Result<FixturesConfig, ConfigError> {
        match raw.kind {
            RawKind::Http => {
                let url =
                    raw.url.ok_or_else(|| self.value("fixtures.url", "the URL of the control plane", "nothing"))?;
                check_address(&url, self.owned).map_err(|problem| self.refused("fixtures.url", &url, problem))?;
                let token = raw.token.ok_or_else(|| self.value("fixtures.token", "the control token", "nothing"))?;
                Ok(FixturesConfig::Http { url, token: self.secret("fixtures.token", token)? })
            }
            RawKind::Command => {
                let command = raw.command.filter(|command| !command.is_empty());
                let command = command.ok_or_else(|| {
                    self.value("fixtures.command", "a list with a program and its arguments", "nothing")
                })?;
                Ok(FixturesConfig::Command { command })
            }
        }
    }

    fn secret(&self, key: &str, raw: RawSecret) -> Result<Secret, ConfigError> {
        let value = match raw.0 {
            SecretSource::Literal(value) => value,
            SecretSource::Env(name) => (self.variable)(&name).ok_or_else(|| {
                self.value(key, &format!("the environment variable {name} to be set"), "that it is not")
            })?,
            SecretSource::File(file) => {
                let folder = self.path.parent().unwrap_or(Path::new("."));
                let text = std::fs::read_to_string(folder.join(&file)).map_err(|reason| {
                    self.value(key, &format!("a readable file {}", file.display()), &reason.to_string())
                })?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
        };
        if value.len() < SECRET_LENGTH_MIN {
            let expected = format!(
                "a secret of at least {SECRET_LENGTH_MIN} characters, since shorter ones cannot be kept out of reports"
            );
            return Err(self.value(key, &expected, &format!("{} characters", value.len())));
        }
        Ok(Secret::new(value))
    }

    fn refused(&self, key: &str, text: &str, problem: AddressProblem) -> ConfigError {
        match problem {
            AddressProblem::NotHttp => {
                self.value(key, "a URL that begins with http:// or https://", &shown_address(text))
            }
            AddressProblem::UserInfo => self.value(
                key,
                "a URL without user name and password, which go into `headers`",
                "one with them, which every report would show",
            ),
            AddressProblem::NotABase => self.value(
                key,
                "a URL to which a path can be added",
                "one with a query or a fragment, behind `?` or `#`",
            ),
            AddressProblem::NotLoopback(host) => {
                ConfigError::NotLoopback { path: self.path.to_owned(), key: key.to_owned(), host }
            }
        }
    }

    fn value(&self, key: &str, expected: &str, found: &str) -> ConfigError {
        ConfigError::Value {
            path: self.path.to_owned(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }
}

/// What the parser has to say, and where; not the line itself nor a text found there, since either may be a secret.
fn without_values(error: &toml::de::Error, text: &str) -> String {
    let message = error.message();
    let message = without_text(message);
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return message };
    let line = before.lines().count().max(1) + usize::from(before.ends_with('\n'));
    let begun = before.rsplit('\n').next().unwrap_or_default();
    // A key is no secret; a value stands behind it, or on lines of its own.
    let key = begun.split_once('=').map(|(key, _)| key.trim()).filter(|key| is_bare(key));
    let key = key.map_or(String::new(), |key| format!(" (`{key}`)"));
    format!("line {line}, column {}{key}: {message}", begun.chars().count() + 1)
}

/// True for a key without quotes.
fn is_bare(key: &str) -> bool {
    key.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
}

/// A message of serde's without the text or number that it quotes; a text's own quotes are escaped.
fn without_text(message: &str) -> String {
    const TEXT: &str = "string \"";
    for number in ["integer `", "floating point `"] {
        if let Some((before, after)) = message.split_once(number) {
            let rest = after.split_once('`').map_or("", |(_, rest)| rest);
            return format!("{before}{}{rest}", number.trim_end_matches(" `"));
        }
    }
    let Some(from) = message.find(TEXT).map(|at| at + TEXT.len()) else { return message.to_owned() };
    let mut escaped = false;
    let end = message[from..].find(|character| {
        let ends = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        ends
    });
    let rest = end.map_or("\"", |end| &message[from + end..]);
    format!("{}…{rest}", &message[..from])
}

/// `, did you mean …?` from serde's message about an unknown key.
fn nearest_key(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next().filter(|_| message.starts_with("unknown")) else { return String::new() };
    let distance = |known: &&str| strsim::damerau_levenshtein(unknown, known);
    let nearest = quoted.min_by_key(distance).filter(|known| distance(known) <= known.len().div_ceil(2));
    nearest.map_or(String::new(), |known| format!("\nDid you mean `{known}`?"))
}

#[cfg(test)]
mod tests;
