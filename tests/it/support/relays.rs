//! What may be between the program and a server: TLS, and a proxy.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Server;

/// A file of `tests/tls`.
pub fn tls_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tls")
        .join(name)
}

/// A listener on loopback, and what each of its connections is handed to, until the runtime is dropped.
fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, Runtime)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_io()
        .build()
        .unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            // That the other side goes away is for the test to judge.
            tokio::spawn(serve(connection));
        }
    });
    (address, runtime)
}

/// A server that is spoken to by TLS, with the certificate of `tests/tls`.
pub struct TlsServer {
    /// What stands behind it.
    pub server: Server,
    address: SocketAddr,
    handshakes: Arc<Mutex<Vec<bool>>>,
    _runtime: Runtime,
}

impl TlsServer {
    /// TLS before a server.
    pub fn before(server: Server) -> Self {
        let certificates = CertificateDer::pem_file_iter(tls_file("server.pem"))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let key = PrivateKeyDer::from_pem_file(tls_file("server.key")).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let handshakes = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&handshakes);
        let behind = server.address();
        let (address, runtime) = listen(move |connection| {
            let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
            async move {
                let accepted = acceptor.accept(connection).await;
                noted.lock().unwrap().push(accepted.is_ok());
                let mut inner = TcpStream::connect(behind).await?;
                copy_bidirectional(&mut accepted?, &mut inner).await?;
                Ok(())
            }
        });
        Self {
            server,
            address,
            handshakes,
            _runtime: runtime,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The API's address here, by name.
    pub fn base_url(&self) -> String {
        format!("https://localhost:{}/client/v4", self.address.port())
    }

    /// Of each connection so far, whether the client went on after it had seen the certificate.
    pub fn handshakes(&self) -> Vec<bool> {
        self.handshakes.lock().unwrap().clone()
    }
}

/// A proxy that knows `CONNECT` alone, and leads everything to one place.
pub struct Proxy {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    _runtime: Runtime,
}

impl Proxy {
    /// A proxy that leads to an address, whatever it is asked for.
    pub fn to(target: SocketAddr) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heard);
        let (address, runtime) = listen(move |connection| {
            let mut notes = noted.lock().unwrap();
            let ear = Ear {
                heard: Arc::clone(&noted),
                at: notes.len(),
            };
            notes.push(Vec::new());
            relay(connection, target, ear)
        });
        Self {
            address,
            heard,
            _runtime: runtime,
        }
    }

    /// Its address, for `HTTPS_PROXY`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// With a user and a password.
    pub fn url_with(&self, user: &str, password: &str) -> String {
        format!("http://{user}:{password}@{}", self.address)
    }

    /// Every byte that came from the program, by connection.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }

    /// What came before the tunnel, by connection. Without those on which it never came whole: a client may begin one
    /// and find another free before it is of use.
    pub fn heads(&self) -> Vec<String> {
        let head = |bytes: &Vec<u8>| {
            let text = String::from_utf8_lossy(bytes);
            text.split_once("\r\n\r\n").map(|(head, _)| head.to_owned())
        };
        self.heard().iter().filter_map(head).collect()
    }
}

/// Notes what one connection brings.
struct Ear {
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    at: usize,
}

impl Ear {
    async fn read(&self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 16 * 1024];
        let length = from.read(&mut bytes).await?;
        bytes.truncate(length);
        self.heard.lock().unwrap()[self.at].extend_from_slice(&bytes);
        Ok(bytes)
    }
}

async fn relay(connection: TcpStream, target: SocketAddr, ear: Ear) -> io::Result<()> {
    let (mut from, mut back) = connection.into_split();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let bytes = ear.read(&mut from).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        head.extend(bytes);
    }
    if !head.starts_with(b"CONNECT ") {
        return back
            .write_all(b"HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n")
            .await;
    }
    let (mut answers, mut to) = TcpStream::connect(target).await?.into_split();
    back.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
    tokio::try_join!(forward(&ear, &mut from, &mut to), async {
        copy(&mut answers, &mut back).await?;
        back.shutdown().await
    })?;
    Ok(())
}

async fn forward(
    ear: &Ear,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    loop {
        let bytes = ear.read(from).await?;
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(&bytes).await?;
    }
}
