//! How the API is told: it knows by a token who says so. What is written to Kafka past it is for emergencies, and says that
//! nobody knows.

use crate::cli::Said;
use crate::config::Config;
use crate::keys;
use crate::output::print_error;
use ambit_enforcement::{FetchError, Fetcher, Replied};
use anyhow::{Context, bail};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};
use zeroize::Zeroizing;

/// Where the API is, and who asks.
struct Api {
    base: Url,
    token: Zeroizing<String>,
    /// Whether it is the API that this installation's configuration names, and nobody named it on the command line.
    local: bool,
}

/// Says something to the API: what it answers (`now` of the answer). Nothing when Kafka is to be written past it: because that is
/// wanted, or because this machine has no API that could be asked.
pub(super) async fn say(
    config: &Config,
    said: &Said,
    path: &[&str],
    body: &Value,
) -> anyhow::Result<Option<Value>> {
    if said.api.break_glass {
        warn(said, "as you asked");
        return Ok(None);
    }
    let Some(api) = find(config, said)? else {
        warn(said, "this machine has no token of an API");
        return Ok(None);
    };
    let mut url = api.base.clone();
    url.path_segments_mut().map_err(|()| anyhow::anyhow!("`--url` must be the API's address"))?.extend(path);
    let fetcher = Fetcher::new(true)?;
    match fetcher.post(&url, &api.token, serde_json::to_vec(body)?).await {
        Ok(replied) => answered(&replied, &api.base).map(Some),
        // Nobody was there: nothing was said.
        Err(FetchError::NoAnswer("connect")) if api.local => {
            warn(said, "the API of this machine does not run");
            Ok(None)
        }
        Err(error @ FetchError::NoAnswer("connect")) => Err(error).context(format!(
            "the API at {} cannot be reached, so nothing was ordered: where there is an emergency and this machine may \
             write to Kafka, use `--break-glass`",
            api.base
        )),
        Err(error) => Err(error).context(format!(
            "nobody knows whether the API at {} took it: look with `ambit search --kind 'response.*'` before you say it \
             again",
            api.base
        )),
    }
}

/// Nobody is to overlook it.
fn warn(said: &Said, why: &str) {
    print_error(&format!(
        "BREAK GLASS: {why}, so this is written to Kafka past the API. Nobody has checked that you are `{}`: the record \
         says so (author_authenticated: false).",
        said.author
    ));
}

fn find(config: &Config, said: &Said) -> anyhow::Result<Option<Api>> {
    let base = match &said.api.url {
        Some(url) => address(url)?,
        None => local(config)?,
    };
    let local = said.api.url.is_none();
    if let Some(token) = &said.api.token {
        return Ok(Some(Api { base, token: Zeroizing::new(token.trim().to_owned()), local }));
    }
    if !local {
        bail!("`--url` needs a token: give AMBIT_TOKEN, made with `ambit token create --role responder`");
    }
    let path = config.keys_dir().join("api.token");
    if !path.try_exists().unwrap_or_default() {
        return Ok(None);
    }
    Ok(Some(Api { base, token: keys::token(&path)?, local }))
}

/// The API of this machine.
fn local(config: &Config) -> anyhow::Result<Url> {
    let mut listen = config.api.listen;
    if listen.ip().is_unspecified() {
        let loopback =
            if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { IpAddr::from(Ipv6Addr::LOCALHOST) };
        listen.set_ip(loopback);
    }
    Url::parse(&format!("http://{listen}/")).context("`api.listen`")
}

/// A token goes over TLS, or does not leave the machine.
fn address(text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).context("`--url` must be the API's address, such as https://ambit.example")?;
    let here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() != "https" && !(here && url.scheme() == "http") {
        bail!("`--url` must be https: the token would be read on its way to {text}");
    }
    Ok(url)
}

fn answered(replied: &Replied, base: &Url) -> anyhow::Result<Value> {
    let body: Value = serde_json::from_slice(&replied.body).unwrap_or_default();
    if (200..300).contains(&replied.status) {
        return Ok(body.get("now").cloned().unwrap_or_default());
    }
    let why = body.get("detail").and_then(Value::as_str).unwrap_or("it does not say why");
    let hint = match replied.status {
        401 => ": give AMBIT_TOKEN, made with `ambit token create --role responder`",
        403 => ": it needs a token of a responder or an admin",
        _ => "",
    };
    bail!("the API at {base} refused it (status {}): {why}{hint}", replied.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_or_stays_on_the_machine() {
        for good in
            ["https://ambit.example", "http://127.0.0.1:7070", "http://[::1]:7070", "http://localhost:7070"]
        {
            address(good).unwrap();
        }
        for bad in [
            "http://ambit.example",
            "http://10.0.0.1:7070",
            "ftp://localhost",
            "ambit.example",
            "http://localhost.evil.example",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
