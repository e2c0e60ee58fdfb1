// SPDX-License-Identifier: Apache-2.0
//! Connections that libav makes to this process, which carries them to the judged address of the source's server: with
//! TLS, whose certificates libav proves only for some protocols, and with RTSP, whose redirects it follows by itself.
//!
//! One rule for every protocol over TLS: nothing of libav's reaches a server before that has proved who it is.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use super::cause::{SourceCause, TlsCause};
use super::rtsp::{RtspReply, RtspUnit, RtspUnits, ServerNames};
use crate::capture::api::Trust;
use crate::capture::clock::lock;
use crate::{log, tls};

/// How long a server has to take the connection and to prove itself; shorter than what libav has for all.
const CONNECT: Duration = Duration::from_secs(8);
const LEAST_FOR_ONE_ADDRESS: Duration = Duration::from_secs(2);
const FAREWELL: Duration = Duration::from_secs(1);

/// Servers that a source is carried to at a time. A playlist may name any number.
const MOST_SERVERS: usize = 16;

const BLOCK: usize = 32 << 10;

/// What the forwarding has found out, which libav learns only as the end of its connection.
#[derive(Debug, Clone, Default)]
pub struct Findings(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    cause: Option<SourceCause>,
    redirect: Option<String>,
}

impl Findings {
    pub fn take_cause(&self) -> Option<SourceCause> {
        lock(&self.0).cause.take()
    }

    pub fn take_redirect(&self) -> Option<String> {
        lock(&self.0).redirect.take()
    }

    fn failed(&self, cause: SourceCause) {
        lock(&self.0).cause = Some(cause);
    }
}

/// A server to be carried to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Judged ones, in the order in which they are tried.
    pub addresses: Vec<SocketAddr>,
    /// Its name in the URL, without brackets, which its certificate must bear.
    pub name: String,
    pub over_tls: bool,
    pub rtsp: Option<Rtsp>,
}

/// What an RTSP server is asked as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rtsp {
    /// Scheme, host and port of the URL.
    pub own: String,
    pub credentials: Option<String>,
}

/// The forwarding of one source. It ends, with all connections, when this is dropped.
pub struct Forwarding {
    trust: Trust,
    pub findings: Findings,
    running: Mutex<Option<Running>>,
}

struct Running {
    handle: Handle,
    connector: TlsConnector,
    servers: Vec<(Server, u16, AbortHandle)>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarding {
    pub fn new(trust: Trust) -> Self {
        Self { trust, findings: Findings::default(), running: Mutex::default() }
    }

    /// The local port at which the server is reached.
    pub fn port_to(&self, server: Server) -> Result<u16, SourceCause> {
        let mut running = lock(&self.running);
        let running = match &mut *running {
            Some(running) => running,
            none => none.insert(Running::start(client_config(&self.trust)?)?),
        };
        running.port_to(server, &self.findings).map_err(|error| SourceCause::of_connecting(&error))
    }
}

/// How servers prove themselves to this source.
pub fn client_config(trust: &Trust) -> Result<rustls::ClientConfig, SourceCause> {
    let config = match trust {
        Trust::System => tls::config(tls::system_roots()),
        Trust::Authorities(file) => {
            let roots = tls::roots_with(file).map_err(|why| {
                tracing::warn!(detail = %why, "caFile cannot be used");
                TlsCause::Authorities
            })?;
            tls::config(roots)
        }
        Trust::Certificate(sha256) => tls::config_for_certificate(*sha256),
    };
    config.map_err(|_| TlsCause::Handshake.into())
}

impl Running {
    fn start(config: rustls::ClientConfig) -> Result<Self, SourceCause> {
        let start = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (handle, (end, ended)) = (runtime.handle().clone(), oneshot::channel::<()>());
            let thread = log::spawn("forward", move || {
                let _ = runtime.block_on(ended);
            })?;
            io::Result::Ok((handle, end, thread))
        };
        let (handle, end, thread) = start().map_err(|error| SourceCause::of_connecting(&error))?;
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { handle, connector, servers: Vec::new(), end: Some(end), thread: Some(thread) })
    }

    fn port_to(&mut self, server: Server, findings: &Findings) -> io::Result<u16> {
        if let Some((_, port, _)) = self.servers.iter().find(|(known, _, _)| *known == server) {
            return Ok(*port);
        }
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let carrier = Carrier {
            server: server.clone(),
            local: format!("rtsp://{}:{port}", Ipv4Addr::LOCALHOST),
            connector: self.connector.clone(),
            findings: findings.clone(),
        };
        let task = self.handle.spawn(Arc::new(carrier).serve(listener)).abort_handle();
        if self.servers.len() >= MOST_SERVERS {
            // Connections that are there stay.
            self.servers.remove(0).2.abort();
        }
        self.servers.push((server, port, task));
        Ok(port)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.end.take());
        // Nothing on it blocks.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Carrier {
    server: Server,
    local: String,
    connector: TlsConnector,
    findings: Findings,
}

/// Which end of a connection failed.
enum Broken {
    From(io::Error),
    To(io::Error),
    /// What was to be passed on must not be.
    Withheld,
}

impl Carrier {
    async fn serve(self: Arc<Self>, listener: std::net::TcpListener) {
        let Ok(listener) = TcpListener::from_std(listener) else { return };
        while let Ok((local, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&self).carry(local));
        }
    }

    async fn carry(self: Arc<Self>, local: TcpStream) {
        let _ = local.set_nodelay(true);
        let reached = tokio::time::timeout(CONNECT, self.reach()).await.unwrap_or(Err(SourceCause::NoAnswer));
        let carried = match reached {
            Ok(far) if self.server.over_tls => match self.prove(far).await {
                Ok((far, address)) => self.pass(local, far, address).await,
                Err(cause) => Err(cause),
            },
            Ok((far, address)) => self.pass(local, far, address).await,
            Err(cause) => Err(cause),
        };
        if let Err(cause) = carried {
            self.findings.failed(cause);
        }
    }

    async fn reach(&self) -> Result<(TcpStream, SocketAddr), SourceCause> {
        let count = u32::try_from(self.server.addresses.len()).unwrap_or(u32::MAX).max(1);
        let limit = (CONNECT / count).max(LEAST_FOR_ONE_ADDRESS);
        let mut cause = SourceCause::NoRoute;
        for address in &self.server.addresses {
            match tokio::time::timeout(limit, TcpStream::connect(address)).await {
                Ok(Ok(far)) => {
                    let _ = far.set_nodelay(true);
                    return Ok((far, *address));
                }
                Ok(Err(error)) => cause = SourceCause::of_connecting(&error),
                Err(_) => cause = SourceCause::NoAnswer,
            }
        }
        Err(cause)
    }

    async fn prove(
        &self,
        (far, address): (TcpStream, SocketAddr),
    ) -> Result<(tokio_rustls::client::TlsStream<TcpStream>, SocketAddr), SourceCause> {
        let name = ServerName::try_from(self.server.name.clone()).map_err(|_| TlsCause::WrongName)?;
        let proved = tokio::time::timeout(CONNECT, self.connector.connect(name, far)).await;
        match proved {
            Ok(Ok(far)) => Ok((far, address)),
            Ok(Err(error)) => {
                tracing::debug!(detail = %error, "TLS failed");
                let error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                Err(error.map_or(TlsCause::Handshake, TlsCause::of).into())
            }
            Err(_) => Err(SourceCause::NoAnswer),
        }
    }

    /// Passes on what comes from either side, until one of them has nothing more to say.
    async fn pass<F>(&self, local: TcpStream, far: F, address: SocketAddr) -> Result<(), SourceCause>
    where
        F: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut from_far, mut to_far) = tokio::io::split(far);
        let (mut from_local, mut to_local) = local.into_split();
        let names = self.server.rtsp.as_ref().map(|rtsp| ServerNames {
            local: self.local.clone(),
            own: rtsp.own.clone(),
            credentials: rtsp.credentials.clone(),
            address: address.ip(),
        });
        let (mut asked, mut answered) = (RtspUnits::default(), RtspUnits::default());
        let names = names.as_ref();
        let outwards = pump(&mut from_local, &mut to_far, |bytes, out| requests(names, &mut asked, bytes, out));
        let inwards =
            pump(&mut from_far, &mut to_local, |bytes, out| answers(names, &mut answered, bytes, out, &self.findings));
        let ended = tokio::select! {
            ended = outwards => match ended {
                Err(Broken::To(error)) => Err(SourceCause::of_connecting(&error)),
                _ => Ok(true),
            },
            ended = inwards => match ended {
                Err(Broken::From(error)) => Err(SourceCause::of_connecting(&error)),
                _ => Ok(false),
            },
        };
        if let Ok(false) = ended {
            // What libav still says is taken, or the system would throw away what it has not read yet.
            drop(to_local);
            let _ = tokio::io::copy(&mut from_local, &mut tokio::io::sink()).await;
        }
        let _ = tokio::time::timeout(FAREWELL, to_far.shutdown()).await;
        ended.map(drop)
    }
}

fn requests(names: Option<&ServerNames>, units: &mut RtspUnits, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
    translate(names, units, bytes, out, |names, head, body| Ok(names.request(head, body)))
}

fn answers(
    names: Option<&ServerNames>,
    units: &mut RtspUnits,
    bytes: &[u8],
    out: &mut Vec<u8>,
    findings: &Findings,
) -> Result<(), Broken> {
    translate(names, units, bytes, out, |names, head, body| match names.answer(head, body) {
        RtspReply::Message(message) => Ok(message),
        RtspReply::Redirect(location) => {
            lock(&findings.0).redirect = Some(location);
            Err(Broken::Withheld)
        }
    })
}

/// Changes the messages among the bytes, where names are to be changed at all; media passes.
fn translate(
    names: Option<&ServerNames>,
    units: &mut RtspUnits,
    bytes: &[u8],
    out: &mut Vec<u8>,
    change: impl Fn(&ServerNames, &str, &[u8]) -> Result<Vec<u8>, Broken>,
) -> Result<(), Broken> {
    let Some(names) = names else {
        out.extend_from_slice(bytes);
        return Ok(());
    };
    units.push(bytes);
    while let Some(unit) = units.pop().map_err(|_| Broken::Withheld)? {
        match unit {
            RtspUnit::Media(media) => out.extend(media),
            RtspUnit::Message { head, body } => out.extend(change(names, &head, &body)?),
        }
    }
    Ok(())
}

/// Copies until the end of `from`, each block changed on its way.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut change: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let (mut block, mut out) = (vec![0; BLOCK], Vec::with_capacity(BLOCK));
    loop {
        let length = match from.read(&mut block).await {
            // Many servers end a TLS connection without a word.
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Ok(length) => length,
            Err(error) => return Err(Broken::From(error)),
        };
        out.clear();
        change(&block[..length], &mut out)?;
        to.write_all(&out).await.map_err(Broken::To)?;
        to.flush().await.map_err(Broken::To)?;
    }
}
