// SPDX-License-Identifier: Apache-2.0
//! Makes the types of the messages that `src/livekit` exchanges with LiveKit's client library.

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = "livekit/livekit_ffi.fds";
    println!("cargo:rerun-if-changed={path}");
    let described = prost_types::FileDescriptorSet::decode(std::fs::read(path)?.as_slice())?;
    prost_build::Config::new().compile_fds(described)?;
    Ok(())
}
