//! The linker script of the probes: M-mode, at 0x80000000, alone.

use std::env;

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").unwrap();
    println!("cargo:rerun-if-changed=../probes/link-m.ld");
    println!("cargo:rerun-if-changed=../probes/link-common.ld");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo:rustc-link-arg-bins=-L{root}/../probes");
        println!("cargo:rustc-link-arg-bins=-Tlink-m.ld");
    }
}
