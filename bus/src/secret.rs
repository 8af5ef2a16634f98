//! Secrets stand in files or in the environment; the configuration says where.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Where a secret stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretRef {
    /// In a file.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
}

impl SecretRef {
    /// Reads it, without white space around it.
    ///
    /// # Errors
    /// What is wrong, for people: there is no such file or variable, or it is empty.
    #[allow(clippy::disallowed_methods, reason = "the configuration names the variable")]
    pub fn read(&self) -> Result<Zeroizing<String>, String> {
        let (text, place) = match self {
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("cannot read the secret file {}: {error}", path.display()))?;
                (text, format!("the secret file {}", path.display()))
            }
            Self::Env(name) => {
                let text = std::env::var_os(name)
                    .and_then(|value| value.into_string().ok())
                    .ok_or_else(|| format!("the environment variable `{name}` with the secret is not set"))?;
                (text, format!("the environment variable `{name}`"))
            }
        };
        let text = Zeroizing::new(text);
        if text.trim().is_empty() {
            return Err(format!("{place} is empty"));
        }
        Ok(Zeroizing::new(text.trim().to_owned()))
    }
}
