//! What enforcement serves to receivers of security event tokens: its keys, what it is (SSF 1.0), and polling (RFC 8936).
//! On an address of its own: who may fetch tokens need not reach the API, and `ambit enforce` serves it as well.

use ambit_enforcement::{Options, Polled, Polls, jwks, ssf_configuration};
use anyhow::Context;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Most bytes of a question: acknowledgements of a thousand tokens.
const QUESTION_BYTES_MAX: usize = 128 << 10;
/// Most questions that are answered at once; each may wait half a minute.
const QUESTIONS_MAX: usize = 64;

/// What is served.
#[derive(Debug, Clone)]
pub struct Transmitter {
    keys: Value,
    about: Value,
    polls: Polls,
}

/// What a question needs.
struct Answering {
    polls: Polls,
    turns: Semaphore,
    shutdown: CancellationToken,
}

impl Transmitter {
    /// For this configuration; `None` where Ambit is no transmitter.
    pub fn new(options: &Options, polls: Polls) -> anyhow::Result<Option<Self>> {
        let Some(about) = ssf_configuration(options) else { return Ok(None) };
        Ok(Some(Self { keys: jwks(options)?, about, polls }))
    }

    /// Serves until `shutdown`; questions that wait are then ended.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) -> anyhow::Result<()> {
        let (keys, about) = (self.keys, self.about);
        let answering =
            Answering { polls: self.polls, turns: Semaphore::new(QUESTIONS_MAX), shutdown: shutdown.clone() };
        let router = Router::new()
            .route("/.well-known/jwks.json", get(move || async move { Json(keys) }))
            .route("/.well-known/ssf-configuration", get(move || async move { Json(about) }))
            .route("/ssf/poll/{receiver}", post(poll))
            .layer(DefaultBodyLimit::max(QUESTION_BYTES_MAX))
            .with_state(Arc::new(answering));
        axum::serve(listener, router)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
            .context("what serves receivers of security event tokens failed")
    }
}

async fn poll(
    State(answering): State<Arc<Answering>>,
    Path(receiver): Path<String>,
    headers: HeaderMap,
    question: Bytes,
) -> Response {
    let Ok(_turn) = answering.turns.try_acquire() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")]).into_response();
    };
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
    tokio::select! {
        answer = answering.polls.answer(&receiver, bearer, &question) => response(answer),
        () = answering.shutdown.cancelled() => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

fn response(answer: Polled) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, answer.body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::task::JoinSet;

    fn options() -> Options {
        let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/enforcement/tests/keys");
        let text = format!(
            "[transmitter]\nissuer = \"https://ambit.acme.example\"\n\
             signing_keys = [{{ file = \"{keys}/ed25519.pem\" }}]\nlisten = \"127.0.0.1:0\""
        );
        toml::from_str(&text).unwrap()
    }

    #[tokio::test]
    async fn documents_are_public_and_questions_are_bounded_and_answered() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let transmitter = Transmitter::new(&options(), Polls::default()).unwrap().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(transmitter.run(listener, shutdown.clone()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let get = async |path: &str| -> Value {
            client.get(format!("{base}{path}")).send().await.unwrap().json().await.unwrap()
        };
        let keys = get("/.well-known/jwks.json").await;
        assert_eq!((keys["keys"][0]["kty"].as_str(), keys["keys"][0].get("d")), (Some("OKP"), None));
        assert_eq!(get("/.well-known/ssf-configuration").await["issuer"], "https://ambit.acme.example");
        let ask = async |body: String| {
            let request = client.post(format!("{base}/ssf/poll/siem")).bearer_auth("x").body(body);
            request.send().await.unwrap()
        };
        let answer = ask("{}".to_owned()).await;
        assert_eq!(
            (answer.status(), answer.headers()["cache-control"].to_str().unwrap()),
            (StatusCode::SERVICE_UNAVAILABLE, "no-store")
        );
        assert_eq!(ask(" ".repeat(QUESTION_BYTES_MAX + 1)).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let other = client.get(format!("{base}/ssf/poll/siem")).send().await.unwrap();
        assert_eq!(other.status(), StatusCode::METHOD_NOT_ALLOWED);
        shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), tasks.join_next()).await;
        ended.unwrap().unwrap().unwrap().unwrap();
    }

    #[test]
    fn without_a_transmitter_nothing_is_served() {
        assert!(Transmitter::new(&Options::default(), Polls::default()).unwrap().is_none());
    }
}
