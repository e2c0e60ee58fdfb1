// SPDX-License-Identifier: Apache-2.0
//! Real servers of media for tests: nginx for RTMP and HLS, on ports of their own.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Running, Scratch, PATIENCE};

/// A TCP port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// A UDP port that was free a moment ago.
pub fn free_udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// nginx with an RTMP application `live`, one `locked` that nobody may play, and the scratch directory over HTTP.
pub struct MediaServer {
    pub rtmp: u16,
    pub http: u16,
    _process: Running,
}

impl MediaServer {
    pub fn start(scratch: &Scratch) -> Self {
        let (rtmp, http) = (free_port(), free_port());
        let root = scratch.0.to_str().unwrap();
        let configuration = scratch.path("nginx.conf");
        fs::write(&configuration, configuration_text(root, rtmp, http)).expect("the configuration");
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-p", root, "-c"]).arg(&configuration).stdin(Stdio::null());
        let process = Running(command.spawn().expect("nginx starts"));
        for port in [rtmp, http] {
            wait_for_listener(port);
        }
        Self { rtmp, http, _process: process }
    }

    pub fn rtmp_url(&self, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{name}", self.rtmp)
    }
}

fn configuration_text(root: &str, rtmp: u16, http: u16) -> String {
    let module = ["/usr/lib/nginx/modules", "/usr/share/nginx/modules"]
        .map(|directory| Path::new(directory).join("ngx_rtmp_module.so"))
        .into_iter()
        .find(|path| path.exists())
        .expect("libnginx-mod-rtmp is installed");
    format!(
        "load_module {module};
         daemon off; master_process off; worker_processes 1; error_log stderr error; pid {root}/nginx.pid;
         events {{ worker_connections 256; }}
         rtmp {{ server {{ listen 127.0.0.1:{rtmp};
             application live {{ live on; record off; wait_key on; idle_streams off; drop_idle_publisher 5s; }}
             application locked {{ live on; allow publish all; deny play all; }} }} }}
         http {{ access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;
             fastcgi_temp_path {root}/fastcgi; uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
             server {{ listen 127.0.0.1:{http}; root {root};
                 location /forbidden/ {{ return 403; }} location /secret/ {{ return 401; }} }} }}",
        module = module.display(),
    )
}

pub fn wait_for_listener(port: u16) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "nothing listens on {port}");
        thread::sleep(Duration::from_millis(20));
    }
}
