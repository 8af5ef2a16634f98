//! `ambit token`: who may ask the API. The token is shown once; what is kept is its SHA-256, in a file that only its owner
//! may read and that a running API reads again when it changes.

use crate::cli::{CreateTokenArgs, TokenCommand};
use crate::config::Config;
use crate::keys;
use crate::output::{print, print_error};
use crate::simulate::now;
use ambit_query_api::access::{TOKENS_MAX, TokenList, TokenRecord};
use ambit_schemas::Timestamp;
use ambit_schemas::id::{PrincipalId, TenantId};
use anyhow::{Context, bail};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// Runs the command.
pub fn run(config: &Config, command: &TokenCommand) -> anyhow::Result<()> {
    let path = config.tokens_path();
    match command {
        TokenCommand::Create(args) => create(&path, args),
        TokenCommand::List { json } => list(&TokenList::read(&path)?, *json),
        TokenCommand::Revoke { id } => revoke(&path, id),
    }
}

fn create(path: &Path, args: &CreateTokenArgs) -> anyhow::Result<()> {
    let name = PrincipalId::try_from(args.name.as_str()).context("--name")?;
    let tenant = args.tenant.as_deref().map(TenantId::try_from).transpose().context("--tenant")?;
    let token = keys::api_token();
    let mut record = TokenRecord::new(&token, name, args.role, tenant, now());
    record.expires_at = (args.days > 0).then(|| record.created_at.plus_micros(i64::from(args.days) * DAY_US));
    let shown = record.clone();
    change(path, |list| {
        if list.tokens.len() >= TOKENS_MAX {
            // What is over says nothing any more; the audit trail names tokens by id.
            let now = now();
            list.tokens.retain(|known| known.is_valid(now));
        }
        if list.tokens.len() >= TOKENS_MAX {
            bail!("there are {TOKENS_MAX} valid tokens: revoke some first");
        }
        list.tokens.push(record);
        Ok(())
    })?;
    print(&token);
    print_error(&format!(
        "{} is {} and sees {}; it {}. This is the only time that it is shown.",
        shown.id,
        shown.role,
        shown.tenant.as_ref().map_or_else(|| "all tenants".to_owned(), |tenant| format!("tenant {tenant}")),
        shown.expires_at.map_or_else(|| "never ends".to_owned(), |end| format!("ends {end}"))
    ));
    Ok(())
}

fn list(list: &TokenList, json: bool) -> anyhow::Result<()> {
    let now = now();
    for token in &list.tokens {
        if json {
            print(&serde_json::to_string(token)?);
            continue;
        }
        let tenant = token.tenant.as_ref().map_or("all tenants", |tenant| tenant.as_str());
        print(&format!(
            "{:<17} {:<24} {:<10} {tenant:<16} {}",
            token.id,
            token.name.as_str(),
            token.role.name(),
            standing(token, now)
        ));
    }
    if list.tokens.is_empty() && !json {
        print("there are none beside the one of the first start");
    }
    Ok(())
}

fn standing(token: &TokenRecord, now: Timestamp) -> String {
    match (token.revoked_at, token.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(end)) if end <= now => format!("ended {end}"),
        (None, Some(end)) => format!("ends {end}"),
        (None, None) => "never ends".to_owned(),
    }
}

fn revoke(path: &Path, id: &str) -> anyhow::Result<()> {
    change(path, |list| {
        let known = list.tokens.iter_mut().find(|token| token.id == id);
        let token = known.with_context(|| format!("there is no token `{id}`: see `ambit token list`"))?;
        token.revoked_at.get_or_insert_with(now);
        Ok(())
    })?;
    print(&format!("{id} is revoked"));
    Ok(())
}

/// Changes the file: under a lock, so that of two who do so neither undoes the other; by replacing it, so that whoever
/// reads it finds all of it.
fn change(path: &Path, change: impl FnOnce(&mut TokenList) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}: is the data directory writable?", path.display());
    let dir = path.parent().context("the data directory has no name")?;
    std::fs::create_dir_all(dir).with_context(failed)?;
    let lock = open_private(&beside(path, "lock"), false).with_context(failed)?;
    lock.lock().with_context(failed)?;
    let mut list = TokenList::read(path)?;
    change(&mut list)?;
    let unfinished = beside(path, "tmp");
    let mut file = open_private(&unfinished, true).with_context(failed)?;
    serde_json::to_writer_pretty(&mut file, &list).with_context(failed)?;
    file.sync_all().with_context(failed)?;
    std::fs::rename(&unfinished, path).with_context(failed)?;
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(failed)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    path.with_extension(ending)
}

fn open_private(path: &Path, empty: bool) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(empty).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_query_api::access::{Role, TOKEN_PREFIX};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn tokens_are_kept_as_hashes_in_a_private_file_and_two_writers_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/api-tokens.json");
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let args = CreateTokenArgs {
                        name: format!("writer {writer}"),
                        role: Role::Viewer,
                        tenant: Some("acme".into()),
                        days: 1,
                    };
                    create(path, &args).unwrap();
                });
            }
        });
        let list = TokenList::read(&path).unwrap();
        assert_eq!(list.tokens.len(), 8);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!std::fs::read_to_string(&path).unwrap().contains(TOKEN_PREFIX));
        revoke(&path, &list.tokens[3].id).unwrap();
        assert!(revoke(&path, "tok-0").unwrap_err().to_string().contains("ambit token list"));
        let list = TokenList::read(&path).unwrap();
        assert_eq!(list.tokens.iter().filter(|token| token.is_valid(now())).count(), 7);
        let args = CreateTokenArgs { name: String::new(), role: Role::Viewer, tenant: None, days: 0 };
        assert!(create(&path, &args).is_err(), "a token without a name");
    }
}
