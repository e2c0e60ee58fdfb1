// SPDX-License-Identifier: Apache-2.0
//! Why a source gives nothing, or cannot be fetched, and the words for it. What libav or TLS say themselves is a detail for
//! the log: their texts name neither the object nor the cause.

use std::fmt;
use std::io;
use std::time::Duration;

use ffmpeg_sys_next as ffi;
use rustls::CertificateError;

use super::guard::Refusal;
use crate::capture::av::AvError;
use crate::panics::Panic;

/// Why a source gives nothing (any more).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceFailure {
    /// Our own rules forbid it.
    Forbidden(Refusal),
    /// It cannot be fetched.
    Failed(SourceCause),
    TimedOut(Duration),
    /// Its headers or lists took more memory than any live source's.
    Endless,
    /// Nothing in it can be decoded.
    Undecodable,
    /// The source said that it is over.
    Ended,
    /// Our own code failed on what it sent.
    Panicked(Panic),
    /// The capture is being stopped.
    Stopped,
}

impl SourceFailure {
    /// Whether a connection that was there broke. One that fell silent did not: who stops sending leaves just so.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Panicked(_))
    }

    /// Whether the answer is a no, seen for the `times`th time in a row. Servers that restart hang up once or twice, too.
    #[must_use]
    pub fn is_refusal(&self, times: u32) -> bool {
        match self {
            Self::Forbidden(_) => true,
            Self::Failed(SourceCause::HungUp) => times >= 3,
            Self::Failed(cause) => cause.is_refusal(),
            _ => false,
        }
    }
}

impl fmt::Display for SourceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(refusal) => refusal.fmt(f),
            Self::Failed(cause) => cause.fmt(f),
            Self::TimedOut(limit) => write!(f, "no media for {} s", limit.as_secs()),
            Self::Endless => f.write_str("the source's headers or lists do not end; its server is broken or hostile"),
            Self::Undecodable => f.write_str("what the source sends cannot be decoded"),
            Self::Ended => f.write_str("the source has ended"),
            Self::Panicked(panic) => write!(f, "an internal error, worth reporting: {panic}"),
            Self::Stopped => f.write_str("recording was stopped"),
        }
    }
}

/// Why it cannot be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceCause {
    NameUnknown,
    Refused,
    NoRoute,
    NoAnswer,
    Broken,
    HungUp,
    Tls(TlsCause),
    /// A status of HTTP or RTSP; libav tells some by their hundreds alone.
    Status(u16),
    /// The same, for what a playlist refers to.
    ReferenceStatus(u16),
    SrtRejected {
        with_passphrase: bool,
    },
    RtmpRefused,
    NoMedia,
    Container,
    EnhancedRtmp,
    RedirectedForEver,
    Overlong,
    Memory,
    NoFile,
    FileDenied,
    /// None of these; libav's number for it.
    Other(AvError),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsCause {
    Untrusted,
    Expired,
    NotYetValid,
    WrongName,
    /// It is not the pinned one.
    OtherCertificate,
    Unacceptable,
    Handshake,
    /// The configuration's file of authorities cannot be used.
    Authorities,
}

/// Where libav was when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Opening,
    Reading,
}

impl SourceCause {
    /// What an error of libav means for a source of this URL.
    #[must_use]
    pub fn of(error: AvError, url: &str, stage: Stage) -> Self {
        let scheme = url.split("://").next().unwrap_or_default();
        if let Some(status) = status(error) {
            return Self::Status(status);
        }
        let opening = stage == Stage::Opening;
        match -error.0 {
            ffi::ECONNREFUSED => Self::Refused,
            ffi::EHOSTUNREACH | ffi::ENETUNREACH | ffi::EADDRNOTAVAIL => Self::NoRoute,
            ffi::ETIMEDOUT => Self::NoAnswer,
            ffi::EIO if scheme == "srt" && opening => {
                Self::SrtRejected { with_passphrase: url.contains("passphrase=") }
            }
            ffi::EPERM if is_rtmp(scheme) => Self::RtmpRefused,
            ffi::EIO if is_rtmp(scheme) && opening => Self::HungUp,
            ffi::EIO | ffi::ECONNRESET | ffi::EPIPE | ffi::ECONNABORTED if url.contains("://") => Self::Broken,
            ffi::ENOENT if !url.contains("://") || scheme == "file" => Self::NoFile,
            ffi::EACCES => Self::FileDenied,
            // The list of containers is ours, so that nothing else is an invalid argument of opening.
            ffi::EINVAL if opening => Self::Container,
            ffi::ENOMEM => Self::Memory,
            _ if error == AvError(ffi::AVERROR_PATCHWELCOME) && is_rtmp(scheme) => Self::EnhancedRtmp,
            _ if error == AvError(ffi::AVERROR_INVALIDDATA) && opening => Self::NoMedia,
            _ => Self::Other(error),
        }
    }

    /// What the system says of a connection that could not be made.
    #[must_use]
    pub fn of_connecting(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
                Self::NoRoute
            }
            io::ErrorKind::TimedOut => Self::NoAnswer,
            _ => Self::Broken,
        }
    }

    /// Whether the answer was a no, by the far end or by us.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Status(status) | Self::ReferenceStatus(status) => matches!(status, 401 | 403),
            Self::Tls(tls) => *tls != TlsCause::Handshake,
            Self::FileDenied | Self::SrtRejected { .. } => true,
            _ => false,
        }
    }

    /// Of something that the source's playlist led to.
    #[must_use]
    pub fn of_reference(self) -> Self {
        match self {
            Self::Status(status) => Self::ReferenceStatus(status),
            cause => cause,
        }
    }
}

impl From<TlsCause> for SourceCause {
    fn from(cause: TlsCause) -> Self {
        Self::Tls(cause)
    }
}

impl TlsCause {
    #[must_use]
    pub fn of(error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(error) = error else { return Self::Handshake };
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
            CertificateError::ApplicationVerificationFailure => Self::OtherCertificate,
            // A certificate that is its own authority is of the latter kind.
            CertificateError::UnknownIssuer | CertificateError::BadSignature | CertificateError::Other(_) => {
                Self::Untrusted
            }
            _ => Self::Unacceptable,
        }
    }
}

/// Whether media that came is over, as its sender said. A stream of RTMP that the server stopped is libav's EPERM, before its
/// first media as after it; before, it is no end.
#[must_use]
pub fn is_end(error: AvError, url: &str) -> bool {
    let scheme = url.split("://").next().unwrap_or_default();
    error == AvError::END_OF_FILE || error == AvError(ffi::AVERROR(ffi::EPERM)) && is_rtmp(scheme)
}

fn is_rtmp(scheme: &str) -> bool {
    scheme == "rtmp" || scheme == "rtmps"
}

fn status(error: AvError) -> Option<u16> {
    let table = [
        (ffi::AVERROR_HTTP_BAD_REQUEST, 400),
        (ffi::AVERROR_HTTP_UNAUTHORIZED, 401),
        (ffi::AVERROR_HTTP_FORBIDDEN, 403),
        (ffi::AVERROR_HTTP_NOT_FOUND, 404),
        (ffi::AVERROR_HTTP_TOO_MANY_REQUESTS, 429),
        (ffi::AVERROR_HTTP_OTHER_4XX, 4),
        (ffi::AVERROR_HTTP_SERVER_ERROR, 5),
    ];
    table.into_iter().find(|(code, _)| *code == error.0).map(|(_, status)| status)
}

/// A status in words, with its number as far as it is known.
struct StatusText(u16);

impl fmt::Display for StatusText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            400 => f.write_str("the server does not understand the request (400)"),
            401 => f.write_str("the server asks for a user name and password, or does not take those given (401)"),
            403 => f.write_str("the server forbids it (403)"),
            404 => f.write_str("the server has nothing at this URL (404)"),
            429 => f.write_str("the server was asked too often (429)"),
            5 | 500.. => f.write_str("the server has failed (5xx)"),
            _ => f.write_str("the server does not take the request (4xx)"),
        }
    }
}

impl fmt::Display for SourceCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(cause) => return cause.fmt(f),
            Self::Status(status) => return StatusText(*status).fmt(f),
            Self::ReferenceStatus(status) => {
                return write!(f, "what the source's playlist refers to cannot be fetched: {}", StatusText(*status));
            }
            Self::Other(AvError(number)) => return write!(f, "the source cannot be read (FFmpeg's error {number})"),
            Self::EnhancedRtmp => return write!(f, "the picture is {}", unread_flv(0)),
            _ => {}
        }
        f.write_str(match self {
            Self::NameUnknown => "the host's name cannot be resolved",
            Self::Refused => "the host refuses the connection: nothing listens at the URL's port",
            Self::NoRoute => "there is no route to the host",
            Self::NoAnswer => "the host does not answer",
            Self::Broken => "the connection broke",
            Self::HungUp => "the server hangs up before it sends any media",
            Self::SrtRejected { with_passphrase: true } => {
                "the SRT server rejects the connection: the passphrase is wrong, or the stream ID is not allowed"
            }
            Self::SrtRejected { with_passphrase: false } => {
                "the SRT server rejects the connection: it asks for a passphrase, or does not allow the stream ID"
            }
            Self::RtmpRefused => "the RTMP server has no such stream, or does not let it be played",
            Self::NoMedia => "what the source sends is no media that is known here",
            Self::Container => "the source's container format is none that is recorded",
            Self::RedirectedForEver => "the source redirects again and again",
            Self::Overlong => "the URL and its headers are longer together than FFmpeg sends",
            Self::Memory => "the source has more streams, or larger headers, than any live source's",
            Self::NoFile => "there is no such file",
            Self::FileDenied => "the file may not be read",
            _ => "the source cannot be read",
        })
    }
}

/// HEVC by the number that some cameras and servers send, and that `FFmpeg` never took over.
const FLV_HEVC: u32 = 12;

/// From here on libav reads enhanced RTMP (`FFmpeg` 6.1).
const ENHANCED_RTMP: u32 = 60 << 16 | 16 << 8;

/// A picture's codec in FLV that libav has no name for. Its number (`tag`) may not be known yet.
pub fn unread_flv(tag: u32) -> String {
    // SAFETY: only returns a number.
    let reads_enhanced = unsafe { ffi::avformat_version() } >= ENHANCED_RTMP;
    match tag {
        FLV_HEVC => "HEVC as FLV's codec 12, which no FFmpeg reads".to_owned(),
        _ if reads_enhanced => {
            format!("a codec that FFmpeg {} does not read in FLV, as HEVC by its number 12", version())
        }
        _ => format!(
            "HEVC, AV1 or VP9 by enhanced RTMP, or HEVC as FLV's codec 12; FFmpeg {} reads none of them (6.1 and newer \
             read enhanced RTMP)",
            version()
        ),
    }
}

fn version() -> String {
    // SAFETY: returns a static C string.
    let version = unsafe { std::ffi::CStr::from_ptr(ffi::av_version_info()) }.to_string_lossy();
    version.split('-').next().unwrap_or_default().to_owned()
}

impl fmt::Display for TlsCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untrusted => {
                "the server's certificate is signed by no trusted authority: give the authority's certificate \
                 (caFile, caSecretRef), or the digest of the server's own (certificateSha256)"
            }
            Self::Expired => "the server's certificate has expired",
            Self::NotYetValid => "the server's certificate is not valid yet",
            Self::WrongName => "the server's certificate is for another name than the URL's host",
            Self::OtherCertificate => "the server's certificate is not the one of certificateSha256",
            Self::Unacceptable => "the server's certificate is not acceptable",
            Self::Handshake => "the server and the recorder cannot agree on a TLS connection",
            Self::Authorities => "caFile (caSecretRef) cannot be read, or holds no certificate",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_of_rtmp_that_leaves_has_not_been_refused() {
        let stopped = AvError(ffi::AVERROR(ffi::EPERM));
        assert!(is_end(stopped, "rtmp://127.0.0.1/live/alice"));
        assert!(is_end(AvError::END_OF_FILE, "srt://127.0.0.1:9000"));
        assert!(!is_end(stopped, "rtsp://127.0.0.1/alice"));
        assert!(!is_end(AvError(ffi::AVERROR(ffi::EIO)), "rtmp://127.0.0.1/live/alice"));
        assert_eq!(SourceCause::of(stopped, "rtmp://127.0.0.1/live/alice", Stage::Opening), SourceCause::RtmpRefused);
    }
}
