// SPDX-License-Identifier: Apache-2.0
//! Compiles the C++ layer and the program that tries its arguments, for the target `arguments`.

fn main() {
    let abi = std::path::Path::new("../abi");
    let sources = [abi.join("src/recorder.cpp"), abi.join("tests/arguments.cpp")];
    sources.iter().for_each(|source| println!("cargo::rerun-if-changed={}", source.display()));
    cc::Build::new()
        .cpp(true)
        .std("c++11")
        .files(sources)
        .define("CLOUD_RECORDING_FUZZED", None)
        .includes([abi.join("src"), "../include".into()])
        .flag("-fsanitize=undefined")
        .flag("-fno-sanitize-recover=all")
        .flag("-fsanitize-undefined-trap-on-error")
        .compile("abi");
}
