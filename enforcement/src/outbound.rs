//! Posts to servers that the configuration names, for other roles: what leaves this machine goes through one guard
//! ([`crate::guard`]), without redirects or proxies, bounded in time and bytes.

use crate::client::{body_within, class_of, guarded};
use crate::guard::{Guard, Refused};
use reqwest::{Client, header};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// A server to post to.
#[derive(Debug, Clone)]
pub struct Outbound {
    client: Client,
    url: Url,
    guard: Arc<Guard>,
    answer_bytes_max: usize,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The media type, in lower case and without parameters.
    pub media_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The address may not be called.
    #[error("the URL {url} is not called")]
    Refused {
        /// Where to.
        url: Url,
        /// Why not.
        #[source]
        cause: Refused,
    },
    /// The client cannot be set up.
    #[error("the HTTP client cannot be set up: are the system's certificates readable?")]
    Client(#[source] reqwest::Error),
    /// The server was not reached, or did not answer in time; of a closed list of words.
    #[error("{url} was not reached ({class}): check its address, and whether it runs")]
    Unreached {
        /// Where to.
        url: Url,
        /// What went wrong.
        class: &'static str,
    },
    /// The answer is larger than any answer may be.
    #[error("{url} answered with more than {limit} bytes: is it the right server?")]
    TooLarge {
        /// Where from.
        url: Url,
        /// The limit.
        limit: usize,
    },
}

impl Outbound {
    /// A server at `url`. One try takes at most `timeout`, an answer has at most `answer_bytes_max`.
    ///
    /// # Errors
    /// When the URL is not HTTPS or not public, and `allow_private` does not allow that.
    pub fn new(
        url: Url,
        allow_private: bool,
        timeout: Duration,
        answer_bytes_max: usize,
    ) -> Result<Self, OutboundError> {
        let guard = Arc::new(Guard { allow_private, ..Guard::default() });
        guard.check_url(&url).map_err(|cause| OutboundError::Refused { url: url.clone(), cause })?;
        let builder = guarded(&guard, timeout).pool_max_idle_per_host(1);
        let client = builder.build().map_err(OutboundError::Client)?;
        Ok(Self { client, url, guard, answer_bytes_max })
    }

    /// Posts a body once.
    ///
    /// # Errors
    /// When there is no whole answer. Whether the server did what it was asked is not known then.
    pub async fn post(&self, media_type: &str, body: Vec<u8>) -> Result<Answer, OutboundError> {
        self.guard
            .check_url(&self.url)
            .map_err(|cause| OutboundError::Refused { url: self.url.clone(), cause })?;
        let unreached = |error: reqwest::Error| OutboundError::Unreached {
            url: self.url.clone(),
            class: class_of(&error),
        };
        let sent = self.client.post(self.url.clone()).header(header::CONTENT_TYPE, media_type).body(body);
        let response = sent.send().await.map_err(unreached)?;
        let status = response.status().as_u16();
        let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
        let media_type = media_type.trim().to_ascii_lowercase();
        let body = body_within(response, self.answer_bytes_max).await.map_err(unreached)?;
        let too_large = || OutboundError::TooLarge { url: self.url.clone(), limit: self.answer_bytes_max };
        Ok(Answer { status, media_type, body: body.ok_or_else(too_large)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::{JoinHandle, spawn};

    /// Answers one request with these bytes, and listens no more.
    fn server(answer: String) -> (Url, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/x", listener.local_addr().unwrap())).unwrap();
        let serving = spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        (url, serving)
    }

    fn outbound(url: Url, max: usize) -> Outbound {
        Outbound::new(url, true, Duration::from_secs(5), max).unwrap()
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        )
    }

    #[tokio::test]
    async fn an_answer_comes_whole_and_a_long_one_not_at_all() {
        let (url, _) = server(answer("409 Conflict", "content-type: Text/X.tlog.size; a=b\r\n", "17\n"));
        let got = outbound(url, 3).post("text/plain", b"old 0".to_vec()).await.unwrap();
        let expected = Answer { status: 409, media_type: "text/x.tlog.size".into(), body: b"17\n".to_vec() };
        assert_eq!(got, expected);
        let (url, _) = server(answer("200 OK", "", "1234"));
        let got = outbound(url, 3).post("text/plain", Vec::new()).await;
        assert!(matches!(got, Err(OutboundError::TooLarge { limit: 3, .. })), "{got:?}");
    }

    #[tokio::test]
    async fn redirects_are_answers_and_what_is_private_is_not_called() {
        let (url, serving) = server(answer("302 Found", "location: http://127.0.0.1:1/\r\n", ""));
        assert_eq!(outbound(url.clone(), 9).post("text/plain", Vec::new()).await.unwrap().status, 302);
        serving.join().unwrap();
        let gone = outbound(url.clone(), 9).post("text/plain", Vec::new()).await;
        assert!(matches!(gone, Err(OutboundError::Unreached { class: "connect", .. })), "{gone:?}");
        let refused = Outbound::new(url, false, Duration::from_secs(1), 9);
        assert!(matches!(refused, Err(OutboundError::Refused { .. })));
    }
}
