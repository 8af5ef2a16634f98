//! A server that answers each request as it is told, well or badly, with or without TLS; what it was asked is kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

/// What one request looked like.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Seen {
    /// As a golden file has it: without what differs from run to run.
    pub fn text(&self) -> String {
        let kept =
            self.headers.iter().filter(|(name, _)| !matches!(name.as_str(), "host" | "content-length"));
        let headers: Vec<String> = kept.map(|(name, value)| format!("{name}: {value}")).collect();
        format!("{} {}\n{}\n\n{}\n", self.method, self.target, headers.join("\n"), self.body)
    }
}

/// What a server does with a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Status line, header lines, body.
    Http(&'static str, String, String),
    /// Takes the request and says nothing.
    Never,
    /// A head, then a byte of the body now and then, without end.
    Drip,
    /// Bytes that are not HTTP.
    Noise,
    /// Closes the connection.
    Close,
}

pub fn answer(status: &'static str, body: &str) -> Answer {
    Answer::Http(status, String::new(), body.to_owned())
}

type Script = Arc<dyn Fn(&Seen, usize) -> Answer + Send + Sync>;

pub struct Server {
    pub base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// The script gets each request and how many were before it.
    pub async fn start(script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen("http", None, script).await
    }

    /// With this certificate of `tests/keys`.
    pub async fn with_tls(
        name: &str,
        script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let (certificate, key) = (key_file(&format!("{name}.pem")), key_file(&format!("{name}.key")));
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(certificate).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap();
        Self::listen("https", Some(TlsAcceptor::from(Arc::new(config))), script).await
    }

    async fn listen(
        scheme: &str,
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let base = format!("{scheme}://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, noted): (Script, _) = (Arc::new(script), Arc::clone(&seen));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, seen, tls) = (Arc::clone(&script), Arc::clone(&noted), tls.clone());
                open.spawn(async move {
                    match tls {
                        None => serve(stream, seen, script).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, seen, script).await;
                            }
                        }
                    }
                });
            }
        });
        Self { base, seen, _tasks: tasks }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

pub fn key_file(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name)
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: Arc<Mutex<Vec<Seen>>>, script: Script) {
    let Some(request) = read(&mut stream).await else { return };
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    let whole = match script(&request, before) {
        Answer::Http(status, headers, body) => {
            let length = body.len();
            format!(
                "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
        }
        Answer::Never => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            return;
        }
        Answer::Drip => {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await);
            while stream.write_all(b" ").await.is_ok() && stream.flush().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            return;
        }
        Answer::Noise => "SSH-2.0-OpenSSH_9.2\r\n\0\0\0".to_owned(),
        Answer::Close => return,
    };
    drop(stream.write_all(whole.as_bytes()).await);
    drop(stream.shutdown().await);
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4_096];
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let mut first = lines.next().unwrap().split(' ');
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
        if bytes.len() >= end + 4 + length {
            let body = String::from_utf8(bytes[end + 4..end + 4 + length].to_vec()).unwrap();
            let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
            return Some(Seen { method, target, headers, body });
        }
    }
}
